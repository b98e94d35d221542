"""--security-opt: what it asks for, what is refused, and how it is kept."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sandbox import apparmor, capabilities, security
from sandbox.errors import SandboxError
from sandbox.inspected import inspected
from sandbox.security import BUILTIN, UNCONFINED, Security

PROFILE = '{\n "defaultAction": "SCMP_ACT_ALLOW", "syscalls": []\n}'
COMPACT = '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[]}'


@pytest.fixture
def path(tmp_path: os.PathLike[str]) -> str:
    """Write a profile."""
    name = os.path.join(tmp_path, "profile.json")
    with open(name, "w", encoding="ascii") as file:
        file.write(PROFILE)
    return name


@pytest.mark.parametrize(
    ("options", "privileged", "expected"),
    [
        ((), False, Security()),
        ((), True, Security(UNCONFINED, system_paths=False)),
        (("seccomp=unconfined",), False, Security(UNCONFINED, options=("seccomp=unconfined",))),
        (("seccomp=builtin",), True, Security(BUILTIN, system_paths=False, options=("seccomp=builtin",))),
        (("no-new-privileges",), False, Security(no_new_privileges=True, options=("no-new-privileges",))),
        (("no-new-privileges:true",), False, Security(no_new_privileges=True, options=("no-new-privileges:true",))),
        (("no-new-privileges=false",), False, Security(options=("no-new-privileges=false",))),
        (("systempaths=unconfined",), False, Security(system_paths=False, options=("systempaths=unconfined",))),
        (("label=disable", "apparmor=unconfined"), False, Security(options=("label=disable", "apparmor=unconfined"))),
    ],
)
def test_options(options: tuple[str, ...], privileged: bool, expected: Security) -> None:
    """Each option means what it means to Docker; --privileged alone has neither filter nor guarded paths."""
    found = security.parse(options, privileged=privileged)
    assert found == expected
    kept = {"Privileged": privileged, "SecurityOpt": list(found.options) or None}
    assert security.of_document(json.loads(json.dumps(kept))) == found


def test_a_profile_is_kept_whole(path: str) -> None:
    """The file's text is kept, not its path: exec and the next start need it when the file is gone."""
    found = security.parse([f"seccomp={path}"], privileged=True)
    assert found == Security(COMPACT, system_paths=False, options=(f"seccomp={COMPACT}",))
    os.unlink(path)
    assert security.of_document({"Privileged": True, "SecurityOpt": list(found.options)}) == found


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("seccomp", "invalid --security-opt: 'seccomp'"),
        ("seccomp=", "invalid --security-opt: 'seccomp='"),
        ("seccomp=/no/such/file", r"opening seccomp profile \(/no/such/file\) failed: No such file"),
        ("seccomp=/etc", r"opening seccomp profile \(/etc\) failed: Is a directory"),
        ("seccomp=/etc/passwd", r"compacting json for seccomp profile \(/etc/passwd\) failed: "),
        ("seccomp=/dev/zero", r"seccomp profile \(/dev/zero\) is larger than 1048576 bytes"),
        ("no-new-privileges=maybe", "invalid --security-opt: 'no-new-privileges=maybe'"),
        ("no-new-privileges=", "invalid --security-opt: 'no-new-privileges='"),
        ("systempaths=x", "invalid --security-opt: 'systempaths=x'"),
        ("nonsense=1", "invalid --security-opt: 'nonsense=1'"),
        ("apparmor", "invalid --security-opt: 'apparmor'"),
        ("apparmor=a\tb", r"--security-opt apparmor 'a\\tb' is no name of a profile"),
        ("apparmor=docker-default", "--security-opt apparmor is 'docker-default', but .* without AppArmor"),
        ("label=type:svirt_t", "--security-opt label=type:svirt_t: .*SELinux"),
    ],
)
def test_bad_options(option: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not known, or cannot be kept here, is refused in one line."""
    monkeypatch.setattr(apparmor, "ENABLED", "/nonexistent")
    with pytest.raises(SandboxError, match=problem) as caught:
        security.parse([option], privileged=False)
    assert "\n" not in str(caught.value)


def test_an_apparmor_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel has AppArmor a profile is among the rights; it is told by --dry-run."""
    enabled = tmp_path / "enabled"
    monkeypatch.setattr(apparmor, "ENABLED", str(enabled))
    enabled.write_text("N\n")
    with pytest.raises(SandboxError, match="without AppArmor"):
        security.parse(["apparmor=mine"], privileged=False)
    enabled.write_text("Y\n")
    found = security.parse(["apparmor=mine", "seccomp=unconfined"], privileged=False)
    assert (found.apparmor, found.options) == ("mine", ("apparmor=mine", "seccomp=unconfined"))
    rights = security.rights(found, (), str(tmp_path))
    assert (rights.apparmor, rights.describe()) == ("mine", ["AppArmor mine", "seccomp unconfined"])
    assert security.parse(["apparmor=mine", "apparmor=unconfined"], privileged=False).apparmor == ""


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (None, ""),
        (["apparmor=mine", "label=disable"], "mine"),
        (["apparmor:mine"], "mine"),
        (["apparmor=mine", "apparmor:unconfined"], "unconfined"),
    ],
)
def test_the_profile_is_told(options: list[str] | None, expected: str) -> None:
    """`inspect` has the profile that holds, in whichever form it was given."""
    host = {"SecurityOpt": options, "CpuQuota": 0, "CpuPeriod": 0}
    document = {"Config": {}, "HostConfig": host, "NetworkSettings": {"Networks": {}}, "Mounts": []}
    document["Cgscope"] = {"Spec": {}}
    assert inspected(document)["AppArmorProfile"] == expected


def test_a_proc_that_does_not_know_the_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the name would be written to is in a proc filesystem, or it is not written."""
    fake = tmp_path / "exec"
    fake.write_text("")
    monkeypatch.setattr(apparmor, "PLACES", (f"{tmp_path}/none", str(fake)))
    with pytest.raises(SandboxError, match="'mine' could not be entered: no proc filesystem is mounted at /proc"):
        apparmor.confine("mine")
    assert fake.read_text() == ""


def test_rights(tmp_path: os.PathLike[str]) -> None:
    """The builtin filter depends on the capabilities; unconfined and an empty profile are no filter."""
    root = str(tmp_path)
    default = security.rights(Security(), capabilities.DEFAULT, root)
    admin = security.rights(Security(), capabilities.DEFAULT | {"SYS_ADMIN"}, root)
    assert default.filter is not None
    assert admin.filter not in (None, default.filter)
    assert default.capabilities == 0xA80425FB
    assert security.rights(Security(UNCONFINED), capabilities.DEFAULT, root).filter is None
    assert security.rights(Security("{}"), capabilities.DEFAULT, root).filter is None
    assert default.describe() == [f"seccomp {len(default.filter.program) // 8} instructions"]
    unconfined = security.rights(Security(UNCONFINED, no_new_privileges=True), (), root)
    assert unconfined.describe() == ["no_new_privs", "seccomp unconfined"]
    kept = {"Cgscope": {"Capabilities": 0xA80425FB}, "HostConfig": {"Privileged": False, "SecurityOpt": None}}
    assert security.rights_of(kept, root) == default
