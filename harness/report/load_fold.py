"""The fold of load tests and capacity searches: events in, result out. Pure, as that of rehearsals is.

A log that stops early is folded as far as it goes: its figures are those that were told last while the test ran, it has
no grade, and it did not pass.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from harness.domain.event import Event
from harness.domain.load import Counts, Spread
from harness.domain.load_event import (
    CapacityFound,
    CapacityStarted,
    CapacityTried,
    LoadEnded,
    LoadJudged,
    LoadMeasured,
    LoadProgressed,
    LoadSeries,
    LoadStarted,
)
from harness.domain.units import SECOND
from harness.errors import LogError
from harness.log import digest
from harness.report.load_result import NOTHING, CapacityResult, LoadResult
from harness.report.numbers import figure

E = TypeVar("E", bound=Event)

STOPS: Final = "The log stops before the test ended."
LATENCIES: Final = ("mean", "min", "p50", "p90", "p95", "p99", "p999", "max")


def fold_load(events: Iterable[Event], *, log_path: Path | None = None, report_path: Path | None = None) -> LoadResult:
    """The result of a load test, from its events alone.

    Args:
        events: the log, from its first event on.
        log_path: where the log is kept; told to the reader, not opened.
        report_path: where the page is kept; told, not opened.

    Raises:
        LogError: the log does not begin with LoadStarted.
    """
    told = list(events)
    result = load_glance(told)
    return replace(
        result,
        event_log=str(log_path) if log_path else None,
        event_digest=digest(told),
        report=str(report_path) if report_path else None,
    )


def load_glance(events: Iterable[Event]) -> LoadResult:
    """The result from a part of the log, without its digest: quick, for a list of many runs.

    Raises:
        LogError: there is no LoadStarted.
    """
    seen = _Seen.of(events)
    if seen.started is None:
        raise LogError("the log holds no LoadStarted event: it is empty, or not the log of a load test")
    return _load(seen.started, seen)


def fold_capacity(
    events: Iterable[Event], *, log_path: Path | None = None, report_path: Path | None = None
) -> CapacityResult:
    """The result of a capacity search, from its events alone; arguments and errors as of `fold_load`."""
    told = list(events)
    started = _last(told, CapacityStarted)
    if started is None:
        raise LogError("the log holds no CapacityStarted event: it is empty, or not the log of a capacity search")
    trials = tuple(event for event in told if isinstance(event, CapacityTried))
    found = _last(told, CapacityFound)
    last = trials[-1] if trials else None
    bracket = found or last
    return CapacityResult(
        asked=started,
        trials=trials,
        low=figure(bracket.low) if bracket else None,
        high=figure(bracket.high) if bracket else None,
        estimate=figure(found.estimate) if found else None,
        knee=figure(found.knee) if found else None,
        confidence=found.confidence if found else started.confidence,
        curve=tuple(found.curve) if found else (),
        status=found.status if found else None,
        reason=found.reason if found else STOPS.replace("test", "search"),
        passed=found.passed if found else False,
        elapsed_s=told[-1].at_ns / SECOND,
        event_log=str(log_path) if log_path else None,
        event_digest=digest(told),
        report=str(report_path) if report_path else None,
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """The events that matter, each at most once."""

    started: LoadStarted | None
    series: LoadSeries | None
    measured: LoadMeasured | None
    judged: LoadJudged | None
    ended: LoadEnded | None
    progress: tuple[LoadProgressed, ...]

    @classmethod
    def of(cls, events: Iterable[Event]) -> "_Seen":
        told = list(events)
        return cls(
            _last(told, LoadStarted),
            _last(told, LoadSeries),
            _last(told, LoadMeasured),
            _last(told, LoadJudged),
            _last(told, LoadEnded),
            tuple(event for event in told if isinstance(event, LoadProgressed)),
        )


def _last(events: Sequence[Event], kind: type[E]) -> E | None:
    return next((event for event in reversed(events) if isinstance(event, kind)), None)


def _load(started: LoadStarted, seen: _Seen) -> LoadResult:
    measured = seen.measured or _by_then(started, seen.progress)
    judged, ended, series = seen.judged, seen.ended, seen.series
    notes = (*started.notes, *(judged.notes if judged else ()))
    if ended is None and seen.measured is None:
        notes = (*notes, "Its figures are those that were told last while it ran; percentiles may still have moved.")
    return LoadResult(
        asked=started,
        status=ended.status if ended else None,
        reason=ended.reason if ended and ended.reason else judged.reason if judged and ended else STOPS,
        passed=bool(ended and ended.passed),
        grade=judged.grade if judged and ended and not judged.spoiled else None,
        spoiled=judged.spoiled if judged else "",
        slos=tuple(judged.slos) if judged else (),
        rules=dict(judged.rules) if judged else {},
        notes=tuple(dict.fromkeys(notes)),
        elapsed_s=measured.elapsed_ns / SECOND,
        counts=measured.counts,
        achieved_rate=figure(measured.achieved_rate),
        latency=measured.latency,
        service=measured.service,
        lag=measured.lag,
        waited=measured.waited,
        first_byte=measured.first_byte,
        gap=measured.gap,
        intervals=dict(measured.intervals),
        targets=tuple(measured.targets),
        connections=dict(measured.connections),
        locations=dict(measured.locations),
        examples=dict(measured.examples),
        cpu_s=figure(measured.cpu_s) if seen.measured else None,
        peak_memory=measured.peak_memory if seen.measured else None,
        series=tuple(series.intervals) if series else (),
        warmup_intervals=series.warmup if series else 0,
        progress=seen.progress,
        event_log=None,
        event_digest="",
        report=None,
    )


def _by_then(started: LoadStarted, progress: Sequence[LoadProgressed]) -> LoadMeasured:
    """What had been measured where the log stops, as it was told last."""
    last = progress[-1] if progress else None
    if last is None:
        return LoadMeasured(0, 0, Counts(), 0.0, NOTHING, NOTHING, NOTHING, NOTHING, {})
    elapsed_ns = max(0, min(last.at_ns - started.warmup_ns, started.duration_ns))
    known = last.counts.succeeded + last.counts.failed
    so_far = {name: last.so_far.get(name) for name in LATENCIES if name in last.so_far}
    lag = {"p99": last.figures["lag_p99"]} if last.figures.get("lag_p99") is not None else {}
    return LoadMeasured(
        at_ns=last.at_ns,
        elapsed_ns=elapsed_ns,
        counts=last.counts,
        achieved_rate=last.counts.succeeded / (elapsed_ns / SECOND) if elapsed_ns else 0.0,
        latency=Spread(known, so_far),
        service=NOTHING,
        lag=Spread(known if lag else 0, lag),
        waited=NOTHING,
        intervals={},
    )
