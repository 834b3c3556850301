"""How often a stage is tried, and how long it may take."""

from dataclasses import dataclass
from typing import Final

from harness.domain.event import Event
from harness.domain.units import SECOND

MOST_RETRIES: Final = 100
"""With pauses of up to 5 minutes that is most of a day; what fails longer does not pass by itself."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """What a stage may do where a backend fails it."""

    timeout_ns: int | None = None
    """Each attempt; one that has taken so long has failed, and is not tried again. None: as long as it takes."""
    retries: int = 0
    """Attempts after the first; only what a backend failed is tried again."""
    backoff_ns: int = 10 * SECOND
    """Before the second attempt, twice as long before the third and so on, each shortened at random by up to half."""


@dataclass(frozen=True, slots=True)
class StageRetried(Event):
    """A backend failed a stage, which will be tried again."""

    stage: str
    attempt: int
    """The one that failed, from 1."""
    of: int
    """Attempts that there may be."""
    reason: str
    waits_ns: int
    """Until the next attempt."""
