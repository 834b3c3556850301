"""What happens in a load test, as values: the words that its event log has beside those of `harness.domain.event`.

A log of a load test begins with `LoadStarted`, tells each second as it was seen then by `LoadProgressed`, and ends with
`LoadSeries` and `LoadMeasured` (all that was measured, by due time), `LoadJudged` and `LoadEnded`. One that was cut off
has no end; what it progressed to is all there is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.domain.event import Event, Figures, volatile
from harness.domain.load import Counts, SloVerdict, Spread, TargetSeen


@dataclass(frozen=True, slots=True)
class LoadStarted(Event):
    """A load test begins; what stands here is all that a report needs of its plan."""

    version: int
    name: str
    """Of the folder that its runs are kept in."""
    url: str
    """Of its first target, as reports call it: without user, password and query."""
    targets: Mapping[str, float]
    """By the name that reports call it: its share of the requests, in 0..1."""
    mode: str
    arrivals: str
    """Of an open loop, as the user wrote it; of a closed one, empty."""
    target_rate: float | None
    """Of an open loop, in 1/s: asked for on average over the measured time."""
    users: int | None
    think_ns: int | None
    duration_ns: int
    """Of what is measured; it follows the warm-up."""
    warmup_ns: int
    interval_ns: int
    """Of the series."""
    seed: int
    protocol: str
    method: str
    client: str
    workers: int
    engine: str
    bodies: int
    """Different ones."""
    payload: str
    """Where the bodies come from."""
    checks: tuple[str, ...]
    """What answers are held to, as text."""
    limits: Mapping[str, float]
    """By name, in base units."""
    slos: tuple[str, ...]
    min_grade: str | None
    abort_when: tuple[str, ...]
    rules: str = ""
    """Of MLPerf: server or single_stream; else empty."""
    planned: tuple[tuple[float, float], ...] = ()
    """The rate that is asked for: (seconds since the test began, requests per second), straight in between."""
    notes: tuple[str, ...] = ()
    grades: tuple[tuple[str, float, float, float, float], ...] = ()
    """The ladder of a file of grades, best first: grade, least success rate, and the bounds of mean, p95 and p99 in
    seconds; empty: the usual one."""
    run: str = volatile("")
    program: str = volatile("")
    started: str = volatile("")
    """Date and time of the real world, ISO 8601, UTC."""


@dataclass(frozen=True, slots=True)
class LoadProgressed(Event):
    """How a load test stands, all generators together: as seen by now, by the time of answers; told each second."""

    due: int
    """Requests due by now, the warm-up's too; of a closed loop, those that were sent."""
    counts: Counts
    """Since the warm-up; ``in_flight`` are on their way."""
    rate_per_s: float
    """Answered or given up in the last second."""
    figures: Figures
    """Of the last second: mean, p50, p95, p99 of the latency, and lag_p99, in seconds; busy: the share of its core that
    the busiest generator used; machine: the share of the machine that is busy."""
    so_far: Figures
    """mean, p50, p95, p99, success_rate since the warm-up."""
    grade: str | None


@dataclass(frozen=True, slots=True)
class IntervalSeen:
    """What became of the requests that were due in one interval of the test."""

    start_s: float
    """Since the test began."""
    stop_s: float
    counts: Counts
    figures: Figures
    """mean, p50, p95, p99, max of the latency, lag_p99, ttfb_p99 where answers come in pieces, all in seconds; busy and
    machine as in `LoadProgressed`."""
    histogram: Mapping[str, object] = field(default_factory=dict)
    """Of the latency, as `harness.stats.histogram.Histogram.to_dict` writes it."""
    service: Mapping[str, object] = field(default_factory=dict)
    """Of the service time, likewise; empty where it is not kept, and service times of two tests cannot be compared."""


@dataclass(frozen=True, slots=True)
class LoadSeries(Event):
    """The test, interval by interval, by due time; the warm-up's stand first, and count in no other figure."""

    intervals: tuple[IntervalSeen, ...]
    warmup: int
    """How many of them are the warm-up's."""


@dataclass(frozen=True, slots=True)
class LoadMeasured(Event):
    """All that was measured, of the requests due after the warm-up."""

    elapsed_ns: int
    """From the end of the warm-up to the last due time that was reached: the planned duration, unless stopped."""
    counts: Counts
    achieved_rate: float
    """Successes per second of that time, or up to the last answer, if that came later."""
    latency: Spread
    """From the moment a request was due. Whatever never got its answer (timed out, in flight, not sent) counts with the
    time it was waited for, and so does a failure that took longer than half of these; a quicker one does not count."""
    service: Spread
    """From the moment a request was sent; answered ones only."""
    lag: Spread
    """What the generator added: from the moment a request was due to that in which it was taken up."""
    waited: Spread
    """For a free connection, from the moment it was taken up; all that were sent."""
    intervals: Mapping[str, tuple[float, float]]
    """95 % intervals of figures, by name, in seconds or shares."""
    first_byte: Spread | None = None
    """From the sending to the first byte of the answer, where answers come in pieces."""
    gap: Spread | None = None
    """From one piece of an answer to the next."""
    targets: tuple[TargetSeen, ...] = ()
    """Where there are several."""
    connections: Mapping[str, int] = field(default_factory=dict)
    """opened, failed, stale (closed by the server while idle; the request went out anew on another), most (at once)."""
    locations: Mapping[str, int] = field(default_factory=dict)
    """Where redirects pointed to, with how many did: the most frequent."""
    examples: Mapping[str, str] = field(default_factory=dict)
    """By kind of failure, what was found the first time, for people."""
    cpu_s: float = 0.0
    """That all generators used, the warm-up included."""
    peak_memory: int = 0
    """Bytes, of the largest generator."""


@dataclass(frozen=True, slots=True)
class LoadJudged(Event):
    """What the figures come to."""

    grade: str | None
    """None: the figures are spoiled, or there are none."""
    spoiled: str
    """Why the figures cannot be trusted, with the cause; empty where they can."""
    slos: tuple[SloVerdict, ...]
    passed: bool
    """Every SLO and the least grade were met, and nothing cut the test short."""
    reason: str
    """One sentence."""
    notes: tuple[str, ...] = ()
    """What a reader should know of the figures."""
    rules: Mapping[str, object] = field(default_factory=dict)
    """Of MLPerf: valid, metric, queries, needed, reasons."""


@dataclass(frozen=True, slots=True)
class LoadEnded(Event):
    """The last event of a load test's log."""

    status: str
    """done, aborted (by a rule of its own, or by its deadline), interrupted (by a person), error."""
    reason: str
    passed: bool


@dataclass(frozen=True, slots=True)
class CapacityStarted(Event):
    """A search for the highest rate begins, at which an endpoint holds its SLOs."""

    version: int
    name: str
    url: str
    slos: tuple[str, ...]
    precision: float
    """The bracket is to be at most so wide, relative to its middle."""
    confidence: float
    first_rate: float
    most_rate: float | None
    trial_ns: int
    seed: int
    arrivals: str
    run: str = volatile("")
    program: str = volatile("")
    started: str = volatile("")


@dataclass(frozen=True, slots=True)
class CapacityTried(Event):
    """One rate was tried."""

    number: int
    rate_per_s: float
    duration_ns: int
    requests: int
    figures: Figures
    """mean, p50, p90, p95, p99, success_rate; seconds and shares."""
    held: bool | None
    """Whether every SLO was met; None: the generator spoiled the figures."""
    slos: tuple[SloVerdict, ...]
    low: float | None
    """The bracket by now, in 1/s."""
    high: float | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CapacityFound(Event):
    """The search is over; the last event of its log."""

    low: float | None
    """The bracket, in 1/s: the highest rate lies in it with the confidence asked for. None: even the lowest failed."""
    high: float | None
    """None: even the highest rate held, or the generator gave out before the endpoint."""
    estimate: float | None
    knee: float | None
    """The rate at which latency begins to rise steeply, in 1/s."""
    confidence: float
    curve: tuple[tuple[float, float], ...]
    """(rate, the SLO's latency in seconds), fitted, for the plot."""
    status: str
    """found, wide (the bracket is wider than asked for), unbounded, none, generator, interrupted, error."""
    reason: str
    passed: bool
