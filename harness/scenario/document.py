"""The scenario file: its top level, the models, and the rollout. Descriptions are what editors and the docs show."""

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Final

from pydantic import AfterValidator, Field, PlainValidator, ValidationInfo, WithJsonSchema

from harness.analysis.vocabulary import suggestion
from harness.backends.uri import FORGETFUL, split
from harness.domain.model import Task
from harness.domain.units import duration_text, share_text
from harness.scenario.context import Context
from harness.scenario.environment import FaultInput, LabelsInput, ServiceInput, TrafficInput
from harness.scenario.files import header
from harness.scenario.inputs import At, ContradictionError, Input, WrongValueError, refuse
from harness.scenario.quantities import (
    Count,
    Duration,
    HorizonDuration,
    InnerShare,
    LongDuration,
    PositiveCount,
    Seed,
    Weight,
    context_in,
)
from harness.scenario.words import (
    Algorithm,
    AnalysisRule,
    Brought,
    Column,
    DataFile,
    Expectation,
    Gate,
    Label,
    Name,
    Parameter,
    SchemaFile,
    Slug,
    Strategy,
    Text,
    backend,
    backend_uri,
    one_word,
)

VERSION: Final = 1


def _version(value: Any) -> int:
    if isinstance(value, bool) or value != VERSION:
        raise WrongValueError(f"this program reads version {VERSION}: harness: {VERSION}")
    return VERSION


Version = Annotated[int, PlainValidator(_version), WithJsonSchema({"const": VERSION})]


class DataInput(Input):
    """The data set that models are trained, evaluated and served with."""

    source: DataFile = Field(
        description="CSV (also gzipped) or Parquet file, relative to this file.", examples=["data/telco_churn.csv.gz"]
    )
    target: Column = Field(description="The column to predict.", examples=["Churn"])
    positive: Label | None = Field(
        None, description="The label that counts as positive; leave it out for a regression.", examples=["Yes"]
    )
    schema_file: SchemaFile | None = Field(
        None,
        alias="schema",
        description="File with the schema that the data must meet.",
        examples=["data/telco_schema.yaml"],
    )
    test_share: InnerShare = Field("25%", validate_default=True, description="Share of the rows that is held out.")
    walk: LongDuration | None = Field(
        None,
        description="Rows are in order of time: the last are held out, and requests walk through them in so long.",
        examples=["4h"],
    )


class SourceInput(Input):
    """Where a model comes from: trained, named by the registry, brought from a file or MLflow, or recorded answers."""

    ONE_OF: ClassVar[tuple[str, ...]] = ("algorithm", "registered", "artifact", "predictions")

    algorithm: Algorithm | None = Field(
        None, description="Train a model with this algorithm.", examples=["logistic_regression"]
    )
    params: dict[str, Parameter] | None = Field(
        None, description="Parameters of the algorithm.", examples=[{"n_estimators": 100}]
    )
    registered: Name | None = Field(
        None, description="Take the model that this alias of the registry names.", examples=["stable"]
    )
    artifact: Brought | None = Field(
        None,
        description="Take a fitted model from a skops file (a pickle: with --trust-pickle), or from MLflow by its URI.",
        examples=["m.skops", "models:/churn@stable"],
    )
    predictions: DataFile | None = Field(
        None,
        description="Answer what a model of any kind answered to the rows of the data set: a CSV or Parquet file.",
        examples=["my_predictions.csv"],
    )
    key: Column | None = Field(
        None, description="The column by which the predictions find the rows.", examples=["customer_id"]
    )
    column: Label | None = Field(
        None, description="The column of the predictions: the label, or the value.", examples=["predicted"]
    )
    score: Label | None = Field(
        None, description="Their column with the probability of the positive class.", examples=["probability"]
    )
    duration: Duration = Field("0s", validate_default=True, description="How long this takes in virtual time.")

    def contradictions(self, context: Context) -> Iterable[At]:
        """Parameters belong to an algorithm, and to this one; key and columns to predictions, and to their file."""
        yield from self._parameters(context)
        columns = {"key": self.key, "column": self.column, "score": self.score}
        if self.predictions is None:
            for name, given in columns.items():
                if given is not None:
                    yield At((name,), ContradictionError("belongs with predictions; add that, or leave this out"))
            return
        for name in ("key", "column"):
            if columns[name] is None:
                yield At(("predictions",), ContradictionError(f"belongs with key and column; add {name}"))
        if context.task is None:
            yield At(("predictions",), ContradictionError("are of the rows of a data set; add model.data"))
        if self.score is not None and context.task is Task.REGRESSION:
            yield At(("score",), ContradictionError("is a probability, and this data set is for regression"))
        known = header(self.predictions)
        for name, given in columns.items():
            if known is not None and given is not None and given not in known:
                told = f"the predictions have no such column; {suggestion(given, known, 'their columns')}"
                yield At((name,), WrongValueError(told))

    def _parameters(self, context: Context) -> Iterable[At]:
        if self.params is None:
            return
        if self.algorithm is None:
            yield At(("params",), ContradictionError("belongs to algorithm; a model that is brought takes none"))
        elif context.catalog.parameters:
            known = tuple(context.catalog.parameters(self.algorithm))
            for name in self.params:
                if name not in known:
                    told = f"is no parameter of {self.algorithm}; {suggestion(name, known)}"
                    yield At(("params", name), ContradictionError(told))


class ModelInput(Input):
    """The two models of the rollout, and what the candidate must reach before it is deployed."""

    name: Name = Field(description="The model's name in the registry.", examples=["churn-prediction"])
    data: DataInput | None = Field(None, description="The data set; may be left out where both models are brought.")
    stable: SourceInput = Field(description="The model in service.", examples=[{"registered": "stable"}])
    candidate: SourceInput = Field(
        description="The model that is to replace it.", examples=[{"algorithm": "random_forest"}]
    )
    gates: list[Gate] = Field(
        [], description="What must hold on the held-out rows before the candidate is deployed; else: rejected."
    )


class BackendsInput(Input):
    """Which implementation stands behind each boundary."""

    registry: Annotated[str, *backend_uri("registry")] = Field(
        "memory", description="The model registry: a word, or a URI such as mlflow+sqlite:///PATH."
    )
    tracker: Annotated[str, *backend_uri("tracker")] = Field(
        "memory", description="The experiment tracker: a word, or a URI such as mlflow+sqlite:///PATH."
    )
    serving: Annotated[str, *backend("serving")] = Field("simulated", description="The servers and their router.")
    metrics: Annotated[str, *backend("metrics")] = Field("inprocess", description="Where figures are asked for.")


class StepInput(Input):
    """A step of the rollout: a weight, or a pause."""

    ONE_OF: ClassVar[tuple[str, ...]] = ("weight", "pause")

    weight: Weight | None = Field(None, description="Give the candidate this share of the traffic.", examples=["10%"])
    pause: LongDuration | None = Field(None, description="Stay as it is for so long.", examples=["30m"])


def _in_order(steps: list[StepInput], info: ValidationInfo) -> list[StepInput]:
    """Weights rise, there is at least one, and the pauses fit below the horizon."""
    refuse(_disorder(steps, context_in(info)))
    return steps


def _disorder(steps: list[StepInput], context: Context) -> Iterable[At]:
    before = None
    for index, step in enumerate(steps):
        if step.weight is None:
            continue
        if before is not None and step.weight <= before:
            told = "as it was before; leave it out" if step.weight == before else "weights never fall in a rollout"
            yield At((index, "weight"), WrongValueError(f"after {share_text(before)}, {told}"))
        before = step.weight
    if before is None:
        yield At((), ContradictionError("has no weight; the candidate would get no traffic: {weight: 10%}"))
    if context.models_ns + context.policy_ns > context.horizon_ns:
        takes, horizon = duration_text(context.policy_ns), duration_text(context.horizon_ns)
        models = f" after {duration_text(context.models_ns)} for the models" if context.models_ns else ""
        yield At((), ContradictionError(f"takes {takes}{models}, longer than the horizon {horizon}"))


def _no_repeats(rules: list[Any]) -> list[Any]:
    texts = [rule.text for rule in rules]
    refuse(
        At((index,), WrongValueError("it stands here twice; leave one out"))
        for index, text in enumerate(texts)
        if text in texts[:index]
    )
    return rules


def _some(rules: list[Any]) -> list[Any]:
    if not rules:
        raise WrongValueError("at least one rule, such as error_rate <= stable + 2%; or leave analysis out")
    return rules


class AnalysisInput(Input):
    """Background analysis: look again and again, roll back after too many failures."""

    every: LongDuration = Field("1m", validate_default=True, description="Time from look to look.")
    window: LongDuration | None = Field(
        None, description="Each look judges what was answered in this time before it; default: every.", examples=["1m"]
    )
    min_requests: PositiveCount = Field(
        1, description="Answers that each arm must have in the window; with fewer the look is inconclusive."
    )
    failure_limit: Count = Field(0, description="Roll back when a rule failed on more looks than this.")
    error_limit: Count = Field(
        4, description="Give up when a rule could not be measured more often than this in a row."
    )
    no_data: Annotated[str, *one_word(("hold", "ignore", "fail"))] = Field(
        "hold", description="Without enough answers: hold the step, ignore it, or count the look as failed."
    )
    rules: Annotated[list[AnalysisRule], AfterValidator(_no_repeats), AfterValidator(_some)] = Field(
        description="What must hold at each look: METRIC OP BOUND.", examples=[["error_rate <= stable + 2%"]]
    )


class RolloutInput(Input):
    """How the candidate is to replace stable."""

    strategy: Strategy = Field(description="The kind of rollout.", examples=["canary"])
    steps: Annotated[list[StepInput], AfterValidator(_in_order)] = Field(
        description="Weights and pauses, in order; after the last one the candidate is promoted.",
        examples=[[{"weight": "10%"}, {"pause": "30m"}]],
    )
    ready_within: LongDuration = Field(
        "10m", validate_default=True, description="The candidate's replicas must be ready by then."
    )
    analysis: AnalysisInput | None = Field(None, description="Background analysis; without it nothing is judged.")


class Document(Input):
    """A scenario: the rehearsal of one rollout."""

    harness: Version = Field(description="Version of this format.", examples=[1])
    name: Slug = Field(
        description="Name of the scenario; also of its folder of reports.", examples=["canary-regression"]
    )
    description: Text = Field("", description="What this scenario teaches.")
    seed: Seed = Field(0, description="Every random draw of a run comes from this.")
    clock: Annotated[str, *one_word(("virtual", "real"))] = Field("virtual", description="The time a run lives in.")
    horizon: HorizonDuration = Field("4h", validate_default=True, description="Where a virtual run ends at the latest.")
    model: ModelInput = Field(
        description="The two models, their data, and the gates.", examples=[{"name": "churn-prediction"}]
    )
    backends: BackendsInput = Field(
        BackendsInput(), description="The registry, the tracker, the servers and the metrics to use."
    )
    service: ServiceInput = Field(ServiceInput(), description="The simulated servers; may be given for each arm.")
    traffic: TrafficInput = Field(description="How requests arrive.", examples=[{"poisson": "100/s"}])
    labels: LabelsInput | None = Field(None, description="When true answers become known; without it, never.")
    rollout: RolloutInput = Field(
        description="The policy of the rollout.", examples=[{"strategy": "canary", "steps": [{"weight": "10%"}]}]
    )
    inject: list[FaultInput] = Field([], description="What goes wrong, and when, counted from the start of traffic.")
    expect: Annotated[list[Expectation], AfterValidator(_no_repeats)] = Field(
        [], description="What must be true of the run for it to pass.", examples=[["outcome == rolled_back"]]
    )

    def contradictions(self, context: Context) -> Iterable[At]:
        """A registry that outlives the run keeps models, and recorded answers are none."""
        if split(self.backends.registry)[0] == FORGETFUL:
            return
        for arm, source in (("stable", self.model.stable), ("candidate", self.model.candidate)):
            if source.predictions is not None:
                yield At(
                    ("model", arm, "predictions"),
                    ContradictionError(
                        f"are no model that the registry {split(self.backends.registry)[0]} could keep and serve; "
                        "leave backends.registry (or --registry) out, so that the run registers in memory"
                    ),
                )
