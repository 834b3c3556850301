"""Scenarios and parts made in Python, for tests that need neither a file nor a data set."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fakes.cluster import SimulatedCluster
from fakes.registry import MemoryRegistry
from fakes.tracker import MemoryTracker
from harness import engine
from harness.analysis.conditions import parse
from harness.clock import run_virtual
from harness.domain.analysis import AnalysisPolicy
from harness.domain.fault import Effect, Fault
from harness.domain.model import ARMS, ModelPlan, Role, Source, Task, TrainedModel, TrainPlan
from harness.domain.rollout import Outcome, Pause, RolloutPolicy, SetWeight
from harness.domain.scenario import Backends, Clock, Scenario
from harness.domain.service import Lognormal, Service
from harness.domain.traffic import Knots, Process, Traffic
from harness.domain.units import HOUR, MINUTE, SECOND
from harness.engine import Parts
from harness.log import EventLog, Events
from harness.protocols import Case, Platform, Tell
from harness.strategies import canary

CANDIDATE = frozenset({Role.CANDIDATE})
BOTH = frozenset(ARMS)
STEPS = (SetWeight(1000), Pause(10 * MINUTE), SetWeight(5000), Pause(10 * MINUTE))
RULES = ("error_rate <= stable + 2%", "p95 <= stable * 1.5")


def analysis(*rules: str, **settings: Any) -> AnalysisPolicy:
    """A policy that looks every minute, judges from a hundred answers on and rolls back on the second failure."""
    given = {"every_ns": MINUTE, "window_ns": MINUTE, "min_requests": 100, "failure_limit": 1, **settings}
    return AnalysisPolicy(tuple(parse(rule) for rule in rules or RULES), **given)


def fault(effect: Effect, on: frozenset[Role] = CANDIDATE, **times: int) -> Fault:
    """An injected effect."""
    return Fault(str(effect), on, effect, **times)


def scenario(**changes: Any) -> Scenario:
    """A canary in two steps of ten minutes at 50 requests a second, without a model in the loop."""
    base = Scenario(
        name="made-in-python",
        description="",
        seed=1,
        clock=Clock.VIRTUAL,
        horizon_ns=2 * HOUR,
        model=ModelPlan("m", TrainPlan("none", {}), TrainPlan("none", {}), None),
        backends=Backends(),
        service=dict.fromkeys(ARMS, Service(2, 2, Lognormal(0.02, 0.08), SECOND, 20, 30 * SECOND)),
        traffic=Traffic("poisson", Process.POISSON, Knots((0,), (50.0,))),
        labels=None,
        rollout=RolloutPolicy("canary", STEPS, analysis()),
        faults=(),
        expect=(),
        path="",
        text="",
    )
    return replace(base, **changes)


def policy(scenario: Scenario, **changes: Any) -> Scenario:
    """The same scenario with another rollout policy."""
    return replace(scenario, rollout=replace(scenario.rollout, **changes))


class Models:
    """A stage that brings two models that need no data."""

    name = "train"

    async def run(self, case: Case, tell: Tell) -> Case:
        """Say that both are there."""
        del tell
        return case.having(models={role: _model(role) for role in ARMS})


def _model(role: Role) -> TrainedModel:
    return TrainedModel(
        name="m", role=role, source=Source.TRAINED, algorithm="none", params={}, estimator=None,
        task=Task.CLASSIFICATION, features=(), classes=("no", "yes"), artifact_digest=f"sha256:{role}",
    )  # fmt: skip


def parts(of: Scenario, platform: Platform | None = None, stages: Sequence[Any] | None = None, **other: Any) -> Parts:
    """What a run is made of: everything in memory."""
    where = platform or SimulatedCluster(of)
    sizes: Mapping[Role, int] = {role: service.replicas for role, service in of.service.items()}
    given = {
        "stages": stages if stages is not None else [Models()],
        "registry": MemoryRegistry(),
        "tracker": MemoryTracker(),
        "platform": where,
        "metrics": where.metrics,
        "machine": canary(of.rollout, sizes),
        "run_id": "test",
        **other,
    }
    return Parts(**given)


def rehearse(
    of: Scenario, made_of: Parts | None = None, watch: Callable[[int, Any], None] | None = None
) -> tuple[Outcome, Events]:
    """Run a scenario on virtual time; its outcome and its events."""
    log = EventLog()
    if watch:
        log.watch(watch)
    outcome = run_virtual(engine.run, of, made_of or parts(of), log)
    return outcome, Events(log.events)
