"""When a container is started again: Docker's policies and pauses (moby daemon/internal/restartmanager); pure.

The pause is 100 ms after the first end and twice as long after each further,
up to a minute; a program that ran for ten seconds begins anew. What was
stopped by hand is never started again by its monitor.
"""

from __future__ import annotations

from sandbox.errors import SandboxError

__all__ = ["POLICIES", "Restarts", "parse"]

POLICIES = ("no", "always", "on-failure", "unless-stopped")
FIRST_SECONDS = 0.1
LONGEST_SECONDS = 60.0
STEADY_SECONDS = 10.0
DIGITS = 19  # of a number of restarts


def parse(text: str) -> tuple[str, int]:
    """Return the policy and the largest number of restarts (0: any) that `--restart` means."""
    name, colon, count = text.partition(":")
    name = name or "no"
    if name not in POLICIES:
        known = "use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        raise SandboxError(f"invalid restart policy: unknown policy {name!r}; {known}")
    if colon and name != "on-failure":
        raise SandboxError(f"invalid restart policy: maximum retry count cannot be used with restart policy {name!r}")
    if colon and not (count.isascii() and count.isdecimal() and len(count) <= DIGITS):
        raise SandboxError(f"invalid restart policy format: maximum retry count must be a whole number: {count!r}")
    return name, int(count or 0)


class Restarts:
    """Decides after each end of a container; `count` is how often it was started again."""

    def __init__(self, policy: str, most: int, count: int = 0, pause: float = 0.0) -> None:
        self._policy, self._most = policy, most
        self.count, self.pause = count, pause

    def change(self, policy: str, most: int) -> None:
        """Go by another policy from now on (`sandbox update --restart`)."""
        self._policy, self._most = policy, most

    def next(self, code: int, ran_seconds: float, *, stopped: bool) -> float | None:
        """Return how long to wait before the next start, or None when there shall be none."""
        if stopped or not self._wanted(code):
            return None
        if ran_seconds >= STEADY_SECONDS:
            self.pause = 0.0
        self.pause = min(2 * self.pause or FIRST_SECONDS, LONGEST_SECONDS)
        self.count += 1
        return self.pause

    def _wanted(self, code: int) -> bool:
        if self._policy == "on-failure":
            return code != 0 and (self._most == 0 or self.count < self._most)
        return self._policy in ("always", "unless-stopped")
