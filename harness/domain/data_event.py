"""What is told of data beside `DataChecked`, as values: only where rules of quality found something."""

from dataclasses import dataclass

from harness.domain.event import Event
from harness.domain.quality import Failure


@dataclass(frozen=True, slots=True)
class DataQualityChecked(Event):
    """Rules of quality, or relations that only warn, found something in the data."""

    source: str
    """File name, without its folder."""
    found: tuple[Failure, ...]
    """Each with its severity: one that is critical rejects the run."""
