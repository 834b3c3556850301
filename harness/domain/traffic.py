"""Traffic: an arrival process over a curve of rates."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

LEAST_VARIATION: Final = 0.01
MOST_VARIATION: Final = 20.0
"""Of gamma gaps: beyond it nearly all of them are too small for a float, and the others longer than most runs."""


class Process(StrEnum):
    """How arrivals are spread along the curve."""

    CONSTANT = "constant"
    """Evenly, one after the other."""
    POISSON = "poisson"
    """Each knows nothing of the others."""
    GAMMA = "gamma"
    """With gamma gaps in between: in bunches, or more even than chance."""


@dataclass(frozen=True, slots=True)
class Knots:
    """A rate that runs straight from knot to knot and keeps the last one's value; two knots at one time are a jump."""

    at_ns: tuple[int, ...]
    """Rising (equal neighbours allowed), the first 0."""
    rate_per_s: tuple[float, ...]
    repeat_ns: int | None = None
    """The curve starts anew each time this has passed; None: never."""


@dataclass(frozen=True, slots=True)
class Wave:
    """A daily curve: ``low + (high - low) * (1 + cos(2 pi (t + phase) / period)) / 2``, highest at ``t = -phase``."""

    low_per_s: float
    high_per_s: float
    period_ns: int
    phase_ns: int = 0


@dataclass(frozen=True, slots=True)
class RateFactor:
    """A rate in terms of another."""

    factor: float
    """So many times as high; above 0."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests as they were recorded: replayed one by one, or, with a rate, as the curve of a Poisson process."""

    path: str
    """Resolved path of the recording."""
    format: str | None = None
    """csv, tsv, common, combined, jsonl; None: found from the content."""
    time: str | None = None
    """The column or key that holds the time; None: found."""
    unit: str | None = None
    """Of times that are numbers: s, ms, us, ns; None: found from their size."""
    rate: float | RateFactor | None = None
    """The mean rate that the recorded curve is fitted to, per second or in terms of its own; None: each request comes
    when it did."""
    resolution_ns: int = 60_000_000_000
    """A fitted curve has one rate for each such stretch."""
    speed: float = 1.0
    """Recorded time passes so many times as fast."""
    repeat: bool = False
    """The recording begins anew when it is over; else traffic ends."""
    spread: bool = True
    """Stamps in whole seconds (or minutes) are spread over their second (or minute)."""
    from_ns: int = 0
    """What was recorded before this, counted from the first stamp, is left out."""
    until_ns: int | None = None
    """What was recorded at or after this, counted from the first stamp, is left out."""


@dataclass(frozen=True, slots=True)
class RequestClass:
    """A kind of requests: how many there are of it, what they ask, and how long they take."""

    name: str
    share: float
    """Of all requests, at the start; in 0..1."""
    factor: float = 1.0
    """Serving one takes so many times as long as usual."""
    column: str | None = None
    """They ask only rows with certain values in this column; None: any row."""
    values: tuple[str, ...] = ()
    """Those values, as text."""
    headers: tuple[tuple[str, str], ...] = ()
    """What they carry, for routes by header: (name, value)."""


@dataclass(frozen=True, slots=True)
class Shares:
    """From a time on, so much of the requests is of each class."""

    at_ns: int
    shares: tuple[float, ...]
    """In the order of the classes; they sum to 1."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Open-loop arrivals: fixed before any answer is seen. Times count from the start of traffic."""

    kind: str
    """The word in the scenario file: constant, poisson, gamma, ramp, steps, daily, bursts, trace."""
    process: Process
    """A trace without a rate is as it was recorded, whatever stands here."""
    curve: Knots | Wave | Trace
    users: int = 10_000
    """Each request comes from one of so many users, drawn alike."""
    classes: tuple[RequestClass, ...] = ()
    """Kinds of requests; none: all are alike."""
    schedule: tuple[Shares, ...] = ()
    """How the shares of the classes change, rising in time."""
    variation: float = 1.0
    """Of a gamma process: its gaps' standard deviation over their mean; 1 is Poisson."""


@dataclass(frozen=True, slots=True)
class Labels:
    """When the true answers become known, and of what share of the requests."""

    delay_ns: int
    share: float
