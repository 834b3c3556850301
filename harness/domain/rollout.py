"""A rollout: its policy, what its machine sees, and what it asks for."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from harness.domain.analysis import AnalysisPolicy, Verdict
from harness.domain.model import Role
from harness.domain.units import duration_text, share_text

Weights = Mapping[Role, int]
"""Share of live traffic of each arm, in 1/10,000; sums to 10,000."""


class Outcome(StrEnum):
    """What became of the candidate."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    REJECTED = "rejected"
    PAUSED = "paused"
    ABORTED = "aborted"
    FAILED = "failed"
    ERROR = "error"


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
    """Stay as it is for a while."""

    duration_ns: int

    def __str__(self) -> str:
        """As the timeline shows it."""
        return f"pause {duration_text(self.duration_ns)}"


Step = SetWeight | Pause


@dataclass(frozen=True, slots=True)
class RolloutPolicy:
    """How the candidate is to replace stable."""

    strategy: str
    steps: tuple[Step, ...]
    analysis: AnalysisPolicy | None
    ready_within_ns: int = 600_000_000_000
    """The candidate's replicas must be ready by then (Argo's progressDeadlineSeconds, 600 s), or it is rolled back."""


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
    """Where the background analysis stands after a look."""

    verdict: Verdict
    """FAIL or ERROR: a limit was passed; PASS otherwise."""
    reason: str
    passed_ns: int | None = None
    """When the rule that has waited longest last passed; None while some rule has never been judged, or failed on the
    last look that could judge it."""
    because: tuple[int, ...] = ()
    """Sequence numbers of the measurements that it rests on."""


@dataclass(frozen=True, slots=True)
class Horizon:
    """The run may not go on beyond this instant."""


Seen = Tick | Ready | Routed | AnalysisPhase | Horizon


# --- what the machine asks for ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Want:
    """The whole desired state; applying it twice changes nothing."""

    weights: Weights
    replicas: Mapping[Role, int]


@dataclass(frozen=True, slots=True)
class StartAnalysis:
    """Begin the background analysis now."""


@dataclass(frozen=True, slots=True)
class StopAnalysis:
    """End the background analysis."""


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
class End:
    """The rollout is decided; the executor makes it so and verifies it."""

    outcome: Outcome
    reason: str
    because: tuple[int, ...] = ()
    """Sequence numbers of the measurements that it rests on."""


Action = Want | StartAnalysis | StopAnalysis | EnterStep | Hold | End
