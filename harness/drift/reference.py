"""A table made ready to be compared with many windows of live rows: each column sorted or counted once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.drift.figures import CategoryReference, Figures, NumericReference
from harness.drift.samples import Method

Columns: TypeAlias = Mapping[str, Any]
"""Arrays by name: float or integer ones are numbers, all others (text, objects, truth values) categories."""

NUMBERS, CATEGORIES = "numbers", "categories"
_NUMERIC: Final = "iuf"


def kind_of(values: NDArray[Any]) -> str:
    """Whether an array holds numbers or categories, by its type."""
    return NUMBERS if values.dtype.kind in _NUMERIC else CATEGORIES


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """The reference columns, fitted.

    >>> fitted = Reference.fit({"age": np.arange(100.0)})
    >>> round(fitted.compare({"age": np.arange(50.0)})["age"].ks_statistic, 2)
    0.5
    """

    columns: Mapping[str, NumericReference | CategoryReference]

    @classmethod
    def fit(cls, columns: Columns) -> "Reference":
        """Sort each column of numbers and count each of categories; n log n for n rows, and a copy of the numbers."""
        return cls({name: _fitted(np.asarray(values)) for name, values in columns.items()})

    def kind(self, name: str) -> str:
        """``numbers`` or ``categories``."""
        return NUMBERS if isinstance(self.columns[name], NumericReference) else CATEGORIES

    def compare(
        self, columns: Columns, *, method: Method = "auto", cvm: bool = False, level: float | None = None
    ) -> dict[str, Figures]:
        """The figures of every column given against the reference's of that name, in the order given.

        Args:
            columns: of the same kinds as the reference's; any number of rows.
            method: of the p-value of Kolmogorov-Smirnov.
            cvm: Cramér-von Mises as well.
            level: that p-values will be held against; of categories of few rows it decides how small theirs can be.

        Raises:
            ValueError: a column that the reference lacks or has of another kind, or no rows.
        """
        return {name: self._one(name, np.asarray(values), method, cvm, level) for name, values in columns.items()}

    def _one(self, name: str, values: NDArray[Any], method: Method, cvm: bool, level: float | None) -> Figures:
        if name not in self.columns:
            raise ValueError(f"the reference has no column {name!r}; it has {', '.join(self.columns)}")
        fitted, kind = self.columns[name], kind_of(values)
        if kind != self.kind(name):
            raise ValueError(f"{name} holds {self.kind(name)} in the reference and {kind} in the current rows")
        if isinstance(fitted, NumericReference):
            return fitted.compare(values, method=method, cvm=cvm)
        return fitted.compare(values, level)


def _fitted(values: NDArray[Any]) -> NumericReference | CategoryReference:
    return NumericReference.of(values) if kind_of(values) == NUMBERS else CategoryReference.of(values)


def by_name(matrix: NDArray[np.float64], names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """The columns of a matrix ``[rows, columns]``, as `Reference` takes them.

    Raises:
        ValueError: more or fewer names than columns.
    """
    return {name: matrix[:, place] for place, name in zip(range(matrix.shape[1]), names, strict=True)}
