"""Which columns a model's figures rest on: shuffle one, and see what is lost."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from harness.domain.evaluation import MOST_RESAMPLES, ColumnImportance
from harness.domain.model import Source, TrainedModel
from harness.errors import InputError
from harness.protocols import Population
from harness.seeds import Stream, stream
from harness.training.answered import answered_rows
from harness.training.slices import default_metric
from harness.training.weighed import LOWER_IS_BETTER, value

REPEATS: Final = 5
ROWS: Final = 2_000
"""More rows make the figures no plainer, and take longer."""


@dataclass(frozen=True, slots=True)
class Importance:
    """What each column is worth to a model."""

    metric: str
    baseline: float
    """The metric of the rows as they are."""
    rows: int
    repeats: int
    columns: tuple[ColumnImportance, ...]
    """The most important first."""


def importance(
    model: TrainedModel,
    population: Population,
    *,
    metric: str | None = None,
    repeats: int = REPEATS,
    draws: Stream | None = None,
    most: int = ROWS,
) -> Importance:
    """Permutation importance (Breiman, 2001) of each raw column, by `sklearn.inspection.permutation_importance`.

    A drop is how much worse the metric gets, whichever way worse is: of rmse it is the rise. Two columns that say the
    same are each worth little, because the other remains.

    Args:
        model: what is asked.
        population: held-out rows.
        metric: of `harness.training.weighed.names`; None: f1, or rmse.
        repeats: how often each column is shuffled.
        draws: what shuffles are drawn from; None: of seed 0.
        most: of more rows, so many that are spread evenly.

    Raises:
        InputError: the metric is none of the task, or the model is known by recorded answers alone.
        ArtifactError: the model cannot answer the rows.
    """
    from sklearn.inspection import permutation_importance

    asked(model, "importance")
    if not 1 <= repeats <= MOST_RESAMPLES:
        raise InputError(f"importance shuffles each column {repeats:,} times: give 1 to {MOST_RESAMPLES:,}")
    metric = metric or default_metric(model.task)
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    place = np.unique(np.linspace(0, len(population.rows) - 1, min(most, len(population.rows))).astype(np.int64))
    rows, target = population.rows[list(model.features)].iloc[place], np.asarray(population.target)[place]

    def score(_: Any, shuffled: pd.DataFrame, truth: Any) -> float:
        return sign * value(metric, answered_rows(model, shuffled, truth))

    found = permutation_importance(
        model.estimator,
        rows,
        target,
        scoring=score,
        n_repeats=repeats,
        random_state=(draws or stream(0, "evaluation/importance")).integer(),
    )
    columns = [
        ColumnImportance(name, float(drop), float(sd))
        for name, drop, sd in zip(model.features, found.importances_mean, found.importances_std, strict=True)
    ]
    columns.sort(key=lambda one: (-one.drop, one.column))
    return Importance(metric, value(metric, answered_rows(model, rows, target)), len(rows), repeats, tuple(columns))


def asked(model: TrainedModel, what: str) -> None:
    """Refuse what asks a model about rows that are not in the data set, where it cannot be asked.

    Raises:
        InputError: it is known by its recorded answers alone, or not at all.
    """
    if model.source is Source.RECORDED or model.estimator is None:
        raise InputError(
            f"{what} asks a model about changed rows, and of the {model.role} model only recorded answers are known"
        )
