"""What an SLO asks of a trial, as numbers that add up: how many requests were over the bound, of how many.

``p95 < 200ms`` says that less than 5 % of the requests take 200 ms or longer. The share over the bound has no bias,
adds up over intervals and trials, and is smooth where the percentile itself jumps; of many queues its logarithm is
nearly a straight line in the rate (of M/M/1 exactly so: ``P(T > t) = exp(-(mu - lambda) t)``).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.domain.analysis import Absolute, And, Comparison, Condition, Op, Rule
from harness.domain.units import SECOND
from harness.errors import InputError
from harness.stats.histogram import BIAS, SHIFT, Histogram

FloatArray = NDArray[np.float64]

LATENCY = "latency"


@dataclass(frozen=True, slots=True)
class Interval:
    """What became of the requests that were due in one interval of a trial."""

    due: int
    latency: Histogram
    """From the moment they were due; what never got its answer counts with the time it was waited for."""
    failed: int = 0
    known: int | None = None
    """Whose end is known, failed ones included; None: all that were due."""
    others: Mapping[str, Histogram] = field(default_factory=dict)
    """Further durations, by the first word of their metrics: ttfb, gap."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a trial measured after its warm-up, interval by interval."""

    intervals: Sequence[Interval]
    interval_ns: int = SECOND


@dataclass(frozen=True, slots=True)
class Series:
    """An objective's measure by interval: ``over / count`` is what is held against the target."""

    over: FloatArray
    """Requests over the bound; of a mean, seconds."""
    count: FloatArray

    @property
    def level(self) -> float:
        """Over all intervals; 0 where nothing was measured."""
        count = float(self.count.sum())
        return float(self.over.sum()) / count if count else 0.0


@dataclass(frozen=True, slots=True)
class Objective:
    """One comparison of an SLO: the share over a bound, or a mean, must stay below a target."""

    text: str
    metric: str
    durations: str | None
    """Which: latency, ttfb, gap; None: failures are counted."""
    target: float
    """A share of requests, or a mean in seconds."""
    bound_s: float | None = None
    """What the share is over; None: of a mean, or of failures."""
    quantile: float | None = None

    @property
    def is_mean(self) -> bool:
        """Whether a mean is held, and no share."""
        return self.durations is not None and self.bound_s is None

    @property
    def dispersion(self) -> float:
        """How many times as much the measure may scatter as independent requests would, before that is seen."""
        return 3.0 if self.durations is None else 30.0

    def series(self, outcome: Outcome) -> Series:
        """What a trial measured, by interval."""
        rows = [self._interval(interval) for interval in outcome.intervals]
        table = np.array(rows, np.float64).reshape(len(rows), 2)
        return Series(table[:, 0], table[:, 1])

    def _interval(self, interval: Interval) -> tuple[float, float]:
        if self.durations is None:
            return float(interval.failed), float(interval.due if interval.known is None else interval.known)
        histogram = interval.latency if self.durations == LATENCY else interval.others.get(self.durations, Histogram())
        if self.bound_s is None:
            return histogram.sum_ns / SECOND, float(histogram.count)
        return over(histogram, self.bound_s * SECOND), float(histogram.count)

    def figure(self, outcome: Outcome) -> float | None:
        """The metric itself, in seconds or as a share; None where nothing was measured."""
        if self.durations is None or self.quantile is None:
            series = self.series(outcome)
            if not series.count.sum():
                return None
            return 1 - series.level if self.metric == "success_rate" else series.level
        parts = [
            each.latency if self.durations == LATENCY else each.others.get(self.durations, Histogram())
            for each in outcome.intervals
        ]
        whole = Histogram.merge(parts)
        return whole.quantile(self.quantile) / SECOND if whole.count else None


def objectives(slos: Iterable[Rule]) -> tuple[Objective, ...]:
    """The comparisons that must hold all together.

    Raises:
        InputError: a rule says something else than that latencies or failures stay below a bound.
    """
    found = tuple(_objective(rule.text, each) for rule in slos for each in _comparisons(rule.text, rule.condition))
    if not found:
        raise InputError("a search for capacity needs an SLO to hold, such as 'p99 < 250ms'")
    return found


def _comparisons(text: str, condition: Condition) -> Iterator[Comparison]:
    if isinstance(condition, Comparison):
        yield condition
    elif isinstance(condition, And):
        for each in condition.of:
            yield from _comparisons(text, each)
    else:
        raise InputError(
            f"the SLO {text!r} has an 'or' or a 'not'; the highest rate is sought of conditions that hold together: "
            "join them by 'and', or search once for each"
        )


def _objective(text: str, comparison: Comparison) -> Objective:
    metric, op, bound = comparison.metric, comparison.op, comparison.bound
    upper = op in {Op.LT, Op.LE}
    value = bound.value if isinstance(bound, Absolute) else None
    if isinstance(value, float | int):
        if metric == "error_rate" and upper and 0 < value < 1:
            return Objective(text, metric, None, float(value))
        if metric == "success_rate" and op in {Op.GT, Op.GE} and 0 < value < 1:
            return Objective(text, metric, None, 1 - value)
        durations, word = metric.rpartition("_")[::2]
        if upper and value > 0 and word == "mean":
            return Objective(text, metric, durations or LATENCY, float(value))
        if upper and value > 0 and re.fullmatch(r"p\d{2,4}", word):
            quantile = float(f"0.{word[1:]}")
            return Objective(text, metric, durations or LATENCY, 1 - quantile, float(value), quantile)
    raise InputError(
        f"the SLO {text!r} bounds {metric} in a way that no highest rate follows from; it takes a latency below "
        "a bound (p99 < 250ms), or a share of failures that allows some (error_rate < 1%, success_rate > 99%)"
    )


def over(histogram: Histogram, bound_ns: float) -> float:
    """How many durations are at or over a bound; those in its own bucket as if they were spread evenly over it.

    >>> over(Histogram.of([1_000, 5_000, 9_000]), 3_000)
    2.0
    """
    if not histogram.counts.size:
        return 0.0
    # The bucket of a duration is that of itself plus one (see `harness.stats.histogram`).
    bits = int(np.float64(bound_ns + 1).view(np.int64))
    bucket = (bits >> SHIFT) - BIAS
    place = bucket - histogram.first
    if place < 0:
        return float(histogram.counts.sum())
    if place >= histogram.counts.size:
        return 0.0
    above = float(histogram.counts[place + 1 :].sum())
    low, high = (float(np.int64((bucket + BIAS + step) << SHIFT).view(np.float64)) for step in (0, 1))
    return above + float(histogram.counts[place]) * (high - (bound_ns + 1)) / (high - low)
