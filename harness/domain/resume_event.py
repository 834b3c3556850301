"""What a log says of a run that was cut off and taken up again, and what it keeps so that it can be.

Such events are in logs of runs on real time only: a virtual one is run again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.domain.event import Event, volatile
from harness.domain.model import Role


@dataclass(frozen=True, slots=True)
class Checkpointed(Event):
    """Where the rollout's machine stands, from which it can go on in another process."""

    state: Any
    """In the machine's own plain form; None once it has come to its end."""
    ending: Mapping[str, Any] | None = None
    """The end that it has come to: outcome, reason, because, superseded."""


@dataclass(frozen=True, slots=True)
class Resumed(Event):
    """The run was cut off, and another process takes it up; its time goes on where it stopped."""

    stood: str
    """What was under way: preparing, deploying, rollout, decided or settled."""
    doing: str
    """What is done about it, in words."""
    away_s: float = volatile(0.0)
    """Real time since the last line; no part of the run's time."""
    torn: int = volatile(0)
    """Bytes of a last line that was not written to its end, and was cut off."""
    program: str = volatile("")


@dataclass(frozen=True, slots=True)
class FoundRunning(Event):
    """What the run had left running, as it was found."""

    ready: Mapping[Role, int]
    """Replicas that may get traffic."""
    weights: Mapping[Role, int] | None
    """In force; None: the router was gone."""
