"""What a pipeline's column transformer does, without a DataFrame: arrays for numbers, tables for categories.

scikit-learn needs 5 ms to turn one row of 19 columns into features, whatever the row holds: it makes a DataFrame, and
checks it once for each part. The same arithmetic on arrays takes some 50 µs. Categories are looked up in tables that
the pipeline itself has filled, one value at a time. `harness.serving.answering` uses none of this before it has seen
that both ways give the very same bits.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.serving.checking import Row
from harness.serving.features import MISSING, Feature, Kind, plain_columns, steps_of

FloatArray = NDArray[np.float64]
NOT_SEEN: Final = "\x00harness: a value that training never saw"
FORESTS: Final = frozenset(
    {"RandomForestClassifier", "ExtraTreesClassifier", "RandomForestRegressor", "ExtraTreesRegressor"}
)
_BY_COLUMN: Final = frozenset({"SimpleImputer", "OneHotEncoder", "OrdinalEncoder"})
"""Encoders and imputers look at one column at a time, so that tables of single values say all of them."""


@dataclass(frozen=True, slots=True, eq=False)
class _Numbers:
    """Columns of numbers: imputed, then scaled."""

    places: list[int]
    out: slice
    fill: FloatArray | None
    mean: FloatArray | None
    scale: FloatArray | None

    def put(self, rows: Sequence[Row], into: FloatArray) -> None:
        values = numbers(rows, self.places)
        if self.fill is not None:
            values = np.where(np.isnan(values), self.fill, values)
        if self.mean is not None:
            values -= self.mean
        if self.scale is not None:
            values /= self.scale
        into[:, self.out] = values


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """Columns of numbers that scikit-learn's own steps transform, given an array."""

    places: list[int]
    out: slice
    steps: list[Any]

    def put(self, rows: Sequence[Row], into: FloatArray) -> None:
        values: Any = numbers(rows, self.places)
        for step in self.steps:
            values = step.transform(values)
        into[:, self.out] = values


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """One column of categories: a line of the table for each value."""

    place: int
    out: slice
    lines: dict[Any, int]
    unknown: int
    table: FloatArray

    def put(self, rows: Sequence[Row], into: FloatArray) -> None:
        place, lines, unknown = self.place, self.lines, self.unknown
        if len(rows) == 1:
            into[0, self.out] = self.table[lines.get(_key(rows[0][place]), unknown)]
        else:
            into[:, self.out] = self.table[[lines.get(_key(row[place]), unknown) for row in rows]]


def _key(value: Any) -> Any:
    """NaN is no key: it equals nothing."""
    return None if value != value else value  # noqa: PLR0124 - NaN alone differs from itself


_Part = _Numbers | _Asked | _Table


def numbers(rows: Sequence[Row], places: Sequence[int]) -> FloatArray:
    """Some columns of rows."""
    return np.array([[row[place] for place in places] for row in rows], dtype=np.float64)


def nameless(step: Any) -> Any:
    """A step that takes arrays as it takes the DataFrame it was fitted to; they share all that it has learnt."""
    twin = copy.copy(step)
    vars(twin).pop("feature_names_in_", None)
    return twin


def frame(rows: Sequence[Row], features: Sequence[Feature]) -> Any:
    """Rows as the DataFrame a pipeline was fitted to: float64 for numbers, objects with NaN for the rest."""
    import pandas as pd

    columns: dict[str, Any] = {}
    for feature, values in zip(features, zip(*rows, strict=True), strict=True):
        if feature.kind is Kind.NUMBER:
            columns[feature.name] = np.array(values, dtype=np.float64)
        elif feature.kind is Kind.ANY:
            columns[feature.name] = list(values)  # pandas says what it is
        else:
            cells = np.empty(len(values), dtype=object)
            cells[:] = [MISSING if value is None else value for value in values]
            columns[feature.name] = pd.Series(cells, dtype=object)
    return pd.DataFrame(columns)


def transformer(estimator: Any, features: Sequence[Feature]) -> Callable[[Sequence[Row]], FloatArray] | None:
    """What a pipeline's first step gives for rows, or None where it is made of parts that are not known here."""
    steps = steps_of(estimator)
    first = steps[0]
    if len(steps) < 2 or type(first).__name__ != "ColumnTransformer" or getattr(first, "sparse_output_", True):
        return None
    if not hasattr(first, "feature_names_in_"):
        return None
    if getattr(first, "_sklearn_output_config", {}).get("transform", "default") != "default":
        return None
    names = [feature.name for feature in features]
    parts: list[_Part] = []
    for label, part, columns in first.transformers_:
        chosen = plain_columns(columns, [str(name) for name in first.feature_names_in_])
        out = first.output_indices_[label]
        if out.stop == out.start or (isinstance(part, str) and part == "drop"):
            continue
        if chosen is None:
            return None
        made = _compiled(part, [names.index(name) for name in chosen], out, features)
        if made is None:
            return None
        parts += made
    width = max((slot.stop for slot in first.output_indices_.values()), default=0)

    def transform(rows: Sequence[Row]) -> FloatArray:
        into = np.zeros((len(rows), width))
        for part in parts:
            part.put(rows, into)
        return into

    return transform


def _compiled(part: Any, places: list[int], out: slice, features: Sequence[Feature]) -> Sequence[_Part] | None:
    if isinstance(part, str) or (type(part).__name__ == "FunctionTransformer" and part.func is None):
        steps: list[Any] = []
    else:
        steps = steps_of(part)
    kinds = [type(step).__name__ for step in steps]
    if steps and set(kinds) <= _BY_COLUMN and any(hasattr(step, "categories_") for step in steps):
        return _tables(part, places, out, features)
    if any(features[place].kind is not Kind.NUMBER for place in places):
        return None
    return _numbers(steps, kinds, places, out) or [_Asked(places, out, [nameless(step) for step in steps])]


def _numbers(steps: list[Any], kinds: list[str], places: list[int], out: slice) -> Sequence[_Part] | None:
    if out.stop - out.start != len(places) or kinds not in (
        [],
        ["SimpleImputer"],
        ["StandardScaler"],
        ["SimpleImputer", "StandardScaler"],
    ):
        return None
    fill = mean = scale = None
    for step in steps:
        if type(step).__name__ == "SimpleImputer":
            if step.add_indicator or not _is_nan(step.missing_values) or step.statistics_.dtype.kind != "f":
                return None
            fill = np.asarray(step.statistics_, dtype=np.float64)
        else:
            mean, scale = step.mean_ if step.with_mean else None, step.scale_ if step.with_std else None
    return [_Numbers(places, out, fill, mean, scale)]


def _tables(part: Any, places: list[int], out: slice, features: Sequence[Feature]) -> Sequence[_Part] | None:
    """Each value that is known, a missing one and one that was never seen, asked of the part itself."""
    chosen = [features[place] for place in places]
    widths = _widths(next(step for step in steps_of(part) if hasattr(step, "categories_")))
    if widths is None or len(widths) != len(places) or sum(widths) != out.stop - out.start:
        return None
    found: list[_Part] = []
    base = [_stand_in(feature) for feature in chosen]
    left = out.start
    for number, (place, feature, width) in enumerate(zip(places, chosen, widths, strict=True)):
        values = [*feature.known]
        if feature.nullable:
            values.append(MISSING if feature.kind is Kind.NUMBER else None)
        if not feature.closed:
            values.append(_never(feature))
        rows = [[*base[:number], value, *base[number + 1 :]] for value in values]
        encoded = part.transform(frame(rows, chosen))
        table = np.asarray(encoded.toarray() if hasattr(encoded, "toarray") else encoded, dtype=np.float64)
        table = table[:, left - out.start : left - out.start + width]
        lines = {_key(value): line for line, value in enumerate(values)}
        found.append(_Table(place, slice(left, left + width), lines, len(values) - 1, table))
        left += width
    return found


def _widths(encoder: Any) -> list[int] | None:
    """How many features an encoder makes of each column."""
    if type(encoder).__name__ == "OrdinalEncoder":
        return [1] * len(encoder.categories_)
    if getattr(encoder, "drop_idx_", None) is not None:
        return None
    rare = getattr(encoder, "infrequent_categories_", None) or [None] * len(encoder.categories_)
    return [
        len(known) if few is None else len(known) - len(few) + 1
        for known, few in zip(encoder.categories_, rare, strict=True)
    ]


def _stand_in(feature: Feature) -> Any:
    return feature.known[0] if feature.known else feature.example


def _never(feature: Feature) -> Any:
    """A value that training never saw; of true and false, one that nobody can send either."""
    if feature.kind is Kind.NUMBER:
        return max((abs(value) for value in feature.known), default=0.0) + 0.5
    if feature.kind is Kind.BOOLEAN:
        return next((value for value in (True, False) if value not in feature.known), feature.known[0])
    return NOT_SEEN


def forest(model: Any) -> Callable[[FloatArray], FloatArray] | None:
    """The sum over a forest's trees as scikit-learn adds it up, without its thread pool; None where it is no forest.

    Of a classifier the probabilities, of a regressor the values: the same additions in the same order.
    """
    if type(model).__name__ not in FORESTS or not type(model).__module__.startswith("sklearn."):
        return None
    if getattr(model, "n_outputs_", 1) != 1:
        return None
    trees = [each.tree_ for each in model.estimators_]
    width = getattr(model, "n_classes_", None)

    def add_up(values: FloatArray) -> FloatArray:
        narrow = np.ascontiguousarray(values, dtype=np.float32)
        total = np.zeros((len(values), 1 if width is None else width))
        for tree in trees:
            said = tree.predict(narrow)
            total += said if width is None else said[:, :width]
        total /= len(trees)
        return total[:, 0] if width is None else total

    return add_up


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and value != value  # noqa: PLR0124 - NaN alone differs from itself
