"""What one scrape has seen: the observation, whom it is about, and what collectors read on top."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from exporter.subjects import Roll, Subject
from inspector.kernel.host import Host
from inspector.model import Observation

__all__ = ["Options", "Sight"]


@dataclass(frozen=True, slots=True)
class Options:
    """How much some collectors tell: the runtime's labels that become ours, and processes of each container."""

    labels: tuple[str, ...] = ()
    top: int = 0


@dataclass(slots=True)
class Sight:
    """One look. `before` is that of an earlier scrape, some seconds ago; `gone` are told of though they are gone.

    `kept` is what collectors keep from scrape to scrape, `extra` what they have
    read for this one, by name; `prepares` reads it when somebody asks.
    """

    host: Host
    observation: Observation
    before: Observation | None
    subjects: Roll
    options: Options
    kept: dict[str, Any]
    prepares: Mapping[str, Callable[[Sight], Any]]
    extra: dict[str, Any] = field(default_factory=dict)
    gone: list[Subject] = field(default_factory=list)

    def of(self, name: str) -> Any:  # noqa: ANN401  each collector knows its own
        """Return what a collector reads beside the observation, read at the first call."""
        if name not in self.extra:
            self.extra[name] = self.prepares[name](self)
        return self.extra[name]

    def memory(self, name: str, make: type[Any]) -> Any:  # noqa: ANN401  each collector knows its own
        """Return what a collector keeps from scrape to scrape, made at the first one."""
        if name not in self.kept:
            self.kept[name] = make()
        return self.kept[name]
