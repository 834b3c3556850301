"""How good a model is on held-out rows, by scikit-learn's own measures."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from harness.domain.model import Source, Task, TrainedModel
from harness.errors import ArtifactError
from harness.protocols import Population
from harness.training.algorithms import calm

FloatArray = NDArray[np.float64]


def evaluate(model: TrainedModel, population: Population) -> dict[str, float]:
    """Metrics of a model on rows it was not trained on.

    accuracy, precision, recall, f1, auc and log_loss, or rmse, mae and r2. A metric that these rows do not define is
    left out: precision where nothing is predicted positive, recall where nothing is, auc and log_loss where the model
    gives no probabilities or all rows are of one class, r2 where all answers are equal.

    Raises:
        ArtifactError: the model cannot answer these rows.
    """
    try:
        with calm():
            if model.task is Task.REGRESSION:
                return _regression(population.target, model.estimator.predict(population.rows[list(model.features)]))
            return _classification(model, population)
    except (ValueError, TypeError, KeyError) as error:
        raise ArtifactError(f"the {model.role} model {model.name} cannot answer the held-out rows: {error}") from error


def answers(model: TrainedModel, rows: Any) -> list[tuple[Any, float | None]]:
    """What a model says of rows, by the same rule as it is evaluated by.

    Returns:
        For each row the label and how probable it is (None where the model does not say), or the value and None.

    Raises:
        ArtifactError: the model cannot answer these rows.
    """
    try:
        with calm():
            seen = rows[list(model.features)]
            if model.task is Task.REGRESSION:
                return [(float(value), None) for value in np.ravel(model.estimator.predict(seen))]
            predicted, chances = said(model, seen)
            place = positive_index(model)
            sure = (
                [None] * len(seen) if chances is None else np.where(predicted, chances[:, place], 1 - chances[:, place])
            )
            return [
                (model.classes[int(label)], None if chance is None else float(chance))
                for label, chance in zip(predicted, sure, strict=True)
            ]
    except (ValueError, TypeError, KeyError) as error:
        raise ArtifactError(f"the {model.role} model {model.name} cannot answer the held-out rows: {error}") from error


def said(model: TrainedModel, rows: Any) -> tuple[NDArray[np.int64], FloatArray | None]:
    """Whether each row is said to be positive, and the probabilities of the classes, where there are any."""
    place = positive_index(model)
    chances = model.estimator.predict_proba(rows) if hasattr(model.estimator, "predict_proba") else None
    if chances is not None and model.source is Source.TRAINED:
        return (chances.argmax(axis=1) == place).astype(np.int64), chances
    # The likeliest class is not the answer of a model whose threshold was tuned: it must be asked.
    return np.asarray(model.estimator.predict(rows) == model.estimator.classes_[place]).astype(np.int64), chances


def positive_index(model: TrainedModel) -> int:
    """Where the estimator keeps the positive class among its own."""
    return [str(label) for label in model.estimator.classes_].index(model.classes[-1])


def _classification(model: TrainedModel, population: Population) -> dict[str, float]:
    truth = np.asarray(population.target)
    rows = population.rows[list(model.features)]
    place = positive_index(model)
    predicted, chances = said(model, rows)
    hits, wrong = int((predicted & truth).sum()), int((predicted != truth).sum())
    found = {"accuracy": float(metrics.accuracy_score(truth, predicted))}
    if predicted.any():
        found["precision"] = float(metrics.precision_score(truth, predicted))
    if truth.any():
        found["recall"] = float(metrics.recall_score(truth, predicted))
    if hits or wrong:
        found["f1"] = float(metrics.f1_score(truth, predicted))
    if 0 < truth.sum() < len(truth):
        found |= _of_scores(model, rows, truth, place, chances)
    return found


def _of_scores(
    model: TrainedModel, rows: Any, truth: NDArray[np.int64], place: int, chances: FloatArray | None
) -> dict[str, float]:
    if chances is not None:
        return {
            "auc": float(metrics.roc_auc_score(truth, chances[:, place])),
            "log_loss": float(metrics.log_loss(truth, chances[:, place], labels=[0, 1])),
        }
    if hasattr(model.estimator, "decision_function"):
        score = model.estimator.decision_function(rows)
        return {"auc": float(metrics.roc_auc_score(truth, score if place else -score))}
    return {}


def _regression(truth: FloatArray, predicted: FloatArray) -> dict[str, float]:
    found = {
        "rmse": float(metrics.root_mean_squared_error(truth, predicted)),
        "mae": float(metrics.mean_absolute_error(truth, predicted)),
    }
    if len(truth) > 1 and np.ptp(truth) > 0:
        found["r2"] = float(metrics.r2_score(truth, predicted))
    return found
