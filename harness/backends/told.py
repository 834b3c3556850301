"""What a registry keeps of a model beside its file, as plain values of JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.domain.model import Role, Source, Task, TrainedModel


def told_of(model: TrainedModel) -> dict[str, Any]:
    """All that is known of a model but what it has learned."""
    return {
        "role": model.role.value,
        "algorithm": model.algorithm,
        "params": dict(model.params),
        "task": model.task.value,
        "features": list(model.features),
        "classes": list(model.classes),
        "data_digest": model.data_digest,
        "features_digest": model.features_digest,
        "metrics": {name: float(value) for name, value in model.metrics.items()},
    }


def model_of(known: Mapping[str, Any], name: str, estimator: Any, notes: Sequence[str]) -> TrainedModel:
    """The registered model of what was told of it, and the estimator that its file holds."""
    from harness.training.digest import model_digest

    return TrainedModel(
        name=name,
        role=Role(known["role"]),
        source=Source.REGISTERED,
        algorithm=known["algorithm"],
        params=known["params"],
        estimator=estimator,
        task=Task(known["task"]),
        features=tuple(known["features"]),
        classes=tuple(known["classes"]),
        artifact_digest=model_digest(estimator),
        data_digest=known["data_digest"],
        metrics=known["metrics"],
        notes=tuple(notes),
        features_digest=known.get("features_digest"),  # versions of before feature sets lack it
    )
