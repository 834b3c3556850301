"""A column of numbers in bounded memory: a sketch of its distribution with a bound on its error, mergeable.

Buffers of values, level by level: a value at level h stands for 2**h rows. A buffer with more than ``capacity`` values
is compacted: every second of its sorted values, odd or even places by a coin, goes one level up (Munro and Paterson
1980; Manku, Rajagopalan and Lindsay 1998; Karnin, Lang and Liberty, "Optimal quantile approximation in streams", 2016).
That moves the rank of any number by at most 2**h rows, so the sum over compactions bounds the error of every rank, for
certain and not with some probability. Before a row is seen it is known that no rank is wrong by more than the share
``(log2(n / capacity) + 1) / capacity`` of n rows; what becomes of a stream is mostly half of that.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness import seeds
from harness.drift.bins import DECILES
from harness.drift.figures import NumericFigures, missing_figures
from harness.drift.samples import known, ks_asymptotic
from harness.drift.shares import Deciles, distance, psi, with_missing
from harness.drift.statistical import FloatArray

CAPACITY: Final = 8192
"""Values in a buffer: 64 KiB a level, and a rank error of 0.14 % at most in 10 million rows."""


class Sketch:
    """What is kept of a column of numbers.

    >>> sketch = Sketch(seeds.stream(1, "age"), capacity=100)
    >>> for start in range(0, 100_000, 1000):
    ...     sketch.update(np.arange(start, start + 1000.0))
    >>> bool(abs(sketch.rank([50_000.0])[0] - 50_001) <= sketch.error_rows <= sketch.error_bound() * 100_000)
    True
    """

    def __init__(self, stream: seeds.Stream, capacity: int = CAPACITY) -> None:
        if capacity < 2:
            raise ValueError(f"a buffer holds two values or more, not {capacity}")
        self.capacity = capacity
        self.rows = 0
        """Known values."""
        self.missing = 0
        """Rows without a value."""
        self.least, self.greatest = float("inf"), float("-inf")
        """Of all known values, kept or not."""
        self.error_rows = 0
        """No rank is wrong by more rows than this."""
        self._stream = stream
        self._coins = stream.generator()
        self.levels: list[FloatArray] = [np.empty(0)]
        """Values that each stand for one row, for two, for four and so on."""
        self._weighted: tuple[FloatArray, FloatArray] | None = None

    @property
    def error(self) -> float:
        """No share of rows is wrong by more than this, 0 to 1."""
        return self.error_rows / self.rows if self.rows else 0.0

    def error_bound(self) -> float:
        """What `error` cannot be above, whatever the rows and however they came; a matter of their number alone."""
        if self.rows <= self.capacity:
            return 0.0
        return float((np.log2(self.rows / self.capacity) + 1) / self.capacity)

    def update(self, values: ArrayLike) -> None:
        """Take more rows in: floats in any order, NaN where missing. The larger the chunk, the smaller the error."""
        ordered = known(values)
        self.missing += np.size(values) - len(ordered)
        if len(ordered):
            self.rows += len(ordered)
            self.least, self.greatest = min(self.least, ordered[0]), max(self.greatest, ordered[-1])
            self._take([ordered])

    def merged(self, other: "Sketch") -> "Sketch":
        """A sketch of the rows of both; errors add up, and the bound holds as if one had seen them all.

        Raises:
            ValueError: they have buffers of different length.
        """
        if self.capacity != other.capacity:
            raise ValueError(f"sketches of capacity {self.capacity} and {other.capacity} cannot be merged")
        found = Sketch(self._stream.child(f"{self.rows}+{other.rows}"), self.capacity)
        found.rows, found.missing = self.rows + other.rows, self.missing + other.missing
        found.least, found.greatest = min(self.least, other.least), max(self.greatest, other.greatest)
        found.error_rows = self.error_rows + other.error_rows
        found._take(self.levels)
        found._take(other.levels)
        return found

    def items(self) -> tuple[FloatArray, FloatArray]:
        """The values kept, in order, and how many rows up to and with each: whole numbers as floats."""
        if self._weighted is None:
            values = np.concatenate(self.levels)
            weights = np.repeat(2.0 ** np.arange(len(self.levels)), [len(level) for level in self.levels])
            order = np.argsort(values, kind="stable")
            self._weighted = values[order], np.cumsum(weights[order])
        return self._weighted

    def rank(self, values: ArrayLike, *, below: bool = False) -> FloatArray:
        """How many rows are no greater than each number (or smaller, with ``below``), to within `error_rows`."""
        kept, upto = self.items()
        places = np.searchsorted(kept, values, side="left" if below else "right")
        return np.concatenate([[0.0], upto])[places]

    def quantile(self, shares: ArrayLike) -> FloatArray:
        """The least kept value that at least these shares of the rows do not exceed; to within `error` of the share.

        Raises:
            ValueError: nothing was taken in.
        """
        kept, upto = self.items()
        if not len(kept):
            raise ValueError("a sketch without rows has no quantiles")
        places = np.searchsorted(upto, np.asarray(shares, dtype=np.float64) * self.rows, side="left")
        return kept[np.minimum(places, len(kept) - 1)]

    @property
    def nbytes(self) -> int:
        """Memory of the values kept; at most ``8 * capacity`` a level, of which there are log2(n / capacity) + 2."""
        return sum(level.nbytes for level in self.levels)

    def _take(self, levels: list[FloatArray]) -> None:
        self._weighted = None
        for height, values in enumerate(levels):
            self._add(height, values)
        height = 0
        while height < len(self.levels):
            if len(self.levels[height]) > self.capacity:
                self._compact(height)
            height += 1

    def _add(self, height: int, values: FloatArray) -> None:
        while len(self.levels) <= height:
            self.levels.append(np.empty(0))
        if len(values):
            self.levels[height] = np.concatenate([self.levels[height], values])

    def _compact(self, height: int) -> None:
        ordered = np.sort(self.levels[height])
        even = len(ordered) - len(ordered) % 2
        self.levels[height] = ordered[even:].copy()
        self._add(height + 1, ordered[int(self._coins.integers(2)) : even : 2])
        self.error_rows += 2**height


@dataclass(frozen=True, slots=True)
class SketchFigures:
    """Two sketches compared, with what the sketching may have done to each figure."""

    figures: NumericFigures
    """The p-value is that of the least Kolmogorov-Smirnov statistic that the errors allow: no alarm comes of sketching.

    Cramér-von Mises is not among them.
    """
    ks_error: float
    """The statistic is wrong by no more."""
    share_error: float
    """No cell of PSI and Jensen-Shannon has a share that is wrong by more; twice the larger error of the two."""
    wasserstein_error: float
    """The distance is wrong by no more: the errors times the range of all values; 0 where it is infinite."""


def compare(reference: Sketch, current: Sketch) -> SketchFigures:
    """The figures of two sketched columns, in time and memory of what is kept of them.

    Args:
        reference: its deciles are the cells of PSI and Jensen-Shannon.
        current: rows to compare.

    Raises:
        ValueError: no known value on one side.
    """
    if not reference.rows or not current.rows:
        raise ValueError(f"each side needs known values; there are {reference.rows} and {current.rows}")
    error = reference.error + current.error
    ends = [min(reference.least, current.least), max(reference.greatest, current.greatest)]
    points = np.unique(np.concatenate([reference.items()[0], current.items()[0], ends]))
    apart = np.abs(reference.rank(points) / reference.rows - current.rank(points) / current.rows)
    statistic = float(apart.max())
    finite = bool(np.isfinite(ends).all())
    moved = float((apart[:-1] * np.diff(points)).sum()) if finite else float("inf")
    rows = reference.rows + reference.missing, current.rows + current.missing
    cells = _cells(reference, current)
    figures = NumericFigures(
        rows=rows,
        ks_statistic=statistic,
        ks_p_value=ks_asymptotic(max(statistic - error, 0.0), reference.rows, current.rows),
        cvm_statistic=None,
        cvm_p_value=None,
        psi=psi(*cells),
        jensen_shannon=distance(*cells),
        wasserstein=moved,
        wasserstein_scaled=moved / max(_deviation(reference), 0.001) if finite else float("inf"),
        missing=missing_figures(rows[0], reference.missing, rows[1], current.missing),
    )
    span = ends[1] - ends[0] if finite and error else 0.0
    return SketchFigures(figures, error, 2 * max(reference.error, current.error), float(error * span))


def _cells(reference: Sketch, current: Sketch) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Counts in the cells that the deciles of the reference part."""
    edges = Deciles.at(reference.quantile(DECILES), reference.greatest).edges
    counts = []
    for sketch in (reference, current):
        below = sketch.rank(edges, below=True)
        counts.append(np.diff(np.concatenate([[0.0], below, [float(sketch.rows)]])).astype(np.int64))
    return with_missing(counts[0], counts[1], reference.missing, current.missing)


def _deviation(sketch: Sketch) -> float:
    kept, upto = sketch.items()
    weights = np.diff(upto, prepend=0.0)
    mean = np.average(kept, weights=weights)
    return float(np.sqrt(np.average((kept - mean) ** 2, weights=weights)))
