"""Values far from the rest of their column; exact, in bounded memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from harness.data.chunk import ROWS_TOLD, Chunk, What, failure
from harness.data.rule import FACTORS, Method, Rule
from harness.data.schema import ColumnRole
from harness.data.spill import Numbers
from harness.data.table import label_text
from harness.domain.quality import Failure

if TYPE_CHECKING:
    from harness.data.quality import Subject

MAD: Final = 0.6745
"""The 75th percentile of the standard normal distribution: what MAD is of a standard deviation."""
MEAN_DEVIATION: Final = 1.253314
"""Of a normal distribution, standard deviations to one mean absolute deviation; used where MAD is 0."""


@dataclass(frozen=True, slots=True)
class Fences:
    """What lies outside of these is an outlier."""

    low: float
    high: float


def fences(values: Numbers, method: Method, factor: float | None = None) -> Fences | None:
    """The fences of a column by a method; None where it has too few values, or no spread to measure by.

    >>> column = Numbers()
    >>> column.add(np.array([1.0, 2, 3, 4, 5, 100]))
    >>> fences(column, Method.IQR)
    Fences(low=-1.5, high=8.5)
    """
    k = FACTORS[method] if factor is None else factor
    if values.count < 2:
        return None
    if method is Method.IQR:
        low, high = values.quantiles((0.25, 0.75))
        return Fences(low - k * (high - low), high + k * (high - low))
    if method is Method.ZSCORE:
        mean = values.moments()
        spread = (values.moments(mean, 2) * values.count / (values.count - 1)) ** 0.5
        return Fences(mean - k * spread, mean + k * spread) if spread else None
    (middle,) = values.quantiles((0.5,))
    (mad,) = values.quantiles((0.5,), middle)
    spread = mad / MAD if mad else MEAN_DEVIATION * values.moments(middle)
    return Fences(middle - k * spread, middle + k * spread) if spread else None


class Outliers:
    """The rule `outliers` at work."""

    def __init__(self, rule: Rule, subject: "Subject") -> None:
        self.rule = rule
        columns = subject.schema.columns
        named = subject.columns(rule, ColumnRole.FEATURE)
        self._kept = {name: Numbers() for name in named if name in columns and columns[name].type.numeric}
        self.costs = tuple(f"outliers {name}: 8 bytes a row, beyond 32 MB in a temporary file" for name in self._kept)

    def learn(self, chunk: Chunk) -> None:
        """Nothing is to be known of training data."""

    def see(self, chunk: Chunk) -> None:
        """Take in more rows."""
        for name, kept in self._kept.items():
            if name in chunk.frame:
                kept.add(chunk.frame[name].to_numpy(dtype=np.float64))

    def failures(self, rows: int) -> Iterator[Failure]:
        """What was found, among so many rows."""
        for name, kept in self._kept.items():
            found = fences(kept, self.rule.method, self.rule.factor)
            if found is None:
                continue
            count, first = outside(kept, found)
            if count > self.rule.max_share * rows:
                share = f"; at most {100 * self.rule.max_share:g}% may be" if self.rule.max_share else ""
                text = f"an outlier, not within {found.low:.6g} to {found.high:.6g} by {self.rule.method}{share}"
                what = What((name,), self.rule.check.value, text, quotes=True, severity=self.rule.severity)
                numbers = tuple(row for row, _ in first)
                yield failure(what, rows, count, numbers, tuple(label_text(value) for _, value in first))


def outside(kept: Numbers, found: Fences) -> tuple[int, list[tuple[int, float]]]:
    """How many values lie outside, and the first of them, each with its row, counted from 1."""
    count, first = 0, list[tuple[int, float]]()
    for place, block in kept.blocks():
        wrong = np.flatnonzero((block < found.low) | (block > found.high))
        count += len(wrong)
        first += [(place + int(at) + 1, float(block[at])) for at in wrong[: ROWS_TOLD - len(first)]]
    return count, first
