"""Many machines through a Prometheus."""

from __future__ import annotations

from inspector.ctop.remote.http import Address, RemoteError

__all__ = ["Prometheus"]


class Prometheus:
    """To come with the next commit."""

    def __init__(self, where: Address, *, every: bool, authority: str | None, insecure: bool) -> None:
        raise RemoteError(f"{where.shown}: not yet, {every, authority, insecure}")
