"""The rules of a bridge: an nft table of the bridge's own name, and nothing of others touched (nft(8)).

Other programs' rules are only looked at: in nftables a DROP in any chain is
final, so where they forbid forwarding, ours cannot allow it, and it is said.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence

from sandbox.errors import SandboxError

__all__ = ["PREFIX", "apply", "dropping_chains", "filters_bridges", "forbids_forwarding", "ruleset", "take_down"]

PREFIX = "cgscope"
LEGACY = (
    ("/proc/net/ip_tables_names", "iptables-legacy"),
    ("/proc/net/ip6_tables_names", "ip6tables-legacy"),
)
CHAIN = re.compile(
    r"table (?P<table>\S+ (?P<name>\S+)) \{|chain (?P<chain>\S+) \{|type filter hook forward [^;]*; policy drop;"
)


def ruleset(link: str, subnets: Sequence[str], *, internal: bool) -> str:
    """Return the table of a bridge, in place of the one that may be there, in one transaction.

    What leaves for elsewhere gets the host's address. In comes only what
    answers: neither another bridge of ours nor the host's neighbours begin.
    """
    outward = f'iifname "{link}" drop' if internal else f'iifname "{link}" accept'
    sources = (f"{'ip6' if ':' in subnet else 'ip'} saddr {subnet}" for subnet in subnets)
    leaving = "\n    ".join(f'{source} oifname != "{link}" masquerade' for source in sources)
    masquerade = (
        ""
        if internal
        else f"""
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    {leaving}
  }}"""
    )
    return f"""{_removal(link)}table inet {link} {{
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname "{link}" oifname "{link}" accept
    oifname "{link}" ct state established,related accept
    oifname "{link}" drop
    {outward}
  }}{masquerade}
}}
"""


def _removal(link: str) -> str:
    """Return what removes the table of a bridge, there or not, and that for IPv4 alone which older versions made."""
    return "".join(f"table {family} {link} {{ }}\ndelete table {family} {link}\n" for family in ("ip", "inet"))


def apply(text: str, what: str = "a bridge's rules") -> None:
    """Give a script to nft, which does all of it or nothing; SandboxError with the reason."""
    program = _find("nft")
    if program is None:
        raise SandboxError(f"nft is not installed, which makes {what} (apt-get install nftables)")
    code, _, errors = _run([program, "-f", "-"], text)
    if code:
        reason = (errors.strip().splitlines() or [f"nft ended with {code}"])[0]
        raise SandboxError(f"cannot make {what}: {reason}")


def _find(name: str) -> str | None:
    """Return the path of a program, on PATH or where root's are; importing shutil for it would take 2 ms."""
    folders = [*os.environ.get("PATH", "").split(":"), "/usr/sbin", "/sbin"]
    paths = (f"{folder}/{name}" for folder in folders if folder.startswith("/"))
    return next((path for path in paths if os.access(path, os.X_OK)), None)


def take_down(link: str) -> None:
    """Remove the table of a bridge, if there is one."""
    with contextlib.suppress(SandboxError):
        apply(_removal(link))


def forbids_forwarding(*, ipv6: bool) -> list[str]:
    """Return the base chains of others that drop what is forwarded unless a rule of theirs allows it."""
    found = []
    if program := _find("nft"):
        _, listed, _ = _run([program, "list", "chains"], "")
        found += dropping_chains(listed, ipv6=ipv6)
    for names, command in LEGACY[: 1 + ipv6]:
        with contextlib.suppress(OSError):
            with open(names, encoding="ascii") as file:
                has_filter = "filter" in file.read().split()
            program = _find(command) if has_filter else None
            if program and "-P FORWARD DROP" in _run([program, "-S", "FORWARD"], "")[1]:
                found.append(f"{command} FORWARD")
    return found


def filters_bridges() -> bool:
    """Tell whether also what stays on a bridge goes through the rules for what is forwarded (br_netfilter)."""
    try:
        with open("/proc/sys/net/bridge/bridge-nf-call-iptables", "rb") as file:
            return file.read().strip() == b"1"
    except OSError:
        return False


def dropping_chains(listed: str, *, ipv6: bool) -> list[str]:
    """Return the chains of `nft list chains` whose policy drops what is forwarded, as `ip filter FORWARD`."""
    families = ("ip", "inet", *(["ip6"] if ipv6 else []))
    found, table, name, chain = [], "", "", ""
    for match in CHAIN.finditer(listed):
        if match["table"]:
            table, name = match["table"], match["name"]
        elif match["chain"]:
            chain = match["chain"]
        elif table.split()[0] in families and not name.startswith(PREFIX):
            found.append(f"{table} {chain}")
    return found


def _run(command: list[str], text: str) -> tuple[int, str, str]:
    import subprocess  # noqa: PLC0415

    try:
        done = subprocess.run(  # noqa: S603  a program of the system's, found on PATH
            command, input=text, capture_output=True, text=True, errors="replace", timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SandboxError(f"{command[0]}: {error}") from None
    return done.returncode, done.stdout, done.stderr
