"""Rows by group: who is in which, and what a classifier did to each, as counts that a bootstrap can draw anew."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import InputError

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
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


def redrawn(counted: IntArray, resamples: int, generator: np.random.Generator) -> IntArray:
    """A bootstrap within each group: rows drawn with replacement come to a multinomial draw of their four cells.

    Returns:
        Shape (resamples, groups, 4); each group keeps its size.
    """
    sizes = counted.sum(axis=1)
    drawn = [generator.multinomial(size, row / size, size=resamples) for size, row in zip(sizes, counted, strict=True)]
    return np.stack(drawn, axis=1).astype(np.int64)


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
