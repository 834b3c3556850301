"""What a log says of orders that people give a run from another terminal; only runs on real time take any."""

from dataclasses import dataclass

from harness.domain.event import Event
from harness.domain.rollout import Order


@dataclass(frozen=True, slots=True)
class Spoken:
    """An order as it was given."""

    number: int
    """Of the inbox; no two have the same."""
    order: Order
    by: str
    note: str = ""
    """Why, in the words of whoever gave it."""


@dataclass(frozen=True, slots=True)
class Ordered(Event):
    """An order has come from another terminal; `Commanded` follows where it is for the rollout to hear."""

    number: int
    order: str
    by: str
    note: str
