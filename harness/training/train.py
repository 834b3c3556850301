"""Training one model on given rows, once for each digest of what decides it."""

from harness.data.split import Rows
from harness.domain.model import Role, Source, Task, TrainedModel, TrainPlan
from harness.training.algorithms import effective
from harness.training.cache import ModelCache, training_key
from harness.training.fit import Fitted, fit, unfitted


def train(
    plan: TrainPlan, rows: Rows, random_state: int, cache: ModelCache, name: str, role: Role, data_digest: str | None
) -> tuple[TrainedModel, Fitted, bool]:
    """A model, what fitting it had to say, and whether it was there already.

    Args:
        plan: the algorithm and its parameters.
        rows: what it learns from.
        random_state: what chance there is in training.
        cache: of what was trained before.
        name: the model's.
        role: its role.
        data_digest: of the data set that the rows are from.

    Raises:
        InputError: the algorithm, its parameters or the rows cannot be used.
    """
    params = effective(plan.algorithm, plan.params, random_state)
    pipeline = unfitted(plan.algorithm, params, rows, plan.features)
    fitted, reused = cache.get(training_key(pipeline, rows), lambda: fit(plan.algorithm, pipeline, rows))
    model = TrainedModel(
        name=name,
        role=role,
        source=Source.TRAINED,
        algorithm=plan.algorithm,
        params=params,
        estimator=fitted.estimator,
        task=Task.CLASSIFICATION if rows.classes else Task.REGRESSION,
        features=tuple(str(column) for column in rows.rows.columns),
        classes=rows.classes,
        artifact_digest=fitted.digest,
        data_digest=data_digest,
        features_digest=plan.features.digest if plan.features else None,
    )
    return model, fitted, reused
