"""What is needed to deploy the exporter, checked by its own tools: systemd's, Kubernetes' schemas, kustomize."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from exporter.privileges import NEEDED
from tests.testbed.commands import EXPORTER, REPOSITORY, run
from tests.testbed.tools import need

ROOT = Path(REPOSITORY)
DEPLOY = ROOT / "exporter" / "deploy"
DASHBOARDS = ROOT / "dashboards"
UNIT = DEPLOY / "cgscope-exporter.service"
BASE = DEPLOY / "kubernetes" / "base"
OPERATOR = DEPLOY / "kubernetes" / "prometheus-operator"
INSTALLED = "/opt/cgscope/bin/cgscope-exporter"
# Two capabilities are always granted; the kernel's log can hold what concerns others, so its is asked for.
GRANTED = set(NEEDED) - {"CAP_SYSLOG"}
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
# systemd's own measure, 0 to 10: 3 and more is "medium". It runs as root by default, at 9.6.
EXPOSURE_TENTHS = 25
# Measured on Linux 6.18: memory.kmem.usage_in_bytes of an exporter by its open files, and what it may take of its own.
FILE_KIB, OWN_MIB = 6, 96

Json = dict[str, Any]


def documents(directory: Path) -> list[Json]:
    """Return the objects of a kustomization, as kustomize makes them of its files."""
    need("kubectl")
    return list(yaml.safe_load_all(run(["kubectl", "kustomize", str(directory)]).stdout))


def files(directory: Path) -> list[Json]:
    """Return the objects of the files that a kustomization names, in it and in those it builds on."""
    found: list[Json] = []
    for name in yaml.safe_load((directory / "kustomization.yml").read_text())["resources"]:
        path = directory / name
        found += files(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))
    return found


def of_kind(kind: str) -> Json:
    """Return the one object of that kind."""
    [found] = [one for one in files(OPERATOR) if one["kind"] == kind]
    return found


def container() -> Json:
    """Return the DaemonSet's container."""
    [found] = of_kind("DaemonSet")["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def settings(unit: Path) -> dict[str, list[str]]:
    """Return a unit file's settings; one may be given several times."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def docker_run() -> list[str]:
    """Return the words of the README's `docker run`."""
    match = re.search(r"^docker run .*?(?=^```)", (DEPLOY / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert match
    return shlex.split(match[0].replace("\\\n", " "))


@pytest.fixture(name="installed")
def installed_fixture(tmp_path: Path) -> Path:
    """Write the unit with a program that exists here; gives its path."""
    need("systemd-analyze")
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace(INSTALLED, sys.executable))
    return unit


def test_systemd_understands_the_units(installed: Path) -> None:
    """`systemd-analyze verify` has nothing to say: of the service, its socket, or the service with its drop-in."""
    socket = shutil.copy(DEPLOY / "cgscope-exporter.socket", installed.parent)
    directory = installed.parent / f"{installed.name}.d"
    for drop_in in (False, True):
        if drop_in:
            directory.mkdir()
            shutil.copy(DEPLOY / "kernel-log.conf", directory)
        done = run(["systemd-analyze", "verify", str(installed), str(socket)], check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_systemd_sees_a_misspelt_setting(installed: Path) -> None:
    """The check can fail: a setting that does not exist is reported."""
    installed.write_text(installed.read_text().replace("NoNewPrivileges=", "NoNewPrivilege="))
    assert "NoNewPrivilege" in run(["systemd-analyze", "verify", str(installed)], check=False).stderr


def test_the_unit_is_hardened(installed: Path) -> None:
    """`systemd-analyze security` rates it OK, and not without the hardening."""
    command = ["systemd-analyze", "security", "--offline=yes", f"--threshold={EXPOSURE_TENTHS}"]
    done = run([*command, str(installed)], check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    bare = installed.parent / "bare.service"
    bare.write_text(f"[Service]\nExecStart={sys.executable}\n")
    assert run([*command, str(bare)], check=False).returncode != 0


def test_the_unit_does_not_blind_the_exporter() -> None:
    """It has the capabilities that the exporter needs, and none of the settings that hide the machine from it."""
    found = settings(UNIT)
    assert set(found["AmbientCapabilities"][0].split()) == GRANTED
    assert found["CapabilityBoundingSet"] == found["AmbientCapabilities"]
    hiding = {"PrivatePIDs", "PrivateUsers", "PrivateNetwork", "PrivateIPC", "InaccessiblePaths", "RootDirectory"}
    assert hiding & found.keys() == set()
    assert (found["ProtectProc"], found["ProcSubset"], found["ProtectHome"]) == (["default"], ["all"], ["read-only"])


def test_the_drop_in_opens_the_kernels_log_alone() -> None:
    """For OOM victims' names: one more capability and one device, to be read."""
    found = settings(DEPLOY / "kernel-log.conf")
    assert found["AmbientCapabilities"] == found["CapabilityBoundingSet"] == ["CAP_SYSLOG"]
    assert (found["DevicePolicy"], found["DeviceAllow"]) == (["closed"], ["/dev/kmsg r"])


@pytest.mark.parametrize("document", files(OPERATOR), ids=lambda document: document["kind"])
def test_kubernetes_schemas_hold(document: Json) -> None:
    """Each object is valid for the oldest Kubernetes that has all of its fields, 1.30, and for a new one."""
    if document["apiVersion"].startswith("monitoring.coreos.com/"):
        # Prometheus operator's own kind, of which no package has the schema.
        assert document.keys() == {"apiVersion", "kind", "metadata", "spec"}
        assert document["spec"].keys() == {"selector", "endpoints"}
        return
    for version in ("1.30", "1.37"):
        kubernetes_validate.validate(document, version, strict=True)


def test_the_schemas_see_a_misspelt_field() -> None:
    """The check can fail: a field that does not exist is refused."""
    document = of_kind("DaemonSet")
    document["spec"]["template"]["spec"]["hostPid"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, "1.37", strict=True)


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kustomize is part of kubectl, which Debian does not have")
def test_kustomize_makes_the_same_objects() -> None:
    """`kubectl kustomize` makes of each kustomization the objects of its files, unchanged."""
    for directory in (BASE, OPERATOR):
        made = {one["kind"]: one for one in documents(directory)}
        assert made == {one["kind"]: one for one in files(directory)}


def test_the_objects_fit_together() -> None:
    """The Service finds the pods, the ServiceMonitor the Service, ports are called the same, the account exists."""
    pod = of_kind("DaemonSet")["spec"]["template"]
    labels = pod["metadata"]["labels"]
    assert of_kind("DaemonSet")["spec"]["selector"]["matchLabels"] == labels
    assert of_kind("Service")["spec"]["selector"] == labels
    assert of_kind("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    assert of_kind("ServiceMonitor")["spec"]["selector"]["matchLabels"] == of_kind("Service")["metadata"]["labels"]
    assert pod["spec"]["serviceAccountName"] == of_kind("ServiceAccount")["metadata"]["name"]
    [port] = container()["ports"]
    [endpoint] = of_kind("ServiceMonitor")["spec"]["endpoints"]
    [service] = of_kind("Service")["spec"]["ports"]
    probes = [container()[f"{kind}Probe"]["httpGet"]["port"] for kind in ("readiness", "liveness")]
    assert {endpoint["port"], service["name"], service["targetPort"], *probes} == {port["name"]}
    assert endpoint["honorLabels"] is True
    namespaces = {one["metadata"].get("namespace") for one in files(OPERATOR) if one["kind"] != "Namespace"}
    assert namespaces == {of_kind("Namespace")["metadata"]["name"]}


def test_pods_have_the_least_rights() -> None:
    """Two capabilities, nothing to write to, no token, and every mount read-only."""
    pod = of_kind("DaemonSet")["spec"]["template"]["spec"]
    context = container()["securityContext"]
    assert context["capabilities"] == {"drop": ["ALL"], "add": sorted((name[4:] for name in GRANTED), reverse=True)}
    assert (context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"]) == (False, True)
    assert pod["automountServiceAccountToken"] is False
    assert "privileged" not in context
    assert "hostNetwork" not in pod
    assert all(mount["readOnly"] for mount in container()["volumeMounts"])
    assert not [one for one in files(OPERATOR) if one["kind"].endswith(("Role", "RoleBinding"))]


def test_all_ways_to_run_it_in_a_container_are_the_same() -> None:
    """The README's `docker run`, the compose file and the DaemonSet mount and grant the same, at the same places."""
    words = docker_run()
    compose = yaml.safe_load((DASHBOARDS / "compose.yml").read_text())["services"]["exporter"]
    volumes = [words[place + 1] for place, word in enumerate(words) if word == "-v"]
    assert volumes == compose["volumes"]
    paths = [word for word in words if word.startswith("--path.")]
    assert paths == [word for word in compose["command"] if word.startswith("--path.")]
    assert paths == [word for word in container()["args"] if word.startswith("--path.")]
    pod = of_kind("DaemonSet")["spec"]["template"]["spec"]
    hosts = {volume["name"]: volume["hostPath"]["path"] for volume in pod["volumes"]}
    mounted = {(hosts[mount["name"]], mount["mountPath"]) for mount in container()["volumeMounts"]}
    assert mounted == {tuple(volume.split(":")[:2]) for volume in volumes}
    added = [words[place + 1] for place, word in enumerate(words) if word == "--cap-add"]
    assert added == compose["cap_add"] == container()["securityContext"]["capabilities"]["add"]
    assert "apparmor=unconfined" in words
    assert "apparmor:unconfined" in compose["security_opt"]


def test_every_option_exists() -> None:
    """Each option that a way of deployment gives the exporter is one that --help lists."""
    compose = yaml.safe_load((DASHBOARDS / "compose.yml").read_text())["services"]["exporter"]["command"]
    text = "".join(path.read_text() for path in (UNIT, DEPLOY / "cgscope-exporter.socket", DEPLOY / "README.md"))
    given = [*compose, *container()["args"], *re.findall(r"--(?:web|path|log)\.[a-z.-]+", text)]
    shown = run([*EXPORTER, "--help"]).stdout
    assert {option.partition("=")[0] for option in given if option.partition("=")[0] not in shown} == set()


def test_versions_are_pinned() -> None:
    """Every image has a tag that names a version; ours is this version."""
    services = yaml.safe_load((DASHBOARDS / "compose.yml").read_text())["services"]
    images = [service["image"] for service in services.values()] + [container()["image"], docker_run()[-4]]
    assert all(re.fullmatch(r"[a-z/-]+:v?\d+\.\d+\.\d+", image) for image in images)
    assert {image for image in images if image.startswith("cgscope")} == {f"cgscope-exporter:{VERSION}"}
    assert f"cgscope-exporter:{VERSION}" in (DEPLOY / "Containerfile").read_text()


def test_the_image_is_built_of_files_that_are_there() -> None:
    """Each file that the Containerfile copies exists and is not kept from the build; it starts what pip installs."""
    text = (DEPLOY / "Containerfile").read_text()
    copied = [name for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE) for name in line.split()[:-1]]
    allowed = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert sorted(copied) == sorted(allowed)
    assert all((ROOT / name).exists() for name in copied)
    assert f'ENTRYPOINT ["{INSTALLED}"]' in text
    assert UNIT.read_text().count(f"ExecStart={INSTALLED} ") == 1


def test_what_is_installed_is_the_clone() -> None:
    """Nothing told to be typed installs a package of our name from an index: there is none, or somebody else's."""
    for file in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *DEPLOY.glob("*"), DASHBOARDS / "compose.yml"):
        if file.is_file():
            assert set(re.findall(r"pip install(?: -\S+)* ([^\s`]+)", file.read_text())) <= {"."}, file


def test_the_compose_file_mounts_what_is_there() -> None:
    """Prometheus finds its configuration where it names it, Grafana the dashboards where its provisioning looks."""
    services = yaml.safe_load((DASHBOARDS / "compose.yml").read_text())["services"]
    mounts = [volume.split(":") for name in ("prometheus", "grafana") for volume in services[name]["volumes"]]
    inside = {target: DASHBOARDS / source for source, target, *_ in mounts if source.startswith(".")}
    assert all(path.exists() for path in inside.values())
    assert inside["/etc/prometheus/prometheus.yml"] == DASHBOARDS / "prometheus.yml"
    provider = yaml.safe_load((DASHBOARDS / "grafana/provisioning/dashboards/cgscope.yml").read_text())["providers"][0]
    assert inside[provider["options"]["path"]] == DASHBOARDS / "grafana"
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (DASHBOARDS / "grafana" / Path(home).name).exists()
    source = yaml.safe_load((DASHBOARDS / "grafana/provisioning/datasources/prometheus.yml").read_text())
    address = source["datasources"][0]["url"].removeprefix("http://")
    assert f"--web.listen-address={address}" in services["prometheus"]["command"]
    scraped = yaml.safe_load((DASHBOARDS / "prometheus.yml").read_text())["scrape_configs"][0]["static_configs"]
    assert f"--web.listen-address={scraped[0]['targets'][0]}" in services["exporter"]["command"]


def test_the_memory_allowed_holds_the_files_kept_open() -> None:
    """What the kernel keeps of the files that may be open fits into the limits of memory, beside 96 MiB of its own."""
    unit = dict(re.findall(r"^(LimitNOFILE|MemoryMax)=(\d+)", UNIT.read_text(), re.MULTILINE))
    assert int(unit["LimitNOFILE"]) * FILE_KIB / 1024 + OWN_MIB < int(unit["MemoryMax"])
    compose = yaml.safe_load((DASHBOARDS / "compose.yml").read_text())["services"]["exporter"]
    assert compose["ulimits"] == {"nofile": int(unit["LimitNOFILE"])}
    assert compose["mem_limit"] == f"{unit['MemoryMax']}m"
    # A pod has the runtime's limit of open files, often a million: here a thousand containers on v1 must do.
    assert container()["resources"]["limits"] == {"memory": f"{unit['MemoryMax']}Mi"}
    assert int(unit["MemoryMax"]) > 1000 * 27 * FILE_KIB / 1024 + OWN_MIB


def test_nothing_listens_to_others() -> None:
    """In the compose file, which uses the machine's network, all listen on loopback."""
    services = yaml.safe_load((DASHBOARDS / "compose.yml").read_text())["services"]
    assert all(service["network_mode"] == "host" for service in services.values())
    listening = [word for name in ("exporter", "prometheus") for word in services[name]["command"] if "listen" in word]
    assert all("=127.0.0.1:" in word for word in listening)
    assert services["grafana"]["environment"]["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"


def test_the_units_are_for_this_program() -> None:
    """The service's name is that of the command which the distribution installs."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert UNIT.stem in scripts
    assert Path(INSTALLED).name == UNIT.stem
