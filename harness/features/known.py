"""Parts of scikit-learn that have nothing to learn: their arguments say all, and fitting them again changes nothing.

A model file may hold scikit-learn's own estimators and numpy's functions of one argument, and nothing else
(``skops``). So arithmetic with constants is said by estimators that are fitted by hand, and frozen: a scaler that
subtracts and divides, bins with given edges. Where numbers are whole the arithmetic below is exact.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import TruncatedSVD
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    PolynomialFeatures,
    StandardScaler,
)

from harness.domain.features import CYCLIC, Operator, Part

HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S
FIRST_YEAR: Final = 1900
LAST_YEAR: Final = 2100
"""Months and years are told of dates between these; what lies beyond counts as the first, or the last, month."""


def affine(less: float, by: float) -> Any:
    """(x - less) / by."""
    scaler = StandardScaler()
    scaler.mean_, scaler.scale_ = np.array([less], dtype=np.float64), np.array([by], dtype=np.float64)
    scaler.var_, scaler.n_features_in_, scaler.n_samples_seen_ = scaler.scale_**2, 1, 1
    return FrozenEstimator(scaler)


def clip(least: float, most: float) -> Any:
    """X, but never below ``least`` nor above ``most``."""
    scaler = MinMaxScaler(feature_range=(least, most), clip=True)
    scaler.scale_, scaler.min_, scaler.n_features_in_ = np.ones(1), np.zeros(1), 1
    return FrozenEstimator(scaler)


def weighted(weights: Sequence[float]) -> Any:
    """The weighted sum of some columns."""
    projection = TruncatedSVD(n_components=1)
    projection.components_ = np.array([weights], dtype=np.float64)
    projection.n_features_in_ = len(weights)
    return FrozenEstimator(projection)


def of_each(function: Any) -> Any:
    """One of numpy's functions of one argument, of each value."""
    return FunctionTransformer(function, feature_names_out="one-to-one")


def log() -> list[tuple[str, Any]]:
    """Steps to the logarithm of 1 + x, where a negative x counts as 0."""
    return [("positive", clip(0.0, np.inf)), ("log", of_each(np.log1p))]


# --- dates ------------------------------------------------------------------------------------------------------------


def date_part(part: Part, reference_s: float) -> list[tuple[str, Any]]:
    """Steps from Unix time in seconds to a part of the date."""
    match part:
        case Part.DAYS:
            return [("days", affine(reference_s, DAY_S))]
        case Part.YEAR:
            return [*_months(), *_whole(0, 12), ("year", affine(-FIRST_YEAR, 1))]
        case Part.MONTH:
            return [*_months(), *_left_over(12), ("from 1", affine(-1, 1))]
        case Part.WEEKDAY:  # 1970-01-01 was a Thursday
            return [*_whole(-3 * DAY_S, DAY_S), *_left_over(7)]
        case Part.HOUR:
            return [*_whole(0, HOUR_S), *_left_over(24)]


def phase(part: Part) -> list[tuple[str, Any]]:
    """Steps from a part that comes round again to the sine and the cosine of where it is in its round."""
    waves = ColumnTransformer([("sin", of_each(np.sin), [0]), ("cos", of_each(np.cos), [0])])
    return [("phase", affine(0, CYCLIC[part] / (2 * np.pi))), ("waves", waves)]


def _whole(less: float, by: float) -> list[tuple[str, Any]]:
    return [("divide", affine(less, by)), ("floor", of_each(np.floor))]


def _left_over(count: int) -> list[tuple[str, Any]]:
    """A whole number modulo ``count``: x - count * floor(x / count)."""
    both = [("all", "passthrough", [0]), ("rounds", Pipeline(_whole(0, count)), [0])]
    return [("rounds", ColumnTransformer(both)), ("left over", weighted([1, -count]))]


def _months() -> list[tuple[str, Any]]:
    """How many months have begun since the first year, by their beginnings: months are of no equal length."""
    begins = [
        datetime(year, month, 1, tzinfo=UTC).timestamp()
        for year in range(FIRST_YEAR, LAST_YEAR + 1)
        for month in range(1, 13)
    ]
    bins = KBinsDiscretizer(n_bins=len(begins), encode="ordinal")
    bins.bin_edges_ = np.array([[*begins, np.inf]])  # a plain array: files hold one of arrays number by number
    bins.n_bins_, bins.n_features_in_ = np.array([len(begins)]), 1
    return [("month", FrozenEstimator(bins))]


# --- two columns ------------------------------------------------------------------------------------------------------


def joined(operator: Operator) -> list[tuple[str, Any]]:
    """Steps from two columns to one; a ratio is a * (1 / b), and 0 where b is 0."""
    product = ("product", PolynomialFeatures(degree=(2, 2), interaction_only=True, include_bias=False))
    match operator:
        case Operator.PRODUCT:
            return [product]
        case Operator.SUM:
            return [("sum", weighted([1, 1]))]
        case Operator.DIFFERENCE:
            return [("difference", weighted([1, -1]))]
        case Operator.RATIO:  # 1 / infinity is 0
            nothing = SimpleImputer(missing_values=0.0, strategy="constant", fill_value=np.inf)
            inverse = Pipeline([("not by 0", nothing), ("inverse", of_each(np.reciprocal))])
            return [("parts", ColumnTransformer([("a", "passthrough", [0]), ("1/b", inverse, [1])])), product]
