"""The scenario file: folds, searches for parameters, and experiments side by side."""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BeforeValidator, Field, PlainValidator, ValidationInfo, WithJsonSchema

from harness.analysis.vocabulary import suggestion
from harness.domain.features import FeatureSet
from harness.domain.model import ExperimentsPlan, Task, TrainPlan
from harness.domain.training import (
    DEFAULT_FOLDS,
    ExperimentPlan,
    FoldsPlan,
    Range,
    Sampler,
    Split,
    TunePlan,
)
from harness.errors import InputError
from harness.scenario.context import Context
from harness.scenario.features import Features
from harness.scenario.files import resolved
from harness.scenario.gating import QualityMetric
from harness.scenario.inputs import At, ContradictionError, Input, WrongValueError, given
from harness.scenario.quantities import Count, LongDuration, PositiveTimes, context_in
from harness.scenario.words import Algorithm, Column, Flag, Name, Parameter, one_word
from harness.training.space import grid, range_of

if TYPE_CHECKING:
    from harness.scenario.models import SourceInput

MOST_FOLDS: Final = 100
MOST_WORKERS: Final = 256


def _between(least: int, most: int) -> tuple[PlainValidator, WithJsonSchema]:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise WrongValueError(f"a whole number from {least} to {most}")
        return value

    return PlainValidator(read), WithJsonSchema({"type": "integer", "minimum": least, "maximum": most})


def _range(value: Any) -> Range:
    try:
        return range_of(value)
    except ValueError as error:
        raise WrongValueError(str(error)) from None


def _storage(value: Any, info: ValidationInfo) -> str:
    if not isinstance(value, str) or not value.lower().endswith(".db"):
        raise WrongValueError("this is the path of an SQLite file that ends in .db; it is made where there is none")
    return resolved(value, context_in(info).folder)


Folds = Annotated[int, *_between(2, MOST_FOLDS)]
Workers = Annotated[int, *_between(1, MOST_WORKERS)]
SplitWord = Annotated[str, *one_word(tuple(Split))]
SamplerWord = Annotated[str, *one_word(tuple(Sampler))]
SearchRange = Annotated[Range, PlainValidator(_range), WithJsonSchema({"type": ["array", "object"]})]
StoragePath = Annotated[str, PlainValidator(_storage), WithJsonSchema({"type": "string", "pattern": r"\.db$"})]


class FoldsInput(Input):
    """How training rows are cut into some to learn from and some to be judged on."""

    folds: Folds = Field(DEFAULT_FOLDS, description="How often the rows are cut.")
    split: SplitWord | None = Field(
        None, description="How: stratified by class, random, by group, or in order of time.", examples=["time"]
    )
    group: Column | None = Field(
        None, description="The column whose equal values stay together; of split: group.", examples=["customer_id"]
    )
    gap: Count | None = Field(
        None, description="Rows left out between those learned from and those judged on; of split: time."
    )

    def contradictions(self, context: Context) -> Iterable[At]:
        """A group belongs to groups, a gap to time, classes to a classification."""
        if self.split == Split.GROUP and self.group is None:
            yield At(("split",), ContradictionError("is group; add group: COLUMN"))
        for key, owner in (("group", Split.GROUP), ("gap", Split.TIME)):
            if getattr(self, key) is not None and self.split != owner:
                yield At((key,), ContradictionError(f"belongs to split: {owner}; add that, or leave this out"))
        if self.split == Split.STRATIFIED and context.task is Task.REGRESSION:
            yield At(("split",), ContradictionError("is stratified by class, and this data set is for regression"))

    def plan(self) -> FoldsPlan:
        """As a value."""
        return FoldsPlan(self.folds, Split(self.split) if self.split else None, self.group or "", self.gap or 0)


def _count_alone(value: Any) -> Any:
    """``cross_validation: 5`` says how many folds."""
    return {"folds": value} if isinstance(value, int) and not isinstance(value, bool) else value


CrossValidation = Annotated[
    FoldsInput,
    BeforeValidator(_count_alone),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 2, "maximum": MOST_FOLDS},
                {"type": "object", "properties": {
                    "folds": {"type": "integer", "minimum": 2, "maximum": MOST_FOLDS}, "split": {"enum": list(Split)},
                    "group": {"type": ["string", "integer"]}, "gap": {"type": "integer", "minimum": 0},
                }, "additionalProperties": False},
            ]
        }
    ),
]  # fmt: skip


class TuneInput(FoldsInput):
    """A search for the parameters that are not given, on training rows alone."""

    space: dict[str, SearchRange] = Field(
        description="What each parameter may be.",
        examples=[
            {"C": {"log": [0.01, 10]}, "max_depth": [3, 5, None], "n_estimators": {"int": [50, 300], "step": 50}}
        ],
    )
    metric: QualityMetric = Field(description="What is made best: its mean over the folds.", examples=["f1"])
    trials: PositiveTimes = Field(20, description="How many sets of parameters are tried at most.")
    sampler: SamplerWord = Field(
        Sampler.TPE.value, description="Who says what is tried next: tpe (optuna's), random, or the whole grid."
    )
    prune: Flag = Field(True, description="Give up after a fold where a trial stands worse than the median.")  # noqa: FBT003
    workers: Workers = Field(1, description="Processes that train; the result does not depend on it.")
    trial_limit: LongDuration | None = Field(
        None, description="Real time that a trial may train; the result then depends on the machine.", examples=["2m"]
    )
    storage: StoragePath | None = Field(
        None, description="An SQLite file that keeps each trial, so that a search goes on.", examples=["tuning.db"]
    )

    def contradictions(self, context: Context) -> Iterable[At]:
        """A grid has an end."""
        yield from super().contradictions(context)
        if not self.space:
            yield At(("space",), ContradictionError("names no parameter; add one: {C: {log: [0.01, 10]}}"))
        elif self.sampler == Sampler.GRID:
            try:
                grid(self.space)
            except InputError as error:
                yield At(("space",), ContradictionError(f"cannot be gone through: {error}"))

    def search(self) -> TunePlan:
        """As a value."""
        return TunePlan(
            space=dict(self.space),
            metric=self.metric,
            trials=self.trials,
            folds=self.plan(),
            sampler=Sampler(self.sampler),
            prune=self.prune,
            workers=self.workers,
            limit_ns=self.trial_limit,
            storage=self.storage,
        )


class ExperimentInput(Input):
    """One of several ways to train a model."""

    algorithm: Algorithm = Field(description="The algorithm.", examples=["logistic_regression"])
    params: dict[str, Parameter] | None = Field(None, description="Parameters of the algorithm.", examples=[{"C": 1.0}])
    features: Features | None = Field(
        None, description="What it sees of the data, in place of the model's.", examples=["features.yaml"]
    )
    tune: TuneInput | None = Field(None, description="A search for parameters that are not given.")

    def contradictions(self, context: Context) -> Iterable[At]:
        """Parameters belong to the algorithm, and are given or searched for."""
        yield from unknown_parameters(context, self.algorithm, self.params or {}, "params")
        if self.tune:
            yield from of_search(context, self.algorithm, self.params or {}, self.tune)

    def plan(self, name: str, features: FeatureSet | None) -> ExperimentPlan:
        """As a value."""
        tune = self.tune.search() if self.tune else None
        return ExperimentPlan(name, self.algorithm, self.params or {}, self.features or features, tune)


Experiments = dict[Name, ExperimentInput]


def unknown_parameters(context: Context, algorithm: str, names: Iterable[str], *loc: str) -> Iterable[At]:
    """Parameters that an algorithm has not."""
    if context.catalog.parameters:
        known = tuple(context.catalog.parameters(algorithm))
        for name in names:
            if name not in known:
                yield At((*loc, name), ContradictionError(f"is no parameter of {algorithm}; {suggestion(name, known)}"))


def of_search(context: Context, algorithm: str, params: Mapping[str, Any], tune: TuneInput) -> Iterable[At]:
    """A search is for parameters that the algorithm has and that are not given."""
    yield from unknown_parameters(context, algorithm, tune.space, "tune", "space")
    for name in tune.space:
        if name in params:
            told = f"is searched for, and params fixes it to {json.dumps(params[name], default=str)}; leave one out"
            yield At(("tune", "space", name), ContradictionError(told))


def of_training(source: "SourceInput", context: Context) -> Iterable[At]:
    """What belongs to an algorithm, and what to experiments."""
    if source.tune and source.algorithm:
        yield from of_search(context, source.algorithm, source.params or {}, source.tune)
    elif source.tune:
        owner = "an experiment has one of its own" if source.experiments else "a model that is brought has none"
        yield At(("tune",), ContradictionError(f"belongs to algorithm; {owner}"))
    if source.cross_validation and not (source.algorithm or source.experiments):
        yield At(
            ("cross_validation",), ContradictionError("belongs to algorithm; a model that is brought is not trained")
        )
    if source.choose and source.experiments is None:
        yield At(("choose",), ContradictionError("belongs to experiments; add them, or leave this out"))
    if source.experiments is not None and not source.experiments:
        yield At(("experiments",), ContradictionError("names none; add at least one: {baseline: {algorithm: …}}"))
    elif source.experiments and source.choose is None:
        example = "rmse" if context.task is Task.REGRESSION else "f1"
        yield At(("experiments",), ContradictionError(f"are chosen from by a metric; add choose: {example}"))


def training_of(source: "SourceInput", features: FeatureSet | None) -> TrainPlan | ExperimentsPlan:
    """What a source trains."""
    folds = source.cross_validation.plan() if source.cross_validation else None
    if source.experiments:
        experiments = tuple(each.plan(name, features) for name, each in source.experiments.items())
        return ExperimentsPlan(experiments, given(source.choose), folds or FoldsPlan(), source.duration)
    tune = source.tune.search() if source.tune else None
    return TrainPlan(given(source.algorithm), source.params or {}, source.duration, features, tune, folds)


def groups_of(source: "SourceInput") -> set[str]:
    """The columns by which a source's rows are grouped."""
    tunes = [source.tune, *(each.tune for each in (source.experiments or {}).values())]
    return {each.group for each in (source.cross_validation, *tunes) if each and each.group}
