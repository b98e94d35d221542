"""Profiles to filters: what a compiled filter answers is what the profile says, call by call."""

from __future__ import annotations

import json
import os
import random
import re
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox import capabilities
from sandbox.errors import SandboxError
from sandbox.seccomp import filters
from sandbox.seccomp.numbers import FAMILIES, Architecture, read_numbers
from sandbox.seccomp.profile import Machine, Profile, parse
from sandbox.seccomp.program import assemble, decide
from tests.testbed import libseccomp
from tests.unit import bpf

ALLOW, KILL_PROCESS = 0x7FFF0000, 0x80000000
EPERM, ENOSYS = 0x00050001, 0x00050026
X86_64, I386 = FAMILIES["x86_64"]
AARCH64, ARM = FAMILIES["aarch64"]
TABLES = {each: read_numbers(each) for each in (X86_64, I386, AARCH64, ARM)}
DEFAULT_CAPABILITIES = frozenset(f"CAP_{name}" for name in capabilities.DEFAULT)
MACHINE = Machine("amd64", (6, 1), DEFAULT_CAPABILITIES)
NONE = (0, 0, 0, 0, 0, 0)
VALUES = (0, 1, 5, 8, 37, 38, 39, 40, 41, 0x20000, 0x20008, 0x7E020000, 0x10000000, 2**32 - 1, 2**32 + 5, 2**64 - 1)
HEADERS = {X86_64: "unistd_64.h", I386: "unistd_32.h"}


def profile(machine: Machine = MACHINE, **document: Any) -> Profile:  # noqa: ANN401  JSON
    """Return the profile of a JSON document."""
    found = parse(json.dumps(document), machine)
    assert found is not None
    return found


def dockers_profile(machine: Machine = MACHINE) -> Profile:
    """Return Docker's default profile."""
    return profile(machine, **json.loads(filters.builtin_profile()))


def compiled(found: Profile, *architectures: Architecture) -> bytes:
    """Return the filter for these architectures."""
    return assemble(decide(found, each) for each in architectures or (X86_64, I386))


def ask(program: bytes, name: str, *arguments: int, on: Architecture = X86_64) -> int:
    """Return the answer to a call by name."""
    return bpf.run(program, TABLES[on][name], on.audit, (*arguments, *NONE)[:6])


def holds(condition: dict[str, Any], arguments: tuple[int, ...]) -> bool:
    """Tell whether a condition of a profile's JSON holds."""
    argument, value, second = arguments[condition["index"]], condition["value"], condition.get("valueTwo", 0)
    verdicts: dict[str, bool] = {
        "SCMP_CMP_NE": argument != value,
        "SCMP_CMP_LT": argument < value,
        "SCMP_CMP_LE": argument <= value,
        "SCMP_CMP_EQ": argument == value,
        "SCMP_CMP_GE": argument >= value,
        "SCMP_CMP_GT": argument > value,
        "SCMP_CMP_MASKED_EQ": argument & value == second & value,
    }
    return verdicts[condition["op"]]


def evaluate(rules: list[dict[str, Any]], default: int, name: str, arguments: tuple[int, ...]) -> int:
    """Say what the rules of a profile's JSON, all of which hold here, mean for a call."""
    actions = {"SCMP_ACT_ALLOW": ALLOW, "SCMP_ACT_KILL_PROCESS": KILL_PROCESS, "SCMP_ACT_LOG": 0x7FFC0000}

    def action(rule: dict[str, Any]) -> int:
        return actions.get(rule["action"], 0x00050000 | int(rule.get("errnoRet", 1)))

    mine = [rule for rule in rules if name in rule["names"] and action(rule) != default]
    for rule in mine:
        if not rule.get("args"):
            return action(rule)
    for rule in mine:
        if all(holds(condition, arguments) for condition in rule["args"]):
            return action(rule)
    return default


def default_rules() -> list[dict[str, Any]]:
    """Return the rules of Docker's profile that hold for its default capabilities on x86_64."""
    found = []
    for rule in json.loads(filters.builtin_profile())["syscalls"]:
        wanted, unwanted = rule.get("includes", {}), rule.get("excludes", {})
        if "amd64" not in wanted.get("arches", ["amd64"]) or DEFAULT_CAPABILITIES & set(unwanted.get("caps", ())):
            continue
        if set(wanted.get("caps", ())) <= DEFAULT_CAPABILITIES:
            found.append(rule)
    return found


@pytest.mark.parametrize("architecture", [X86_64, I386])
def test_every_call_under_dockers_profile(architecture: Architecture) -> None:
    """Each call that there is, with many arguments, gets what Docker's profile says for it."""
    program, rules, chance = compiled(dockers_profile()), default_rules(), random.Random(1)  # noqa: S311  no secret
    for name, number in TABLES[architecture].items():
        if number > TABLES[architecture]["removexattrat"]:  # the newest that the profile knows
            continue
        for _ in range(40):
            values = [chance.choice(VALUES) for _ in range(6)]
            arguments = tuple(value if architecture.wide else value & 0xFFFFFFFF for value in values)
            got = bpf.run(program, number, architecture.audit, arguments)
            assert got == evaluate(rules, EPERM, name, arguments), (name, arguments)


def test_what_is_not_known_answers_enosys() -> None:
    """A call newer than the profile, clone3 and each x32 call do not exist; a foreign kind of call is the end."""
    found = dockers_profile()
    program = compiled(found)
    for number in (467, 999, 100_000, 0x3FFFFFFF, 0x40000000, 0x40000001, 0xFFFFFFFF):
        assert bpf.run(program, number, X86_64.audit, NONE) == ENOSYS, number
    assert ask(program, "clone3") == ask(program, "clone3", on=I386) == ENOSYS
    assert bpf.run(program, 999, I386.audit, NONE) == ENOSYS
    assert bpf.run(program, 0, AARCH64.audit, NONE) == KILL_PROCESS
    assert bpf.run(compiled(found, X86_64), 3, I386.audit, NONE) == KILL_PROCESS
    # What is older and not named is forbidden, not missing.
    assert ask(program, "io_uring_setup") == ask(program, "keyctl") == ask(program, "kexec_load") == EPERM


def test_a_profile_that_forbids_by_name_allows_the_rest() -> None:
    """What a profile that allows by default does not know is allowed, new calls too; x32 would go around it."""
    rules = [{"names": ["mkdir", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}]
    program = compiled(profile(defaultAction="SCMP_ACT_ALLOW", syscalls=rules))
    assert ask(program, "mkdir") == ask(program, "mkdir", on=I386) == 0x0005000D
    assert bpf.run(program, 999, X86_64.audit, NONE) == ask(program, "mkdirat") == ALLOW
    assert bpf.run(program, TABLES[X86_64]["mkdir"] | 0x40000000, X86_64.audit, NONE) == ENOSYS


def test_the_one_call_for_all_sockets_of_32_bit_programs() -> None:
    """On i386 `socket` is also number 1 of socketcall: a rule for one is a rule for the other, as with libseccomp."""
    rules = [{"names": ["socket", "semget"], "action": "SCMP_ACT_ERRNO"}]
    program = compiled(profile(defaultAction="SCMP_ACT_ALLOW", syscalls=rules))
    answers = [ask(program, "socketcall", number, on=I386) for number in (1, 2)]
    assert [ask(program, "socket", on=I386), *answers] == [EPERM, EPERM, ALLOW]
    assert [ask(program, "ipc", number, on=I386) for number in (1, 2)] == [ALLOW, EPERM]


def test_rules_hold_by_capability_kernel_and_architecture() -> None:
    """CAP_SYS_ADMIN opens mount and clone3, an older kernel closes ptrace, ARM has its own calls."""
    admin = dockers_profile(Machine("amd64", (6, 1), DEFAULT_CAPABILITIES | {"CAP_SYS_ADMIN"}))
    old = dockers_profile(Machine("amd64", (4, 7), DEFAULT_CAPABILITIES))
    arm = dockers_profile(Machine("arm64", (6, 1), DEFAULT_CAPABILITIES))
    program = compiled(admin)
    assert [ask(program, name) for name in ("mount", "clone3", "bpf", "reboot")] == [ALLOW, ALLOW, ALLOW, EPERM]
    assert [ask(compiled(each), "ptrace") for each in (old, admin)] == [EPERM, ALLOW]
    program = compiled(arm, AARCH64, ARM)
    assert ask(program, "set_tls", on=ARM) == ask(program, "read", on=AARCH64) == ALLOW
    assert ask(program, "get_tls", on=ARM) == bpf.run(program, 999, ARM.audit, NONE) == ENOSYS
    assert ask(program, "clone", 0x10000000, on=AARCH64) == EPERM
    assert ask(program, "clone", 17, on=AARCH64) == ALLOW


NAMES = ("read", "socket", "fork", "ioctl", "clone", "openat2", "semget", "fcntl64", "no_such_call")
WORDS = st.sampled_from(VALUES) | st.integers(0, 2**64 - 1)
CONDITIONS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "index": st.integers(0, 5),
        "op": st.sampled_from([f"SCMP_CMP_{name}" for name in libseccomp.OPERATORS]),
        "value": WORDS,
        "valueTwo": WORDS,
    }
)
ACTIONS = ("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_LOG", "SCMP_ACT_KILL_PROCESS")


def rules_of(actions: st.SearchStrategy[str]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Make rules whose conditions are on different arguments."""
    rule: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
        {
            "names": st.lists(st.sampled_from(NAMES), min_size=1, max_size=3),
            "action": actions,
            "args": st.lists(CONDITIONS, max_size=3, unique_by=lambda condition: str(condition["index"])),
        }
    )
    return st.lists(rule, max_size=6)


@settings(max_examples=150, deadline=None)
@given(rules=rules_of(st.sampled_from(ACTIONS)), calls=st.lists(st.tuples(*[WORDS] * 6), min_size=5, max_size=10))
def test_any_profile_means_what_it_says(rules: list[dict[str, Any]], calls: list[tuple[int, ...]]) -> None:
    """Whatever rules a profile has, its filter answers each call as the rules read."""
    program = compiled(profile(defaultAction="SCMP_ACT_ERRNO", syscalls=rules), X86_64)
    named = {name for rule in rules for name in rule["names"] if name in TABLES[X86_64]}
    newest = max((TABLES[X86_64][name] for name in named), default=2**32)
    edges: list[tuple[int, ...]] = [tuple(c["value"] for rule in rules for c in rule["args"])[:6]]
    for arguments in [*calls, *((*edge, *NONE)[:6] for edge in edges)]:
        for name in TABLES[X86_64].keys() & set(NAMES):
            wanted = evaluate(rules, EPERM, name, arguments) if TABLES[X86_64][name] <= newest else ENOSYS
            assert ask(program, name, *arguments) == wanted, (name, arguments)


def apart(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out rules with conditions for a call that has others: libseccomp 2.5 sometimes allows too much then.

    With `a != 1 and b != 0` and `a != 2 and c & 5 == 0` for one call, a = 0, b = 0, c = 5 is allowed.
    """
    kept: list[dict[str, Any]] = []
    for rule in rules:
        others = [other for other in kept if {*other["names"]} & {*rule["names"]}]
        if not rule["args"] or not any(other["args"] for other in others):
            kept.append(rule)
    return kept


@settings(max_examples=60, deadline=None)
@given(
    action=st.sampled_from(ACTIONS), default=st.sampled_from(["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"]), data=st.data()
)
def test_libseccomp_makes_the_same_of_it(action: str, default: str, data: st.DataObject) -> None:
    """Where the rules agree on the action, so that their order means nothing, libseccomp's filter answers the same."""
    rules = apart(data.draw(rules_of(st.just(action))))
    found = profile(
        defaultAction=default,
        syscalls=rules,
        archMap=[{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
    )
    assert found.architectures == {"SCMP_ARCH_X86"}
    listed = [
        (name, rule.action, tuple((c[0], c[1].removeprefix("SCMP_CMP_"), c[2], c[3]) for c in rule.conditions))
        for rule in found.rules
        for name in rule.names
        if rule.action != found.default and name != "no_such_call"
    ]
    theirs, ours = libseccomp.compile_rules(found.default, listed), compiled(found)
    edges = [condition["value"] for rule in rules for condition in rule["args"]]
    values = data.draw(st.lists(st.tuples(*[st.sampled_from([*VALUES, *edges])] * 6), min_size=5, max_size=5))
    for architecture in (X86_64, I386):
        newest = decide(found, architecture).unknown
        for name in (*NAMES[:-1], "socketcall", "ipc"):
            number = TABLES[architecture].get(name, newest)
            for given_values in values if number < newest else ():
                words = given_values if architecture.wide else tuple(value & 0xFFFFFFFF for value in given_values)
                asked = (number, architecture.audit, words)
                assert bpf.run(ours, *asked) == bpf.run(theirs, *asked), (name, words)


def test_a_long_filter_jumps_as_far_as_it_must() -> None:
    """Conditions of a hundred calls do not fit one jump's reach; what does not fit the kernel is refused."""
    names = [name for name, number in TABLES[X86_64].items() if number < 300]
    rules = [
        {"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": number % 90 + 2,
         "args": [{"index": number % 6, "op": "SCMP_CMP_GE", "value": number << 30}]}
        for number, name in enumerate(names)
    ]  # fmt: skip
    program = compiled(profile(defaultAction="SCMP_ACT_ALLOW", syscalls=rules), X86_64)
    for number, name in enumerate(names):
        for value in (number << 30, (number << 30) - 1 if number else 0):
            arguments = tuple(value if at == number % 6 else 0 for at in range(6))
            assert ask(program, name, *arguments) == evaluate(rules, ALLOW, name, arguments)
    many = [{**rule, "args": [{"index": 0, "op": "SCMP_CMP_EQ", "value": n}]} for rule in rules for n in range(20)]
    with pytest.raises(SandboxError, match="the kernel takes 4096 at most"):
        compiled(profile(defaultAction="SCMP_ACT_ALLOW", syscalls=many), X86_64)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("not json", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not a JSON object"),
        ('{"defaultAction": "ALLOW"}', "unknown defaultAction 'ALLOW'"),
        ('{"defaultAction": 1}', "'defaultAction' is not of its type"),
        ('{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 5000}', "not a number from 0 to 4095"),
        ('{"defaultAction": "SCMP_ACT_NOTIFY"}', "cannot be used as defaultAction"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": {}}', "'syscalls' is not a list"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [7]}', r"syscalls\[0\]: not a JSON object"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["X"]}', "unknown flag 'X'"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["A"], "archMap": [{}]}', "use either"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_FOO"]}', "'SCMP_ARCH_FOO' is not an arch"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [1], "action": "SCMP_ACT_ALLOW"}]}', "of strings"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "a", "names": ["b"]}]}', "use either"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"]}]}', "unknown action ''"),
    ],
)
def test_bad_profiles(text: str, problem: str) -> None:
    """What is no profile is refused in one line that says where it is wrong."""
    with pytest.raises(SandboxError, match=problem) as caught:
        parse(text, MACHINE)
    assert str(caught.value).startswith("seccomp profile")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"args": [{"index": 6, "op": "SCMP_CMP_EQ", "value": 0}]}, "'index' is not a number from 0 to 5"),
        ({"args": [{"index": 0, "op": "EQ", "value": 0}]}, "unknown op 'EQ'"),
        ({"args": [{"index": 0, "op": "SCMP_CMP_EQ", "value": -1}]}, "'value' is not a number"),
        ({"args": [{"index": 0, "op": "SCMP_CMP_EQ", "value": 2**64}]}, "'value' is not a number"),
        ({"args": [{"index": True, "op": "SCMP_CMP_EQ", "value": 1}]}, "'index' is not of its type"),
        ({"includes": {"minKernel": "new"}}, "minKernel 'new' is not a version"),
    ],
)
def test_bad_rules(change: dict[str, Any], problem: str) -> None:
    """A rule that cannot be is named by its place."""
    with pytest.raises(SandboxError, match=rf"syscalls\[0\].*{re.escape(problem)}"):
        profile(defaultAction="SCMP_ACT_ALLOW", syscalls=[{"names": ["read"], "action": "SCMP_ACT_ERRNO", **change}])


def test_an_empty_profile_restricts_nothing() -> None:
    """{} is no filter at all, as with Docker."""
    assert parse("{}", MACHINE) is None


def test_the_filter_is_kept_and_not_trusted_from_others(tmp_path: os.PathLike[str]) -> None:
    """The second start reads what the first made, but not what others could have written, or has another origin."""
    root, text = str(tmp_path), filters.builtin_profile()
    made = filters.filter_of(text, capabilities.DEFAULT, root)
    assert made is not None
    (name,) = os.listdir(f"{root}/seccomp")
    path = f"{root}/seccomp/{name}"
    with open(path, "rb") as file:
        whole = file.read()
    allow = b"\x06\0\0\0\0\0\xff\x7f"
    forged = whole[:-8] + allow

    def write(data: bytes, mode: int = 0o600) -> None:
        with open(path, "wb") as file:
            file.write(data)
        os.chmod(path, mode)

    write(forged)  # written by us: it is taken, which shows that the file is what is read
    assert filters.filter_of(text, capabilities.DEFAULT, root) == filters.Filter(made.program[:-8] + allow, made.flags)
    for mode in (0o660, 0o602):
        write(forged, mode)
        assert filters.filter_of(text, capabilities.DEFAULT, root) == made
    for data in (forged[:-8], forged[:5], b"", forged.replace(b"SCMP_ACT_ERRNO", b"SCMP_ACT_ALLOW")):
        write(data)
        assert filters.filter_of(text, capabilities.DEFAULT, root) == made
    write(forged)
    os.link(path, f"{root}/seccomp/other")
    assert filters.filter_of(text, capabilities.DEFAULT, root) == made
    os.unlink(path)
    os.rename(f"{root}/seccomp/other", path)
    os.rename(path, f"{root}/elsewhere")
    os.symlink(f"{root}/elsewhere", path)
    assert filters.filter_of(text, capabilities.DEFAULT, root) == made
    write(forged)
    os.chmod(f"{root}/seccomp", 0o770)  # noqa: S103  what is tested
    assert filters.filter_of(text, capabilities.DEFAULT, root) == made


def test_the_format_of_kept_filters() -> None:
    """Another filter from the same profile needs another FORMAT, or old files would be used: then change both here."""
    assert (filters.FORMAT, zlib.crc32(compiled(dockers_profile()))) == (1, 462500464)


@pytest.mark.parametrize("architecture", HEADERS)
def test_the_numbers_are_the_kernels(architecture: Architecture) -> None:
    """Each number that the installed header of the kernel has is the one in the table."""
    path = f"/usr/include/x86_64-linux-gnu/asm/{HEADERS[architecture]}"
    if not os.path.exists(path):
        pytest.skip(f"no header {path}")
    with open(path, encoding="ascii") as file:
        defined = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", file.read())}
    assert len(defined) > 300
    assert {name: TABLES[architecture].get(name) for name in defined} == defined


def test_a_write_that_was_cut_short_is_made_up_for(tmp_path: os.PathLike[str]) -> None:
    """What a killed launcher left of a filter's file is not used, nor in the way for long."""
    root, text = str(tmp_path), filters.builtin_profile()
    made = filters.filter_of(text, capabilities.DEFAULT, root)
    (name,) = os.listdir(f"{root}/seccomp")
    os.rename(f"{root}/seccomp/{name}", f"{root}/seccomp/{name}.new")
    assert filters.filter_of(text, capabilities.DEFAULT, root) == made
    assert os.listdir(f"{root}/seccomp") == []
    assert filters.filter_of(text, capabilities.DEFAULT, root) == made
    assert os.listdir(f"{root}/seccomp") == [name]
