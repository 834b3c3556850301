"""Logs of load tests and capacity searches, made from drawn latencies as a real test makes them from measured ones."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from harness.domain.event import LOG_VERSION, Event
from harness.domain.load import Counts, SloVerdict, Spread, TargetSeen
from harness.domain.load_event import (
    CapacityFound,
    CapacityStarted,
    CapacityTried,
    IntervalSeen,
    LoadEnded,
    LoadJudged,
    LoadMeasured,
    LoadProgressed,
    LoadSeries,
    LoadStarted,
)
from harness.domain.units import MILLISECOND, SECOND
from harness.stats import blocks, grade
from harness.stats.histogram import Histogram

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
URL = "http://127.0.0.1:8080/predict"
IDLE = {"busy": 0.31, "machine": 0.42}


def spread(histogram: Histogram, *, kept: bool = True) -> Spread:
    """A distribution as the log tells it."""
    if not histogram.count:
        return Spread(0, dict.fromkeys(("mean", "min", *QUANTILES, "max")))
    figures = {name: histogram.quantile(q) / SECOND for name, q in QUANTILES.items()}
    ends = {"min": histogram.quantile(0.0) / SECOND, "max": histogram.quantile(1.0) / SECOND}
    return Spread(histogram.count, {"mean": histogram.mean_s, **figures, **ends}, histogram.to_dict() if kept else {})


def figures_of(histogram: Histogram, names: Sequence[str] = ("p50", "p95", "p99", "max")) -> dict[str, float | None]:
    told = spread(histogram, kept=False).figures
    return {name: told[name] for name in ("mean", *names)}


@dataclass
class Second:
    """What became of the requests of one second."""

    latency_ns: np.ndarray
    service_ns: np.ndarray
    lag_ns: np.ndarray
    errors: Mapping[str, int] = field(default_factory=dict)
    unsent: Mapping[str, int] = field(default_factory=dict)

    @property
    def counts(self) -> Counts:
        failed, unsent = sum(self.errors.values()), sum(self.unsent.values())
        good = len(self.latency_ns) - self.errors.get("timeout", 0)
        sent = good + failed
        return Counts(sent + unsent, unsent, sent, good, failed, 0, dict(self.errors), dict(self.unsent))


def added(parts: Sequence[Counts]) -> Counts:
    kinds = ("errors", "unsent")
    total = {kind: dict(sum((Counter(getattr(part, kind)) for part in parts), Counter())) for kind in kinds}
    sums = {
        name: sum(getattr(part, name) for part in parts)
        for name in ("scheduled", "not_sent", "sent", "succeeded", "failed", "in_flight")
    }
    return Counts(**sums, **total)


def seconds_of(
    rng: np.random.Generator,
    seconds: int,
    rate: float,
    *,
    median_ms: float = 4.0,
    sigma: float = 0.5,
    fail: float = 0.0,
    stall: int | None = None,
    limit: float | None = None,
    lag_ms: float = 0.02,
    wander: float = 0.1,
) -> list[Second]:
    """Seconds of a test.

    Args:
        rng: what is drawn from.
        seconds: how many.
        rate: requests per second, Poisson.
        median_ms: of the service time, lognormal.
        sigma: of its logarithm.
        fail: share that fails at once, with HTTP 503.
        stall: the second in which the server stands still.
        limit: requests per second beyond which none is sent.
        lag_ms: what the generator adds, exponential.
        wander: how much seconds differ, as the sigma of a slow random walk of the median's logarithm.
    """
    made, level = [], 0.0
    for second in range(seconds):
        level = 0.8 * level + wander * rng.normal()
        n = int(rng.poisson(rate))
        unsent = max(0, n - int(limit)) if limit is not None else 0
        failed = int(rng.binomial(n - unsent, fail))
        good = n - unsent - failed
        service = rng.lognormal(np.log(median_ms) + level, sigma, good) * MILLISECOND
        lag = rng.exponential(lag_ms, good) * MILLISECOND
        latency = service + lag
        if second == stall:
            latency = latency + (1 - np.sort(rng.random(good))) * SECOND
        errors = {"http_503": failed} if failed else {}
        made.append(
            Second(
                latency.astype(np.int64),
                service.astype(np.int64),
                lag.astype(np.int64),
                errors,
                {"in_flight_limit": unsent} if unsent else {},
            )
        )
    return made


def interval(start_s: float, second: Second, *, ttfb: bool = False) -> IntervalSeen:
    latency, service = Histogram.of(second.latency_ns), Histogram.of(second.service_ns)
    lag = spread(Histogram.of(second.lag_ns), kept=False).figures["p99"]
    figures = {**figures_of(latency), "lag_p99": lag, **IDLE}
    if ttfb:
        figures["ttfb_p99"] = 0.4 * (figures["p99"] or 0.0)
    return IntervalSeen(start_s, start_s + 1, second.counts, figures, latency.to_dict(), service.to_dict())


def load_log(
    seconds: Sequence[Second] | None = None,
    *,
    warmup: int = 2,
    seed: int = 1,
    slos: Sequence[SloVerdict] = (SloVerdict("p99 < 250ms", True, 0.0131), SloVerdict("error_rate < 1%", True, 0.0)),
    spoiled: str = "",
    status: str = "done",
    targets: bool = False,
    stream: bool = False,
    in_flight: int = 0,
    rng: np.random.Generator | None = None,
    **started: object,
) -> list[Event]:
    """The log of a load test, whole; take a part of it for one that was cut off."""
    rng = rng or np.random.default_rng(seed)
    parts = list(seconds) if seconds is not None else seconds_of(rng, warmup + 30, 500.0)
    measured = parts[warmup:]
    begun = _started(len(measured), warmup, seed, slos, targets=targets)
    events: list[Event] = [replace(begun, **started)]  # type: ignore[arg-type]
    events += _progress(parts, warmup)
    end_ns = len(parts) * SECOND
    events.append(LoadSeries(end_ns, tuple(interval(i, part, ttfb=stream) for i, part in enumerate(parts)), warmup))
    result = _measured(measured, end_ns, rng, targets=targets, stream=stream, in_flight=in_flight)
    events.append(result)
    figures = {**result.latency.figures, "success_rate": result.counts.success_rate}
    found = None if spoiled else grade.grade(figures)
    passed = status == "done" and not spoiled and all(slo.passed for slo in slos)
    reason = "Every SLO was met." if passed else spoiled or "An SLO was missed."
    events.append(LoadJudged(end_ns, found, spoiled, tuple(slos), passed, reason, ("The payload is made up.",)))
    events.append(LoadEnded(end_ns, status, reason, passed))
    return events


def _started(seconds: int, warmup: int, seed: int, slos: Sequence[SloVerdict], *, targets: bool) -> LoadStarted:
    return LoadStarted(
        at_ns=0, version=LOG_VERSION, name="load-127.0.0.1-8080", url=URL,
        targets={"blue": 0.5, "green": 0.5} if targets else {URL: 1.0},
        mode="open", arrivals="poisson", target_rate=500.0, users=None, think_ns=None,
        duration_ns=seconds * SECOND, warmup_ns=warmup * SECOND, interval_ns=SECOND, seed=seed, protocol="json",
        method="POST", client="fast", workers=1, engine="local", bodies=100, payload="rows of churn.csv",
        checks=("status 200 to 299",), limits={"max_connections": 512, "timeout_s": 10.0},
        slos=tuple(slo.text for slo in slos), min_grade=None, abort_when=("error_rate > 50%",),
        planned=((0.0, 500.0), (float(seconds + warmup), 500.0)), notes=(), run=f"20260101T120000-{seed}",
        program="rollout-harness 1.0", started="2026-01-01T12:00:00+00:00",
    )  # fmt: skip


def _progress(parts: Sequence[Second], warmup: int) -> list[Event]:
    events: list[Event] = []
    for number in range(1, len(parts) + 1):
        last, done = parts[number - 1], parts[warmup:number]
        counts = added([part.counts for part in done])
        so_far = Histogram.of(np.concatenate([part.latency_ns for part in done])) if done else Histogram()
        figures = figures_of(so_far, ("p50", "p95", "p99"))
        lag = spread(Histogram.of(last.lag_ns), kept=False).figures["p99"]
        events.append(
            LoadProgressed(
                at_ns=number * SECOND,
                due=sum(part.counts.scheduled for part in parts[:number]),
                counts=counts,
                rate_per_s=float(last.counts.succeeded + last.counts.failed),
                figures={**figures_of(Histogram.of(last.latency_ns), ("p50", "p95", "p99")), "lag_p99": lag, **IDLE},
                so_far={**figures, "success_rate": counts.success_rate},
                grade=grade.grade({**figures, "success_rate": counts.success_rate}),
            )
        )
    return events


def _measured(
    parts: Sequence[Second], end_ns: int, rng: np.random.Generator, *, targets: bool, stream: bool, in_flight: int
) -> LoadMeasured:
    counts = added([part.counts for part in parts])
    counts = replace(counts, in_flight=in_flight, succeeded=counts.succeeded - in_flight)
    latency, service, lag = (
        Histogram.of(np.concatenate([getattr(part, name) for part in parts]))
        for name in ("latency_ns", "service_ns", "lag_ns")
    )
    seconds = len(parts)
    told = blocks.intervals([Histogram.of(part.latency_ns) for part in parts], QUANTILES, rng, resamples=200)
    first, gap = (
        (Histogram.of((np.concatenate([part.service_ns for part in parts]) * share).astype(np.int64)))
        for share in (0.3, 0.05)
    )
    return LoadMeasured(
        at_ns=end_ns,
        elapsed_ns=seconds * SECOND,
        counts=counts,
        achieved_rate=counts.succeeded / seconds,
        latency=spread(latency),
        service=spread(service),
        lag=spread(lag),
        waited=spread(Histogram.of([0] * counts.sent)),
        intervals={name: (low / SECOND, high / SECOND) for name, (low, high) in told.items()},
        first_byte=spread(first) if stream else None,
        gap=spread(gap) if stream else None,
        targets=tuple(_target(name, parts, share) for name, share in (("blue", 1.0), ("green", 1.3)))
        if targets
        else (),
        connections={"opened": 64, "failed": 0, "stale": 3, "most": 64},
        locations={},
        examples=dict.fromkeys(counts.errors, "HTTP 503: overloaded, come back later"),
        cpu_s=3.2,
        peak_memory=90_000_000,
    )


def _target(name: str, parts: Sequence[Second], factor: float) -> TargetSeen:
    half = [part.latency_ns[::2] * factor for part in parts]
    latency = Histogram.of(np.concatenate(half).astype(np.int64))
    counts = Counts(latency.count, 0, latency.count, latency.count, 0, 0)
    told = spread(latency)
    around = {key: (value * 0.95, value * 1.05) for key, value in told.figures.items() if value and key in QUANTILES}
    return TargetSeen(name, 0.5, counts, told, told, {**around, "success_rate": (0.999, 1.0)})


def capacity_log(*, limit: float = 820.0, status: str = "found", reason: str = "") -> list[Event]:
    """A search whose endpoint is a queue: latency rises as 1 / (limit - rate)."""
    events: list[Event] = [
        CapacityStarted(
            at_ns=0, version=LOG_VERSION, name="capacity-127.0.0.1-8080", url=URL, slos=("p99 < 100ms",),
            precision=0.05, confidence=0.95, first_rate=100.0, most_rate=None, trial_ns=10 * SECOND, seed=3,
            arrivals="poisson", run="20260101T130000-3", program="rollout-harness 1.0",
            started="2026-01-01T13:00:00+00:00",
        )
    ]  # fmt: skip
    low, high = None, None
    rates = [100.0, 200.0, 400.0, 800.0, 600.0, 700.0, 750.0, 775.0, 762.0, 780.0]
    for number, rate in enumerate(rates, 1):
        p99 = 4.6 / max(limit - rate, 1.0)
        spoilt = number == 9
        held = None if spoilt else p99 < 0.1
        if held:
            low = max(low or 0.0, rate)
        elif held is False:
            high = min(high or rate, rate)
        figures = {
            "mean": p99 / 4.6,
            "p50": p99 / 6.6,
            "p90": p99 / 2,
            "p95": p99 / 1.5,
            "p99": p99,
            "success_rate": 1.0,
        }
        verdicts = (SloVerdict("p99 < 100ms", bool(held), p99),)
        detail = "the generator's lag spoils the figures" if spoilt else ""
        events.append(
            CapacityTried(
                number * 11 * SECOND,
                number,
                rate,
                10 * SECOND,
                int(rate * 10),
                figures,
                held,
                verdicts,
                low,
                high,
                detail,
            )
        )
    curve = tuple((float(rate), 4.6 / (limit - rate)) for rate in range(100, 805, 20))
    events.append(
        CapacityFound(
            120 * SECOND, low, high, 772.0, 640.0, 0.95, curve, status,
            reason or "It holds its SLOs up to between 775/s and 780/s.", status == "found",
        )
    )  # fmt: skip
    return events
