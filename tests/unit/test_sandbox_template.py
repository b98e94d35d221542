"""Templates of --format, as Go's text/template understands them: the expected texts are Docker's own."""

from __future__ import annotations

import pytest

from sandbox.errors import SandboxError
from sandbox.template import listing, render

TOLD = {
    "Id": "x",
    "Name": "web",
    "State": {"Pid": 7, "Running": True, "Health": None},
    "Config": {"Cmd": ["sh", "-c", "echo a b"], "Labels": {"b": "2", "a": "1"}, "Env": [],
               "Entrypoint": None, "Volumes": None},
    "NetworkSettings": {
        "Networks": {"one": {"IPAddress": "172.17.0.2"}},
        "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "4000"}], "90/tcp": None},  # noqa: S104
    },
    "Label": lambda key: f"<{key}>",
}  # fmt: skip


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.Id}}:{{ .State.Pid }}:{{.State.Running}}:{{.State.Health}}", "x:7:true:<nil>"),
        ("{{json .State.Running}} {{json .Id}} {{.Id | json}}", 'true "x" "x"'),
        ("{{.Config.Cmd}} {{.Config.Env}} {{.Config.Labels}}", "[sh -c echo a b] [] map[a:1 b:2]"),
        ("{{range .Config.Cmd}}[{{.}}]{{end}}", "[sh][-c][echo a b]"),
        ("{{range .Config.Env}}x{{else}}none{{end}}", "none"),
        ("{{range $key, $value := .Config.Labels}}{{$key}}={{$value}};{{end}}", "a=1;b=2;"),
        ("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "172.17.0.2"),
        ('{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}', "4000"),
        ("{{range $p, $c := .NetworkSettings.Ports}}{{if $c}}{{$p}}={{(index $c 0).HostPort}}{{end}}{{end}}",
         "80/tcp=4000"),
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ('{{if eq .Name "db"}}1{{else if eq .Name "web" "x"}}2{{else}}3{{end}}', "2"),
        ("{{if and .State.Running (not .Config.Env)}}yes{{end}}", "yes"),
        ("{{with .State}}{{.Pid}} {{$.Name}}{{end}}", "7 web"),
        ('{{$n := .Name}}{{printf "%s-%d-%q-%4s%%" $n .State.Pid .Id .Id}}', 'web-7-"x"-   x%'),
        ('{{printf "%.2s|%-4.1s|%.s|%.9s" .Name .Name .Name .Name}}', "we|w   ||web"),
        ('{{len .Config.Cmd}} {{index .Config.Cmd 0}} {{join .Config.Cmd ","}}', "3 sh sh,-c,echo a b"),
        ("{{.Name | upper | printf `%s!`}} {{title .Name}} {{println .Id 1}}", "WEB! Web x 1\n"),
        ("a {{- .Id -}} b {{/* nothing */}}c", "axb c"),
        ('{{.Label "tier"}}', "<tier>"),
        ("{{json .Config.Cmd}} {{json .State}}", '["sh","-c","echo a b"] {"Pid":7,"Running":true,"Health":null}'),
        ('{{.Config.Labels.c}} {{if .Config.Labels.c}}y{{else}}n{{end}} {{index .Config.Labels "c"}}', "<no value> n "),
        ('{{printf "%05d" .State.Pid}} {{slice .Config.Cmd 1}} {{slice .Name 0 2}} {{pad .Id 1 2}}|',
         "00007 [-c echo a b] we  x  |"),
        ("{{if .Config.Healthcheck}}y{{else}}n{{end}} {{json .Config.Healthcheck}}", "n null"),
        ('{{print 1 2 "a" "b" 3}}', "1 2ab3"),
        ("{{.Config.Entrypoint}} {{json .Config.Entrypoint}} {{len .Config.Entrypoint}}", "[] null 0"),
        ("{{join .Config.Entrypoint `,`}}{{range .Config.Entrypoint}}x{{else}}none{{end}}", "none"),
        ("{{.Config.Volumes}} {{if .Config.Volumes}}y{{else}}n{{end}} {{json .Config.Volumes}}", "map[] n null"),
        ("{{.Config.StopSignal}}{{.Config.StopTimeout}}", "<nil>"),
        ("no actions }}", "no actions }}"),
    ],
)  # fmt: skip
def test_what_a_template_makes(template: str, text: str) -> None:
    """Fields, functions, pipelines, conditions, loops and variables."""
    assert render(TOLD, template) == text


@pytest.mark.parametrize(
    "template",
    [
        "{{.Nope}}", "{{.Id.More}}", "{{range .State}}", "{{end}}", "{{nosuch .Id}}", "{{.Id", "{{}}", "{{(.Id}}",
        "{{index .Config.Cmd 9}}", "{{$x}}", "{{len .State.Pid}}", "{{.Id 5}}", '{{"}}', "{{if}}{{end}}", "{{.Id )}}",
        "{{| json}}", "{{.Config.Healthcheck.Test}}", "{{join}}", "{{lt .Id 5}}", "{{lower .State.Pid}}",
        "{{.State | title}}", "{{pad .Id 1 99999999999999999999}}", "{{`}}", "{{.Label}}", "{{" + "(" * 5000 + "}}",
    ],
)  # fmt: skip
def test_what_is_no_template(template: str) -> None:
    """One line says what is wrong, whatever it is."""
    with pytest.raises(SandboxError, match="--format: "):
        render(TOLD, template)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{split .Id}}", "split does not take x"),
        ("{{.State.Pid 1}}", ".State.Pid is no function"),
        ("{{$x}}", r"undefined variable \$x"),
        ('{{"a}}', "a quote is not closed"),
    ],
)
def test_what_is_said_of_a_template(template: str, text: str) -> None:
    """It is said in the words of the template, and not of the language that this is written in."""
    with pytest.raises(SandboxError, match=f"--format: {text}"):
        render(TOLD, template)


def test_listings() -> None:
    """`table` alone is the usual format, columns begin ten cells apart at least, and no row hides a wrong template."""
    titles = {"Name": "NAME", "ID": "ID"}
    rows = [{"Name": "a", "ID": "x" * 12}, {"Name": "bb", "ID": "y"}]
    for template in ("", "table"):
        lines = listing(rows, template, titles, r"table {{.Name}}\t{{.ID}}").splitlines()
        assert lines == ["NAME      ID", f"a         {'x' * 12}", "bb        y"]
    assert listing(rows, "json", titles).splitlines()[1] == '{"Name":"bb","ID":"y"}'
    assert listing([], "{{.Name}}", titles) == ""
    for wrong in ("{{.Nope}}", "table {{.Nope}}", "{{.Name"):
        with pytest.raises(SandboxError, match="--format: "):
            listing([], wrong, titles)
