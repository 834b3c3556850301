"""How often a counter rose in a window, from the samples that Prometheus scraped of it.

PromQL's ``increase`` extrapolates: it takes the rise between the first and the last sample *inside* the window and
stretches it to the window's ends, and the first sample of a new series counts for nothing. Windows do not add up then,
whole numbers turn into fractions, and the first failures of a replica are not seen at all. Here a rise counts when it
is scraped: from each sample to the next, beginning at the last one before the window. Neighbouring windows share that
sample and so add up exactly. A request is in the window in which it was scraped, up to one scrape later than it was
answered.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from harness.backends.prometheus_api import Series
from harness.domain.units import MILLISECOND, MINUTE

LOOKBACK_NS: Final = 5 * MINUTE
"""How far before a window its baseline may lie, as in Prometheus' own rule for what is stale."""

Key = frozenset[tuple[str, str]]


def risen(values: Sequence[int]) -> int:
    """By how much a counter rose over these samples; one lower than the one before it began anew at zero.

    >>> risen([4, 5, 7, 2, 3]), risen([4]), risen([])
    (6, 0, 0)
    """
    return sum(after - before if after >= before else after for before, after in pairwise(values))


def key(labels: Mapping[str, str]) -> Key:
    """Names a series."""
    return frozenset(labels.items())


def clipped(series: Iterable[Series], start_ms: int, stop_ms: int) -> tuple[Series, ...]:
    """The series with their samples in ``[start, stop)`` only, those that have any."""
    inside = (Series(each.labels, tuple(p for p in each.points if start_ms <= p[0] < stop_ms)) for each in series)
    return tuple(each for each in inside if each.points)


@dataclass(frozen=True, slots=True)
class Targets:
    """What is known of the targets that series come from: when each was scraped, and when its process began."""

    before: tuple[Series, ...] = ()
    """The highest ``up`` shortly before the window: 1 where it has answered."""
    within: tuple[Series, ...] = ()
    """``up`` in the window."""
    began_s: Mapping[str, float] = field(default_factory=dict)
    """When the process of each instance began (``process_start_time_seconds``), where it says so."""
    ours: bool = False
    """All targets are processes of ours: they are not much older than their first scrape."""

    def of(self, series: Series) -> Mapping[str, str] | None:
        """The labels of the target that a series was scraped from; None: not known."""
        found = (each.labels for each in (*self.within, *self.before) if key(each.labels) <= key(series.labels))
        return max(found, key=len, default=None)

    def answered(self, before_ms: int) -> tuple[Mapping[str, str], ...]:
        """The labels of targets that answered a scrape before that time."""
        every = (*self.before, *self.within)
        return tuple(each.labels for each in every if any(at < before_ms and value == 1 for at, value in each.points))

    def left(self, before_ms: int) -> tuple[Mapping[str, str], ...]:
        """Those of them that were scraped no more from that time on: gone, or known by other labels since."""
        still = {key(each.labels) for each in self.within if each.points[-1][0] >= before_ms}
        return tuple(labels for labels in self.answered(before_ms) if key(labels) not in still)

    def young(self, instance: str, at_ms: int) -> bool:
        """Whether a process has counted since a short while before that time only."""
        began_s = self.began_s.get(instance)
        return self.ours if began_s is None else began_s * 1000 >= at_ms - LOOKBACK_NS // MILLISECOND


def baseline(series: Series, targets: Targets, others: Iterable[Series]) -> float | None:
    """Where a counter stood before the first sample that there is of it; None: nobody knows.

    Zero, where its target had been scraped without it: it was made with its first event. What it stood at under other
    labels, where the target has got others (the candidate was adopted as stable). Zero, where the target's process is
    young. Else it may have counted for years, and its first sample is a baseline and no more.

    Args:
        series: of the counter, with its samples.
        targets: what is known of them.
        others: all series of the query, of all arms, with samples of before the window too.
    """
    first_ms = series.points[0][0]
    target = targets.of(series)
    if target is None:
        return 0.0 if targets.young(series.labels.get("instance", ""), first_ms) else None
    if any(key(target) == key(each) for each in targets.answered(first_ms)):
        return 0.0
    former = [each for each in targets.left(first_ms) if each.get("instance") == target.get("instance")]
    if former:
        own = key(series.labels) - key(target)
        twins = {own | key(labels) for labels in former}
        stood = [point for other in others if key(other.labels) in twins for point in other.points]
        return max((point for point in stood if point[0] < first_ms), default=(0, 0.0))[1]
    return 0.0 if targets.young(target.get("instance", ""), first_ms) else None


@dataclass(frozen=True, slots=True)
class Counted:
    """What the series of one query came to in a window."""

    rises: tuple[tuple[Mapping[str, str], int], ...]
    """Labels of each series, and by how much it rose."""
    seen: bool
    """At least one sample lies in the window."""
    spoilt: bool
    """A sample was no number (NaN, infinite): what was counted is not known."""

    @property
    def total(self) -> int:
        """All of them."""
        return sum(rise for _, rise in self.rises)


def counted(
    before: Sequence[Series], within: Sequence[Series], targets: Targets, others: Sequence[Series], scale: int = 1
) -> Counted:
    """Count what counters rose by in a window.

    Args:
        before: the last sample of each series before the window.
        within: its samples in the window.
        targets: what they were scraped from.
        others: series of the same query, of all arms: before and within.
        scale: of a counter that is no whole number (seconds): counted in so many parts of one, so that windows add up.
    """
    stood = {key(series.labels): series.points[-1][1] for series in before if series.points}
    rises, spoilt = [], False
    for series in within:
        if not series.points:
            continue
        first = stood.get(key(series.labels))
        if first is None:
            first = baseline(series, targets, others)
        values = [*([] if first is None else [first]), *(value for _, value in series.points)]
        if not all(map(math.isfinite, values)):
            spoilt = True
            continue
        rises.append((series.labels, risen([round(value * scale) for value in values])))
    return Counted(tuple(rises), any(series.points for series in within), spoilt)
