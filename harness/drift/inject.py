"""Drift put into data on purpose: shifted, rescaled, swapped and missing values, and answers that changed.

Every effect has a strength from 0 (nothing) to 1. Effects on a share of the rows take them by rank in a given order, so
a row once affected stays affected as strength grows, and the count is exact.
"""

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.domain.fault import DataDrift, LabelDrift, Missing, Scale, Shift, Swap
from harness.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

Ranks: TypeAlias = NDArray[np.int64]
"""A place in line for each row, from 0: a permutation."""


def affected(ranks: Ranks, share: float) -> NDArray[np.bool_]:
    """The rows that an effect on this share of them reaches.

    >>> affected(np.array([2, 0, 3, 1]), 0.5).tolist()
    [False, True, False, True]
    """
    return ranks < round(share * len(ranks))


def check(rows: "pd.DataFrame", effect: DataDrift) -> None:
    """Raise where an effect cannot be put into these rows.

    Raises:
        InputError: no such column, a column of another kind, or a category that does not occur.
    """
    if isinstance(effect, LabelDrift):
        return
    if effect.column not in rows.columns:
        raise InputError(f"no feature is called {effect.column!r}; there are {', '.join(map(str, rows.columns))}")
    values = rows[effect.column]
    numeric = values.dtype.kind in "iuf"
    if isinstance(effect, Shift | Scale) and not numeric:
        raise InputError(f"{effect.column} holds categories; only a column of numbers can be shifted or scaled")
    if isinstance(effect, Swap):
        if numeric:
            raise InputError(f"{effect.column} holds numbers; only two categories can be swapped")
        known = sorted(str(value) for value in values.dropna().unique())
        for word in (effect.first, effect.second):
            if word not in known:
                raise InputError(f"{effect.column} never is {word!r}; it is one of {', '.join(known[:20])}")


def drifted(rows: "pd.DataFrame", effect: DataDrift, strength: float, ranks: Ranks, deviation: float) -> "pd.DataFrame":
    """The rows with one effect in force; the rows given stay as they are.

    Args:
        rows: a DataFrame with the effect's column.
        effect: what to do to it; a `LabelDrift` leaves rows alone.
        strength: 0 to 1. `Shift` moves by ``strength * deviations * deviation``, `Scale` multiplies by
            ``1 + (factor - 1) * strength``, `Swap` and `Missing` reach the share ``strength`` of the rows they name.
        ranks: the order in which rows are reached.
        deviation: the column's standard deviation in the undrifted rows, for `Shift`.
    """
    if isinstance(effect, LabelDrift) or strength <= 0:
        return rows
    values = rows[effect.column]
    match effect:
        case Shift():
            changed = values + strength * effect.deviations * deviation
        case Scale():
            changed = values * (1 + (effect.factor - 1) * strength)
        case Swap():
            first, second = (values == effect.first).to_numpy(), (values == effect.second).to_numpy()
            reached = affected(ranks, strength)
            changed = values.mask(first & reached, effect.second).mask(second & reached, effect.first)
        case Missing():
            changed = values.astype("float64") if values.dtype.kind in "iu" else values
            changed = changed.mask(affected(ranks, strength * effect.share), np.nan)
    return rows.assign(**{effect.column: changed})


def relabelled(
    target: NDArray[Any], effect: LabelDrift, strength: float, ranks: Ranks, deviation: float
) -> NDArray[Any]:
    """The true answers after concept drift: the other class, or one standard deviation more.

    Args:
        target: 0/1 integers, or float64.
        effect: on what share of the answers.
        strength: 0 to 1.
        ranks: the order in which answers are reached.
        deviation: the standard deviation of the undrifted answers.
    """
    reached = affected(ranks, strength * effect.share)
    changed = target + deviation if target.dtype.kind == "f" else 1 - target
    return np.where(reached, changed, target).astype(target.dtype)
