"""Rehearsals, load tests and capacity searches behind one door, told apart by their first event."""

from collections.abc import Iterable
from pathlib import Path

from harness.domain.event import Event
from harness.domain.load_event import CapacityStarted, LoadStarted
from harness.report import assembly
from harness.report.load_fold import fold_capacity, fold_load, load_glance
from harness.report.load_result import CapacityResult, LoadResult
from harness.report.result import Result

AnyResult = Result | LoadResult | CapacityResult


def fold_any(events: Iterable[Event], *, log_path: Path | None = None, report_path: Path | None = None) -> AnyResult:
    """The result of a run of any kind, from its events alone; arguments and errors as of `harness.report.fold`."""
    told = list(events)
    first = told[0] if told else None
    if isinstance(first, LoadStarted):
        return fold_load(told, log_path=log_path, report_path=report_path)
    if isinstance(first, CapacityStarted):
        return fold_capacity(told, log_path=log_path, report_path=report_path)
    return assembly.fold(told, log_path=log_path, report_path=report_path)


def glance(numbered: Iterable[tuple[int, Event]]) -> AnyResult:
    """The figures of a result from a part of its log: quick, for a list of many runs.

    Args:
        numbered: events with their sequence numbers, as `harness.log.read_gist` gives them.

    Raises:
        LogError: the log does not begin as that of a run does.
    """
    told = list(numbered)
    first = told[0][1] if told else None
    if isinstance(first, LoadStarted):
        return load_glance(event for _, event in told)
    if isinstance(first, CapacityStarted):
        return fold_capacity(event for _, event in told)
    return assembly.glance(told)
