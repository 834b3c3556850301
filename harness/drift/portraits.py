"""Columns as they are shown: a few figures of each data set, and their histograms over the same bins."""

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.domain.drift import Distribution, Summary
from harness.drift.bins import MISSING

if TYPE_CHECKING:
    import pandas as pd

BINS: Final = 30
MOST_CATEGORIES: Final = 12
TAIL: Final = 0.005
NEW_TOLD: Final = 5
OTHER: Final = "other"

FloatArray = NDArray[np.float64]


def numeric(values: "pd.Series[Any]") -> bool:
    """Whether a column, as `harness.drift.tables.prepared` makes it, holds numbers."""
    return values.dtype.kind in "iuf"


def summary(values: "pd.Series[Any]") -> Summary:
    """A column in figures; of categories only how much is missing."""
    rows, missing = len(values), float(values.isna().mean()) if len(values) else 0.0
    known = values.dropna()
    if not numeric(values) or not len(known):
        return Summary(rows, missing)
    numbers = known.to_numpy(dtype=np.float64)
    return Summary(
        rows=rows,
        missing=missing,
        mean=float(numbers.mean()),
        deviation=float(numbers.std(ddof=1)) if len(numbers) > 1 else None,
        median=float(np.median(numbers)),
        least=float(numbers.min()),
        most=float(numbers.max()),
    )


def distribution(reference: "pd.Series[Any]", current: "pd.Series[Any]") -> Distribution:
    """Both histograms, as shares of all rows; missing values are a bin of their own where there are any."""
    drawn = _of_numbers(reference, current) if numeric(reference) else _of_categories(reference, current)
    gaps = [float(values.isna().mean()) if len(values) else 0.0 for values in (reference, current)]
    if not any(gaps):
        return drawn
    return Distribution((*drawn.labels, MISSING), (*drawn.reference, gaps[0]), (*drawn.current, gaps[1]), drawn.edges)


def _of_numbers(reference: "pd.Series[Any]", current: "pd.Series[Any]") -> Distribution:
    """Bins of one width over what both hold, but for half a percent at each end: that is in the outermost bins."""
    sides = [values.dropna().to_numpy(dtype=np.float64) for values in (reference, current)]
    known = np.concatenate(sides)
    if not len(known):
        return Distribution((), (), ())
    distinct = np.unique(known)
    if len(distinct) <= BINS // 2:  # counts, flags: a bin for each value
        middles = (distinct[1:] + distinct[:-1]) / 2
        reach = float(np.diff(distinct).min()) / 2 if len(distinct) > 1 else 0.5
        edges = np.concatenate([[distinct[0] - reach], middles, [distinct[-1] + reach]])
        labels = tuple(f"{value:.6g}" for value in distinct)
    else:
        lows, highs = zip(*(np.quantile(side, [TAIL, 1 - TAIL]) for side in sides if len(side)), strict=True)
        low, high = float(min(lows)), float(max(highs))
        if high <= low:
            low, high = float(known.min()), float(known.max())
        edges = np.linspace(low, high, BINS + 1)
        labels = tuple(f"{left:.4g} to {right:.4g}" for left, right in pairwise(edges))
    first, second = (
        np.histogram(np.clip(side, edges[0], edges[-1]), edges)[0] / max(len(values), 1)
        for side, values in zip(sides, (reference, current), strict=True)
    )
    return Distribution(labels, tuple(first.tolist()), tuple(second.tolist()), tuple(edges.tolist()))


def _of_categories(reference: "pd.Series[Any]", current: "pd.Series[Any]") -> Distribution:
    """The most frequent of either, most of the reference first; the rest together."""
    before, now = (values.value_counts() / max(len(values), 1) for values in (reference, current))
    words = sorted({*before.index, *now.index}, key=lambda word: (-max(before.get(word, 0), now.get(word, 0)), word))
    shown = sorted(words[:MOST_CATEGORIES], key=lambda word: (-before.get(word, 0), -now.get(word, 0), word))
    sides = [[float(counts.get(word, 0.0)) for word in shown] for counts in (before, now)]
    labels = [str(word) for word in shown]
    if len(words) > len(shown):
        labels.append(OTHER)
        for side, counts in zip(sides, (before, now), strict=True):
            side.append(max(float(counts.sum()) - sum(side), 0.0))
    return Distribution(tuple(labels), tuple(sides[0]), tuple(sides[1]))


def new_categories(reference: "pd.Series[Any]", current: "pd.Series[Any]") -> tuple[str, ...]:
    """Those that the reference never has, the most frequent first; at most five."""
    if numeric(reference):
        return ()
    unknown = current.dropna()
    counted = unknown[~unknown.isin(reference.dropna().unique())].value_counts()
    return tuple(str(word) for word in counted.index[:NEW_TOLD])
