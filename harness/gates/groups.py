"""Rows by group: who is in which, and what a classifier did to each, as counts that a bootstrap can draw anew."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.domain.evaluation import MOST_RESAMPLES
from harness.errors import InputError

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
CELLS = 4_000_000
"""Counts of resamples held at a time: 32 MB."""
MISSING = "(missing)"
MOST = 200
"""Groups: a column with more values than this tells rows apart, not groups."""


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """The groups that are judged, and those that are too small to be."""

    names: tuple[str, ...]
    codes: IntArray
    """Of each row: its group's place among the names; -1: of a group that is left out. Shape (rows,)."""
    left_out: tuple[tuple[str, int], ...]
    """Name and rows of each group below the least size."""


def grouping(rows: Any, columns: tuple[str, ...], min_rows: int) -> Grouping:
    """Rows by the values of sensitive columns; of several, by their combinations.

    Args:
        rows: a DataFrame.
        columns: names.
        min_rows: groups of fewer rows are left out.

    Raises:
        InputError: a column is not among the rows, or has too many values to make groups.
    """
    for column in columns:
        if column not in rows.columns:
            raise InputError(
                f"the held-out rows have no column {column!r}; they have {', '.join(map(str, rows.columns))}"
            )
        if rows[column].nunique() > MOST:
            raise InputError(
                f"{column} has {rows[column].nunique():,} values, which make no groups; name another column"
            )
    labels = np.array(
        [" & ".join(map(_label, each)) for each in rows[list(columns)].itertuples(index=False, name=None)]
    )
    names, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    kept = sizes >= max(1, min_rows)
    places = np.where(kept, np.cumsum(kept) - 1, -1)
    return Grouping(
        tuple(str(name) for name in names[kept]),
        places[codes].astype(np.int64),
        tuple((str(name), int(size)) for name, size in zip(names[~kept], sizes[~kept], strict=True)),
    )


def _label(value: Any) -> str:
    if value is None or value != value:  # noqa: PLR0124 - NaN alone differs from itself
        return MISSING
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def cells(target: IntArray, predicted: IntArray, groups: Grouping) -> IntArray:
    """What became of each group's rows: shape (groups, 4), columns TN, FP, FN, TP."""
    kept = groups.codes >= 0
    outcome = 2 * target[kept] + predicted[kept]
    flat = np.bincount(groups.codes[kept] * 4 + outcome, minlength=4 * len(groups.names))
    return flat.reshape(-1, 4).astype(np.int64)


def redrawn(
    counted: IntArray, resamples: int, generator: np.random.Generator, *, most: int = CELLS
) -> Iterator[IntArray]:
    """A bootstrap within each group: rows drawn with replacement come to a multinomial draw of their four cells.

    Each group's resamples follow on those of the group before, as if all were drawn at once. Where they are too many to
    be held, a first pass finds where each group begins in the stream: the draws are the same however many are held.

    Args:
        counted: cells of each group, shape (groups, 4).
        resamples: how many, 100,000 at most.
        generator: what they are drawn from.
        most: counts held at a time.

    Yields:
        Shape (some, groups, 4), ``resamples`` in all; each group keeps its size.

    Raises:
        InputError: there are too many resamples.
    """
    if resamples > MOST_RESAMPLES:
        raise InputError(f"{resamples:,} resamples are too many: give {MOST_RESAMPLES:,} or fewer; 1,000 usually do")
    some = max(1, most // max(1, counted.size))
    counts = [min(some, resamples - start) for start in range(0, resamples, some)]
    chances = [(int(row.sum()), row / row.sum()) for row in counted]
    begins = []
    for size, chance in chances if len(counts) > 1 else ():
        begins.append(generator.bit_generator.state)
        for count in counts:
            generator.multinomial(size, chance, size=count)
    for count in counts:
        drawn = []
        for place, (size, chance) in enumerate(chances):
            if begins:
                generator.bit_generator.state = begins[place]
            drawn.append(generator.multinomial(size, chance, size=count))
            if begins:
                begins[place] = generator.bit_generator.state
        yield np.stack(drawn, axis=1).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Rates:
    """Of each group, shape (…, groups): what fairness is measured by. NaN where a group has no row to measure on."""

    selection: FloatArray
    """Share of the rows that are answered positively."""
    tpr: FloatArray
    """Of the truly positive."""
    fpr: FloatArray
    """Of the truly negative."""


def rates(counted: IntArray) -> Rates:
    """The rates of cells TN, FP, FN, TP, shape (…, groups, 4)."""
    tn, fp, fn, tp = (counted[..., place].astype(np.float64) for place in range(4))
    return Rates(_share(fp + tp, tn + fp + fn + tp), _share(tp, tp + fn), _share(fp, fp + tn))


def _share(part: FloatArray, whole: FloatArray) -> FloatArray:
    return np.asarray(np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0))
