"""What passes between a caller and the process that is made for it: descriptors in, a terminal and the PID out."""

from __future__ import annotations

import os
import socket
from typing import NamedTuple

from sandbox import terminal
from sandbox.commands.output import output_path, warn
from sandbox.conversation import Running
from sandbox.errors import SandboxError
from sandbox.foreground import attend
from sandbox.oci.process import Process
from sandbox.value import replace

__all__ = ["FIRST", "Ends", "check", "hand_out", "send", "set_up", "stay", "with_sockets"]

FIRST = 3  # the first descriptor after the standard streams
MOST = 1 << 16


class Ends(NamedTuple):
    """Where the caller wants to hear of a new process: files, "" for none; how many descriptors it is given."""

    console_socket: str = ""
    pid_file: str = ""
    handed: int = 0
    pidfd_socket: str = ""


def with_sockets(process: Process, ends: Ends) -> tuple[Process, Ends]:
    """Hand on what we were given by socket activation (sd_listen_fds(3)), before what --preserve-fds says."""
    given = os.environ.get("LISTEN_FDS", "")
    for_us = os.environ.get("LISTEN_PID", str(os.getpid())) == str(os.getpid())
    if not (for_us and given.isascii() and given.isdecimal() and 0 < int(given[:9]) < MOST):
        return process, ends
    told = (f"LISTEN_FDS={int(given)}", "LISTEN_PID=1")
    return replace(process, env=(*process.env, *told)), ends._replace(handed=ends.handed + int(given))


def check(process: Process, ends: Ends, *, stays: bool) -> None:
    """Refuse ends that do not fit; say what the process will be without."""
    if process.terminal and not (ends.console_socket or stays):
        raise SandboxError("a terminal is asked for: --console-socket says where it is to be sent", 1)
    if ends.console_socket and not process.terminal:
        raise SandboxError("--console-socket: no terminal is asked for", 1)
    if ends.pid_file:
        output_path(ends.pid_file)
    if process.unknown:
        warn(f"left out, as no such capability is known: {', '.join(process.unknown)}")
    for name in process.not_inherited:
        warn(f"can't raise ambient capability CAP_{name}: it is not inheritable")
    if not 0 <= ends.handed < MOST:
        raise SandboxError(f"--preserve-fds: {ends.handed} is not from 0 to {MOST - 1}", 1)
    for fd in range(FIRST, FIRST + ends.handed):
        try:
            given = os.get_inheritable(fd)
        except OSError:
            given = False
        if not given:  # what we have opened ourselves, as the file of --log, is not the caller's
            raise SandboxError(f"--preserve-fds {ends.handed}: descriptor {fd} is not open", 1)


def set_up(console: int, process: Process, ends: Ends) -> None:
    """Give a terminal what its program is to find there, before that begins."""
    rows, columns = process.console
    if rows and columns:
        terminal.set_size(console, rows, columns)
    if not ends.console_socket and not os.isatty(1):
        terminal.keep_newlines(console)


def hand_out(running: Running, ends: Ends, name: str) -> None:
    """Give the caller the terminal, the pidfd and the PID of a new process."""
    if running.console is not None and ends.console_socket:
        send(f"console socket {ends.console_socket}", ends.console_socket, name.encode(), running.console)
    if ends.pidfd_socket:
        send(f"pidfd socket {ends.pidfd_socket}", ends.pidfd_socket, b"pidfd", running.pidfd)
    if ends.pid_file:
        path = output_path(ends.pid_file)
        with open(f"{path}.new", "w", encoding="ascii") as file:
            file.write(str(running.pid))
        os.replace(f"{path}.new", path)


def send(what: str, address: str, data: bytes, descriptor: int) -> None:
    """Send data and a descriptor to a Unix socket; SandboxError, which begins with `what`, when that cannot be."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            peer.connect(address)
            if rest := data[socket.send_fds(peer, [data], [descriptor]) :]:
                peer.sendall(rest)
    except OSError as error:
        raise SandboxError(f"{what}: {error.strerror or error}", 1) from None


def stay(running: Running, ends: Ends) -> int:
    """Stay with a process until it ends; returns its exit code."""
    console = None if ends.console_socket else running.console
    return attend(running.pid, running.pidfd, console, interactive=True)
