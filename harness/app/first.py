"""A first scenario from a user's own data, and model if there is one: what is decided, and on what grounds.

Everything that the scenario will claim is measured here first, with the run's own split, seeds and figures: its gates
hold because they were measured to hold. `harness.app.firstfile` writes it down.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.app.own import own_model
from harness.backends.uri import is_uri
from harness.domain.model import DataPlan, Role, Source, Task, TrainedModel
from harness.domain.scenario import Backends
from harness.errors import DataError, InputError
from harness.seeds import stream

if TYPE_CHECKING:
    from harness.data.schema import Schema
    from harness.data.split import Rows

SEED: Final = 7
IN_MEMORY: Final = Backends()
TEST_SHARE: Final = 0.25
FEW_ROWS: Final = 40
"""With fewer, ten held-out rows or less would judge a model."""
POSITIVE: Final = frozenset(
    {"1", "yes", "y", "true", "t", "positive", "pos", "bad", "fraud", "spam", "churn", "churned"}
)
NEGATIVE: Final = frozenset({"0", "-1", "no", "n", "false", "f", "negative", "neg", "good", "none"})
BASELINES: Final = {Task.CLASSIFICATION: "logistic_regression", Task.REGRESSION: "ridge"}
CHALLENGERS: Final = {Task.CLASSIFICATION: "gradient_boosting", Task.REGRESSION: "gradient_boosting_regressor"}
LABELLED: Final = 1_500
"""True answers of the candidate that a look has at the least, in the scenario as `firstfile` writes it."""
DEVIATIONS: Final = 5
"""How far a look may stray by chance, in standard errors, before a rule on quality fails."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two models, and how good it was on the held-out rows."""

    words: str
    """As the scenario names it: ``algorithm: ridge`` or ``artifact: model.skops``."""
    label: str
    metrics: dict[str, float]
    noise: float
    """Standard error of one look's accuracy, or the coefficient of variation of its RMSE."""


@dataclass(frozen=True, slots=True)
class First:
    """What the scenario is made of."""

    name: str
    rows: int
    held: int
    features: tuple[str, ...]
    task: Task
    target: str
    positive: str | None
    because: str
    """Why this is the task, and this the positive label."""
    schema: "Schema"
    stable: Side
    candidate: Side
    own: str = ""
    """The user's model: a file, or a URI."""
    pickled: bool = False
    """It is a pickle, or may be one, and the user said --trust-pickle."""
    backends: Backends = IN_MEMORY
    """Where models are kept, and a URI is looked up."""
    notes: tuple[str, ...] = ()
    """What its user should know at once."""


def first_scenario(
    data: Path, target: str, model: Path | str | None = None, *, beside: Path, positive: str | None = None,
    trust_pickle: bool = False, backends: Backends = IN_MEMORY,
) -> First:  # fmt: skip
    """Look at a user's data, and model, and decide what their first scenario says.

    Args:
        data: CSV (also gzipped) or Parquet.
        target: the column to predict.
        model: a fitted model, by its file or its URI in MLflow; it becomes the candidate.
        beside: the folder of the scenario; a model file is named relative to it.
        positive: the label that counts as positive; None: the likelier of the two is chosen.
        trust_pickle: the model may be a pickle, which is then loaded.
        backends: where models are kept; a URI is looked up there.

    Raises:
        DataError: no first scenario can be made of these data; the message says what to do instead.
        ArtifactError: the model cannot be loaded, or does not answer these data.
        BackendError: MLflow lacks the model, or cannot be asked.
    """
    from harness.data.first import quoted
    from harness.data.table import read_table

    frame = read_table(str(data))
    _known(data, target, [str(name) for name in frame.columns])
    task, positive, because = _task(data, frame[target], target, positive)
    plan = DataPlan(str(data), target, positive, None, TEST_SHARE)
    name = scenario_name(data)
    if model is None:
        schema, training, held = _rows(plan, frame, ())
        stable, candidate = _two_trained(task, name, training, held)
        notes: tuple[str, ...] = ()
    else:
        own = own_model(model, name, backends, trust_pickle=trust_pickle)
        schema, training, held, own = _with_model(plan, frame, str(model), own)
        stable = _trained(BASELINES[task], Role.STABLE, name, training, held)
        words = str(model) if is_uri(model) else relative(Path(model), beside)
        candidate = _side(f"artifact: {quoted(words)}", f"your {own.algorithm}", own, held)
        notes = _worse(stable, candidate, task)
    return First(
        name=name, rows=len(frame), held=len(held.rows), features=tuple(map(str, held.rows.columns)), task=task,
        target=target, positive=positive, because=because, schema=schema, stable=stable, candidate=candidate,
        own=str(model) if model else "", pickled=trust_pickle and not str(model).lower().endswith(".skops"),
        backends=backends, notes=notes,
    )  # fmt: skip


def _known(data: Path, target: str, columns: list[str]) -> None:
    if target in columns:
        return
    import difflib

    near = difflib.get_close_matches(target, columns, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"its columns: {', '.join(columns[:30])}"
    raise DataError(f"--target {target}: {data} has no such column; {hint}")


# --- the task ---------------------------------------------------------------------------------------------------------


def _task(data: Path, values: Any, target: str, positive: str | None) -> tuple[Task, str | None, str]:
    """The task, the positive label, and why."""
    from harness.data.schema import ColumnType
    from harness.data.table import infer, label_text

    texts = values.map(label_text, na_action="ignore")
    empty = int((texts.isna() | (texts.fillna("").str.strip() == "")).sum())
    if empty:
        raise DataError(
            f"{data}: {target} is blank in {empty:,} rows; a row without its target teaches nothing: drop them"
        )
    if len(values) < FEW_ROWS:
        raise DataError(f"{data}: {len(values)} rows; a rehearsal needs {FEW_ROWS} at least")
    counts = texts.value_counts()
    labels = sorted(counts.index)
    if len(labels) == 1:
        raise DataError(f"{data}: {target} is {labels[0]!r} in every row, so there is nothing to predict; see --target")
    if len(labels) == 2:
        chosen, why = _positive(labels, counts, target, positive)
        return Task.CLASSIFICATION, chosen, f"{target} holds two labels, so this is a classification; {why}"
    if positive is not None:
        raise DataError(
            f"--positive {positive}: {target} holds {len(labels)} values; only a target of two labels has one"
        )
    if infer(values.to_frame()).columns[target].type is ColumnType.CATEGORY:
        shown = ", ".join(map(repr, labels[:5])) + (", ..." if len(labels) > 5 else "")
        raise DataError(
            f"{data}: {target} holds {len(labels)} labels ({shown}); a model here tells two labels apart, or predicts "
            f"a number: add a column that says whether it is one of them, such as {target}_is_{_word(labels[0])}, "
            "or name another --target"
        )
    few = (
        "" if len(labels) > 20 else f" (only {len(labels)} different ones: a model of classes would be another matter)"
    )
    return Task.REGRESSION, None, f"{target} holds numbers{few}, so this is a regression"


def _positive(labels: list[str], counts: Any, target: str, given: str | None) -> tuple[str, str]:
    if given is not None:
        if given not in labels:
            raise DataError(f"--positive {given}: {target} holds {labels[0]!r} and {labels[1]!r}")
        return given, f"{given!r} is positive, as you said"
    for label, other in (labels, reversed(labels)):
        word, against = label.strip().casefold(), other.strip().casefold()
        if (word in POSITIVE) != (against in POSITIVE) and word in POSITIVE:
            return label, f"{label!r} is positive by its name"
        if against in NEGATIVE and word not in NEGATIVE:
            return label, f"{label!r} is positive, for {other!r} is negative by its name"
        if word.startswith(">") and against.startswith("<"):
            return label, f"{label!r} is positive, the greater of the two"
    rarer = min(labels, key=lambda label: (int(counts[label]), label))
    return rarer, f"{rarer!r} is positive, the rarer of the two; change it where you mean the other"


def _word(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_").lower() or "one"


def scenario_name(data: Path) -> str:
    """A name for the scenario of a data file."""
    stem = data.name
    while Path(stem).suffix.lower() in (".gz", ".csv", ".parquet", ".pq"):
        stem = Path(stem).stem
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_")[:60] or "first"


# --- the models -------------------------------------------------------------------------------------------------------


def _rows(
    plan: DataPlan, frame: Any, needed: tuple[str, ...], *, words_are_values: bool = False
) -> tuple["Schema", "Rows", "Rows"]:
    """The schema, and the rows as a run will split them."""
    from harness.data.dataset import Dataset
    from harness.data.first import first_schema
    from harness.data.table import typed

    schema = first_schema(frame, plan.target, needed, words_are_values=words_are_values)
    values, _ = typed(frame, schema)
    training, held = Dataset(plan, values, schema, "", (), ()).split(SEED)
    return schema, training, held


def _two_trained(task: Task, name: str, training: "Rows", held: "Rows") -> tuple[Side, Side]:
    """Two algorithms of ours, the better one as the candidate: a first run then ends in a promotion."""
    one = _trained(BASELINES[task], Role.STABLE, name, training, held)
    other = _trained(CHALLENGERS[task], Role.CANDIDATE, name, training, held)
    return (other, one) if loss(task, one.metrics) < loss(task, other.metrics) else (one, other)


def loss(task: Task, metrics: dict[str, float]) -> float:
    """What the scenario's rules go by, the less the better."""
    return 1 - metrics["accuracy"] if task is Task.CLASSIFICATION else metrics["rmse"]


def _trained(word: str, role: Role, name: str, training: "Rows", held: "Rows") -> Side:
    from harness.training.algorithms import effective
    from harness.training.fit import fit, unfitted

    params = effective(word, {}, stream(SEED, f"training/{role}").integer())
    fitted = fit(word, unfitted(word, params, training), training)
    task = Task.CLASSIFICATION if training.classes else Task.REGRESSION
    model = TrainedModel(
        name, role, Source.TRAINED, word, params, fitted.estimator, task,
        tuple(map(str, training.rows.columns)), training.classes, fitted.digest,
    )  # fmt: skip
    return _side(f"algorithm: {word}", word, model, held)


def _side(words: str, label: str, model: TrainedModel, held: "Rows") -> Side:
    from harness.training.evaluate import evaluate

    return Side(words, label, evaluate(model, held), _noise(model, held))


def _noise(model: TrainedModel, held: "Rows") -> float:
    """How far a look at so many labelled answers strays by chance (the delta method, for the root)."""
    import numpy as np

    from harness.training.evaluate import evaluate

    if model.task is Task.CLASSIFICATION:
        right = evaluate(model, held)["accuracy"]
        return math.sqrt(max(right * (1 - right), 0.01) / LABELLED)
    squares = np.square(np.asarray(model.estimator.predict(held.rows[list(model.features)])) - held.target)
    mean = float(squares.mean())
    return float(squares.std()) / mean / 2 / math.sqrt(LABELLED) if mean else 0.0


def _with_model(
    plan: DataPlan, frame: Any, where: str, own: TrainedModel
) -> tuple["Schema", "Rows", "Rows", TrainedModel]:
    """The user's model, and the rows that it can answer.

    Words such as ``?`` may have been categories to it, as pandas reads them: where the data hold some, both readings
    are tried, and the one stays with which the model answers better.
    """
    from harness.data.first import missing_words
    from harness.training.brought import check_fits
    from harness.training.evaluate import evaluate

    tried: list[tuple[float, int, tuple[Schema, Rows, Rows, TrainedModel]]] = []
    refused: list[InputError] = []
    for place, as_values in enumerate((False, True) if missing_words(frame) else (False,)):
        schema, training, held = _rows(plan, frame, own.features, words_are_values=as_values)
        try:
            fitting = check_fits(own, held, where)
            score = loss(own.task, evaluate(fitting, held))
        except InputError as error:
            refused.append(error)
        else:
            tried.append((score, place, (schema, training, held, fitting)))
    if not tried:
        raise refused[0]
    return min(tried, key=lambda each: each[:2])[2]


def _worse(stable: Side, candidate: Side, task: Task) -> tuple[str, ...]:
    if loss(task, candidate.metrics) <= loss(task, stable.metrics):
        return ()
    metric = "accuracy" if task is Task.CLASSIFICATION else "rmse"
    return (
        f"on the held-out rows your model's {metric} is {candidate.metrics[metric]:.4g}, "
        f"that of a plain {stable.label} {stable.metrics[metric]:.4g}; "
        "the scenario's rules allow for it, so look at them first",
    )


def relative(path: Path, folder: Path) -> str:
    """A path as a file in that folder names it."""
    import os

    return os.path.relpath(path.resolve(), folder.resolve())
