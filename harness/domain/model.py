"""Models, revisions and arms."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from harness.domain.analysis import Rule
from harness.domain.drift import DriftPlan
from harness.domain.evaluation import EvaluationPlan
from harness.domain.features import FeatureSet
from harness.domain.gates import GatePlan
from harness.domain.training import ExperimentPlan, FoldsPlan, TunePlan


class Role(StrEnum):
    """What a revision is in a rollout."""

    STABLE = "stable"
    CANDIDATE = "candidate"
    BASELINE = "baseline"
    """A second copy of stable beside the candidate, of the same size: what the candidate is best compared with."""
    SHADOW = "shadow"
    """Copies of stable's requests, answered by the candidate's replicas; no user ever gets such an answer."""

    @property
    def model(self) -> "Role":
        """Whose model it answers with."""
        return {Role.BASELINE: Role.STABLE, Role.SHADOW: Role.CANDIDATE}.get(self, self)


ARMS: Final = (Role.STABLE, Role.CANDIDATE)
"""The two revisions of a rollout."""
SERVING: Final = (*ARMS, Role.BASELINE)
"""Arms whose answers users get."""


class Task(StrEnum):
    """What a model predicts."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"


class Source(StrEnum):
    """Where a model comes from."""

    TRAINED = "trained"
    ARTIFACT = "artifact"
    REGISTERED = "registered"
    RECORDED = "recorded"
    """Its answers were recorded, in a file of the user's own; the model itself is not here."""
    GIVEN = "given"
    """A caller in Python handed it over."""


@dataclass(frozen=True, slots=True)
class Revision:
    """One version of a model in a registry."""

    name: str
    version: int
    digest: str
    """Canonical digest of the artifact (``sha256:…``)."""

    def __str__(self) -> str:
        """As users write it: ``name:version``."""
        return f"{self.name}:{self.version}"


@dataclass(frozen=True, slots=True, eq=False)
class TrainedModel:
    """A fitted model and what is known of it.

    ``estimator`` is a fitted scikit-learn estimator (a Pipeline with its features) that takes a DataFrame with the
    columns ``features``; of a recorded model it is what looks its answers up. ``classes`` holds the two labels of a
    binary classifier, the positive one last; it is empty for a regressor.
    """

    name: str
    role: Role
    source: Source
    algorithm: str
    params: Mapping[str, Any]
    estimator: Any
    task: Task
    features: tuple[str, ...]
    classes: tuple[str, ...]
    artifact_digest: str
    data_digest: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    """On the held-out rows, by metric name; empty until evaluated."""
    notes: tuple[str, ...] = ()
    """What a registry noticed as it read the model: another version of scikit-learn wrote it, it is a pickle."""
    features_digest: str | None = None
    """Of the feature set that it was trained with; None where there was none but the columns of its data set."""


@dataclass(frozen=True, slots=True)
class TrainPlan:
    """Train the model in this run."""

    algorithm: str
    params: Mapping[str, Any]
    duration_ns: int = 0
    """How long training takes in virtual time."""
    features: FeatureSet | None = None
    """What the model sees of the data's columns; None: numbers imputed and scaled, categories one-hot."""
    tune: TunePlan | None = None
    """A search for the parameters that are not given."""
    cross_validation: FoldsPlan | None = None
    """How the algorithm is judged on training rows alone, besides."""


@dataclass(frozen=True, slots=True)
class ExperimentsPlan:
    """Try several ways to train the model, and train the best of them."""

    experiments: tuple[ExperimentPlan, ...]
    """Of equal ones the first is taken: the simpler belongs before the others."""
    choose: str
    """The metric that the best is best by."""
    folds: FoldsPlan = field(default_factory=FoldsPlan)
    """All are compared on the same."""
    duration_ns: int = 0
    """How long all of it takes in virtual time."""


@dataclass(frozen=True, slots=True)
class ArtifactPlan:
    """Take a fitted model from a file."""

    path: str
    duration_ns: int = 0
    pickled: bool = False
    """The file is a pickle, and the user has said that it is to be trusted; else it is a skops file."""


@dataclass(frozen=True, slots=True)
class RegisteredPlan:
    """Take the model that an alias of the registry names."""

    alias: str
    duration_ns: int = 0


@dataclass(frozen=True, slots=True)
class PredictionsPlan:
    """Answer each row as a model of any kind did, whose answers stand in a file."""

    path: str
    """Resolved path of a CSV (also gzipped) or Parquet file."""
    key: str
    """The column by which its rows find those of the data set."""
    column: str
    """What was answered: the label, or the value."""
    score: str | None = None
    """The probability of the positive class; None where it is not known."""
    duration_ns: int = 0


@dataclass(frozen=True, slots=True)
class UriPlan:
    """Take the model that a URI names in the registry, or failing that the tracker, whoever saved it there."""

    uri: str
    duration_ns: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class GivenPlan:
    """Take what a caller in Python has; no scenario file says this."""

    model: Any = None
    """A fitted estimator, or a `TrainedModel`. None: nothing is known of the model, and nobody asks what it answers;
    servers and traffic are all that is rehearsed."""
    revision: Revision | None = None
    """The version of the run's own registry that it is; it is not registered again."""
    duration_ns: int = 0


ModelSource = TrainPlan | ExperimentsPlan | ArtifactPlan | RegisteredPlan | PredictionsPlan | UriPlan | GivenPlan


@dataclass(frozen=True, slots=True)
class KnownPlan:
    """What becomes known of an answer, where it is not the target itself: a proxy, or a file of the user's own."""

    column: str
    positive: str | None = None
    """The label that counts as positive; None for regression."""
    file: str | None = None
    """Resolved path of the file that holds the column; None: the data set itself."""
    key: str | None = None
    """The column by which that file's rows find those of the data set."""


@dataclass(frozen=True, slots=True)
class DataPlan:
    """The data set a scenario trains, evaluates and serves with."""

    source: str
    """Resolved path of a CSV (also gzipped) or Parquet file."""
    target: str
    positive: str | None = None
    """The label that counts as positive; None for regression."""
    schema: str | None = None
    """Resolved path of the schema file."""
    test_share: float = 0.25
    known: KnownPlan | None = None
    """What becomes known of answers while traffic runs; None: the target."""
    walk_ns: int | None = None
    """The rows are in order of time: the last are held out, and users' requests walk through them for so long."""
    keys: tuple[str, ...] = ()
    """The columns by which files of predictions find the rows."""
    quality: str | None = None
    """Resolved path of a file with rules of quality, beside those of the schema."""
    dates: tuple[tuple[str, str | None], ...] = ()
    """Columns that feature sets take for dates, and how the file writes them (None: ISO 8601); models are given Unix
    time in seconds."""
    drift: DriftPlan | None = None
    """The newest data, held against these before models are trained."""


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """What is to be rolled out over what."""

    name: str
    stable: ModelSource
    candidate: ModelSource
    data: DataPlan | None
    gates: tuple[Rule, ...] = ()
    trust_pickle: bool = False
    """The user has said that models may be pickles, which run what they hold when they are loaded."""
    checks: tuple[GatePlan, ...] = ()
    """Gates that are no rules; judged before these, and told together."""
    evaluation: EvaluationPlan | None = None
    """What the candidate is asked beyond its figures on all held-out rows; None: nothing."""

    def of(self, role: Role) -> ModelSource:
        """The source of the model in that role."""
        return self.stable if role is Role.STABLE else self.candidate
