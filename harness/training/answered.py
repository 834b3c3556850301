"""What a model answered held-out rows, as arrays: whatever judges it further asks it once."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.domain.model import Task, TrainedModel
from harness.errors import ArtifactError
from harness.protocols import Population
from harness.training.algorithms import calm
from harness.training.evaluate import positive_index, said

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """True answers and a model's, row by row: arrays of shape (rows,)."""

    task: Task
    target: NDArray[Any]
    """0/1 for classification (1 = positive), float64 for regression."""
    predicted: NDArray[Any]
    """0/1, or float64."""
    score: FloatArray | None = None
    """What the rows are ranked by: the probability of the positive class, or the decision function's value."""
    probable: bool = False
    """The scores are probabilities."""

    def __len__(self) -> int:
        """Rows."""
        return len(self.target)

    def take(self, chosen: NDArray[Any]) -> "Answered":
        """Only these rows: their places, or a mask of booleans."""
        score = None if self.score is None else self.score[chosen]
        return Answered(self.task, self.target[chosen], self.predicted[chosen], score, self.probable)

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether each row's label is the true one."""
        return np.asarray(self.predicted == self.target)


def answered(model: TrainedModel, population: Population) -> Answered:
    """Ask a model for every row, by the same rule as `harness.training.evaluate` does.

    Raises:
        ArtifactError: the model cannot answer these rows.
    """
    return answered_rows(model, population.rows, population.target)


def answered_rows(model: TrainedModel, rows: Any, target: Any) -> Answered:
    """The same for rows (a DataFrame) that were changed, and the answers that are true of them.

    Raises:
        ArtifactError: the model cannot answer these rows.
    """
    try:
        with calm():
            seen = rows[list(model.features)]
            if model.task is Task.REGRESSION:
                values = np.ravel(model.estimator.predict(seen)).astype(np.float64)
                return Answered(model.task, np.asarray(target, np.float64), values)
            predicted, chances = said(model, seen)
            score = _score(model, seen, chances)
            return Answered(model.task, np.asarray(target, np.int64), predicted, score, chances is not None)
    except (ValueError, TypeError, KeyError) as error:
        raise ArtifactError(f"the {model.role} model {model.name} cannot answer the rows: {error}") from error


def _score(model: TrainedModel, rows: Any, chances: FloatArray | None) -> FloatArray | None:
    place = positive_index(model)
    if chances is not None:
        return np.asarray(chances[:, place], np.float64)
    if hasattr(model.estimator, "decision_function"):
        score = np.asarray(model.estimator.decision_function(rows), np.float64)
        return score if place else -score
    return None
