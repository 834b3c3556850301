"""A scenario: a frozen value that holds all a run needs, seed included."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from harness.domain.analysis import Rule
from harness.domain.attempts import Attempts
from harness.domain.fault import Fault
from harness.domain.features import FeatureSet, dates_of
from harness.domain.lifecycle import Aftercare, LoadStagePlan, ScriptedOrder, StagingPlan, Successor
from harness.domain.model import ExperimentsPlan, ModelPlan, ModelSource, Role, TrainPlan
from harness.domain.real import RealPlan
from harness.domain.rollout import RolloutPolicy
from harness.domain.service import Service
from harness.domain.traffic import Labels, Traffic


class Clock(StrEnum):
    """The time a run lives in."""

    VIRTUAL = "virtual"
    REAL = "real"


@dataclass(frozen=True, slots=True)
class Backends:
    """Which implementation stands behind each boundary, by its word in the scenario file."""

    registry: str = "memory"
    tracker: str = "memory"
    serving: str = "simulated"
    metrics: str = "inprocess"
    staging: str = "simulated"
    router: str = "builtin"
    """Before replicas that are real; what is simulated has its own."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One rehearsal. Paths are resolved; times are nanoseconds; shares of traffic are weights."""

    name: str
    description: str
    seed: int
    clock: Clock
    horizon_ns: int
    model: ModelPlan
    backends: Backends
    service: Mapping[Role, Service]
    traffic: Traffic
    labels: Labels | None
    rollout: RolloutPolicy
    faults: tuple[Fault, ...]
    expect: tuple[Rule, ...]
    path: str
    """The file it was read from, as the user named it."""
    text: str
    """The file's text, unchanged."""
    overrides: tuple[str, ...] = ()
    """``--set PATH=VALUE``, in order."""
    staging: StagingPlan | None = None
    """What the candidate must stand before production; None: it goes there at once."""
    load: LoadStagePlan | None = None
    """The load test that it must stand after that; None: none but staging's."""
    orders: tuple[ScriptedOrder, ...] = ()
    """What people say in this rehearsal, rising in time."""
    successors: tuple[Successor, ...] = ()
    """Newer candidates, rising in time."""
    aftercare: Aftercare | None = None
    """What happens after a promotion; None: the run ends with it."""
    stages: tuple[str, ...] = ()
    """Stages that other packages bring, run after the evaluation and before the gates."""
    notify: tuple[str, ...] = ()
    """Where people are told of what matters: ``log``, ``memory``, or the URL of a webhook."""
    real: RealPlan = field(default_factory=RealPlan)
    """What there is to say of real processes, routers, Prometheus and Kubernetes."""
    attempts: Mapping[str, Attempts] = field(default_factory=dict)
    """How often a stage before deployment is tried, and how long it may take, by its name; others once."""
    time_scale: float = 1.0
    """What the policy waits for was shortened so many times (`domain.faster`); 1: it is as in the file."""


def dated(scenario: Scenario) -> Scenario:
    """The scenario, its data plan knowing which columns its feature sets take for dates."""
    plan, care = scenario.model, scenario.aftercare
    sources = [plan.stable, plan.candidate, *(newer.candidate for newer in scenario.successors)]
    if care and care.retrain:
        sources.append(care.retrain.source)
    dates = dates_of(features for source in sources for features in _sets(source))
    if not dates or plan.data is None:
        return scenario
    return replace(scenario, model=replace(plan, data=replace(plan.data, dates=dates)))


def _sets(source: ModelSource) -> tuple[FeatureSet | None, ...]:
    if isinstance(source, ExperimentsPlan):
        return tuple(each.features for each in source.experiments)
    return (source.features,) if isinstance(source, TrainPlan) else ()
