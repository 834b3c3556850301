"""Splitting a table into training rows and held-out rows."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.errors import DataError
from harness.protocols import Population
from harness.seeds import Stream


@dataclass(frozen=True, slots=True, eq=False)
class Rows(Population):
    """Rows with their true answers, and what these are called.

    The index of ``rows`` is each row's number in the data set, from 0, whatever became of the rest.
    """

    classes: tuple[str, ...] = ()
    """The two labels as the data set writes them, the positive one last; empty for regression."""
    names: pd.DataFrame | None = None
    """Columns by which files of the user's own find rows: those of the whole data set, by the rows' numbers."""

    def take(self, chosen: NDArray[np.int64]) -> "Rows":
        """Only these rows, in this order; each keeps its number."""
        known = None if self.known is None else self.known[chosen]
        return Rows(self.rows.iloc[chosen], self.target[chosen], self.classes, self.names, known=known)


def split(rows: Rows, test_share: float, draws: Stream) -> tuple[Rows, Rows]:
    """Training rows and held-out rows, each in the order of the file.

    For classification each class is split alike: its held-out rows are its share of all that are held out, rounded so
    that the total is right (largest remainder).

    Raises:
        DataError: a class (or the table) has too few rows for both sides.
    """
    groups = [np.flatnonzero(rows.target == label) for label in (0, 1)] if rows.classes else [np.arange(len(rows.rows))]
    counts = _shares([len(group) for group in groups], test_share)
    held = []
    for place, (group, count) in enumerate(zip(groups, counts, strict=True)):
        if not 0 < count < len(group):
            which = f" with the label {rows.classes[place]!r}" if rows.classes else ""
            raise DataError(
                f"{len(group)} rows{which} cannot be split {1 - test_share:.0%} to {test_share:.0%}: "
                "both sides need at least one; give more data or another model.data.test_share"
            )
        held.append(draws.generator(place).permutation(group)[:count])
    mask = np.zeros(len(rows.rows), dtype=bool)
    mask[np.concatenate(held)] = True
    return rows.take(np.flatnonzero(~mask)), rows.take(np.flatnonzero(mask))


def split_in_order(rows: Rows, test_share: float) -> tuple[Rows, Rows]:
    """Training rows and held-out rows, the held-out ones the last of the file.

    Raises:
        DataError: one of the sides has no row, or the training rows are all of one class.
    """
    count = len(rows.rows)
    held = round(count * test_share)
    if not 0 < held < count:
        raise DataError(
            f"{count} rows cannot be split {1 - test_share:.0%} to {test_share:.0%}: both sides need at least one; "
            "give more data or another model.data.test_share"
        )
    training, later = rows.take(np.arange(count - held)), rows.take(np.arange(count - held, count))
    for name, side in (("first", training), ("last", later)):
        if rows.classes and len(np.unique(side.target)) < 2:
            raise DataError(
                f"the {name} {len(side.rows)} rows all have the label {rows.classes[int(side.target[0])]!r}; "
                "give another model.data.test_share, or leave model.data.walk out"
            )
    return training, later


def _shares(sizes: list[int], share: float) -> list[int]:
    """How many to hold out of each group.

    >>> _shares([5174, 1869], 0.25)
    [1294, 467]
    """
    exact = [size * share for size in sizes]
    counts = [int(value) for value in exact]
    rest = round(sum(sizes) * share) - sum(counts)
    for place in sorted(range(len(sizes)), key=lambda i: (counts[i] - exact[i], i))[:rest]:
        counts[place] += 1
    return counts


def target_of(frame: pd.DataFrame, target: str, positive: str | None) -> tuple[NDArray[np.generic], tuple[str, ...]]:
    """The true answers: 0/1 and the two labels, or float64 and no labels where ``positive`` is None.

    Raises:
        DataError: the column cannot be the target of that task.
    """
    from harness.data.table import label_text

    values = frame[target]
    if values.isna().any():
        rows = np.flatnonzero(values.isna().to_numpy())
        raise DataError(f"the target {target} is missing in {len(rows)} rows, the first is row {rows[0] + 1}")
    if positive is None:
        if not pd.api.types.is_numeric_dtype(values):
            raise DataError(
                f"the target {target} holds text; set model.data.positive to the label that counts as positive"
            )
        return values.to_numpy(dtype="float64"), ()
    labels = values.map(label_text).astype(object)
    found = sorted(labels.unique())
    if positive not in found:
        raise DataError(f"no row has {target} = {positive!r} (model.data.positive); it holds {_some(found)}")
    if len(found) != 2:
        raise DataError(f"the target {target} must hold two labels, but holds {len(found)}: {_some(found)}")
    (other,) = (label for label in found if label != positive)
    return (labels == positive).to_numpy().astype(np.int64), (other, positive)


def _some(values: list[str]) -> str:
    return ", ".join(repr(value) for value in values[:10]) + (", ..." if len(values) > 10 else "")
