"""Training/serving skew: the same rows through the table that training reads, and through what the server gets.

A row that was trained on is a line of a table; one that is served is a JSON object, checked and typed by the server.
Whatever differs on the way (a default filled in, a number rounded, a text in other letters) makes the model answer a
question that nobody asked. Here both ways are gone, and compared bit for bit.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from harness.domain.model import Role, TrainedModel
from harness.errors import InputError
from harness.features.naming import names_out
from harness.serving import compiled
from harness.serving.answering import Answerer
from harness.serving.checking import Checker, Refused
from harness.serving.probe import served
from harness.training import artifact
from harness.training.brought import brought

SHOWN: Final = 5

ServingPath = Callable[[Sequence[Mapping[str, Any]]], pd.DataFrame]
"""JSON objects to the table that the model is asked."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A column that is not the same both ways."""

    column: str
    stage: str
    """``raw``: as the model is given it; ``feature``: as its last step sees it; ``answer``: what it answers."""
    count: int
    """In how many rows."""
    rows: tuple[int, ...]
    """The first of them, counted from 0."""
    training: tuple[Any, ...]
    """Their values in training."""
    serving: tuple[Any, ...]

    def __str__(self) -> str:
        """As people read it."""
        pairs = ", ".join(
            f"row {row}: {one!r} and {other!r}"
            for row, one, other in zip(self.rows, self.training, self.serving, strict=True)
        )
        return f"{self.column} ({self.stage}) differs in {self.count} rows: {pairs}{', ...' * (self.count > SHOWN)}"


@dataclass(frozen=True, slots=True)
class Skew:
    """How two ways to a model differ; not at all where ``differences`` and ``refused`` are empty."""

    rows: int
    differences: tuple[Difference, ...]
    refused: str = ""
    """What the server says where it takes the rows not at all."""

    @property
    def none(self) -> bool:
        """Both ways give the same, bit for bit."""
        return not self.differences and not self.refused

    @property
    def columns(self) -> tuple[str, ...]:
        """The raw columns that differ."""
        return tuple(each.column for each in self.differences if each.stage == "raw")


def as_json(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as a client sends them: an object each, read back from JSON text, missing values null."""
    return [
        json.loads(json.dumps({str(name): _plain(value) for name, value in zip(rows.columns, row, strict=True)}))
        for row in rows.itertuples(index=False, name=None)
    ]


def skew(
    model: Any, rows: pd.DataFrame, requests: Sequence[Mapping[str, Any]] | None = None, path: ServingPath | None = None
) -> Skew:
    """Hold the rows as training has them against the same rows as a server gets them.

    Args:
        model: a fitted estimator, a `TrainedModel`, or the path of a model file.
        rows: as training read them.
        requests: the same rows as JSON objects, in the same order; None: as `as_json` makes them.
        path: from objects to a table; None: that of ``harness serve``, whose quicker way over arrays is compared too.

    Raises:
        InputError: there are not as many rows as requests, or the model lacks a column.
        ArtifactError: the model file cannot be used.
    """
    known = _model(model)
    requests = as_json(rows) if requests is None else requests
    if len(requests) != len(rows):
        raise InputError(f"{len(rows)} rows are to be held against {len(requests)} requests; give the same rows")
    features = served(known, known.name, "0", "the model").features
    names = [feature.name for feature in features]  # columns that the model drops unread are none
    lacking = [name for name in names if name not in rows.columns]
    if lacking:
        raise InputError(f"the rows lack columns that the model was fitted to: {', '.join(lacking)}")
    asked = rows[names]
    try:
        checked = Checker(features).rows(requests)
    except Refused as error:
        if path is None:
            return Skew(len(rows), (), error.message)
        checked = []
    table = path(requests) if path else compiled.frame(checked, features)
    found = [*_of_table(asked, table), *_of_features(known.estimator, asked, table)]
    if path is None:
        found += _of_quick_way(known, asked, checked, features)
    return Skew(len(rows), tuple(found))


def _model(given: Any) -> TrainedModel:
    if isinstance(given, TrainedModel):
        return given
    if isinstance(given, str | Path):
        return brought(artifact.load(Path(given)), "model", Role.STABLE, str(given), binary=False)
    return brought(given, "model", Role.STABLE, "the model", binary=False)


def _of_table(training: pd.DataFrame, serving: pd.DataFrame) -> list[Difference]:
    """Raw columns; one that serving lacks differs in every row."""
    found = []
    for name in training.columns:
        one = _values(training[name])
        other = _values(serving[name]) if name in serving.columns else [None] * len(training)
        found += _compared(str(name), "raw", one, other)
    return found


def _of_features(estimator: Any, training: pd.DataFrame, serving: pd.DataFrame) -> list[Difference]:
    """What the pipeline's first step makes of both, and what the model answers."""
    try:
        other = serving[list(training.columns)]
        after = _seen(estimator, other)
        answers = estimator.predict(other)
    except (KeyError, ValueError, TypeError) as error:  # whatever serving gives, the model refuses it
        return [Difference("*", "feature", len(training), (0,), ("accepted",), (f"refused: {error}",))]
    return [*_columns(estimator, _seen(estimator, training), after), *_answers(estimator.predict(training), answers)]


def _of_quick_way(
    model: TrainedModel, asked: pd.DataFrame, rows: Sequence[Any], features: Sequence[Any]
) -> list[Difference]:
    """The server's arrays in place of tables, where it uses them."""
    answerer = Answerer(model.estimator, features, model.task)
    transform = compiled.transformer(model.estimator, features) if answerer.quick else None
    found = []
    if transform is not None and hasattr(model.estimator, "steps"):
        found += _columns(model.estimator, _seen(model.estimator, asked), transform(rows))
    if answerer.quick:
        found += _answers(model.estimator.predict(asked), np.array(answerer.answer(rows).values))
    return found


def _seen(estimator: Any, rows: pd.DataFrame) -> Any:
    first = estimator[0] if hasattr(estimator, "steps") and len(estimator.steps) > 1 else None
    made = first.transform(rows) if first is not None else rows.to_numpy()
    return made.toarray() if hasattr(made, "toarray") else np.asarray(made)


def _columns(estimator: Any, training: Any, serving: Any) -> list[Difference]:
    first = estimator[0] if hasattr(estimator, "steps") else None
    named = names_out(first) if hasattr(first, "transformers_") else ()
    names = named if len(named) == training.shape[1] else [f"feature {place}" for place in range(training.shape[1])]
    return [
        each
        for place, name in enumerate(names)
        for each in _compared(name, "feature", training[:, place].tolist(), serving[:, place].tolist())
    ]


def _answers(training: Any, serving: Any) -> list[Difference]:
    return _compared("answer", "answer", np.asarray(training).tolist(), np.asarray(serving).tolist())


def _compared(name: str, stage: str, training: list[Any], serving: list[Any]) -> list[Difference]:
    wrong = [row for row, pair in enumerate(zip(training, serving, strict=True)) if not _same(*pair)]
    if not wrong:
        return []
    first = tuple(wrong[:SHOWN])
    return [
        Difference(
            name, stage, len(wrong), first, tuple(training[row] for row in first), tuple(serving[row] for row in first)
        )
    ]


def _same(one: Any, other: Any) -> bool:
    """Bit for bit; every missing value is alike, and a number is no text."""
    if _missing(one) or _missing(other):
        return _missing(one) and _missing(other)
    if isinstance(one, float) and isinstance(other, float):
        return one.hex() == other.hex()
    return type(one) is type(other) and bool(one == other)


def _missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and value != value)  # noqa: PLR0124 - NaN


def _values(column: "pd.Series[Any]") -> list[Any]:
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return [float(value) for value in column.to_numpy(dtype="float64", na_value=np.nan)]
    return list(column.astype(object))


def _plain(value: Any) -> Any:
    plain = value.item() if hasattr(value, "item") else value
    return None if _missing(plain) else plain
