"""How a container lives: its labels, its restarts, its health checks, how it is stopped, where its output goes."""

from __future__ import annotations

from collections.abc import Iterable

from sandbox.errors import BadValue, SandboxError
from sandbox.times import parse_duration
from sandbox.value import Value, fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "Healthcheck",
    "Lifecycle",
    "config",
    "from_image",
    "healthcheck",
    "host_config",
    "nanoseconds",
    "pairs",
    "read_lines",
]

MILLISECOND = 1_000_000
Pairs = tuple[tuple[str, str], ...]


class Healthcheck(Value):
    """Docker's Config.Healthcheck; durations in nanoseconds, 0 and an empty test are "the default"."""

    test: tuple[str, ...] = ()
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0

    def document(self) -> dict[str, Any]:
        """Return it with Docker's keys, without what is not told."""
        told = {
            "Test": list(self.test),
            "Interval": self.interval,
            "Timeout": self.timeout,
            "StartPeriod": self.start_period,
            "StartInterval": self.start_interval,
            "Retries": self.retries,
        }
        return {key: value for key, value in told.items() if value}


class Lifecycle(Value):
    """What of a container concerns its starts and ends. `stop_timeout` is seconds, None Docker's ten."""

    labels: Pairs = ()
    restart: str = "no"
    most_restarts: int = 0
    health: Healthcheck | None = None
    stop_signal: str = ""
    stop_timeout: int | None = None
    log_driver: str = "json-file"
    log_options: Pairs = ()
    stdin_once: bool = False

    def __post_init__(self) -> None:
        """Refuse a log that cannot be kept."""
        if self.log_options or self.log_driver != "json-file":
            from sandbox import log_file  # noqa: PLC0415

            log_file.check_options(self.log_driver, dict(self.log_options))

    @property
    def needs_monitor(self) -> bool:
        """Tell whether something is to be done while it runs, or after its end."""
        return self.restart != "no" or bool(self.health and self.health.test and self.health.test[0] != "NONE")


def config(life: Lifecycle) -> dict[str, Any]:
    """Return the part of Config."""
    found: dict[str, Any] = {"Labels": dict(life.labels), "StdinOnce": life.stdin_once}
    if life.health is not None:
        found["Healthcheck"] = life.health.document()
    if life.stop_signal:
        found["StopSignal"] = life.stop_signal
    if life.stop_timeout is not None:
        found["StopTimeout"] = life.stop_timeout
    return found


def host_config(life: Lifecycle) -> dict[str, Any]:
    """Return the part of HostConfig."""
    return {
        "RestartPolicy": {"Name": life.restart, "MaximumRetryCount": life.most_restarts},
        "LogConfig": {"Type": life.log_driver, "Config": dict(life.log_options)},
    }


def nanoseconds(text: str, option: str) -> int:
    """Return a health option's duration, 0 when it is not given; at least a millisecond, as Docker asks."""
    if not text:
        return 0
    try:
        value = round(parse_duration(text) * 1e9)
    except ValueError as error:
        raise BadValue(f"{option}: {error}") from None
    if value < 0:
        raise BadValue(f"{option} cannot be negative")
    if 0 < value < MILLISECOND:
        raise SandboxError(f"{option} cannot be less than 1ms")
    return value


def healthcheck(
    command: str, durations: dict[str, str], retries: int, *, none: bool
) -> Healthcheck | None:
    """Return what the --health-* options mean; None when none was given."""
    values = {name: nanoseconds(text, f"--health-{name.replace('_', '-')}") for name, text in durations.items()}
    if retries < 0:
        raise BadValue("--health-retries cannot be negative")
    given = bool(command or retries or any(values.values()))
    if none:
        if given:
            raise BadValue("--no-healthcheck conflicts with --health-* options")
        return Healthcheck(("NONE",))
    return Healthcheck(("CMD-SHELL", command) if command else (), retries=retries, **values) if given else None


def from_image(given: Healthcheck | None, image: dict[str, Any] | None) -> Healthcheck | None:
    """Return what holds of the options and an image's HEALTHCHECK: each value that is given, else the image's."""
    if not image or (given and given.test == ("NONE",)):
        return given
    test = image.get("Test") or []
    keys = ("Interval", "Timeout", "StartPeriod", "StartInterval", "Retries")
    numbers = [image.get(key) or 0 for key in keys]
    if not isinstance(test, list) or not all(isinstance(each, str) for each in test) or any(
        not isinstance(number, int) or number < 0 for number in numbers
    ):
        raise SandboxError("the image's configuration is malformed: its Healthcheck")
    its = Healthcheck(tuple(test), *numbers)
    if given is None:
        return its
    chosen = {name: getattr(given, name) or getattr(its, name) for name in fields(Healthcheck)}
    return Healthcheck(**chosen)


def pairs(items: Iterable[str], what: str) -> Pairs:
    """Return `key=value` items as pairs, the last of a key winning; a key alone has an empty value."""
    found = {}
    for item in items:
        key, _, value = item.partition("=")
        if not key:
            raise BadValue(f"invalid {what}: {item!r}")
        found[key] = value
    return tuple(found.items())


def read_lines(path: str, what: str) -> list[str]:
    """Return the `key=value` lines of --env-file or --label-file, without comments and blank lines."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [line.rstrip("\r\n").lstrip() for line in file]
    except OSError as error:
        raise BadValue(f"open {path}: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError:
        raise BadValue(f"{path}: not UTF-8 text") from None
    lines = [line for line in lines if line and not line.startswith("#")]
    for line in lines:
        key = line.partition("=")[0]
        if not key:
            raise BadValue(f"poorly formatted {what}: no variable name on line {line!r} of {path}")
        if any(letter.isspace() for letter in key):
            raise BadValue(f"poorly formatted {what}: variable {key!r} of {path} contains whitespaces")
    return lines
