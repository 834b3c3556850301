"""Intervals of metrics by the bootstrap (Efron, 1979): rows are drawn anew, with replacement, many times over.

A resample is a count for each row, and counts come from a named stream: the same seed gives the same interval.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from harness.domain.evaluation import MOST_RESAMPLES
from harness.errors import InputError
from harness.seeds import Stream, stream
from harness.stats.intervals import check_alpha, wilson
from harness.training.answered import Answered, FloatArray
from harness.training.weighed import PROPORTIONS, Weighed, defined, value, weighed

Method = Literal["bca", "percentile"]
Alternative = Literal["two-sided", "less", "greater"]
RESAMPLES: Final = 1_000
LEVEL: Final = 0.95
CELLS: Final = 4_000_000
"""Counts that are held at once."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and where it may lie."""

    metric: str
    value: float
    lower: float
    upper: float
    level: float
    rows: int
    resamples: int
    """Those that define the metric; a resample may be of one class alone."""
    method: str
    """bca, percentile or wilson."""


def intervals(
    answers: Answered,
    metrics: tuple[str, ...] | None = None,
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    method: Method = "bca",
    draws: Stream | None = None,
) -> dict[str, Interval]:
    """The interval of each metric, all from the same resamples.

    ``bca`` corrects for bias and skewness (Efron, 1987), with the acceleration of the jackknife, as
    `scipy.stats.bootstrap` does; ``percentile`` takes the resamples' quantiles as they are. A proportion that no
    resample changes (no error among few rows) says nothing of its spread: it gets Wilson's interval instead.

    Args:
        answers: what a model said of rows.
        metrics: names; None: all that the answers define.
        resamples: how many.
        level: how sure, such as 0.95.
        method: of the bounds.
        draws: the stream that rows are drawn from; None: of seed 0.

    Returns:
        By metric, without those that the rows do not define, and others than proportions that no resample changes.

    Raises:
        InputError: a metric is none of the task, or there is no resample.
    """
    wanted = defined(answers) if metrics is None else metrics
    known = {name: (weighed(name, answers), value(name, answers)) for name in wanted}
    known = {name: found for name, found in known.items() if math.isfinite(found[1])}
    seen: dict[str, list[FloatArray]] = {name: [] for name in known}
    for weights in counts(len(answers), resamples, draws or stream(0, "evaluation/bootstrap")):
        for name, (metric, _) in known.items():
            seen[name].append(metric.of(weights))
    made = {
        name: _interval(name, metric, found, np.concatenate(seen[name]), answers, level, method)
        for name, (metric, found) in known.items()
    }
    return {name: interval for name, interval in made.items() if interval is not None}


def counts(rows: int, resamples: int, draws: Stream) -> Iterator[FloatArray]:
    """How often each row is in each resample, some resamples at a time: shape (some, rows), sums of ``rows``.

    Raises:
        InputError: fewer than one resample, or more than 100,000.
    """
    if resamples < 1:
        raise InputError(f"{resamples} resamples are none: give 1,000 or more for an interval")
    if resamples > MOST_RESAMPLES:
        raise InputError(f"{resamples:,} resamples are too many: give {MOST_RESAMPLES:,} or fewer; 1,000 usually do")
    if not rows:
        return
    generator, some = draws.generator(), max(1, CELLS // rows)
    for start in range(0, resamples, some):
        count = min(some, resamples - start)
        chosen = generator.integers(rows, size=(count, rows))
        chosen += np.arange(count)[:, None] * rows
        yield np.bincount(chosen.ravel(), minlength=count * rows).reshape(count, rows).astype(np.float64)


def _interval(
    name: str, metric: Weighed, found: float, seen: FloatArray, answers: Answered, level: float, method: Method
) -> Interval | None:
    seen = seen[np.isfinite(seen)]
    rows = len(answers)
    if not len(seen) or np.ptp(seen) == 0:
        if name not in PROPORTIONS:
            return None
        lower, upper = wilson(found, _units(name, answers), _z(level))
        return Interval(name, found, lower, upper, level, rows, len(seen), "wilson")
    left_out = metric.left_out() if method == "bca" else None
    lower, upper, used = bounds(seen, found, level, left_out)
    return Interval(name, found, lower, upper, level, rows, len(seen), used)


def bounds(
    seen: FloatArray,
    found: float,
    level: float,
    left_out: FloatArray | None = None,
    alternative: Alternative = "two-sided",
) -> tuple[float, float, str]:
    """Lower and upper bound, and the method that gave them.

    Args:
        seen: the figure of each resample, finite.
        found: the figure itself.
        level: how sure.
        left_out: the jackknife, for BCa; None: the percentile method.
        alternative: ``less`` has an upper bound only, ``greater`` a lower one only (as `scipy.stats.bootstrap`).
    """
    check_alpha(1 - level)
    if not len(seen):
        return math.nan, math.nan, "percentile"
    tail = (1 - level) / 2 if alternative == "two-sided" else 1 - level
    places, method = np.array([tail, 1 - tail]), "percentile"
    if left_out is not None and (corrected := _bca(seen, found, left_out, places)) is not None:
        places, method = corrected, "bca"
    lower, upper = (float(bound) for bound in np.quantile(seen, places))
    return (-math.inf if alternative == "less" else lower), (math.inf if alternative == "greater" else upper), method


def _bca(seen: FloatArray, found: float, left_out: FloatArray, places: FloatArray) -> FloatArray | None:
    """Where in the resamples the bounds lie; None where bias or acceleration cannot be told."""
    from scipy.special import ndtr, ndtri

    # The mean of the two ranks of a tie, as scipy's percentileofscore(kind="mean").
    below = (np.count_nonzero(seen < found) + np.count_nonzero(seen <= found)) / (2 * len(seen))
    away = left_out[np.isfinite(left_out)]
    away = away.mean() - away if len(away) else away
    spread = float((away**2).sum())
    if not 0 < below < 1 or spread <= 0:
        return None
    acceleration = float((away**3).sum()) / (6 * spread**1.5)
    bias, z = float(ndtri(below)), ndtri(places)
    return np.asarray(ndtr(bias + (bias + z) / (1 - acceleration * (bias + z))), np.float64)


def _units(name: str, answers: Answered) -> int:
    of: dict[str, Any] = {"precision": answers.predicted, "recall": answers.target}
    chosen: NDArray[Any] | None = of.get(name)
    return len(answers) if chosen is None else int((chosen == 1).sum())


def _z(level: float) -> float:
    from scipy.special import ndtri

    return float(ndtri((1 + level) / 2))
