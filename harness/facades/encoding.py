"""Transformations as callers write them, fitted to one frame and applied to any: over the parts of feature sets."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.domain.features import Encode, FeatureSet, Others
from harness.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

METHODS: Final = ("min_max", "standard", "robust")
TYPES: Final[Mapping[str, Mapping[str, Any]]] = {
    "normalize": {"columns": None, "method": "standard"},
    "encode": {"column": None, "method": "one_hot"},
    "impute": {"columns": None, "method": "median", "fill": None},
    "drop": {"columns": None},
}
"""What each type of transformation takes, and what is usual."""


@dataclass(frozen=True, slots=True)
class Step:
    """One transformation that is no feature set of its own."""

    type: str
    columns: tuple[str, ...] | None
    method: str = ""
    fill: Any = None


Plan = tuple[FeatureSet | Step, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Transformation:
    """Fitted transformations, in order."""

    plan: Plan
    parts: tuple[Any, ...]
    fitted_rows: "pd.DataFrame"
    """The rows that they were fitted to, transformed; with a target encoding, cross-fitted."""

    def transform(self, data: "pd.DataFrame") -> "pd.DataFrame":
        """Other rows, by what was learned from the first; the frame stays as it is."""
        for part in self.parts:
            data = part(data)
        return data

    def definition(self) -> list[dict[str, Any]]:
        """What they say, as JSON has it."""
        return [
            each.definition() if isinstance(each, FeatureSet)
            else {"type": each.type, "columns": each.columns, "method": each.method, "fill": each.fill}
            for each in self.plan
        ]  # fmt: skip


def plan_of(given: Any) -> Plan:
    """Transformations or feature configs as callers write them.

    Raises:
        InputError: a word is not known.
    """
    from harness.features.reading import feature_set, read_features

    if isinstance(given, FeatureSet):
        return (given,)
    if isinstance(given, str | Path):
        return (read_features(str(given)),)
    if isinstance(given, Mapping):
        return (feature_set(given),)
    if not isinstance(given, Sequence):
        raise InputError(f"transformations are a list, a mapping or a file, not a {type(given).__name__}")
    steps: list[FeatureSet | Step] = []
    columns: dict[str, Any] = {}
    derived: dict[str, Any] = {}
    for each in given:
        if isinstance(each, FeatureSet | str | Path):
            steps += plan_of(each)
        elif "type" in each:
            steps.append(_step(each))
        elif "of" in each and "name" in each:
            derived[each["name"]] = {key: value for key, value in each.items() if key != "name"}
        elif "column" in each:
            columns[each["column"]] = {key: value for key, value in each.items() if key != "column"}
        else:
            raise InputError(f"{dict(each)} says neither type, nor column, nor name and of; a transformation has one")
    if columns or derived:
        steps.append(feature_set({"columns": columns, "derived": derived}))
    return tuple(steps)


def _step(said: Mapping[str, Any]) -> Step:
    known = TYPES.get(said["type"])
    if known is None:
        raise InputError(f"there is no transformation {said['type']!r}; there are {', '.join(TYPES)}")
    wrong = [key for key in said if key not in {"type", "column", *known}]
    if wrong:
        raise InputError(f"{said['type']} has no {wrong[0]!r}; it takes {', '.join(known)}")
    columns = said.get("columns", said.get("column"))
    if columns is None and said["type"] != "normalize":
        raise InputError(f"{said['type']} lacks the columns that it is for")
    names = (columns,) if isinstance(columns, str) else None if columns is None else tuple(columns)
    return Step(said["type"], names, str(said.get("method", known.get("method") or "")), said.get("fill"))


def transformation(data: "pd.DataFrame", plan: Plan, target: str | None) -> Transformation:
    """Fit transformations to a frame, each to what the one before it made.

    Raises:
        InputError: one does not fit the frame.
    """
    parts = []
    rows = data.copy()
    for each in plan:
        part, rows = _of_set(rows, each, target) if isinstance(each, FeatureSet) else _of_step(rows, each, target)
        parts.append(part)
    return Transformation(plan, tuple(parts), rows)


def _of_step(rows: "pd.DataFrame", step: Step, target: str | None) -> tuple[Any, "pd.DataFrame"]:
    from harness.features.reading import feature_set

    match step.type:
        case "normalize":
            part = _Normalizing(step.method, step.columns, rows)
            return part, part(rows)
        case "drop":
            gone = [*_known(rows, step.columns or ())]
            return lambda other: other.drop(columns=gone), rows.drop(columns=gone)
        case "encode":
            said: dict[str, Any] = {"encode": step.method}
        case _:
            said = {"impute": step.method, "scale": "none"} | ({} if step.fill is None else {"fill": step.fill})
    names = step.columns or ()
    if step.type == "impute":
        return _of_set(rows, feature_set({"columns": dict.fromkeys(names, said)}), target, encodes=False)
    return _of_set(rows, feature_set({"columns": dict.fromkeys(names, said)}), target)


def _of_set(
    rows: "pd.DataFrame", features: FeatureSet, target: str | None, *, encodes: bool = True
) -> tuple[Any, "pd.DataFrame"]:
    if not encodes:
        imputing = _Imputing(features, rows)
        return imputing, imputing(rows)
    if not features.columns and not features.derived and features.others is Others.USUAL:
        return lambda other: other, rows
    wants_target = any(plan.encode is Encode.TARGET for plan in features.columns)
    if wants_target and target is None:
        raise InputError("a target encoding looks at the target; name its column: target=…")
    part = _Applied(features, rows, target)
    return part, part.fit(rows)


class _Applied:
    """A feature set, fitted; columns that it does not name stay as they are, before those that it makes."""

    def __init__(self, features: FeatureSet, rows: "pd.DataFrame", target: str | None) -> None:
        from harness.data.unix_time import in_seconds
        from harness.features.building import transformer

        self._target = target
        self._keeps = features.others is Others.USUAL
        self._features = replace(features, others=Others.DROP) if features.others is Others.USUAL else features
        self._rows = in_seconds(rows, features.dates)
        answers = rows[_known(rows, [target])[0]] if target else None
        self._answers = None if answers is None else answers.to_numpy()
        numeric = answers is not None and answers.dtype.kind == "f" and answers.nunique() > 2
        self._transformer = transformer(self._features, self._rows, classifies=not numeric)
        looked_at = {plan.name for plan in self._features.columns if not plan.drop}
        looked_at |= {name for each in self._features.derived for name in (each.left, each.right)}
        self._kinds = _kinds(self._rows, looked_at)

    def fit(self, rows: "pd.DataFrame") -> "pd.DataFrame":
        made = self._transformer.fit_transform(self._rows, self._answers)
        return self._placed(rows, made)

    def __call__(self, rows: "pd.DataFrame") -> "pd.DataFrame":
        from harness.data.unix_time import in_seconds

        _known(rows, list(self._kinds))
        read = in_seconds(rows, self._features.dates)
        _check_kinds(read, self._kinds)
        return self._placed(rows, self._transformer.transform(read))

    def _placed(self, rows: "pd.DataFrame", made: Any) -> "pd.DataFrame":
        import pandas as pd

        from harness.features.naming import names_out

        used = {plan.name for plan in self._features.columns}
        kept = rows[[name for name in rows.columns if name not in used]] if self._keeps else rows[[]]
        names = list(names_out(self._transformer))
        twice = sorted(set(names) & set(kept.columns))
        if twice:
            raise InputError(f"the features would be called as columns that stay: {', '.join(twice)}")
        return pd.concat([kept, pd.DataFrame(made, columns=names, index=rows.index)], axis=1)


class _Imputing:
    """Missing values filled, texts too, and nothing else changed."""

    def __init__(self, features: FeatureSet, rows: "pd.DataFrame") -> None:
        from sklearn.impute import SimpleImputer

        from harness.features.building import check

        check(features, rows)
        self._kinds = _kinds(rows, {plan.name for plan in features.columns})
        self._imputers = {}
        for plan in features.columns:
            fill = {} if plan.fill is None else {"fill_value": plan.fill}
            imputer = SimpleImputer(strategy=str(plan.impute or "median"), keep_empty_features=True, **fill)
            self._imputers[plan.name] = imputer.fit(rows[[plan.name]])

    def __call__(self, rows: "pd.DataFrame") -> "pd.DataFrame":
        _known(rows, list(self._kinds))
        _check_kinds(rows, self._kinds)
        filled = {name: imputer.transform(rows[[name]])[:, 0] for name, imputer in self._imputers.items()}
        return rows.assign(**filled)


class _Normalizing:
    """(x - less) / by, column by column."""

    def __init__(self, method: str, columns: Sequence[str] | None, reference: "pd.DataFrame") -> None:
        import numpy as np
        import pandas as pd

        if method not in METHODS:
            raise InputError(f"there is no method {method!r}; there are {', '.join(METHODS)}")
        if columns is None:
            columns = [name for name in reference.columns if _is_number(reference[name])]
        self._figures = {}
        for name in _known(reference, columns):
            if not _is_number(reference[name]):
                raise InputError(f"{name} holds no numbers; encode it")
            values = pd.Series(reference[name].astype("float64"))
            if np.isinf(values).any():
                raise InputError(f"{name} holds infinite numbers, which have no size; say what they are first")
            self._figures[name] = _figures(values, method)

    def __call__(self, rows: "pd.DataFrame") -> "pd.DataFrame":
        _known(rows, list(self._figures))
        _check_kinds(rows, dict.fromkeys(self._figures, True))
        return rows.assign(**{
            name: (rows[name].astype("float64") - less) / by for name, (less, by) in self._figures.items()
        })  # fmt: skip


def normalized(
    data: "pd.DataFrame", method: str, columns: Sequence[str] | None, reference: "pd.DataFrame"
) -> "pd.DataFrame":
    """The frame with some columns brought to one size by the figures of another."""
    return _Normalizing(method, columns, reference)(data)


def _figures(values: Any, method: str) -> tuple[float, float]:
    match method:
        case "min_max":
            less, by = values.min(), values.max() - values.min()
        case "standard":
            less, by = values.mean(), values.std(ddof=0)
        case _:
            less, by = values.median(), values.quantile(0.75) - values.quantile(0.25)
    return float(less), float(by) or 1.0


def _is_number(values: Any) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_numeric_dtype(values)) and not pd.api.types.is_bool_dtype(values)


def _kinds(rows: "pd.DataFrame", names: Container[str]) -> dict[str, bool]:
    """By column, whether it holds numbers, as `_check_kinds` asks of other rows."""
    import pandas as pd

    return {str(name): bool(pd.api.types.is_numeric_dtype(rows[name])) for name in rows.columns if name in names}


def _check_kinds(rows: "pd.DataFrame", numeric: Mapping[str, bool]) -> None:
    """See that what held numbers when it was fitted holds numbers here; texts that are numbers are taken for them."""
    import pandas as pd

    for name in (name for name, numbers in numeric.items() if numbers):
        wrong = rows[name].notna() & pd.to_numeric(rows[name], errors="coerce").isna()
        if wrong.any():
            raise InputError(
                f"{name} holds {rows[name][wrong].iloc[0]!r} in {int(wrong.sum())} of {len(rows)} rows, and it held "
                "numbers where the transformation was fitted; make it missing (NaN), or mend it"
            )


def _known(rows: "pd.DataFrame", names: Sequence[str]) -> list[str]:
    import difflib

    there = [str(name) for name in rows.columns]
    for name in names:
        if name not in there:
            near = difflib.get_close_matches(str(name), there, n=1)
            raise InputError(f"there is no column {name!r}" + (f"; did you mean {near[0]}?" if near else ""))
    return list(names)
