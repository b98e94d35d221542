"""HEALTHCHECK: what the results of a probe mean (moby daemon/health.go); pure.

A probe that ends with 0 makes the container healthy; `Retries` failures in a
row make it unhealthy; those of its first `StartPeriod` do not count while it
is starting. Durations in a document are nanoseconds, 0 is Docker's default.
"""

from __future__ import annotations

from sandbox.times import format_duration, timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Checks", "enabled", "timed_out", "unchecked"]

DEFAULTS = {"Interval": 30.0, "Timeout": 30.0, "StartPeriod": 0.0, "StartInterval": 5.0}
RETRIES = 3
KEPT = 5
LONGEST_OUTPUT = 4096
NANOSECONDS = 1e9
STARTING = "starting"


def enabled(config: dict[str, Any] | None) -> bool:
    """Tell whether a container's Config.Healthcheck asks for probes."""
    return bool(config and config.get("Test") and config["Test"][0] != "NONE")


def unchecked() -> dict[str, Any]:
    """Return State.Health of a container that just starts."""
    return _document(STARTING, 0, [])


def _document(status: str, streak: int, log: list[dict[str, Any]]) -> dict[str, Any]:
    return {"Status": status, "FailingStreak": streak, "Log": list(log)}


def timed_out(seconds: float, output: str) -> tuple[int, str]:
    """Return the exit code and the text of a probe that took too long."""
    text = f"Health check exceeded timeout ({format_duration(seconds)})"
    return -1, f"{text}: {output}" if output else text


class Checks:
    """The health of one run of a container."""

    def __init__(self, config: dict[str, Any], started: float) -> None:
        self._started = started
        self._seconds = {key: config.get(key, 0) / NANOSECONDS or default for key, default in DEFAULTS.items()}
        self._retries = config.get("Retries") or RETRIES
        self.command = self._command(config["Test"])
        self.timeout = self._seconds["Timeout"]
        self.status = STARTING
        self.streak = 0
        self._log: list[dict[str, Any]] = []

    @staticmethod
    def _command(test: list[str]) -> tuple[str, ...]:
        """Return what is executed: CMD-SHELL is one line for the shell, CMD a program and its words."""
        return ("/bin/sh", "-c", *test[1:]) if test[0] == "CMD-SHELL" else tuple(test[1:])

    def pause(self, now: float) -> float:
        """Return the seconds until the next probe."""
        starting = self.status == STARTING and now - self._started < self._seconds["StartPeriod"]
        return self._seconds["StartInterval" if starting else "Interval"]

    def record(self, begun: float, ended: float, code: int, output: str) -> bool:
        """Take a probe's result; True when the status is another now."""
        entry = {"Start": timestamp(begun), "End": timestamp(ended), "ExitCode": code}
        self._log = [*self._log[1 - KEPT :], {**entry, "Output": output[:LONGEST_OUTPUT]}]
        before = self.status
        if code == 0:
            self.status, self.streak = "healthy", 0
        elif not (self.status == STARTING and begun - self._started < self._seconds["StartPeriod"]):
            self.streak += 1
            if self.streak >= self._retries:
                self.status = "unhealthy"
        return self.status != before

    def document(self) -> dict[str, Any]:
        """Return State.Health."""
        return _document(self.status, self.streak, self._log)
