"""A run with everything that may befall it, its machine's every transition kept, and its events."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from harness import engine
from harness.clock import run_virtual
from harness.domain.event import Event
from harness.domain.model import ARMS, Role, Source, Task, TrainedModel
from harness.domain.rollout import Outcome, Rules, Seen
from harness.domain.scenario import Scenario
from harness.engine import Parts
from harness.errors import Deadlock
from harness.log import EventLog, Events
from harness.protocols import Case, Tell
from harness.strategies import STRATEGIES, Machine, Transition
from tests.properties.troubles import Trouble, Witness, World

NOTIFIED = "pager"


@dataclass(frozen=True)
class Plan:
    """What is rehearsed, and what goes wrong."""

    scenario: Scenario
    troubles: tuple[Trouble, ...] = ()
    cancel_at: int | None = None
    """The number of the event at which a signal comes."""
    better: bool = True
    """What a retraining finds."""


@dataclass
class Story:
    """What came of it."""

    plan: Plan
    events: Events
    outcome: Outcome | None
    """None: it was cancelled."""
    defect: BaseException | None
    witness: Witness
    world: World
    machine: "Kept"
    digest: str


class Models:
    """A stage that brings the models that are missing, each with a digest of its own."""

    name = "train"

    def __init__(self) -> None:
        self.made = 0

    async def run(self, case: Case, tell: Tell) -> Case:
        """Say that they are there."""
        del tell
        models = dict(case.models)
        for role in ARMS:
            if role not in models:
                self.made += 1
                models[role] = model(role, self.made)
        return case.having(models=models)


def model(role: Role, number: int) -> TrainedModel:
    return TrainedModel(
        name="m", role=role, source=Source.TRAINED, algorithm="none", params={}, estimator=None,
        task=Task.CLASSIFICATION, features=(), classes=("no", "yes"), artifact_digest=f"sha256:{number}",
    )  # fmt: skip


class Trainer:
    """Trains a challenger, which is better or not."""

    def __init__(self, *, better: bool) -> None:
        self.better, self.asked = better, 0

    async def challenge(self, case: Case, known: float, tell: Tell) -> Case | None:
        """A case with the challenger."""
        del known, tell
        self.asked += 1
        if not self.better:
            return None
        return case.having(models={**case.models, Role.CANDIDATE: model(Role.CANDIDATE, 100 + self.asked)})


class Pager:
    """Takes every message."""

    realtime = False

    def __init__(self) -> None:
        self.messages: list[Mapping[str, Any]] = []

    async def notify(self, message: Mapping[str, Any]) -> None:
        """Keep it."""
        self.messages.append(message)


class Kept:
    """A machine, with a note of every transition."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.stories: list[list[tuple[Seen | None, int, Transition]]] = []

    @property
    def rules(self) -> Rules:
        """Of the machine."""
        return self.machine.rules

    def start(self, at_ns: int) -> Transition:
        """Begin another rollout."""
        self.stories.append([(None, at_ns, transition := self.machine.start(at_ns))])
        return transition

    def next(self, state: Any, seen: Seen, at_ns: int) -> Transition:
        """Go on."""
        transition = self.machine.next(state, seen, at_ns)
        self.stories[-1].append((seen, at_ns, transition))
        return transition

    def foreseen(self) -> tuple[tuple[int, int], ...]:
        """Of the machine."""
        return self.machine.foreseen()


@dataclass
class Canceller:
    """Cancels a run when a certain event is logged."""

    at: int | None
    scope: anyio.CancelScope | None = None
    came: bool = False
    events: list[Event] = field(default_factory=list)

    def __call__(self, number: int, event: Event) -> None:
        self.events.append(event)
        if number == self.at and self.scope:
            self.came = True
            self.scope.cancel()


def machine_of(of: Scenario) -> Machine:
    return STRATEGIES[of.rollout.strategy](of.rollout, {role: each.replicas for role, each in of.service.items()})


def play(plan: Plan, *, twice: bool = False, path: Path | None = None) -> Story:
    """Rehearse it; ``twice``: every effect is asked for twice; ``path``: its log is written there too."""
    of = plan.scenario
    world = World(of, plan.troubles, twice=twice)
    machine = Kept(machine_of(of))
    made_of = Parts(
        stages=[Models()],
        registry=world.registry,
        tracker=world.tracker,
        platform=world,
        metrics=world.metrics,
        machine=machine,
        run_id="test",
        retrainer=world.side("retrainer", Trainer(better=plan.better)),
        notifiers={NOTIFIED: world.side("notifier", Pager())},
    )
    log, canceller = EventLog(path), Canceller(plan.cancel_at)
    log.watch(canceller)
    outcome: Outcome | None = None
    defect: BaseException | None = None

    async def main() -> None:
        nonlocal outcome
        try:
            with anyio.CancelScope() as canceller.scope:
                outcome = await engine.run(of, made_of, log, stopped_by=lambda: "SIGTERM")
        finally:  # a platform that would not stop is no affair of the next example's
            with anyio.CancelScope(shield=True):
                await world.cluster.stop()

    try:
        run_virtual(main)
    except (Exception, Deadlock) as error:  # noqa: BLE001 - what must never come is told by the test
        defect = error
    log.close()
    return Story(plan, Events(log.events), outcome, defect, world.witness, world, machine, log.digest)
