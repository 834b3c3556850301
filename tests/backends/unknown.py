"""Models of which nothing is known: a stand-in answers for them, which starts faster than a model."""

from harness.domain.model import Role, Source, Task, TrainedModel


def unknown(number: int) -> TrainedModel:
    """One of them; another number is another model."""
    return TrainedModel(
        name="m", role=Role.STABLE, source=Source.GIVEN, algorithm="unknown", params={}, estimator=None,
        task=Task.CLASSIFICATION, features=(), classes=(), artifact_digest=f"unknown:{number}",
    )  # fmt: skip


MODELS = (unknown(1), unknown(2), unknown(3))
