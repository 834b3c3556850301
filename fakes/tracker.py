"""A tracker of training runs in memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.domain.model import TrainedModel
from harness.errors import RegistryError
from harness.protocols import IntentId


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """What was trained with what, and how good it was."""

    intent: IntentId
    name: str
    algorithm: str
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    artifact_digest: str
    data_digest: str | None


class MemoryTracker:
    """Keeps training runs for as long as the process lives."""

    def __init__(self) -> None:
        self._runs: dict[IntentId, TrainingRun] = {}

    async def record(self, model: TrainedModel, intent: IntentId) -> None:
        """Keep what is known of a training run; the same intent twice is one run.

        Raises:
            RegistryError: the intent has recorded another model.
        """
        run = TrainingRun(
            intent=intent,
            name=model.name,
            algorithm=model.algorithm,
            params=dict(model.params),
            metrics=dict(model.metrics),
            artifact_digest=model.artifact_digest,
            data_digest=model.data_digest,
        )
        known = self._runs.setdefault(intent, run)
        if known.artifact_digest != run.artifact_digest:
            raise RegistryError(
                f"intent {intent!r} has recorded another training run already; use a new intent for each run"
            )

    @property
    def runs(self) -> tuple[TrainingRun, ...]:
        """Every run, in the order they were recorded."""
        return tuple(self._runs.values())
