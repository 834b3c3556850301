"""One look at Prometheus: the queries of all arms over one window, asked at once, and what they come to."""

import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio

from harness.backends.prometheus_api import Series
from harness.backends.prometheus_arm import Answers
from harness.backends.prometheus_queries import bare
from harness.backends.prometheus_series import LOOKBACK_NS, Counted, Targets, clipped, counted
from harness.domain.model import Role
from harness.domain.units import MILLISECOND, SECOND
from harness.errors import BackendError
from harness.exporters.promql import duration, quoted

Ask = Callable[[str, int], Awaitable[tuple[Series, ...]]]
"""Asks a query at a time (milliseconds since 1970)."""


@dataclass(frozen=True, slots=True)
class Window:
    """``[start, stop)``, in milliseconds since 1970."""

    start_ms: int
    stop_ms: int

    @property
    def span_ns(self) -> int:
        """How long it is."""
        return (self.stop_ms - self.start_ms) * MILLISECOND


class Look:
    """All queries of one window."""

    def __init__(self, ask: Ask, window: Window, ours: bool) -> None:
        self._ask, self._window, self._ours = ask, window, ours

    async def arms(self, queries: Mapping[Role, Mapping[str, str]]) -> Mapping[Role, Answers]:
        """What each arm's queries come to; all are asked at once."""
        asked = [(arm, name, query) for arm, named in queries.items() for name, query in named.items()]
        if self._window.span_ns <= 0:
            return {arm: Answers() for arm in queries}
        counters = [each for each in asked if _counts(each[1]) and bare(each[2])]
        others = [each for each in asked if each not in counters]
        within, before, told = await _together(
            lambda: _together(*(partial(self._within, query) for *_, query in counters)),
            lambda: _together(*(partial(self._before, query) for *_, query in counters)),
            lambda: _together(*(partial(self._told, query) for *_, query in others)),
        )
        counts: dict[Role, dict[str, Counted]] = {arm: {} for arm in queries}
        figures: dict[Role, dict[str, float | None]] = {arm: {} for arm in queries}
        targets = await self._targets(within, before)
        for (arm, name, _), inside, earlier in zip(counters, within, before, strict=True):
            same = [at for at, (_, other, _) in enumerate(counters) if other == name]
            every = [series for at in same for series in (*before[at], *within[at])]
            counts[arm][name] = counted(earlier, inside, targets, every, _scale(name, queries[arm]))
        for (arm, name, query), series in zip(others, told, strict=True):
            if _counts(name):
                counts[arm][name] = _evaluated(series, _scale(name, queries[arm]))
            else:
                figures[arm][name] = _figure(series, query)
        return {arm: Answers(counts[arm], figures[arm]) for arm in queries}

    async def _within(self, selector: str) -> tuple[Series, ...]:
        """The samples in the window: PromQL's range ends at its last millisecond."""
        query = f"{selector}[{duration(self._window.span_ns)}]"
        return clipped(await self._told(query), self._window.start_ms, self._window.stop_ms)

    async def _before(self, selector: str) -> tuple[Series, ...]:
        """The last sample before the window."""
        return await self._ask(f"last_over_time({selector}[{duration(LOOKBACK_NS)}])", self._window.start_ms - 1)

    async def _told(self, query: str) -> tuple[Series, ...]:
        return await self._ask(query, self._window.stop_ms - 1)

    async def _targets(self, within: Sequence[Sequence[Series]], before: Sequence[Sequence[Series]]) -> Targets:
        """What is known of the targets of series that have no sample before the window."""
        known = {frozenset(series.labels.items()) for each in before for series in each}
        new = {
            series.labels["instance"] for each in within for series in each
            if "instance" in series.labels and frozenset(series.labels.items()) not in known
        }  # fmt: skip
        if not new:
            return Targets(ours=self._ours)
        instances = f"instance=~{quoted('|'.join(re.escape(name) for name in sorted(new)))}"
        began = f'{{__name__=~"(.+_)?process_start_time_seconds", {instances}}}'
        up = f"up{{{instances}}}"
        # Whether it ever answered shortly before: the scrape just before the window may have failed.
        ever = f"max_over_time({up}[{duration(LOOKBACK_NS)}])"
        earlier, inside, begun = await _together(
            partial(self._ask, ever, self._window.start_ms - 1), partial(self._within, up), partial(self._told, began)
        )
        return Targets(
            earlier, inside, {each.labels.get("instance", ""): each.points[-1][1] for each in begun}, self._ours
        )


async def _together(*asks: Callable[[], Awaitable[Any]]) -> list[Any]:
    """All answers, in order; the first error ends the others."""
    answers: list[Any] = [None] * len(asks)

    async def one(at: int) -> None:
        answers[at] = await asks[at]()

    try:
        async with anyio.create_task_group() as tasks:
            for at in range(len(asks)):
                tasks.start_soon(one, at)
    except BaseExceptionGroup as group:
        raise _first(group) from None
    return answers


def _first(group: BaseExceptionGroup) -> BaseException:
    """The first that went wrong; what else did went wrong with it."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _counts(name: str) -> bool:
    return name in {"requests", "failed", "latency_sum"} or name.startswith("latency_buckets")


def _scale(name: str, queries: Mapping[str, str]) -> int:
    """Into how many whole parts one of a counter is cut: sums of latencies are nanoseconds."""
    if name != "latency_sum":
        return 1
    return MILLISECOND if "latency_buckets_ms" in queries else SECOND


def _evaluated(series: Sequence[Series], scale: int) -> Counted:
    """What Prometheus counted itself."""
    values = [(each.labels, each.points[-1][1]) for each in series if each.points]
    fine = [(labels, value) for labels, value in values if math.isfinite(value) and value >= 0]
    return Counted(
        tuple((labels, round(value * scale)) for labels, value in fine), bool(values), len(fine) < len(values)
    )


def _figure(series: Sequence[Series], query: str) -> float | None:
    """The one figure that a query answers with; None: it knows none."""
    if len(series) > 1:
        raise BackendError(
            f"{query} answers with {len(series)} series where one figure is wanted; make it one, with sum() or avg()"
        )
    value = series[0].points[-1][1] if series and series[0].points else math.nan
    return value if math.isfinite(value) else None
