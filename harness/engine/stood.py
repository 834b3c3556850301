"""Where a run stood when it was cut off: the fold of its log, as far as it was written."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import singledispatchmethod
from typing import Any

from harness.analysis.measure import Baselines
from harness.analysis.vocabulary import METRICS, QUALITY
from harness.domain import event as vocabulary
from harness.domain.event import Event
from harness.domain.model import Revision, Role
from harness.domain.resume_event import Checkpointed
from harness.domain.rollout import Command, Order, Outcome
from harness.errors import LogError

STABLE = Role.STABLE.value
"""The alias of the version in service."""
REUSED = frozenset({"track", "register"})
"""Intents whose effect is found again by the intent's id."""


@dataclass(slots=True)
class Stood:
    """What the log of a run says of it; `of` folds one."""

    started: vocabulary.RunStarted | None = None
    at_ns: int = 0
    """The run's time of its last event."""
    deploying: bool = False
    """Servers may be running."""
    traffic_ns: int | None = None
    """When users' requests began."""
    known: dict[str, Revision] = field(default_factory=dict)
    """Versions that were registered or looked up, by name and number."""
    registered: dict[str, int] = field(default_factory=dict)
    """The intent of each version that the run itself has registered."""
    revisions: dict[Role, Revision] = field(default_factory=dict)
    """Of the rollout that was under way."""
    aliases: dict[str, int] = field(default_factory=dict)
    """Set by the run, as they stood last."""
    intents: int = 0
    begun: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Intents, by number, that are not known to have been carried out: action and detail."""
    number: int = 1
    """Of the rollout."""
    home: Role = Role.STABLE
    """The arm of the version in service."""
    replicas: dict[Role, int] = field(default_factory=dict)
    """As last asked for."""
    weights: dict[Role, int] = field(default_factory=dict)
    """As last in force."""
    step: int = -1
    weight: int = 0
    """The candidate's, by the last step."""
    acted: bool = False
    """The rollout has begun to change something."""
    checkpoint: Checkpointed | None = None
    orders: list[Command] = field(default_factory=list)
    """What people have said since the checkpoint."""
    spoken: list[Command] = field(default_factory=list)
    """In all."""
    alarm: vocabulary.Alarmed | None = None
    """After the promotion."""
    decided: vocabulary.Decided | None = None
    promoted: bool = False
    rolled_back: bool = False
    refused: vocabulary.Decided | None = None
    """A newer candidate was rejected after this rollout had ended."""
    interrupted: str | None = None
    ended: vocabulary.RunEnded | None = None

    @classmethod
    def of(cls, events: Iterable[Event]) -> "Stood":
        """The fold of a log.

        Raises:
            LogError: it is not that of a run.
        """
        stood = cls()
        for event in events:
            stood.see(event)
        if stood.started is None:
            raise LogError("the log holds no RunStarted event: it is empty, or not the log of a run")
        return stood

    @property
    def where(self) -> str:
        """In a word: preparing, deploying, rollout, decided, settled or ended."""
        if self.ended:
            return "ended"
        if self.decided or self.refused:
            return "settled" if self.settled else "decided"
        if self.traffic_ns is not None:
            return "rollout"
        return "deploying" if self.deploying else "preparing"

    @property
    def settled(self) -> bool:
        """Traffic was where it is to stay, and that was verified."""
        if self.decided is None:
            return bool(self.refused)
        if not self.deploying or self.decided.outcome is Outcome.PAUSED:
            return True
        if self.promoted:
            return self.decided.outcome is Outcome.PROMOTED or self.rolled_back
        return self.rolled_back

    @property
    def reusable(self) -> dict[tuple[str, str], int]:
        """Numbers of intents that are begun again under the same id, by action and detail."""
        return {what: number for number, what in self.begun.items() if what[0] in REUSED}

    def see(self, event: Event) -> None:
        """Take the next event."""
        self.at_ns = event.at_ns
        if isinstance(event, vocabulary.Intended):
            self.intents = max(self.intents, event.intent)
            self.begun[event.intent] = (event.action, event.detail)
            self.acted = self.acted or self.traffic_ns is not None
        else:
            self.begun.pop(getattr(event, "intent", 0), None)
        self._take(event)

    @singledispatchmethod
    def _take(self, event: Event) -> None:
        """Other events change nothing of it."""

    @_take.register
    def _(self, event: vocabulary.RunStarted) -> None:
        self.started = event

    @_take.register
    def _(self, event: vocabulary.StageStarted) -> None:
        self.deploying = self.deploying or event.stage == "deploy"

    @_take.register
    def _(self, event: vocabulary.Registered | vocabulary.Resolved) -> None:
        revision = Revision(event.name, event.version, event.digest)
        self.known[str(revision)] = revision
        if isinstance(event, vocabulary.Registered):
            self.registered[str(revision)] = event.intent
        if not self.deploying:  # of a later rollout: `RolloutStarted` says when it takes the other's place
            self.revisions[event.role] = revision

    @_take.register
    def _(self, event: vocabulary.AliasSet) -> None:
        self.aliases[event.alias] = event.version
        stable = self.revisions.get(Role.STABLE)
        if self.promoted and event.alias == STABLE and stable and event.version == stable.version:
            self.home = Role.STABLE  # on the way back from what was promoted

    @_take.register
    def _(self, event: vocabulary.AliasRemoved) -> None:
        self.aliases.pop(event.alias, None)

    @_take.register
    def _(self, event: vocabulary.TrafficStarted) -> None:
        self.traffic_ns = event.at_ns
        self.weights = dict(event.weights)

    @_take.register
    def _(self, event: vocabulary.RolloutStarted) -> None:
        self.number = event.number
        self.revisions = {
            role: self.known[text]
            for role, text in ((Role.STABLE, event.stable), (Role.CANDIDATE, event.candidate))
            if text in self.known
        }
        self.replicas = {Role.STABLE: self.replicas.get(self.home, 0), Role.CANDIDATE: 0}
        self.home, self.step, self.weight = Role.STABLE, -1, 0
        self.decided = self.refused = self.checkpoint = self.alarm = None
        self.promoted = self.rolled_back = False
        self.orders.clear()

    @_take.register
    def _(self, event: vocabulary.ReplicasApplied) -> None:
        self.replicas = dict(event.replicas)

    @_take.register
    def _(self, event: vocabulary.Routed) -> None:
        self.weights = dict(event.weights)

    @_take.register
    def _(self, event: vocabulary.StepEntered) -> None:
        self.step, self.weight = event.index, event.weight

    @_take.register
    def _(self, event: Checkpointed) -> None:
        self.checkpoint = event
        self.orders.clear()

    @_take.register
    def _(self, event: vocabulary.Commanded) -> None:
        command = Command(Order(event.order), event.by)
        self.spoken.append(command)
        self.orders.append(command)

    @_take.register
    def _(self, event: vocabulary.Alarmed) -> None:
        self.alarm = event

    @_take.register
    def _(self, event: vocabulary.Decided) -> None:
        if event.outcome is Outcome.REJECTED and self.traffic_ns is not None:
            self.refused = event
        else:
            self.decided, self.rolled_back = event, False

    @_take.register
    def _(self, event: vocabulary.Promoted) -> None:
        del event
        self.promoted, self.home = True, Role.CANDIDATE

    @_take.register
    def _(self, event: vocabulary.RolledBack) -> None:
        del event
        self.rolled_back = True

    @_take.register
    def _(self, event: vocabulary.Interrupted) -> None:
        self.interrupted = event.by

    @_take.register
    def _(self, event: vocabulary.RunEnded) -> None:
        self.ended = event


def baselines(events: Iterable[Event], min_requests: int, traffic_ns: int) -> Baselines:
    """What stable showed last, from the looks that a log tells; times count from the start of traffic."""
    found = Baselines()
    for event in events:
        if not isinstance(event, vocabulary.Observed):
            continue
        beside = event.arms.get(Role.BASELINE)
        stable = beside if beside and beside.requests else event.arms[Role.STABLE]
        for metric, figure in stable.figures.items():
            known = METRICS.get(metric)
            answers = stable.labelled if known and known.kind in QUALITY else stable.requests
            if figure is not None and answers >= min_requests:
                found.figures[metric], found.at_ns[metric] = figure, event.at_ns - traffic_ns
    return found


def ending_of(kept: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an end, as a checkpoint keeps it."""
    return {**kept, "because": tuple(kept.get("because", ()))}
