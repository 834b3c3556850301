"""The simulated servers of one arm."""

from dataclasses import dataclass
from enum import StrEnum


class Balancing(StrEnum):
    """How a request finds its replica."""

    RANDOM = "random"
    ROUND_ROBIN = "round_robin"
    TWO_CHOICES = "two_choices"
    """The less loaded of two drawn at random (Mitzenmacher 2001)."""
    LEAST_OUTSTANDING = "least_outstanding"


@dataclass(frozen=True, slots=True)
class Fixed:
    """Every request takes the same time."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Exponential:
    """Exponential service times."""

    mean_s: float


@dataclass(frozen=True, slots=True)
class Lognormal:
    """Lognormal service times, given by their median and 99th percentile."""

    median_s: float
    p99_s: float


@dataclass(frozen=True, slots=True)
class Profile:
    """Service times as they were measured: a table of quantiles, evenly spread between each two."""

    quantiles: tuple[tuple[float, float], ...]
    """(share of the requests that take at most so long, seconds): from 0 to 1, both rising."""


ServiceTime = Fixed | Exponential | Lognormal | Profile


@dataclass(frozen=True, slots=True)
class Service:
    """Replicas, each with some slots that work in parallel and one bounded first-come queue."""

    replicas: int = 4
    slots: int = 4
    service_time: ServiceTime = Lognormal(0.03, 0.12)
    timeout_ns: int = 1_000_000_000
    """A client gives up this long after it asked."""
    queue: int = 100
    """Requests that may wait at one replica; one more is refused at once."""
    startup_ns: int = 30_000_000_000
    """From a replica's start until it is ready."""
    restart_ns: int = 10_000_000_000
    """From a crash until the replica starts anew."""
    balancing: Balancing = Balancing.TWO_CHOICES
