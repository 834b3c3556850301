"""What a scenario says of a rollout's surroundings: staging, people, what comes after the promotion."""

from dataclasses import dataclass
from enum import StrEnum

from harness.domain.analysis import AnalysisPolicy, Rule
from harness.domain.fault import Fault
from harness.domain.load import ClosedLoop, OpenLoop, Speech
from harness.domain.model import ModelSource
from harness.domain.rollout import Order
from harness.domain.units import HOUR, SECOND


@dataclass(frozen=True, slots=True)
class ScriptedOrder:
    """What a person says in a rehearsal, and when."""

    at_ns: int
    """Since users' traffic began."""
    order: Order
    by: str


@dataclass(frozen=True, slots=True)
class Successor:
    """A newer candidate: it supersedes the one whose rollout is under way, or is rolled out when that is over."""

    at_ns: int
    """When it comes, since users' traffic began."""
    candidate: ModelSource
    faults: tuple[Fault, ...] = ()
    """What befalls it; times count from the start of traffic too."""
    name: str = ""


@dataclass(frozen=True, slots=True)
class StagingPlan:
    """What the candidate must stand in staging before any of it reaches production."""

    replicas: int = 1
    golden_rows: int = 20
    """Rows whose answers must be those that the model gave when it was evaluated."""
    rate_per_s: float = 20.0
    duration_ns: int = 120_000_000_000
    """Of the load test."""
    min_grade: str = "B"
    """The worst grade of the load test with which the candidate may go on."""
    faults: tuple[Fault, ...] = ()
    """What goes wrong in staging, on the candidate; times count from the load test's start.

    Drift of the data stands for features that are computed otherwise there than in training, and what of it is in
    force from the start the contract tests meet too.
    """
    ready_within_ns: int = 300_000_000_000
    """So long may the endpoint take to become ready."""


@dataclass(frozen=True, slots=True)
class LoadStagePlan:
    """A load test that the candidate must stand before any of it reaches production."""

    pace: OpenLoop | ClosedLoop
    """When requests come; a closed loop asks a real endpoint only."""
    duration_ns: int = 30 * SECOND
    """Of what is measured; it follows the warm-up."""
    warmup_ns: int = 0
    """Requests due in it are sent, and left out of every figure."""
    slos: tuple[Rule, ...] = ()
    min_grade: str | None = None
    """The worst grade with which the candidate may go on; None: any."""
    replicas: int | None = None
    """Of the candidate's own servers, where the test is simulated; None: as many as in production."""
    url: str | None = None
    """The endpoint that is asked on real time; None, or on virtual time: the candidate's own simulated servers."""
    speech: Speech = Speech.JSON
    model: str | None = None
    """The model's name at that endpoint, for v2."""
    payload: str | None = None
    """Path of what is sent to it; None: made from what it says of itself."""
    ready_within_ns: int = 300 * SECOND
    """So long may simulated servers take to become ready."""


class OnAlarm(StrEnum):
    """What an alarm after the promotion leads to."""

    ROLLBACK = "rollback"
    RETRAIN = "retrain"
    NOTIFY = "notify"


@dataclass(frozen=True, slots=True)
class Monitor:
    """A policy that watches what was promoted."""

    name: str
    policy: AnalysisPolicy
    """Rules against ``stable`` compare with what the revision before it showed last."""
    on_alarm: OnAlarm = OnAlarm.ROLLBACK


class Window(StrEnum):
    """Which rows a retraining learns from, of those whose answers are known by then."""

    EXPANDING = "expanding"
    """All of them."""
    SLIDING = "sliding"
    """The newest."""


@dataclass(frozen=True, slots=True)
class RetrainPlan:
    """How a model is trained anew when an alarm asks for it."""

    source: ModelSource
    window: Window = Window.SLIDING
    rows: int | None = None
    """Of a sliding window; None: as many as the first training had."""
    at_most: int = 3
    """Retrainings in a run."""
    apart_ns: int = HOUR
    """From one retraining to the next, at least."""
    gates: tuple[Rule, ...] = ()
    """What the challenger must show on the newest rows whose answers are known; ``stable`` is the champion."""


@dataclass(frozen=True, slots=True)
class Aftercare:
    """What happens once a candidate was promoted."""

    monitors: tuple[Monitor, ...] = ()
    for_ns: int = HOUR
    """How long it is watched."""
    cool_down_ns: int = 0
    """After an alarm that led to something, none is heard for so long."""
    keep_previous_ns: int | None = None
    """The version before is there to go back to for so long after the promotion, then it is archived; None: always."""
    retrain: RetrainPlan | None = None
