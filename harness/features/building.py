"""A feature set and training rows to one unfitted ColumnTransformer of scikit-learn's own parts."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pandas as pd
import sklearn
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

from harness.data.unix_time import unix_seconds
from harness.domain.features import ColumnPlan, Derived, Encode, FeatureSet, Impute, Others, Scale
from harness.errors import InputError
from harness.features import known

MAX_CATEGORIES: Final = 50
"""Of a column with more, the rarest share one place."""
FOLDS: Final = 5
"""Of cross-fitting."""
SCALERS: Final = {Scale.STANDARD: StandardScaler, Scale.MIN_MAX: MinMaxScaler, Scale.ROBUST: RobustScaler}

Branch = tuple[str, Any, list[str]]


def numeric_columns(rows: pd.DataFrame) -> list[str]:
    """The columns that hold numbers."""
    return [str(name) for name in rows.columns if pd.api.types.is_numeric_dtype(rows[name])]


def usual(numbers: list[str], categories: list[str]) -> list[Branch]:
    """What is made of columns where no feature set says otherwise.

    A category that training never saw, a missing one included, is all zeros; missing is a category of its own where
    training saw it. A number that is missing is the training rows' median, also where a whole column is missing.
    """
    steps = [("impute", SimpleImputer(strategy="median", keep_empty_features=True)), ("scale", StandardScaler())]
    encoder = OneHotEncoder(
        handle_unknown="infrequent_if_exist", max_categories=MAX_CATEGORIES, sparse_output=False, dtype=np.float64
    )
    return [("numbers", Pipeline(steps), numbers), ("categories", encoder, categories)]


def transformer(
    features: FeatureSet, rows: pd.DataFrame, *, classifies: bool = True, random_state: int = 0
) -> ColumnTransformer:
    """The unfitted transformer of a feature set for these columns.

    Args:
        features: the set.
        rows: training rows; dates are Unix time in seconds by now.
        classifies: the target is two labels, not numbers; a target encoding asks.
        random_state: deals rows to the folds of a target encoding.

    Raises:
        InputError: the set and the columns do not fit together; with all that is wrong.
    """
    check(features, rows)
    numbers = numeric_columns(rows)
    branches: list[Branch] = []
    for plan, names in _grouped(features, rows, numbers):
        branches += _branches(plan, names, names[0] in numbers, classifies, random_state)
    branches += [_derived(each) for each in features.derived]
    if features.others is Others.USUAL:
        rest = [str(name) for name in rows.columns if features.of(str(name)) is None]
        branches += usual([name for name in rest if name in numbers], [name for name in rest if name not in numbers])
    return ColumnTransformer(branches, sparse_threshold=0, verbose_feature_names_out=False)


def check(features: FeatureSet, rows: pd.DataFrame) -> None:
    """See that every column there is of the kind that the set takes it for.

    Raises:
        InputError: with all that is wrong.
    """
    columns, numbers = [str(name) for name in rows.columns], numeric_columns(rows)
    problems = [f"columns.{plan.name}: {_lacking(plan.name, columns)}"
                for plan in features.columns if plan.name not in columns and not plan.drop]  # fmt: skip
    for each in features.derived:
        problems += [
            f"derived.{each.name}: {_lacking(name, columns) if name not in columns else f'{name} holds no numbers'}"
            for name in (each.left, each.right)
            if name not in numbers
        ]
        if each.name in columns:
            problems.append(f"derived.{each.name}: a column of the data has that name; give it another")
    for plan in features.columns:
        if plan.name in columns:
            problems += [f"columns.{plan.name}: {told}" for told in _unfit(plan, rows[plan.name])]
    left = [name for name in columns if features.of(name) is None]
    if features.others is Others.REFUSE and left:
        problems.append(f"others: refuse, and the set says nothing of {', '.join(left)}")
    if problems:
        raise InputError("\n".join(f"{features.file or f'feature set {features.name}'}: {each}" for each in problems))


def _lacking(name: str, columns: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, columns, n=1)
    return "there is no such feature" + (f"; did you mean {near[0]}?" if near else f" (there are {', '.join(columns)})")


def _unfit(plan: ColumnPlan, values: "pd.Series[Any]") -> Iterator[str]:
    numeric = bool(pd.api.types.is_numeric_dtype(values))
    arithmetic = [key for key in ("clip", "log", "bins") if getattr(plan, key)]
    if plan.scale not in {None, Scale.NONE}:
        arithmetic.append("scale")
    if not numeric and arithmetic and not plan.encode:
        yield f"{arithmetic[0]} asks for numbers, and it holds text; encode it"
    if not numeric and plan.impute in {Impute.MEDIAN, Impute.MEAN}:
        yield f"impute: {plan.impute} asks for numbers, and it holds text; most_frequent and constant do not"
    if plan.dated and not numeric:
        yield "it holds text where Unix time in seconds is expected; read the data with the set's dates"
    if numeric and plan.order and not all(isinstance(value, float | int) for value in plan.order):
        yield "order lists texts, and it holds numbers"
    if plan.impute is Impute.CONSTANT and isinstance(plan.fill, str) == numeric:
        yield f"fill is {plan.fill!r}, and it holds {'numbers' if numeric else 'text'}"
    unlisted = sorted({str(value) for value in values.dropna().unique()} - {*map(str, _like(plan.order, numeric))})
    if plan.order and unlisted:
        yield f"order lacks {', '.join(unlisted[:5])}{', ...' if len(unlisted) > 5 else ''}"


def _like(order: Sequence[Any], numeric: bool) -> list[Any]:
    return [float(value) if numeric and not isinstance(value, str) else value for value in order]


def _grouped(
    features: FeatureSet, rows: pd.DataFrame, numbers: Sequence[str]
) -> Iterator[tuple[ColumnPlan, list[str]]]:
    """Columns of which the same is made go together, in the order of the data: one part for many is much quicker."""
    groups: dict[Any, list[str]] = {}
    for name in map(str, rows.columns):
        plan = features.of(name)
        if plan and not plan.drop:
            alone = name if plan.dated or plan.order or plan.clip or plan.log else ""
            groups.setdefault((replace(plan, name=alone), name in numbers), []).append(name)
    for (plan, _), names in groups.items():
        yield plan, names


def _branches(
    plan: ColumnPlan, names: list[str], numeric: bool, classifies: bool, random_state: int
) -> Iterator[Branch]:
    where = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    if plan.dated:
        yield from _dates(plan, names)
    elif plan.encode or not numeric:
        yield f"categories of {where}", Pipeline(_categories(plan, numeric, classifies, random_state)), names
    else:
        yield f"numbers of {where}", Pipeline(_numbers(plan)), names
    if plan.indicator:
        yield f"missing in {where}", MissingIndicator(features="all", sparse=False), names


def _imputer(plan: ColumnPlan, default: Impute) -> list[tuple[str, Any]]:
    strategy = plan.impute or default
    if strategy is Impute.NONE:
        return []
    fill = {"fill_value": plan.fill} if strategy is Impute.CONSTANT else {}
    return [("impute", SimpleImputer(strategy=strategy.value, keep_empty_features=True, **fill))]


def _numbers(plan: ColumnPlan) -> list[tuple[str, Any]]:
    steps = _imputer(plan, Impute.MEDIAN)
    steps += [("clip", known.clip(*plan.clip))] if plan.clip else []
    steps += known.log() if plan.log else []
    if plan.bins:
        cut = KBinsDiscretizer(
            n_bins=plan.bins.count,
            encode="onehot-dense" if plan.bins.one_hot else "ordinal",
            strategy=plan.bins.by,
            quantile_method="averaged_inverted_cdf",
            subsample=None,
            random_state=0,
        )
        return [*steps, ("bins", cut)]
    return [*steps, *_scaler(Scale.STANDARD if plan.scale is None else plan.scale)] or [("as it is", "passthrough")]


def _scaler(scale: Scale) -> list[tuple[str, Any]]:
    return [] if scale is Scale.NONE else [("scale", SCALERS[scale]())]


def _categories(plan: ColumnPlan, numeric: bool, classifies: bool, random_state: int) -> list[tuple[str, Any]]:
    return [*_imputer(plan, Impute.NONE), ("encode", _encoder(plan, numeric, classifies, random_state))]


def _encoder(plan: ColumnPlan, numeric: bool, classifies: bool, random_state: int) -> Any:
    match plan.encode:
        case Encode.ORDINAL:
            order: Any = [np.array(_like(plan.order, numeric), dtype=float if numeric else object)]
            return OrdinalEncoder(
                categories=order if plan.order else "auto",
                handle_unknown="use_encoded_value",
                unknown_value=-1,
                encoded_missing_value=-1,
                dtype=np.float64,
            )
        case Encode.TARGET:
            kind = "binary" if classifies else "continuous"
            return TargetEncoder(target_type=kind, **_folds(classifies, random_state))
        case _:
            return OneHotEncoder(
                handle_unknown="infrequent_if_exist",
                max_categories=plan.max_categories or MAX_CATEGORIES,
                min_frequency=plan.min_share,
                sparse_output=False,
                dtype=np.float64,
            )


def _folds(classifies: bool, random_state: int) -> dict[str, Any]:
    if tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 9):
        return {"cv": FOLDS, "shuffle": True, "random_state": random_state}
    deal = StratifiedKFold if classifies else KFold
    return {"cv": deal(FOLDS, shuffle=True, random_state=random_state)}


def settle(fitted: Any) -> None:
    """Forget how rows were dealt to folds, which only fitting asks: a model file need not be trusted with it."""
    for part in getattr(fitted, "named_steps", {}).values():
        for _, branch, *_ in (*getattr(part, "transformers", ()), *getattr(part, "transformers_", ())):
            last = branch[-1] if hasattr(branch, "steps") else branch
            if isinstance(last, TargetEncoder):
                last.cv = FOLDS


def _dates(plan: ColumnPlan, names: list[str]) -> Iterator[Branch]:
    (name,) = names
    since = float(unix_seconds([plan.reference]).iloc[0])
    impute = _imputer(plan, Impute.MEDIAN) or _imputer(replace(plan, impute=Impute.MEDIAN), Impute.MEDIAN)
    scale = _scaler(plan.scale or Scale.STANDARD)
    for part in plan.date:
        yield f"{name}.{part}", Pipeline([*impute, *known.date_part(part, since), *scale]), [name]
    for part in plan.cyclic:
        yield f"{name}.{part} round", Pipeline([*impute, *known.date_part(part, since), *known.phase(part)]), [name]


def _derived(plan: Derived) -> Branch:
    impute = SimpleImputer(strategy="median", keep_empty_features=True)
    steps = [("impute", impute), *known.joined(plan.operator), *_scaler(plan.scale)]
    return plan.name, Pipeline(steps), [plan.left, plan.right]
