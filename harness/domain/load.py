"""A load test as a value: whom it asks, how often, with what, within which limits, and what it holds them to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from harness.domain.analysis import Rule
from harness.domain.traffic import Traffic
from harness.domain.units import SECOND


class Mode(StrEnum):
    """What decides when a request is sent."""

    OPEN = "open"
    """Its due time, fixed before any answer is seen."""
    CLOSED = "closed"
    """The answer to the one before it, of the same user."""


class Speech(StrEnum):
    """How an endpoint is asked."""

    JSON = "json"
    MLFLOW = "mlflow"
    V2 = "v2"
    RAW = "raw"
    """The URL as it stands, the body as it stands."""


@dataclass(frozen=True, slots=True)
class Target:
    """One endpoint."""

    name: str
    """As reports call it: its URL, without user and password."""
    url: str
    """Where requests go, path included; it may hold a secret."""
    weight: float = 1.0
    """Its part of the requests, among those of all targets."""


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """Requests come when they are due, whatever the answers."""

    traffic: Traffic
    arrivals: str
    """As the user wrote it: constant, poisson, gamma:2, trace:FILE."""
    rate_per_s: float | None
    """The one that is asked for; None where it changes with time."""


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """Each user sends, waits for the answer, thinks, and sends again."""

    users: int
    think_ns: int = 0
    exponential: bool = False
    """Thinking times are drawn, with that mean; else they are all alike."""
    requests: int | None = None
    """So many in all, of which each user takes the next one when it is free; None: as many as the time allows."""


class Order(StrEnum):
    """Which body a request has."""

    DRAWN = "drawn"
    IN_TURN = "in_turn"


@dataclass(frozen=True, slots=True, eq=False)
class Payload:
    """What requests carry, ready to be sent: made once, before the test."""

    bodies: tuple[bytes, ...]
    """At least one; of a method without a body, one that is empty."""
    content_type: str = "application/json"
    order: Order = Order.DRAWN
    source: str = ""
    """Where they come from, for people."""


@dataclass(frozen=True, slots=True, eq=False)
class AnswerChecks:
    """What an answer must be to count as a success."""

    statuses: frozenset[int] = frozenset(range(200, 300))
    content_type: str | None = None
    """What its content type begins with; None: anything."""
    schema: str | None = None
    """JSON Schema, as JSON text."""
    conditions: tuple[str, ...] = ()
    """Such as ``prediction in ["no", "yes"]`` or ``confidence >= 0.5``."""
    golden: tuple[str, ...] | None = None
    """The prediction that each of the payload's bodies must get, as JSON text."""
    tolerance: float = 1e-9
    """How far a golden number may be off, absolutely or relatively, whichever allows more."""

    @property
    def reads_body(self) -> bool:
        """Whether the answer's body must be kept to check it."""
        return bool(self.schema or self.conditions or self.golden is not None)


@dataclass(frozen=True, slots=True)
class Limits:
    """What keeps a load test from running away; each one bounds something that would else have no end."""

    max_connections: int = 512
    max_in_flight: int = 512
    """Requests that have been sent and are not answered; others wait for their turn, and the time is counted."""
    timeout_ns: int = 10 * SECOND
    """For one request: to be answered in, once it was sent; and to wait for its turn in, once it was due."""
    connect_timeout_ns: int = 5 * SECOND
    deadline_ns: int | None = None
    """For the whole test; None: until the last request must have timed out."""
    max_body: int = 64 * 1024 * 1024
    """Bytes of an answer, beyond which it is not read on."""


@dataclass(frozen=True, slots=True, eq=False)
class Transport:
    """How requests reach their targets."""

    client: str = "fast"
    """fast, or aiohttp."""
    method: str = "POST"
    headers: tuple[tuple[str, str], ...] = ()
    """May hold secrets, and so never stand in a log."""
    ca_file: str | None = None
    insecure: bool = False
    """Take any certificate."""
    proxy: str | None = None
    cookies: bool = False
    """Keep what the target sets."""
    compressed: bool = False
    """Ask for compressed answers, and unpack them."""
    stream: bool = False
    """Answers come in pieces whose times are figures of their own."""
    request_ids: bool = False
    """Each request carries its number as ``X-Request-Id``."""
    keep_alive: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class LoadPlan:
    """A load test, as each of its generators is told it."""

    targets: tuple[Target, ...]
    pace: OpenLoop | ClosedLoop
    payload: Payload
    duration_ns: int
    """Of what is measured; it follows the warm-up."""
    warmup_ns: int = 0
    """Requests due in it are sent, and left out of every figure."""
    seed: int = 1
    speech: Speech = Speech.JSON
    checks: AnswerChecks = AnswerChecks()
    limits: Limits = Limits()
    transport: Transport = Transport()
    slos: tuple[Rule, ...] = ()
    min_grade: str | None = None
    abort_when: tuple[Rule, ...] = ()
    rules: str = ""
    """Of MLPerf, by which it is judged too: server or single_stream; empty: none."""
    notes: tuple[str, ...] = ()

    @property
    def mode(self) -> Mode:
        """Open or closed loop."""
        return Mode.OPEN if isinstance(self.pace, OpenLoop) else Mode.CLOSED

    @property
    def ends_ns(self) -> int:
        """When the last request is due, since the test began."""
        return self.warmup_ns + self.duration_ns

    @property
    def interval_ns(self) -> int:
        """How wide the intervals of its series are: a second, or more where there would be more than 600."""
        seconds = -(-self.duration_ns // (600 * SECOND))
        return max(1, seconds) * SECOND


@dataclass(frozen=True, slots=True)
class Spread:
    """A distribution of durations: its figures, and its log buckets."""

    count: int
    figures: Mapping[str, float | None]
    """Seconds, by name: mean, min, p50, p90, p95, p99, p999, max; None where nothing was counted."""
    histogram: Mapping[str, object] = field(default_factory=dict)
    """As `harness.stats.histogram.Histogram.to_dict` writes it; empty where it is not kept."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of requests: scheduled = sent + not_sent, and sent = succeeded + failed + in_flight."""

    scheduled: int = 0
    not_sent: int = 0
    sent: int = 0
    succeeded: int = 0
    failed: int = 0
    in_flight: int = 0
    """Neither answered nor given up when the test stopped."""
    errors: Mapping[str, int] = field(default_factory=dict)
    """Of those that failed, by kind."""
    unsent: Mapping[str, int] = field(default_factory=dict)
    """Of those not sent, by kind."""

    @property
    def success_rate(self) -> float | None:
        """Of all whose end is known; a request that could not even be sent was no success."""
        known = self.succeeded + self.failed + self.not_sent
        return self.succeeded / known if known else None


@dataclass(frozen=True, slots=True)
class TargetSeen:
    """What one of several targets did."""

    name: str
    share: float
    """Its part of the requests, as asked for; in 0..1."""
    counts: Counts
    latency: Spread
    service: Spread
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """95 % intervals of figures, by name, in seconds or shares."""


@dataclass(frozen=True, slots=True)
class SloVerdict:
    """A service level objective held against what was measured."""

    text: str
    passed: bool
    actual: float | str | None
    """The figure of its first comparison, in base units; None: not measured."""
