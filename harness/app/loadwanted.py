"""What a load test is asked for, as it was written on a command line or in a scenario; and how its words are read."""

from dataclasses import dataclass

from harness.domain.load import Order
from harness.domain.quantity import duration_ns, rate_per_s, share
from harness.errors import InputError


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for, as it was written; the names are those of the flags."""

    urls: tuple[str, ...]
    weights: tuple[float, ...] = ()
    """Of the targets; empty: all alike."""
    rate: str | None = None
    users: int | None = None
    think: str = "0s"
    arrivals: str = "poisson"
    stages: str | None = None
    duration: str | None = None
    warmup: str = "0s"
    protocol: str = "json"
    model: str | None = None
    method: str = "POST"
    payload: str | None = None
    order: Order = Order.DRAWN
    rows: int = 1
    """Rows that make one request."""
    drop: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    token_env: str | None = None
    token_file: str | None = None
    timeout: str = "10s"
    connect_timeout: str = "5s"
    deadline: str | None = None
    max_connections: int = 512
    max_in_flight: int | None = None
    max_body: int = 64 * 1024 * 1024
    slos: tuple[str, ...] = ()
    min_grade: str | None = None
    abort_when: tuple[str, ...] = ()
    statuses: str | None = None
    content_type: str | None = None
    schema: str | None = None
    """A file that holds the JSON Schema of answers."""
    conditions: tuple[str, ...] = ()
    golden: str | None = None
    client: str = "fast"
    ca_file: str | None = None
    insecure: bool = False
    proxy: str | None = None
    cookies: bool = False
    compressed: bool = False
    stream: bool = False
    request_ids: bool = False
    keep_alive: bool = True
    seed: int = 1
    yes: bool = False
    allow_targets: tuple[str, ...] = ()
    max_rate: str | None = None
    wait_ready: str | None = None


def span(text: str, flag: str, least: int = 1) -> int:
    """Nanoseconds of a duration that a flag gives."""
    try:
        found = duration_ns(text)
    except ValueError as error:
        raise InputError(f"{flag} is {text!r}; {error}") from None
    if found < least:
        raise InputError(f"{flag} is {text}; it must be longer than nothing")
    return found


def per_second(text: str, flag: str, least: float = 1e-6) -> float:
    """The rate that a flag gives, in 1/s."""
    try:
        found = rate_per_s(text)
    except ValueError as error:
        raise InputError(f"{flag} is {text!r}; {error}") from None
    if found < least:
        raise InputError(f"{flag} is {text}; a rate must be above 0/s")
    return found


def share_of(text: str, flag: str) -> float:
    """The share that a flag gives, in 0..1."""
    try:
        return share(text)
    except ValueError as error:
        raise InputError(f"{flag} is {text!r}; {error}") from None
