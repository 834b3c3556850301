"""What a fitted estimator takes: the name, kind and known values of each feature, read off its own parts.

Nothing here asks the estimator; `harness.serving.probe` does, for what no part tells (may a value be missing, how large
may a number be).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

MISSING: Final = math.nan
"""A number that is not known; of the other kinds it is None."""


class Kind(StrEnum):
    """What the values of a feature are in JSON."""

    NUMBER = "number"
    TEXT = "text"
    BOOLEAN = "boolean"
    ANY = "any"
    """No part of the estimator tells: a number, a text, true or false."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One input of a model."""

    name: str
    kind: Kind
    example: Any = None
    known: tuple[Any, ...] = ()
    """The values training saw, of a category."""
    closed: bool = False
    """No value is taken that training did not see."""
    nullable: bool = True
    limit: float = math.inf
    """Numbers of greater magnitude are refused: the model's arithmetic would overflow."""


@dataclass(frozen=True, slots=True)
class _Trait:
    """What one part of an estimator says of a column."""

    kind: Kind
    known: tuple[Any, ...] = ()
    closed: bool = False
    example: Any = None


_UNKNOWN: Final = _Trait(Kind.ANY, example=0)
_NUMBER: Final = _Trait(Kind.NUMBER, example=0.0)
_DROPPED: Final = _Trait(Kind.ANY)
_WRAPPED: Final = ("best_estimator_", "estimator_")


def feature_names(estimator: Any, known: Sequence[str]) -> tuple[str, ...]:
    """The columns an estimator was fitted to; ``x0``, ``x1``, … as scikit-learn calls them where they had no names."""
    if known:
        return tuple(known)
    return tuple(f"x{place}" for place in range(int(getattr(estimator, "n_features_in_", 0))))


def read(estimator: Any, names: Sequence[str]) -> tuple[Feature, ...]:
    """Each feature, as far as the estimator's parts tell; columns that it drops unread are none."""
    traits = _of_estimator(estimator, list(names))
    return tuple(
        Feature(name, trait.kind, trait.example, trait.known, trait.closed)
        for name in names
        for trait in (traits.get(name, _UNKNOWN),)
        if trait is not _DROPPED
    )


def steps_of(estimator: Any) -> list[Any]:
    """The steps of a pipeline, those of pipelines in it too; of anything else itself."""
    if not hasattr(estimator, "steps"):
        return [estimator]
    return [each for _, step in estimator.steps for each in steps_of(step)]


def plain_columns(columns: Any, names: Sequence[str]) -> list[str] | None:
    """The names behind a column transformer's choice of columns; None where it is made in another way."""
    if isinstance(columns, str):
        return [columns]
    if isinstance(columns, slice):
        if isinstance(columns.start, str) or isinstance(columns.stop, str):
            return None
        return list(names[columns])
    try:
        chosen = list(columns)
    except TypeError:
        return None
    if all(isinstance(each, str) for each in chosen):
        return chosen
    if all(
        type(each) is bool or type(each).__name__ == "bool" for each in chosen
    ):  # a mask, of Python's or numpy's own
        return [name for name, taken in zip(names, chosen, strict=False) if taken]
    try:
        return [names[int(each)] for each in chosen]
    except (TypeError, ValueError, IndexError):
        return None


def _of_estimator(estimator: Any, names: list[str]) -> Mapping[str, _Trait]:
    for wrapper in _WRAPPED:
        if hasattr(estimator, wrapper) and not hasattr(estimator, "steps"):
            return _of_estimator(getattr(estimator, wrapper), names)
    inner = getattr(estimator, "calibrated_classifiers_", None)
    if inner:
        return _of_estimator(inner[0].estimator, names)
    steps = steps_of(estimator)
    if hasattr(steps[0], "transformers_"):
        return _of_columns(steps[0], names, _ours(steps[-1]))
    return dict(_of_steps(steps, names))


def _of_columns(transformer: Any, names: list[str], numeric_after: bool) -> Mapping[str, _Trait]:
    found: dict[str, _Trait] = {}
    for _, part, columns in transformer.transformers_:
        chosen = plain_columns(columns, names)
        if chosen is None:
            continue
        if isinstance(part, str) and part == "drop":
            said: Mapping[str, _Trait] = dict.fromkeys(chosen, _DROPPED)
        elif isinstance(part, str) or _does_nothing(part):
            said = dict.fromkeys(chosen, _NUMBER if numeric_after else _UNKNOWN)
        else:
            said = dict(_of_steps(steps_of(part), chosen))
        for name, trait in said.items():
            if name not in found or found[name].kind is Kind.ANY:
                found[name] = trait
    return found


def _of_steps(steps: list[Any], names: list[str]) -> Iterator[tuple[str, _Trait]]:
    """Imputers, then an encoder or arithmetic; what is not scikit-learn's own may take anything."""
    first = steps[0]
    examples: list[Any] = [None] * len(names)
    encoder = next((step for step in steps if hasattr(step, "categories_")), None)
    before = steps if encoder is None else steps[: steps.index(encoder)]
    if hasattr(first, "statistics_") and len(first.statistics_) == len(names):
        examples = [_python(value) for value in first.statistics_]
    elif getattr(first, "mean_", None) is not None and len(first.mean_) == len(names):
        examples = [_python(value) for value in first.mean_]
    if encoder is not None and all(hasattr(step, "statistics_") for step in before):
        # A target encoding has a place for what it never saw, and no word for that.
        closed = getattr(encoder, "handle_unknown", "error") == "error" and not hasattr(encoder, "target_mean_")
        for name, values in zip(names, encoder.categories_, strict=False):
            yield name, _of_categories([_python(value) for value in values], closed)
        return
    categorical = getattr(first, "is_categorical_", None)
    for place, (name, example) in enumerate(zip(names, examples, strict=True)):
        if not _ours(first) or (categorical is not None and categorical[place]):
            yield name, _UNKNOWN
        elif isinstance(example, str):
            yield name, _Trait(Kind.TEXT, example=example)
        else:
            yield name, _Trait(Kind.NUMBER, example=0.0 if example is None else float(example))


def _of_categories(values: list[Any], closed: bool) -> _Trait:
    known = tuple(value for value in values if value is not None)
    example = known[0] if known else None
    if known and all(isinstance(value, bool) for value in known):
        return _Trait(Kind.BOOLEAN, known, closed, example)
    if known and all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        return _Trait(Kind.NUMBER, tuple(float(value) for value in known), closed, float(known[0]))
    if all(isinstance(value, str) for value in known):
        return _Trait(Kind.TEXT, known, closed, example if known else "")
    return _UNKNOWN


def _python(value: Any) -> Any:
    """A value as Python has it; None where it is missing."""
    plain = value.item() if hasattr(value, "item") else value
    return None if plain is None or plain != plain else plain  # noqa: PLR0124 - NaN alone differs from itself


def _does_nothing(part: Any) -> bool:
    return type(part).__name__ == "FunctionTransformer" and getattr(part, "func", 0) is None


def _ours(step: Any) -> bool:
    """Whether a step is scikit-learn's own and does arithmetic."""
    return type(step).__module__.startswith("sklearn.") and type(step).__name__ != "FunctionTransformer"
