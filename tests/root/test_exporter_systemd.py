"""The hardened unit under a real systemd: it starts, and what it closes keeps nothing back that the exporter tells.

systemd boots as process 1 of a machine of systemd-nspawn, with this machine's
/usr and nothing else of it, and runs the unit as it is shipped. A script in
there asks the exporter, and root's own look at the same machine beside it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.privileges import NEEDED
from tests.testbed.commands import REPOSITORY
from tests.testbed.runtimes import tidied
from tests.testbed.tools import need

pytestmark = pytest.mark.root

DEPLOY = Path(REPOSITORY, "exporter", "deploy")
UNITS = "/etc/systemd/system"
# Where the checkout and its Python are in there: not in /tmp or /home, which the unit closes, wherever they are here.
SOURCE, ENVIRONMENT = "/opt/cgscope/source", "/opt/cgscope/environment"
PYTHON = f"{ENVIRONMENT}/bin/python3"
# What would wait for a network that this machine has not, or ask its first user for a name.
QUIET = ("systemd.firstboot=off", *(f"systemd.mask={name}.service" for name in (
    "systemd-networkd", "systemd-networkd-wait-online", "nftables",
)))  # fmt: skip
OWN = ("process_", "cgscope_scrape_")
# CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, by their numbers (capabilities(7)).
GRANTED = 1 << 19 | 1 << 2
FILES = {
    "cgscope-test.target": "[Unit]\nRequires=cgscope-subject.service cgscope-check.service\n",
    "cgscope-subject.service": """
        [Service]
        Type=exec
        ExecStart=/usr/bin/unshare --pid --mount --uts --fork --mount-proc /check/subject infinity
        """,
    "cgscope-check.service": f"""
        [Unit]
        Wants=cgscope-exporter.service
        After=cgscope-exporter.service cgscope-subject.service
        [Service]
        Type=oneshot
        StandardError=append:/check/errors
        Environment=PYTHONPATH={SOURCE} PYTHONDONTWRITEBYTECODE=1
        ExecStart={PYTHON} /check/check.py
        ExecStopPost=/usr/bin/systemctl --force --force poweroff
        """,
}
CHECK = """
    import json, os, subprocess, sys, time, urllib.request

    def ask(path):
        for _ in range(1200):
            try:
                with urllib.request.urlopen("http://127.0.0.1:10071" + path, timeout=120) as answer:
                    return answer.read().decode()
            except OSError as error:
                last = error
                time.sleep(0.1)
        raise last

    def systemctl(*words):
        done = subprocess.run(["systemctl", *words], capture_output=True, text=True)
        return (done.stdout + done.stderr).strip()

    def show(name):
        return systemctl("show", "--value", "--property", name, "cgscope-exporter.service")

    told = {"page": ask("/metrics"), "document": json.loads(ask("/api/v1/containers?interval=0.2"))}
    told["status"] = open(f"/proc/{show('MainPID')}/status").read()
    command = [sys.executable, "-m", "exporter.cli", "--once"]
    told["root"] = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    systemctl("stop", "cgscope-exporter.service")
    told["stopped"] = [show("Result"), show("ExecMainStatus")]
    os.makedirs("/etc/default", exist_ok=True)
    with open("/etc/default/cgscope-exporter", "w") as file:
        file.write('ARGS="--web.systemd-socket"\\n')
    told["socket"] = systemctl("start", "cgscope-exporter.socket")
    told["before"] = show("ActiveState")
    told["by_socket"] = ask("/metrics")
    told["after"] = show("ActiveState")
    with open("/check/told", "w") as file:
        json.dump(told, file)
    """


@pytest.fixture(name="told", scope="module")
def told_fixture(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Boot the machine once; give what the script in it wrote down."""
    need("systemd-nspawn", "unshare")
    here = tmp_path_factory.mktemp("systemd")
    (here / "check").mkdir()
    (here / "check" / "subject").symlink_to("/usr/bin/sleep")  # which gives the container a name of its own
    (here / "check" / "check.py").write_text(textwrap.dedent(CHECK))
    program = here / "cgscope-exporter"
    program.write_text(
        f'#!/bin/sh\nPYTHONDONTWRITEBYTECODE=1 PYTHONPATH={SOURCE} exec {PYTHON} -m exporter.cli "$@"\n'
    )
    program.chmod(0o755)
    for name, text in FILES.items():
        (here / name).write_text(textwrap.dedent(text))
    shipped = [DEPLOY / f"cgscope-exporter.{kind}" for kind in ("service", "socket")]
    binds = [f"--bind-ro={one}:{UNITS}/{one.name}" for one in (*shipped, *(here / name for name in FILES))]
    binds += [f"--bind-ro={REPOSITORY}:{SOURCE}", f"--bind-ro={sys.prefix}:{ENVIRONMENT}"]
    binds += [] if sys.base_prefix.startswith("/usr") else [f"--bind-ro={sys.base_prefix}"]
    binds += [f"--bind-ro={program}:/opt/cgscope/bin/cgscope-exporter", f"--bind={here}/check:/check"]
    machine = ["systemd-nspawn", "--quiet", "--directory=/", "--volatile=yes", "--machine=cgscope-systemd",
               "--register=no", "--keep-unit", "--private-network", *binds, "--boot"]  # fmt: skip
    with tidied("payload", "supervisor"), open(here / "console", "wb") as console:
        subprocess.run(
            [*machine, "--", "systemd.unit=cgscope-test.target", *QUIET],
            stdin=subprocess.DEVNULL, stdout=console, stderr=console, check=False, timeout=300,
        )  # fmt: skip
    written = here / "check" / "told"
    said = [here / "console", here / "check" / "errors"]
    assert written.exists(), "".join(one.read_text(errors="replace")[-3000:] for one in said if one.exists())
    found: dict[str, Any] = json.loads(written.read_text())
    return found


def series(page: str, *others: str) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    """Return the series of a page, less the exporter's own and those of `others`.

    nspawn mounts a boot_id of its own over the kernel's, which the unit's ProtectKernelTunables uncovers.
    """
    return {
        (sample.name, frozenset(pair for pair in sample.labels.items() if pair[0] != "boot_id"))
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if not sample.name.startswith(OWN) and not any(other in sample.labels.get("id", "") for other in others)
    }


def value(page: str, metric: str) -> list[float]:
    """Return the values of one metric."""
    families = text_string_to_metric_families(page)
    return [sample.value for family in families for sample in family.samples if sample.name == metric]


def test_it_runs_with_the_least_rights(told: dict[str, Any]) -> None:
    """An ordinary user, two capabilities and no way to more, system calls filtered: systemd has done all of it."""
    status = dict(line.split(":\t", 1) for line in told["status"].splitlines())
    assert "0" not in status["Uid"].split()
    assert {name: int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == dict.fromkeys(
        ("CapEff", "CapPrm", "CapBnd", "CapAmb"), GRANTED
    )
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert len(NEEDED) == GRANTED.bit_count() + 1  # and the kernel's log, which another file grants


def test_it_is_denied_nothing(told: dict[str, Any]) -> None:
    """Every collector succeeds, no read is refused, and there is a series for each that root's own look has."""
    page = told["page"]
    assert set(value(page, "cgscope_scrape_collector_success")) == {1}
    assert value(page, "cgscope_denied_reads") == value(page, "cgscope_problems") == [0]
    # Of what systemd starts and ends in between, either may show what the other does not.
    passing = ("/cgscope-check.service", "/systemd-", "/user.slice", "/system-")
    assert series(page, *passing) == series(told["root"], *passing)


def test_it_shows_the_containers_of_its_machine(told: dict[str, Any]) -> None:
    """Another's container is there with its namespaces, which takes the capability; in the document as well."""
    [subject] = [one for one in told["document"]["containers"] if one["name"].startswith("subject-")]
    assert subject["kind"] == "container"
    assert {"pid", "mnt", "uts"} <= subject["namespaces"].keys()
    assert told["document"]["denied"] == 0
    assert any(("name", subject["name"]) in labels for _, labels in series(told["page"]))
    services = {one["name"] for one in told["document"]["containers"] if one["kind"] != "container"}
    assert any("cgscope-exporter.service" in name for name in services), services


def test_it_stops_cleanly_and_starts_at_the_first_scrape(told: dict[str, Any]) -> None:
    """Its end is a success to systemd; with the socket unit it is started by the first who asks."""
    assert told["stopped"] == ["success", "0"]
    assert (told["socket"], told["before"], told["after"]) == ("", "inactive", "active")
    assert set(value(told["by_socket"], "cgscope_scrape_collector_success")) == {1}
