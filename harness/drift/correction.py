"""Many tests at once: p-values adjusted so that one level holds for all, and what that level means in alarms."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.drift.statistical import FloatArray

DAYS_A_MONTH: Final = 30.0


def bonferroni(p_values: ArrayLike) -> FloatArray:
    """Each p-value times how many there are, 1 at most: the family-wise level holds whatever the tests share.

    >>> bonferroni([0.01, 0.04, 0.5]).round(4).tolist()
    [0.03, 0.12, 1.0]
    """
    given = _checked(p_values)
    return np.minimum(given * len(given), 1.0)


def holm(p_values: ArrayLike) -> FloatArray:
    """Holm's step-down (1979): the family-wise level of Bonferroni, with more power, under any dependence.

    >>> holm([0.01, 0.04, 0.03]).round(4).tolist()
    [0.03, 0.06, 0.06]
    """
    given = _checked(p_values)
    order = np.argsort(given, kind="stable")
    stepped = np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1))
    return _in_place(np.minimum(stepped, 1.0), order)


def benjamini_hochberg(p_values: ArrayLike) -> FloatArray:
    """Benjamini and Hochberg's step-up (1995): the share of false ones among the alarms, for independent tests.

    Where nothing drifted it holds the family-wise level as well; where something did, more columns are named, and some
    of them wrongly.

    >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(4).tolist()
    [0.03, 0.04, 0.04]
    """
    given = _checked(p_values)
    order = np.argsort(given, kind="stable")
    stepped = given[order] * len(given) / np.arange(1, len(given) + 1)
    return _in_place(np.minimum(np.minimum.accumulate(stepped[::-1])[::-1], 1.0), order)


def _in_place(adjusted: FloatArray, order: NDArray[np.int64]) -> FloatArray:
    found = np.empty_like(adjusted)
    found[order] = adjusted
    return found


def _checked(p_values: ArrayLike) -> FloatArray:
    given = np.asarray(p_values, dtype=np.float64)
    if given.ndim != 1 or not ((given >= 0) & (given <= 1)).all():
        raise ValueError("p-values are a flat list of numbers from 0 to 1")
    return given


CORRECTIONS: Final[Mapping[str, Callable[[ArrayLike], FloatArray]]] = MappingProxyType(
    {"benjamini_hochberg": benjamini_hochberg, "bonferroni": bonferroni, "holm": holm}
)
"""By the word that stands in a scenario or on the command line."""


def adjusted(p_values: ArrayLike, correction: str = "holm") -> FloatArray:
    """P-values to be held against the level itself, by the name of the correction.

    Raises:
        ValueError: no such correction, or something that is no p-value.
    """
    if correction not in CORRECTIONS:
        raise ValueError(f"no correction is called {correction!r}; there are {', '.join(CORRECTIONS)}")
    return CORRECTIONS[correction](p_values)


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """What a family-wise level means where nothing ever drifts and windows are independent of each other."""

    expected_per_month: float
    """Mean number of false alarms in 30 days."""
    chance_per_month: float
    """Of one or more in 30 days."""
    windows_between: float
    """Mean number of windows from one false alarm to the next; infinite at level 0."""


def expected_false_alarms(alpha: float, windows_per_month: float) -> FalseAlarms:
    """The false alarms of a check at family-wise level ``alpha``, so many windows a month.

    Args:
        alpha: chance that a window without drift alarms, over all of its columns.
        windows_per_month: see `windows_per_month`.

    Raises:
        ValueError: a level outside 0..1, or a negative number of windows.

    >>> expected_false_alarms(0.01, windows_per_month(3600)).expected_per_month
    7.2
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"a level is a chance from 0 to 1, not {alpha}")
    if windows_per_month < 0:
        raise ValueError(f"there cannot be {windows_per_month} windows a month")
    none = (1 - alpha) ** windows_per_month
    return FalseAlarms(alpha * windows_per_month, 1 - none, 1 / alpha if alpha else float("inf"))


def windows_per_month(window_s: float) -> float:
    """How many windows of this length, one after another, 30 days have.

    Raises:
        ValueError: no length.
    """
    if not window_s > 0:
        raise ValueError(f"a window lasts some time, not {window_s} s")
    return DAYS_A_MONTH * 86_400 / window_s
