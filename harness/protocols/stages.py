"""What the stages of a run find and tell, and what people say to it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from harness.domain.event import Event
from harness.domain.model import Revision, Role, TrainedModel
from harness.domain.order_event import Spoken
from harness.domain.scenario import Scenario

P = ParamSpec("P")
E = TypeVar("E", bound=Event)


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """The held-out rows: models are evaluated on them, and users' requests are drawn from them."""

    rows: Any
    """pandas DataFrame, one row per request that can be asked."""
    target: Any
    """numpy array of the true answers: 0/1 for classification (1 = positive), float64 for regression."""
    known: Any = field(default=None, kw_only=True)
    """What becomes known of each answer, where it is not the target: float64 like it, NaN where nothing ever does."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """What the stages of a run have found so far; each stage adds to it."""

    scenario: Scenario
    training: Population | None = None
    """The rows models are trained on."""
    population: Population | None = None
    data_digest: str | None = None
    models: Mapping[Role, TrainedModel] = field(default_factory=dict)
    revisions: Mapping[Role, Revision] = field(default_factory=dict)
    refusals: tuple[str, ...] = ()
    """Why gates that stages have judged refuse the candidate: it is rejected for these, and for what fails later."""

    def having(self, **found: Any) -> "Case":
        """The same with more found."""
        return replace(self, **found)


class Tell(Protocol):
    """How a stage reports: the executor stamps the event with the time and appends it."""

    def __call__(self, event: Callable[Concatenate[int, P], E], *args: P.args, **kwargs: P.kwargs) -> E:
        """Append ``event(now, *args, **kwargs)``."""
        ...


class Retrainer(Protocol):
    """Trains a challenger on what has become known since the champion was trained."""

    async def challenge(self, case: Case, known: float, tell: Tell) -> Case | None:
        """A case whose candidate is the challenger and whose stable is the champion; None where it is no better.

        Args:
            case: with the champion as stable.
            known: how much of the population's rows, in their order, has labels by now; in 0..1.
            tell: where what was found is reported.
        """
        ...


class Stage(Protocol):
    """One stage of the lifecycle before deployment."""

    name: str

    async def run(self, case: Case, tell: Tell) -> Case:
        """Do the work and answer with what was found; `errors.Rejected` stops the run with a reason."""
        ...


class Orders(Protocol):
    """What people say to a run from another terminal. Its methods raise BackendError where they cannot be heard."""

    async def take(self) -> Sequence[Spoken]:
        """Orders that have come since, oldest first; each is taken once."""
        ...

    async def unanswered(self) -> Sequence[Spoken]:
        """Those that were taken and never answered, by a harness that is dead."""
        ...

    async def answer(self, number: int, text: str, *, accepted: bool) -> None:
        """Tell whoever gave an order what became of it, and whether it had an effect."""
        ...

    async def give_back(self, number: int) -> None:
        """Leave an order that was taken to the harness that has the run now."""
        ...
