"""What a scenario injects: into the servers, the data, the labels, the model."""

from dataclasses import dataclass

from harness.domain.model import Role


@dataclass(frozen=True, slots=True)
class LatencyFactor:
    """Service takes this many times as long."""

    factor: float


@dataclass(frozen=True, slots=True)
class LatencyAdd:
    """Service takes this much longer."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Errors:
    """This share of the requests is answered with an error."""

    share: float


@dataclass(frozen=True, slots=True)
class Lost:
    """This share of the users who are sent to the arm never get there, and nothing is known of them.

    A redirect that fails, a page that breaks before it asks: the usual cause of a sample ratio mismatch.
    """

    share: float


@dataclass(frozen=True, slots=True)
class Crash:
    """The first ``count`` replicas of the arm die; what they were working on is lost, and they start anew."""

    count: int


@dataclass(frozen=True, slots=True)
class Shift:
    """A numeric column moves by a number of its reference standard deviations."""

    column: str
    deviations: float


@dataclass(frozen=True, slots=True)
class Scale:
    """A numeric column is multiplied (a change of unit)."""

    column: str
    factor: float


@dataclass(frozen=True, slots=True)
class Swap:
    """Two categories of a column change places."""

    column: str
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class Missing:
    """This share of a column's values is missing."""

    column: str
    share: float


@dataclass(frozen=True, slots=True)
class LabelDrift:
    """This share of the true answers is another than it was (concept drift); for regression, shifted by one sd."""

    share: float


@dataclass(frozen=True, slots=True)
class StaleTraining:
    """The model was trained without the newest ``share`` of the training rows (by row order)."""

    share: float


@dataclass(frozen=True, slots=True)
class CorruptTraining:
    """This share of the training labels was replaced by another row's."""

    share: float


DataDrift = Shift | Scale | Swap | Missing | LabelDrift
TrainingFault = StaleTraining | CorruptTraining
ServingFault = LatencyFactor | LatencyAdd | Errors | Lost | Crash
Effect = DataDrift | TrainingFault | ServingFault


@dataclass(frozen=True, slots=True)
class Fault:
    """One injected effect. Times count from the start of traffic; it grows to full strength over ``ramp_ns``.

    A training fault has no time: it acts when the model is trained.
    """

    text: str
    """As the user wrote it, in one line."""
    on: frozenset[Role]
    effect: Effect
    at_ns: int = 0
    ramp_ns: int = 0
    until_ns: int | None = None
    """When it ends, at once; None: never."""

    def strength(self, at_ns: int) -> float:
        """How much of the effect is in force, from 0 to 1.

        >>> fault = Fault("", frozenset(), Errors(1.0), at_ns=100, ramp_ns=50, until_ns=300)
        >>> [fault.strength(t) for t in (99, 100, 125, 150, 299, 300)]
        [0.0, 0.0, 0.5, 1.0, 1.0, 0.0]
        """
        if at_ns < self.at_ns or (self.until_ns is not None and at_ns >= self.until_ns):
            return 0.0
        if at_ns >= self.at_ns + self.ramp_ns:
            return 1.0
        return (at_ns - self.at_ns) / self.ramp_ns
