"""From what the generators measured to the events that a report is made of."""

from collections.abc import Mapping, Sequence
from typing import Final

from harness import arrivals
from harness.domain.event import Figures
from harness.domain.load import LoadPlan, OpenLoop, TargetSeen
from harness.domain.load_event import IntervalSeen, LoadMeasured, LoadSeries
from harness.domain.units import SECOND
from harness.load.record import PERCENTILES, Durations, Load, Record, Tally
from harness.seeds import stream
from harness.stats import blocks
from harness.stats.intervals import wilson

_POINTS: Final = 60
"""Of the curve of rates asked for."""
_Z95: Final = 1.959963984540054


def planned(plan: LoadPlan) -> tuple[tuple[float, float], ...]:
    """The rate that is asked for: (seconds since the test began, requests per second); of an open loop."""
    if not isinstance(plan.pace, OpenLoop):
        return ()
    curve = arrivals.of(plan.pace.traffic).curve
    edges = [plan.ends_ns * at // _POINTS for at in range(_POINTS + 1)]
    counts = curve.expected(edges).tolist()
    found = []
    for at in range(_POINTS):
        rate = (counts[at + 1] - counts[at]) * SECOND / max(edges[at + 1] - edges[at], 1)
        found += [(edges[at] / SECOND, rate), (edges[at + 1] / SECOND, rate)]
    return tuple(found)


def target_rate(plan: LoadPlan) -> float | None:
    """The rate that is asked for, on average over the measured time; None of a closed loop."""
    if not isinstance(plan.pace, OpenLoop):
        return None
    first, last = arrivals.of(plan.pace.traffic).curve.expected([plan.warmup_ns, plan.ends_ns]).tolist()
    return float((last - first) * SECOND / plan.duration_ns)


def measured(at_ns: int, plan: LoadPlan, record: Record) -> LoadMeasured:
    """All that was measured after the warm-up, as an event."""
    total = record.total
    counts = total.counts
    elapsed_ns = max(0, min(record.reached_ns - plan.warmup_ns, plan.duration_ns))
    lasted_ns = max(elapsed_ns, record.last_ns - plan.warmup_ns if counts.sent else 0, 1)
    streamed = plan.transport.stream
    return LoadMeasured(
        at_ns,
        elapsed_ns=elapsed_ns,
        counts=counts,
        achieved_rate=counts.succeeded * SECOND / lasted_ns,
        latency=total.latency.spread(),
        service=total.service.spread(),
        lag=total.lag.spread(),
        waited=total.waited.spread(),
        intervals=intervals(plan, record),
        first_byte=total.first.spread() if streamed else None,
        gap=total.gap.spread() if streamed else None,
        targets=_targets(plan, record) if len(plan.targets) > 1 else (),
        connections=record.connections,
        locations=dict(sorted(record.locations.items(), key=lambda each: -each[1])[:10]),
        examples=record.examples,
        cpu_s=record.cpu_ns / SECOND,
        peak_memory=record.peak_memory,
    )


def intervals(plan: LoadPlan, record: Record) -> dict[str, tuple[float, float]]:
    """95 % intervals of the latency's percentiles and mean, in seconds, and of the success rate.

    Those of the latency by blocks of the test's intervals, since neighbouring requests are alike.
    """
    warm = warm_intervals(plan)
    tallies = [tally for number, tally in record.intervals.items() if number >= warm]
    return _bounds(plan, tallies, "load/intervals") | _shares(record.total)


def _bounds(plan: LoadPlan, tallies: Sequence[Tally], name: str) -> dict[str, tuple[float, float]]:
    histograms = [tally.latency.histogram for tally in tallies]
    if not any(histogram.count for histogram in histograms):
        return {}
    found = blocks.intervals(histograms, PERCENTILES, stream(plan.seed, name).generator())
    return {metric: (low / SECOND, high / SECOND) for metric, (low, high) in found.items()}


def _shares(tally: Tally) -> dict[str, tuple[float, float]]:
    counts = tally.counts
    known = counts.succeeded + counts.failed + counts.not_sent
    return {"success_rate": wilson(counts.succeeded / known, known, _Z95)} if known else {}


def _targets(plan: LoadPlan, record: Record) -> tuple[TargetSeen, ...]:
    whole, warm = sum(target.weight for target in plan.targets), warm_intervals(plan)
    return tuple(
        TargetSeen(
            target.name,
            target.weight / whole,
            tally.counts,
            tally.latency.spread(),
            tally.service.spread(),
            _bounds(plan, _cells(record, at, warm), f"load/intervals/{at}") | _shares(tally),
        )
        for at, (target, tally) in enumerate(zip(plan.targets, record.targets, strict=True))
    )


def _cells(record: Record, target: int, warm: int) -> list[Tally]:
    return [tally for (number, at), tally in sorted(record.cells.items()) if at == target and number >= warm]


# --- the series -------------------------------------------------------------------------------------------------------


def warm_intervals(plan: LoadPlan) -> int:
    """How many intervals the warm-up has; they stand before all others."""
    return -(-plan.warmup_ns // plan.interval_ns)


def series(at_ns: int, plan: LoadPlan, record: Record) -> LoadSeries:
    """The test, interval by interval, by due time."""
    warm = warm_intervals(plan)
    last = max([*record.intervals, warm - 1])
    seen = tuple(
        _interval(plan, number, record.intervals.get(number, Tally()), record.loads.get(number), warm)
        for number in range(last + 1)
    )
    return LoadSeries(at_ns, seen, min(warm, len(seen)))


def _interval(plan: LoadPlan, number: int, tally: Tally, load: Load | None, warm: int) -> IntervalSeen:
    start_ns = plan.warmup_ns + (number - warm) * plan.interval_ns
    stop_ns = min(start_ns + plan.interval_ns, plan.ends_ns)
    return IntervalSeen(
        max(0, start_ns) / SECOND,
        stop_ns / SECOND,
        tally.counts,
        _figures(tally, load),
        tally.latency.histogram.to_dict() if tally.latency.histogram.count else {},
        tally.service.histogram.to_dict() if tally.service.histogram.count else {},
    )


def _figures(tally: Tally, load: Load | None) -> Figures:
    figures: dict[str, float | None] = {
        "mean": tally.latency.histogram.mean_s if tally.latency.histogram.count else None
    }
    figures |= _quantiles(tally.latency, {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0})
    figures |= {f"lag_{name}": value for name, value in _quantiles(tally.lag, {"p99": 0.99}).items()}
    if tally.first.histogram.count:
        figures |= {f"ttfb_{name}": value for name, value in _quantiles(tally.first, {"p99": 0.99}).items()}
    if load is not None:
        figures |= {"busy": load.busy, "machine": load.machine}
    return figures


def _quantiles(durations: Durations, wanted: Mapping[str, float]) -> dict[str, float | None]:
    found = {name: durations.quantile_ns(q) for name, q in wanted.items()}
    return {name: None if value is None else value / SECOND for name, value in found.items()}
