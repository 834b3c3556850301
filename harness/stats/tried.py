"""One trial of a search for capacity: whether it held, and how long the endpoint's queue remembers.

A queue's relaxation time is about ``4 rate D^2``, D the mean wait: of M/M/1 it is ``(1 - sqrt(load))^-2 / mu`` (Morse
1955), which near saturation is ``4 / (mu (1 - load)^2)``, and D there ``1 / (mu (1 - load))``. So trials can warm up
long enough, since each starts with an empty queue, and batches of intervals be long enough to be nearly independent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from harness.domain.units import SECOND
from harness.stats.crossing import Point
from harness.stats.objective import Objective, Outcome

FAILED: Final = 1e6
"""A mean latency, in seconds, that meets no target: where there is no steady state, the figure only tells the time."""
GROWTH: Final = 1.0
"""A latency that grows by so much of its mean, and evenly, has no steady state."""
EVENLY: Final = 0.9
"""The share of its variance that the growth explains."""
_LEAST_DISPERSION: Final = 2.0
"""Of latencies, where nothing can be seen of it: requests over a bound come together."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A trial, by objective."""

    rate: float
    """That was asked for."""
    outcome: Outcome
    points: tuple[Point, ...]
    mean_s: float
    """Latency."""
    last_s: float
    """Mean latency of the last interval."""
    unstable: bool
    """More came than was served: latency has no steady state, whatever its figure."""
    holds: bool
    memory_s: float

    @classmethod
    def of(cls, rate: float, outcome: Outcome, aims: Sequence[Objective], base_s: float) -> Self:
        """What a trial says.

        Args:
            rate: that was asked for, in 1/s.
            outcome: what was measured.
            aims: what must hold.
            base_s: the lowest mean latency of other trials: what requests take without a queue.
        """
        due = np.array([interval.due for interval in outcome.intervals]) * (SECOND / outcome.interval_ns)
        series = [aim.series(outcome) for aim in aims]
        count = np.array([interval.latency.count for interval in outcome.intervals])
        sums = np.array([interval.latency.sum_ns for interval in outcome.intervals]) / SECOND
        mean = float(sums.sum() / max(count.sum(), 1))
        means = sums[count > 0] / count[count > 0]
        unstable = _grows(means)
        within = all(each.level < aim.target for each, aim in zip(series, aims, strict=True))
        points = [
            Point(due, (each.count * FAILED if aim.is_mean else each.count) if unstable else each.over, each.count)
            for each, aim in zip(series, aims, strict=True)
        ]
        wait = max(mean - base_s, 0.0) if base_s else 0.0
        last = float(means[-1]) if means.size else 0.0
        return cls(rate, outcome, tuple(points), mean, last, unstable, within and not unstable, 4 * rate * wait**2)

    def point(self, aim: int) -> Point:
        """What it says of one objective."""
        return self.points[aim]


def _grows(means: np.ndarray) -> bool:
    if means.size < 5:
        return False
    at = np.arange(means.size) - (means.size - 1) / 2
    slope = float((at * means).sum() / (at**2).sum())
    explained = slope**2 * float((at**2).sum()) / max(float(((means - means.mean()) ** 2).sum()), 1e-300)
    return slope * means.size > GROWTH * float(means.mean()) and explained > EVENLY


def relaxation_s(tried: Sequence[Tried], rate: float) -> float:
    """How long the queue remembers at about that rate, in seconds, by the trials around it; 0 where none tells."""
    near = [each.memory_s for each in tried if 0.85 * rate <= each.rate <= 1.1 * rate and not each.unstable]
    if near:
        return float(np.median(near))
    return max((each.memory_s for each in tried if each.rate < rate and not each.unstable), default=0.0)


def pooled(group: Sequence[Tried], number: int) -> float:
    """An objective's measure over all trials of a rate."""
    over, count = (sum(float(getattr(each.point(number), name).sum()) for each in group) for name in ("over", "count"))
    return over / count if count else 0.0
