"""What gates may look at: the candidate, what it is held against, and the rows that neither was trained on."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from harness.analysis.vocabulary import METRICS, Better
from harness.domain.model import Source, TrainedModel
from harness.errors import InputError
from harness.protocols import Population, Version
from harness.training.answered import Answered, answered


@dataclass(frozen=True)
class Scene:
    """What is known when a candidate is judged; what is not known is None, and a gate that needs it fails."""

    candidate: TrainedModel
    stable: TrainedModel | None = None
    population: Population | None = None
    """Held-out rows."""
    versions: tuple[Version, ...] = ()
    """Earlier ones of the registry, oldest first."""
    seed: int = 0
    file: Path | None = None
    """The candidate's own, where it was brought from one."""

    @cached_property
    def answers(self) -> Answered:
        """The candidate's answers to the held-out rows.

        Raises:
            InputError: there are no rows.
            ArtifactError: it cannot answer them.
        """
        return answered(self.candidate, self.rows)

    @cached_property
    def stable_answers(self) -> Answered:
        """Stable's.

        Raises:
            InputError: there are no rows, or nothing is known of stable.
            ArtifactError: it cannot answer them.
        """
        if self.stable is None or self.stable.estimator is None:
            raise InputError("nothing is known of stable's model")
        return answered(self.stable, self.rows)

    @property
    def rows(self) -> Population:
        """The held-out rows.

        Raises:
            InputError: there are none, or the candidate's model is not known.
        """
        if self.population is None or not len(self.population.rows):
            raise InputError("there are no held-out rows without a data set; add model.data")
        if self.candidate.estimator is None:
            raise InputError("nothing is known of the candidate's model")
        return self.population

    @property
    def artifact_lacks(self) -> str:
        """Why there is no artifact to look at; empty where there is one."""
        if self.candidate.source is Source.RECORDED:
            return "of the candidate only its answers are known; give the model itself"
        return "nothing is known of the candidate's model" if self.candidate.estimator is None else ""


def better_by(metric: str, candidate: float, other: float) -> float:
    """How much better the candidate is, in the metric's unit; below 0 it is worse.

    >>> better_by("accuracy", 0.75, 0.5), better_by("rmse", 3.0, 2.0)
    (0.25, -1.0)
    """
    return other - candidate if lower_is_better(metric) else candidate - other


def lower_is_better(metric: str) -> bool:
    """Whether less of a metric is better; of one that is not known, more is."""
    known = METRICS.get(metric)
    return known is not None and known.better is Better.LOWER
