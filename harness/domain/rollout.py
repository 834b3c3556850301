"""A rollout: its policy, what its machine sees, and what it asks for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from harness.domain.analysis import AnalysisPolicy, Experiment, Rule, Verdict
from harness.domain.model import Role
from harness.domain.units import SECOND, duration_text, share_text

Weights = Mapping[Role, int]
"""Share of live traffic of each arm, in 1/10,000; sums to 10,000."""


class Outcome(StrEnum):
    """What became of the candidate."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    REJECTED = "rejected"
    KEPT_STABLE = "kept_stable"
    """An A/B test or a shadow ended as planned, without promotion."""
    PAUSED = "paused"
    ABORTED = "aborted"
    FAILED = "failed"
    ERROR = "error"


# --- routing ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HeaderRoute:
    """Requests that carry this header go to the candidate, whatever the weights."""

    name: str
    """Of the route: a later step may change or remove it."""
    header: str
    value: str

    def __str__(self) -> str:
        """As the timeline shows it."""
        return f"{self.header}: {self.value}"


@dataclass(frozen=True, slots=True)
class Routing:
    """Where live requests go."""

    weights: Weights
    routes: tuple[HeaderRoute, ...] = ()
    mirror: int = 0
    """This share of stable's requests, in 1/10,000, is copied to the candidate; its answers to copies go to nobody."""
    sticky: bool = False
    """A user keeps to its arm; when shares change, only those move who must."""


# --- the policy -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SetWeight:
    """Give the candidate this weight."""

    weight: int

    def __str__(self) -> str:
        """As the timeline shows it."""
        return f"weight {share_text(self.weight)}"


@dataclass(frozen=True, slots=True)
class Pause:
    """Stay as it is for a while, or until a person says to go on."""

    duration_ns: int | None

    def __str__(self) -> str:
        """As the timeline shows it."""
        return "pause until approved" if self.duration_ns is None else f"pause {duration_text(self.duration_ns)}"


@dataclass(frozen=True, slots=True)
class SetScale:
    """Give the candidate so many replicas, apart from its weight; None: its full size."""

    replicas: int | None = None

    def __str__(self) -> str:
        """As the timeline shows it."""
        return "full size" if self.replicas is None else f"scale {self.replicas}"


@dataclass(frozen=True, slots=True)
class SetRoute:
    """Send requests with a header to the candidate; without a header of that name of route, no longer."""

    name: str
    route: HeaderRoute | None

    def __str__(self) -> str:
        """As the timeline shows it."""
        return f"route {self.route}" if self.route else f"route {self.name} removed"


@dataclass(frozen=True, slots=True)
class SetMirror:
    """Copy this share of stable's requests to the candidate."""

    share: int

    def __str__(self) -> str:
        """As the timeline shows it."""
        return f"mirror {share_text(self.share)}" if self.share else "mirror off"


@dataclass(frozen=True, slots=True)
class Analyze:
    """Stay until an analysis of its own has looked so often; what fails it ends the rollout."""

    policy: AnalysisPolicy
    looks: int

    def __str__(self) -> str:
        """As the timeline shows it."""
        return f"analysis of {self.looks} looks"

    @property
    def takes_ns(self) -> int:
        """How long it takes if nothing fails."""
        return self.looks * self.policy.every_ns


@dataclass(frozen=True, slots=True)
class Approve:
    """Go on if all criteria hold and, if so asked, a person approves in time; else the rollout is rolled back."""

    within_ns: int | None
    """How long a person may take; None: the criteria decide alone."""
    criteria: tuple[Rule, ...] = ()
    """What must hold on the held-out rows (quality) or on the last look (everything else)."""

    def __str__(self) -> str:
        """As the timeline shows it."""
        return "criteria" if self.within_ns is None else f"approval within {duration_text(self.within_ns)}"


@dataclass(frozen=True, slots=True)
class Smoke:
    """Send requests of our own to the candidate before any user's; each must be answered well and in time."""

    probes: int

    def __str__(self) -> str:
        """As the timeline shows it."""
        return f"{self.probes} smoke tests"


@dataclass(frozen=True, slots=True)
class Decide:
    """Run an A/B test until it decides, or its time is over."""

    experiment: Experiment
    every_ns: int
    at_most_ns: int

    def __str__(self) -> str:
        """As the timeline shows it."""
        return f"A/B test on {self.experiment.primary}, at most {duration_text(self.at_most_ns)}"


Step = SetWeight | Pause | SetScale | SetRoute | SetMirror | Analyze | Approve | Smoke | Decide


@dataclass(frozen=True, slots=True)
class RolloutPolicy:
    """How the candidate is to replace stable."""

    strategy: str
    steps: tuple[Step, ...]
    analysis: AnalysisPolicy | None
    """In the background, from `analysis_from` on."""
    ready_within_ns: int = 600 * SECOND
    """Replicas must be ready by then (Argo's progressDeadlineSeconds, 600 s), or the rollout is rolled back."""
    analysis_from: int = 0
    """The background analysis begins with the step of this index, at the earliest; it needs traffic all the same."""
    by_replicas: bool = False
    """There is no router: a weight is what share of the ready replicas is the candidate's."""
    max_surge: str = "25%"
    """Replicas that there may be beyond stable's size: a count, or a share of it rounded up."""
    max_unavailable: str = "25%"
    """Ready replicas that may lack of stable's size: a count, or a share of it rounded down."""
    min_ready_ns: int = 0
    """A replica counts as ready when it has been for so long."""
    batch_pause_ns: int = 0
    """A rolling update waits so long after each batch, and looks."""
    baseline: bool = False
    """A copy of stable runs beside the candidate, of its size and with its weight, and is what it is compared with."""
    sticky: bool = False
    """A user keeps to its arm."""
    stepwise_ns: int | None = None
    """On the way back each weight of the steps is kept for so long, in reverse; None: back at once."""
    promote: bool = True
    """After the last step the candidate is promoted; else stable is kept."""
    retire_after_ns: int = 0
    """What is not needed any more stays up for so long after a promotion: until then the way back is instant."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What else the scenario says under `rollout`, for a strategy from outside."""


# --- what the machine sees --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has come to what was asked for as ``wake_at_ns``."""


@dataclass(frozen=True, slots=True)
class Ready:
    """An arm has this many of its wanted replicas ready."""

    role: Role
    ready: int
    wanted: int


@dataclass(frozen=True, slots=True)
class Routed:
    """These weights are in force."""

    weights: Weights


@dataclass(frozen=True, slots=True)
class AnalysisPhase:
    """Where an analysis stands after a look."""

    verdict: Verdict
    """FAIL or ERROR: a limit was passed. INCONCLUSIVE: more looks than allowed could not judge. PASS otherwise."""
    reason: str
    passed_ns: int | None = None
    """When the rule that has waited longest last passed; None while some rule has never been judged, or failed on the
    last look that could judge it."""
    because: tuple[int, ...] = ()
    """Sequence numbers of the measurements that it rests on."""
    inline: bool = False
    """Of a step's own analysis, not of the one in the background."""
    done: bool = False
    """A step's own analysis has looked as often as it was to."""


class Finding(StrEnum):
    """What an A/B test has come to."""

    UNDECIDED = "undecided"
    BETTER = "better"
    """The candidate is, by at least what was asked for."""
    WORSE = "worse"
    """The candidate is not better, or a guard rail was broken."""
    MISMATCH = "mismatch"
    """Users are not split as they should be: nothing that was measured can be trusted."""


@dataclass(frozen=True, slots=True)
class ExperimentPhase:
    """Where an A/B test stands after a look."""

    finding: Finding
    reason: str
    because: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class HookAnswer:
    """What a check that was called for has found."""

    hook: str
    passed: bool
    reason: str
    because: tuple[int, ...] = ()
    """Sequence numbers of the events that tell what it found."""


class Order(StrEnum):
    """What a person may say to a rollout that is under way."""

    APPROVE = "approve"
    REJECT = "reject"
    PROMOTE = "promote"
    ABORT = "abort"


@dataclass(frozen=True, slots=True)
class Command:
    """A person has spoken."""

    order: Order
    by: str
    number: int = 0
    """Of an order from another terminal, which is to be answered; 0: of none."""


@dataclass(frozen=True, slots=True)
class Superseded:
    """A newer candidate has come; this one is given up."""

    by: str


@dataclass(frozen=True, slots=True)
class Horizon:
    """The run may not go on beyond this instant."""


Seen = Tick | Ready | Routed | AnalysisPhase | ExperimentPhase | HookAnswer | Command | Superseded | Horizon


# --- what the machine asks for ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rules:
    """What must hold of everything that a machine wants, whatever it has seen; the executor holds it to that."""

    exclusive: bool = False
    """One arm has all the traffic (blue-green)."""
    least_ready: int = 0
    """So many ready replicas in all are never given up (a rolling update's size less what may be unavailable)."""
    most_replicas: int | None = None
    """There are never more replicas wanted than this (its size and its surge)."""
    unexposed: bool = False
    """No user is answered by the candidate (a shadow), before the rollout is decided."""


@dataclass(frozen=True, slots=True)
class Want:
    """The whole desired state; applying it twice changes nothing."""

    weights: Weights
    replicas: Mapping[Role, int]
    routes: tuple[HeaderRoute, ...] = ()
    mirror: int = 0
    sticky: bool = False

    @property
    def routing(self) -> Routing:
        """What of it is the router's affair."""
        return Routing(self.weights, self.routes, self.mirror, self.sticky)


@dataclass(frozen=True, slots=True)
class StartAnalysis:
    """Begin an analysis now: the one in the background, or a step's own, which looks so often."""

    policy: AnalysisPolicy | None = None
    """Of a step's own analysis; None: the background's."""
    looks: int | None = None


@dataclass(frozen=True, slots=True)
class StopAnalysis:
    """End an analysis."""

    inline: bool = False


@dataclass(frozen=True, slots=True)
class StartExperiment:
    """Begin an A/B test now."""

    experiment: Experiment
    every_ns: int


@dataclass(frozen=True, slots=True)
class CallHook:
    """Have the check that a step asks for made, and tell what it found."""

    hook: str
    step: Step


@dataclass(frozen=True, slots=True)
class EnterStep:
    """A step of the policy begins: for the timeline, and for rules that must be judged anew on each step."""

    index: int
    step: Step


@dataclass(frozen=True, slots=True)
class Hold:
    """A step is over by the clock but is not left, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Await:
    """A person is waited for."""

    what: str
    until_ns: int | None
    """When the wait ends by itself; None: never."""


@dataclass(frozen=True, slots=True)
class End:
    """The rollout is decided; the executor makes it so and verifies it."""

    outcome: Outcome
    reason: str
    because: tuple[int, ...] = ()
    """Sequence numbers of the measurements that it rests on."""
    superseded: bool = False
    """A newer candidate has come: the run goes on with that."""


Action = Want | StartAnalysis | StopAnalysis | StartExperiment | CallHook | EnterStep | Hold | Await | End
