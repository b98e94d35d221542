"""inspector.namespace_table and its view: who is in which namespace, from facts written down here."""

from __future__ import annotations

import io

from inspector.kernel.cgroups import Membership
from inspector.kernel.namespaces import INITIAL, Relations
from inspector.model import Container, Leader, Process
from inspector.namespace_table import Inhabitant, Keeper, exposed, hosts_own, rows
from inspector.views.namespaces import namespace_lines
from inspector.views.table import print_lines

THREAD = Inhabitant(2, "kthreadd", "kthreadd", kernel_thread=True, namespaces=INITIAL)


def inhabitant(pid: int, comm: str = "sh", /, **namespaces: int) -> Inhabitant:
    """Return a process whose other namespaces are the host's."""
    return Inhabitant(pid, comm, comm, kernel_thread=False, namespaces={**INITIAL, **namespaces})


def container(name: str, /, *pids: int, **namespaces: int) -> Container:
    """Return a container whose first process is the first of `pids`."""
    process = Process(pids[0], 1, 1, "sh", namespaces.get("pid"), namespaces.get("mnt"))
    leader = Leader(process, {**INITIAL, **namespaces}, Membership({}), None, "")
    return Container(f"id-{name}", name, "container", "docker", "image", leader, pids, (), {}, frozenset())


def text_of(lines: list[list[tuple[str, str]]]) -> str:
    """Return what a terminal without colours shows."""
    out = io.StringIO()
    print_lines(lines, out, colour=False)
    return out.getvalue()


def test_a_namespace_counts_its_processes_by_container() -> None:
    """Kernel threads count too, and processes in no container are counted apart."""
    people = [THREAD, inhabitant(10, "nginx", net=5), inhabitant(11, net=5), inhabitant(12, net=5)]
    row = next(row for row in rows(people, [container("web", 10, 11, net=5)]) if row["inode"] == 5)
    assert (row["type"], row["processes"], row["pid"], row["comm"], row["outside"]) == ("net", 3, 10, "nginx", 1)
    assert row["containers"] == [{"id": "id-web", "name": "web", "runtime": "docker", "processes": 2}]
    assert row["same_as_host"] is False


def test_the_hosts_net_is_that_of_the_kernel_threads() -> None:
    """Before Linux 6.18 net and mnt have no fixed number: kthreadd tells, else a PID 1 of the machine, else nobody."""
    old = {**INITIAL, "net": 0xF0000001}
    assert hosts_own([Inhabitant(2, "k", "k", kernel_thread=True, namespaces=old)])["net"] == 0xF0000001
    assert hosts_own([inhabitant(1, net=7)])["net"] == 7
    unknown = [inhabitant(1, net=7, pid=9)]
    assert "net" not in hosts_own(unknown)
    assert next(row for row in rows(unknown, []) if row["type"] == "net")["same_as_host"] is None


def test_a_process_born_meanwhile_is_in_the_container_of_its_pid_namespace() -> None:
    """The list of containers is a moment older than that of the processes."""
    people = [THREAD, inhabitant(10, pid=5), inhabitant(99, pid=5)]
    row = next(row for row in rows(people, [container("web", 10, pid=5)], inits={10}) if row["inode"] == 5)
    assert row["outside"] == 0
    assert row["containers"][0]["processes"] == 2


def test_a_namespace_without_processes_says_what_keeps_it() -> None:
    """A bind mount, a descriptor or a namespace below: each is a row of its own with no process."""
    mount = Keeper(("net", 8), "mount", 1, "init", "/run/netns/blue")
    below = {("user", 30): Relations((20, 10), (20, 10), 1000)}
    found = {row["inode"]: row for row in rows([THREAD, inhabitant(7, user=30)], [], [mount], below)}
    assert (found[8]["processes"], found[8]["pid"]) == (0, None)
    assert found[8]["kept_by"] == [{"how": "mount", "pid": 1, "comm": "init", "place": "/run/netns/blue"}]
    assert found[20]["kept_by"][0]["place"] == "user:[30]"
    assert (found[30]["owner"], found[30]["parent"], found[30]["owner_uid"]) == (20, 20, 1000)
    assert (found[20]["owner"], found[20]["parent"]) == (10, 10)


def test_a_container_on_the_hosts_network_or_pids_is_said_first_and_in_its_row() -> None:
    """Nobody can miss it: the first line of the page names it, and its row says so again."""
    web, safe_one = container("web", 10, mnt=1, ipc=2, uts=3), container("db", 11, net=4, pid=5, mnt=6, ipc=7, uts=8)
    people = [THREAD, inhabitant(10, mnt=1, ipc=2, uts=3), inhabitant(11, net=4, pid=5, mnt=6, ipc=7, uts=8)]
    found = exposed([web, safe_one], hosts_own(people))
    assert [(one["name"], one["types"]) for one in found] == [("web", ["net", "pid"])]
    text = text_of(namespace_lines(rows(people, [web, safe_one]), found, 0))
    assert text.splitlines()[:2] == ["IN THE HOST'S OWN NAMESPACES", "  ! web (docker): NETWORK, PID"]
    assert "! web (1) IN THE HOST'S NETWORK NAMESPACE" in text
    assert "! web (1) IN THE HOST'S PID NAMESPACE" in text
    assert "db (1) IN THE HOST'S" not in text


def test_nobody_is_said_only_where_all_could_be_looked_into() -> None:
    """Without the rights to see who is in a namespace, that nobody is there is not known."""
    keeper = Keeper(("net", 8), "mount", 1, "init", "/run/netns/blue")
    found = rows([THREAD], [], [keeper])
    assert "nobody, kept by the mount" in text_of(namespace_lines(found, [], 0))
    assert "nobody to be seen, kept by the mount" in text_of(namespace_lines(found, [], 3))


def test_a_mount_that_others_have_a_copy_of_is_told_once() -> None:
    """One file that keeps a namespace is seen in every mount namespace it was passed on to: the line has it once."""
    keepers = [Keeper(("net", 8), "mount", pid, "sh", "/run/netns/blue") for pid in (1, 10, 11, 12, 13)]
    found = rows([THREAD, inhabitant(10, net=8)], [], keepers)
    shown = text_of(namespace_lines(found, [], 0))
    assert shown.count("kept by the mount /run/netns/blue") == 1
    assert "more" not in shown
    assert len(next(row for row in found if row["inode"] == 8)["kept_by"]) == 5


def test_of_very_many_in_one_namespace_some_are_named() -> None:
    """A line names a few and counts the others; those that are an alarm are never cut."""
    ones = [container(f"c{number}", 10 + number, net=100 + number) for number in range(30)]
    people = [THREAD, *(inhabitant(10 + number, net=100 + number) for number in range(30))]
    line = next(line for line in text_of(namespace_lines(rows(people, ones), [], 0)).splitlines() if "uts" in line)
    assert line.count("(1)") == 9  # the host's own thread, and eight
    assert line.endswith("and 22 more containers")
    loud = exposed(ones, hosts_own(people))
    assert text_of(namespace_lines(rows(people, ones), loud, 0)).count("IN THE HOST'S PID NAMESPACE") == len(loud) == 30


def test_hostile_names_do_nothing_to_the_terminal() -> None:
    """Names of processes, containers and mountpoints are shown escaped."""
    keeper = Keeper(("net", 8), "mount", 1, "x", "/run/\x1b[2J")
    people = [THREAD, inhabitant(10, "a\x1b]0;b\n", net=5)]
    text = text_of(namespace_lines(rows(people, [container("w\x1bb", 10, net=5)], [keeper]), [], 1))
    assert "\x1b" not in text
    assert r"w\x1bb (1)" in text
    assert r"/run/\x1b[2J" in text
    assert "1 process could not be looked into" in text
