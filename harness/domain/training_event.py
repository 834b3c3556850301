"""What happens in training beyond one model, as values: told only where a scenario asks for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.domain.event import Event, volatile
from harness.domain.model import Role
from harness.domain.training import Estimate, Trial


@dataclass(frozen=True, slots=True)
class CrossValidated(Event):
    """A model's algorithm was judged fold by fold, on training rows alone."""

    role: Role
    algorithm: str
    params: Mapping[str, Any]
    split: str
    train_rows: tuple[int, ...]
    """By fold."""
    test_rows: tuple[int, ...]
    folds: Mapping[str, tuple[float | None, ...]]
    """By metric, by fold; None where the rows of a fold do not define it."""
    estimates: Mapping[str, Estimate]
    """Of the metrics that every fold defines."""
    reused: bool = volatile(False)  # noqa: FBT003 - a default, not an argument


@dataclass(frozen=True, slots=True)
class Tuned(Event):
    """Parameters were searched for."""

    role: Role
    experiment: str
    """Its name; empty where there is but one."""
    algorithm: str
    metric: str
    sampler: str
    split: str
    folds: int
    space: Mapping[str, str]
    """By parameter, in words."""
    best: Mapping[str, Any]
    value: float
    trials: tuple[Trial, ...]
    took_s: tuple[float, ...] = volatile(())
    """By trial: real seconds of training."""
    reused: bool = volatile(False)  # noqa: FBT003 - a default, not an argument


@dataclass(frozen=True, slots=True)
class ExperimentTried(Event):
    """One of several ways to train a model was judged fold by fold, on training rows alone."""

    role: Role
    experiment: str
    algorithm: str
    params: Mapping[str, Any]
    """Those given and those found; not scikit-learn's defaults."""
    features: str
    """The name of its feature set; empty: what is usual."""
    split: str
    folds: Mapping[str, tuple[float | None, ...]]
    estimates: Mapping[str, Estimate]
    refused: str = ""
    """Why it could not be trained; then it has no figures."""
    reused: bool = volatile(False)  # noqa: FBT003 - a default, not an argument


@dataclass(frozen=True, slots=True)
class ExperimentChosen(Event):
    """The best of several experiments was chosen; it is trained next, on all training rows."""

    role: Role
    experiment: str
    metric: str
    value: float
    runner_up: str
    """Empty where no other could be trained."""
    difference: Estimate | None
    """Chosen less runner-up, over the same folds; None without a runner-up."""
    detail: str
