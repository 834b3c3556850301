"""Intervals and comparisons of latencies that lean on each other: what is resampled is a run of intervals of time.

Latencies of one test are no independent draws: a queue that is long now is long a moment later. Intervals that count
each request for itself (order statistics, a plain bootstrap) are then far too narrow. Here the unit is an interval of
the test, a second say, with its histogram, and neighbours are drawn together in blocks: the circular block bootstrap
(Politis and Romano 1992; Kuensch 1989 for blocks that move). With few blocks percentiles of the resamples are still
too narrow, and are taken farther out (Hesterberg 2015, "expanded percentile interval").

Everything is arrays: a resample is a row of weights, one for each interval, and its histogram the product of that row
with the counts.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.stats.histogram import BIAS, REPRESENTATIVE_NS, SHIFT, Histogram, IntArray

FloatArray = NDArray[np.float64]

ENOUGH: Final = 10
"""Intervals of a test, of which fewer make no blocks to speak of."""
RESOLUTION: Final = 2.0**-6 / math.sqrt(12)
"""The standard error that a bucket alone makes, relative to what it holds."""

_ROUNDING: Final = 1 - 1e-12


@dataclass(frozen=True, slots=True)
class Change:
    """A figure of two tests, and how sure it is that the second is worse."""

    first: float
    second: float
    change: float
    """Of durations the ratio less 1; of shares the difference."""
    lower: float | None = None
    """The interval of the change; None where the tests are too short for one."""
    upper: float | None = None
    p_value: float | None = None
    """One-sided, of the second being no worse than the first."""


def stacked(histograms: Sequence[Histogram]) -> tuple[IntArray, int]:
    """Counts by interval and bucket, and the bucket that the first column is.

    >>> counts, first = stacked([Histogram.of([0, 1, 1]), Histogram.of([1])])
    >>> counts.shape, first, int(counts.sum())
    ((2, 65), 0, 4)
    """
    some = [each for each in histograms if each.counts.size]
    first = min((each.first for each in some), default=0)
    last = max((each.first + each.counts.size for each in some), default=first)
    counts = np.zeros((len(histograms), last - first), np.int64)
    for row, each in zip(counts, histograms, strict=True):
        if each.counts.size:
            row[each.first - first : each.first - first + each.counts.size] = each.counts
    return counts, first


def block_length(intervals: int) -> int:
    """How many neighbouring intervals are drawn together: the cube root of all (Hall, Horowitz and Jing 1995).

    >>> [block_length(n) for n in (10, 30, 60, 600)]
    [2, 3, 4, 8]
    """
    return max(1, round(math.cbrt(intervals)))


def block_weights(intervals: int, resamples: int, rng: np.random.Generator) -> FloatArray:
    """How often each interval (column) stands in each resample (row); every row sums to the number of intervals."""
    length = block_length(intervals)
    blocks = -(-intervals // length)
    starts = rng.integers(0, intervals, (resamples, blocks))
    drawn = ((starts[:, :, None] + np.arange(length)) % intervals).reshape(resamples, -1)[:, :intervals]
    flat = drawn + np.arange(resamples)[:, None] * intervals
    return np.bincount(flat.ravel(), minlength=resamples * intervals).reshape(resamples, intervals).astype(np.float64)


def intervals(
    histograms: Sequence[Histogram],
    quantiles: Mapping[str, float],
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = 1000,
) -> Mapping[str, tuple[float, float]]:
    """Intervals of quantiles, and of the mean under ``mean``, in nanoseconds.

    With fewer than `ENOUGH` intervals that hold anything the requests are taken as independent: order statistics for
    quantiles, Student's t for the mean. A quantile so far out that no observation bounds it from above has no interval,
    and is left out, as everything is where nothing was counted.

    Args:
        histograms: of each interval of the test, in order of time, all of one length.
        quantiles: shares in 0..1, by the name that they are to have.
        rng: what resamples are drawn from.
        level: how often intervals are to hold the truth.
        resamples: how many are drawn.

    Raises:
        ValueError: a share or the level is none.
    """
    _check(quantiles.values(), level)
    counts, first = stacked(histograms)
    if not counts.sum():
        return {}
    sums = np.array([each.sum_ns for each in histograms], np.float64)
    filled = int((counts.sum(axis=1) > 0).sum())
    if filled < ENOUGH:
        bounds = {name: order_statistics(counts.sum(axis=0), q, level) for name, q in quantiles.items()}
        found = {name: _edges(*pair, first) for name, pair in bounds.items() if pair is not None}
        mean = _student(counts.sum(axis=0), first, float(sums.sum()), level)
        return {**found, **({"mean": mean} if mean else {})}
    drawn = _Resampled(counts, sums, block_weights(len(histograms), resamples, rng))
    tail = _tail(len(histograms), level)
    found = {}
    for name, q in quantiles.items():
        pair = drawn.interval(q, level)
        if pair is not None:
            found[name] = _edges(*pair, first)
    low_ns, high_ns = np.quantile(drawn.mean_ns, [tail, 1 - tail])
    return {**found, "mean": (float(low_ns), float(high_ns))}


def quantile_interval(
    counts_by_interval: IntArray,
    q: float,
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = 1000,
) -> tuple[int, int] | None:
    """The columns (buckets) between which a quantile lies, by the block bootstrap; None where nothing bounds it.

    Args:
        counts_by_interval: [intervals, buckets].
        q: a share in 0..1.
        rng: what resamples are drawn from.
        level: how often the interval is to hold the truth.
        resamples: how many are drawn.
    """
    _check([q], level)
    counts = np.asarray(counts_by_interval, np.int64)
    if not counts.sum():
        return None
    if len(counts) < ENOUGH:
        return order_statistics(counts.sum(axis=0), q, level)
    weights = block_weights(len(counts), resamples, rng)
    return _Resampled(counts, np.zeros(len(counts)), weights).interval(q, level)


def order_statistics(counts: IntArray, q: float, level: float, worth: float | None = None) -> tuple[int, int] | None:
    """The columns of the two order statistics between which a quantile lies; None where there are no such two.

    Args:
        counts: by bucket.
        q: a share in 0..1.
        level: how often the interval is to hold the truth.
        worth: how many independent draws they are worth (Korn and Graubard 1998); None: all of them.

    >>> order_statistics(np.array([50, 50]), 0.5, 0.95), order_statistics(np.array([50, 50]), 0.99, 0.95)
    ((0, 1), None)
    """
    from scipy.stats import binom

    total = int(counts.sum())
    n = total if worth is None else max(1, min(total, int(worth)))
    # The number of draws below the quantile is binomial: ranks that it leaves on either side with (1 - level) / 2.
    low, high = int(binom.ppf((1 - level) / 2, n, q)), int(binom.ppf((1 + level) / 2, n, q)) + 1
    if high > n:
        return None
    rising = np.cumsum(counts)
    ranks = max(1, low * total // n), min(total, -(-high * total // n))
    return int(np.searchsorted(rising, ranks[0])), int(np.searchsorted(rising, ranks[1]))


def compare(
    first: Sequence[Histogram],
    second: Sequence[Histogram],
    quantiles: Mapping[str, float],
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = 1000,
) -> Mapping[str, Change]:
    """Quantiles, and the mean under ``mean``, of two tests of the same kind; longer is worse.

    On the logarithm, since latencies differ by factors: the block bootstrap's standard error of either test, and
    Student's t with Welch's degrees of freedom, blocks for units. Differences below what buckets resolve are nothing.
    Where either has fewer than `ENOUGH` intervals, or too few independent draws beyond the quantile, there is no test.

    Args:
        first: of each interval of the one test, in order of time.
        second: of each interval of the other; intervals of the same length, though not as many.
        quantiles: shares in 0..1, by name.
        rng: what resamples are drawn from.
        level: of the intervals.
        resamples: how many are drawn of each.
    """
    _check(quantiles.values(), level)
    sides = [_Side.of(each, rng, resamples) for each in (first, second)]
    if not all(side.total.sum() for side in sides):
        return {}
    found = {name: _quantiles(sides, q, level) for name, q in quantiles.items()}
    return {"mean": _means(sides, level), **found}


def compare_shares(
    first: tuple[IntArray, IntArray],
    second: tuple[IntArray, IntArray],
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = 1000,
) -> Change | None:
    """The share of successes of two tests; less is worse. None where either counted nothing.

    Args:
        first: successes and all, by interval.
        second: likewise.
        rng: what resamples are drawn from.
        level: of the interval.
        resamples: how many are drawn of each.
    """
    parts = []
    for good, whole in (first, second):
        n = float(np.sum(whole))
        if not n:
            return None
        share = float(np.sum(good)) / n
        # Of no failures at all nothing follows but that they are rare: the rule of succession keeps the error above 0.
        smooth = (share * n + 1) / (n + 2)
        error = math.sqrt(smooth * (1 - smooth) / n)
        if len(whole) >= ENOUGH:
            weights = block_weights(len(whole), resamples, rng)
            error = max(
                error, float(((weights @ good) / np.maximum(weights @ whole, 1.0)).std()) * _inflation(len(whole))
            )
        parts.append((share, error, len(whole)))
    (a, _, n_a), (b, _, n_b) = parts
    if min(n_a, n_b) < ENOUGH:
        return Change(a, b, b - a)
    lower, upper, p_value = _welch(a - b, [(error, _blocks(n)) for _, error, n in parts], level)
    return Change(a, b, b - a, -upper, -lower, p_value)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number (Holm 1979): by chance below alpha in at most a share alpha of all cases.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    corrected = [0.0] * len(p_values)
    most = 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        most = max(most, min(1.0, p_values[index] * (len(p_values) - place)))
        corrected[index] = most
    return corrected


class _Resampled:
    """The histogram of each resample, and what is read off it."""

    def __init__(self, counts: IntArray, sums: FloatArray, weights: FloatArray) -> None:
        self.counts = counts
        self.weights = weights
        self.columns = np.flatnonzero(counts.sum(axis=0))
        self.rising = np.cumsum(weights @ counts[:, self.columns].astype(np.float64), axis=1)
        self.total = self.rising[:, -1]
        self.mean_ns: FloatArray = (weights @ sums) / np.maximum(self.total, 1.0)

    def quantile(self, q: float) -> IntArray:
        """The column that each resample's quantile falls into (nearest rank)."""
        rank = np.maximum(1.0, np.ceil(q * self.total * _ROUNDING))
        place = (self.rising < rank[:, None]).sum(axis=1)
        found: IntArray = self.columns[np.minimum(place, len(self.columns) - 1)]
        return found

    def interval(self, q: float, level: float) -> tuple[int, int] | None:
        """The columns between which a quantile lies.

        The wider of two: percentiles of the resamples, which know of slow hours, and the order statistics of as many
        independent draws as these are worth, which know that resamples never show more than was seen.
        """
        pair = order_statistics(self.counts.sum(axis=0), q, level, self.worth(q, level))
        if pair is None:
            return None
        tail = _tail(len(self.counts), level)
        low, high = np.quantile(self.quantile(q), [tail, 1 - tail], method="nearest")
        return min(int(low), pair[0]), max(int(high), pair[1])

    def worth(self, q: float, level: float) -> float:
        """How many independent draws tell as much of a quantile: all, over the growth of the variance by blocks.

        Fewer where there are few blocks, since that growth is then not well known (Korn and Graubard 1998).
        """
        total = self.counts.sum(axis=0)
        rising = np.cumsum(total)
        column = int(np.searchsorted(rising, max(1, math.ceil(q * int(rising[-1]) * _ROUNDING))))
        share = float(rising[column] / rising[-1])
        n = float(rising[-1])
        if not 0.0 < share < 1.0:
            return n
        below = self.counts[:, : column + 1].sum(axis=1) - share * self.counts.sum(axis=1)
        blocks = _blocks(len(self.counts))
        variance = float((self.weights @ below).var()) * blocks / (blocks - 1)
        return n / max(1.0, variance / (n * share * (1 - share))) * _certain(blocks, level)


@dataclass(frozen=True, slots=True)
class _Side:
    """One of two tests."""

    total: IntArray
    first: int
    sum_ns: float
    n: int
    drawn: "_Resampled | None"

    @classmethod
    def of(cls, histograms: Sequence[Histogram], rng: np.random.Generator, resamples: int) -> "_Side":
        counts, first = stacked(histograms)
        sums = np.array([each.sum_ns for each in histograms], np.float64)
        enough = int((counts.sum(axis=1) > 0).sum()) >= ENOUGH
        drawn = _Resampled(counts, sums, block_weights(len(counts), resamples, rng)) if enough else None
        return cls(counts.sum(axis=0), first, float(sums.sum()), len(counts), drawn)

    def quantile_ns(self, q: float) -> float:
        return Histogram.of_counts(self.total, 0, self.first).quantile(q)


def _quantiles(sides: Sequence[_Side], q: float, level: float) -> Change:
    errors: list[float | None] = []
    for side in sides:
        drawn = side.drawn
        if drawn is None or order_statistics(side.total, q, level, drawn.worth(q, level)) is None:
            errors.append(None)
            continue
        values = REPRESENTATIVE_NS[side.first + drawn.quantile(q)]
        errors.append(math.hypot(float(np.log1p(values).std()), RESOLUTION))
    return _ratio([side.quantile_ns(q) for side in sides], errors, sides, level)


def _means(sides: Sequence[_Side], level: float) -> Change:
    errors = [None if side.drawn is None else float(np.log1p(side.drawn.mean_ns).std()) for side in sides]
    return _ratio([side.sum_ns / int(side.total.sum()) for side in sides], errors, sides, level)


def _ratio(values: Sequence[float], errors: Sequence[float | None], sides: Sequence[_Side], level: float) -> Change:
    a, b = values
    change = (b + 1) / (a + 1) - 1
    known = [
        (error * _inflation(side.n), _blocks(side.n))
        for error, side in zip(errors, sides, strict=True)
        if error is not None
    ]
    if len(known) < 2:
        return Change(a, b, change)
    lower, upper, p_value = _welch(math.log1p(change), known, level)
    return Change(a, b, change, math.expm1(lower), math.expm1(upper), p_value)


def _welch(change: float, errors: Sequence[tuple[float, float]], level: float) -> tuple[float, float, float]:
    """The interval of a difference, and the one-sided p-value of it being none; errors with the blocks they rest on."""
    from scipy.special import stdtr, stdtrit

    error = math.hypot(*(each for each, _ in errors))
    if not error:
        return change, change, 1.0 if change <= 0 else 0.0
    freedom = 1 / sum((each / error) ** 4 / (blocks - 1) for each, blocks in errors)
    half = float(stdtrit(freedom, (1 + level) / 2)) * error
    return change - half, change + half, float(stdtr(freedom, -change / error))


def _blocks(n: int) -> float:
    return n / block_length(n)


def _inflation(n: int) -> float:
    """What a bootstrap's standard error lacks, since it divides by the number of blocks and not by one less."""
    return math.sqrt(_blocks(n) / (_blocks(n) - 1))


def _certain(blocks: float, level: float) -> float:
    """The square of the normal reach over Student's."""
    from scipy.special import ndtri, stdtrit

    return float((ndtri((1 + level) / 2) / stdtrit(blocks - 1, (1 + level) / 2)) ** 2)


def _tail(n: int, level: float) -> float:
    """The share of resamples beyond an end, so that few blocks do not make intervals too narrow."""
    from scipy.special import ndtr, stdtrit

    blocks = _blocks(n)
    reach = _inflation(n) * float(stdtrit(blocks - 1, (1 + level) / 2))
    return float(ndtr(-reach))


def _edges(low: int, high: int, first: int) -> tuple[float, float]:
    """From the least that the one bucket holds to the most that the other does, in nanoseconds."""
    return bucket_edges(first + low)[0], bucket_edges(first + high)[1]


def bucket_edges(bucket: int) -> tuple[float, float]:
    """The least and the greatest duration that fall into a bucket of a `Histogram`, in nanoseconds.

    >>> bucket_edges(64), bucket_edges(1274)
    ((1.0, 1.0), (999423.0, 1007614.0))
    """
    low, above = (((np.array([bucket, bucket + 1]) + BIAS) << SHIFT).view(np.float64)).tolist()
    return math.ceil(low) - 1.0, max(math.ceil(above) - 2.0, math.ceil(low) - 1.0)


def _student(counts: IntArray, first: int, sum_ns: float, level: float) -> tuple[float, float] | None:
    from scipy.special import stdtrit

    n = int(counts.sum())
    if n < 2:
        return None
    mean = sum_ns / n
    values = REPRESENTATIVE_NS[first : first + counts.size]
    variance = float(counts @ (values - mean) ** 2) / (n - 1)
    half = float(stdtrit(n - 1, (1 + level) / 2)) * math.sqrt(variance / n)
    return max(0.0, mean - half), mean + half


def _check(shares: Iterable[float], level: float) -> None:
    if not 0.0 < level < 1.0:
        raise ValueError(f"the level is {level}: it lies between 0 and 1, such as 0.95")
    for q in shares:
        if not 0.0 <= q <= 1.0:
            raise ValueError(f"a quantile is asked for at {q}; it takes a share from 0 to 1")
