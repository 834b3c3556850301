"""The scenario file: gates that are no rules; each is a mapping with the gate's word as its only key."""

import re
from collections.abc import Callable, Iterable
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, PlainValidator, ValidationInfo, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from harness.analysis.vocabulary import METRICS, Scope, Standing, find
from harness.domain import quantity
from harness.domain.analysis import Rule, Unit
from harness.domain.gates import EXAMPLES, Against, Judge, Limit, Measure, Undecided, limit_of, size_bytes
from harness.domain.model import Task
from harness.domain.quantity import NUMBER, SHARE_PATTERN
from harness.scenario.context import Context
from harness.scenario.files import resolved
from harness.scenario.inputs import At, ContradictionError, Input, WrongValueError
from harness.scenario.quantities import (
    InnerShare,
    LongDuration,
    NoShare,
    PositiveCount,
    PositiveTimes,
    context_in,
    written,
)
from harness.scenario.words import Column, Flag, Text, one_word, read_gate

READERS: Final = ("bandit", "cobertura", "coverage", "json", "junit", "safety")
BOUNDED: Final = {"bandit": "== 0", "junit": "== 0", "safety": "== 0"}
"""What a report of that kind must say where nothing is said."""
SHARES: Final = ("cobertura", "coverage")


def _limit(measure: Measure) -> tuple[PlainValidator, WithJsonSchema]:
    def read(value: Any) -> Limit:
        try:
            return limit_of(value, measure)
        except ValueError as error:
            raise WrongValueError(str(error)) from None

    schema = {"type": "string", "pattern": r"^\s*(<=|>=|==|!=|<|>)", "examples": [EXAMPLES[measure]]}
    return PlainValidator(read), WithJsonSchema(schema)


ShareLimit = Annotated[Limit, *_limit(Measure.SHARE)]
NumberLimit = Annotated[Limit, *_limit(Measure.NUMBER)]
DurationLimit = Annotated[Limit, *_limit(Measure.DURATION)]
SizeLimit = Annotated[Limit, *_limit(Measure.SIZE)]


def _metric(value: Any, info: ValidationInfo) -> str:
    context = context_in(info)
    try:
        return find(written(value), Scope(Standing.GATES, context.task)).name
    except ValueError as error:
        raise WrongValueError(str(error)) from None


QualityMetric = Annotated[str, PlainValidator(_metric), WithJsonSchema({"type": "string", "examples": ["accuracy"]})]


def _amount(value: Any) -> float:
    """A difference of a metric: a percentage, or a number in its unit."""
    text = written(value)
    if re.fullmatch(SHARE_PATTERN, text, re.ASCII):
        return quantity.share(text)
    if re.fullmatch(NUMBER, text, re.ASCII):
        return float(text)
    raise WrongValueError("this is a percentage, or a number in the metric's unit: 1% or 0.01")


Amount = Annotated[
    float,
    PlainValidator(_amount),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": SHARE_PATTERN}, {"type": "number", "minimum": 0}], "examples": ["1%"]}
    ),
]


def _deviations(value: Any) -> float:
    try:
        found = quantity.deviations(written(value))
    except ValueError as error:
        raise WrongValueError(str(error)) from None
    if found < 0:
        raise WrongValueError("noise is 0sd or more")
    return found


Noise = Annotated[
    float,
    PlainValidator(_deviations),
    WithJsonSchema({"type": "string", "pattern": f"^{NUMBER}sd$", "examples": ["0.1sd"]}),
]


def _size(value: Any) -> int:
    try:
        return int(size_bytes(written(value)))
    except ValueError as error:
        raise WrongValueError(str(error)) from None


FileSize = Annotated[
    int,
    PlainValidator(_size),
    WithJsonSchema({"type": "string", "pattern": rf"^{NUMBER}\s*([kMG]i?)?B$", "examples": ["500MB"]}),
]


def _path(value: Any, info: ValidationInfo) -> str:
    """A file that need not be there yet: a gate says that it is missing."""
    if not isinstance(value, str) or not value.strip():
        raise WrongValueError("this is the path of a file, relative to the scenario file")
    return resolved(value, context_in(info).folder)


GatePath = Annotated[str, PlainValidator(_path), WithJsonSchema({"type": "string", "minLength": 1})]


def _amount_fits(metric: str, amount: float, key: str) -> Iterable[At]:
    if METRICS[metric].unit is Unit.SHARE and amount > 1:
        told = f"{metric} is a share, so this is at most 100%; write it as a percentage"
        yield At((key,), WrongValueError(told))


# --- the gates --------------------------------------------------------------------------------------------------------


class FairnessInput(Input):
    """The candidate treats groups alike, by fairlearn's figures of the held-out rows."""

    column: Column | None = Field(None, description="The sensitive column.", examples=["sex"])
    columns: list[Column] | None = Field(
        None, description="Several: groups are their combinations.", examples=[["sex", "race"]]
    )
    demographic_parity: ShareLimit | None = Field(
        None, description="How far apart the groups' shares of positive answers lie.", examples=["<= 10%"]
    )
    demographic_parity_ratio: ShareLimit | None = Field(
        None, description="The smallest of these shares over the largest; four fifths: >= 80%.", examples=[">= 80%"]
    )
    equalised_odds: ShareLimit | None = Field(
        None, description="How far apart true or false positive rates lie, the larger of both.", examples=["<= 15%"]
    )
    equal_opportunity: ShareLimit | None = Field(
        None, description="How far apart the true positive rates lie.", examples=["<= 15%"]
    )
    mean_error: NumberLimit | None = Field(
        None, description="Of a regression: how far apart the groups' mean errors lie.", examples=["<= 2.5"]
    )
    mean_absolute_error: NumberLimit | None = Field(
        None, description="Of a regression: how far apart their mean absolute errors lie.", examples=["<= 2.5"]
    )
    judge: Annotated[str, *one_word(tuple(Judge))] = Field(
        "point", description="What a bound is held against: the figure, or all of its interval."
    )
    level: InnerShare = Field("5%", validate_default=True, description="What an interval misses.")
    min_rows: PositiveCount = Field(30, description="Smaller groups are told and left out.")
    resamples: PositiveTimes = Field(1000, description="Of the bootstrap.")

    FIGURES: ClassVar = ("demographic_parity", "demographic_parity_ratio", "equalised_odds", "equal_opportunity")
    ERRORS: ClassVar = ("mean_error", "mean_absolute_error")

    def contradictions(self, context: Context) -> Iterable[At]:
        """A column, a bound, and both of this task."""
        given = [name for name in (*self.FIGURES, *self.ERRORS) if getattr(self, name) is not None]
        if (self.column is None) is (self.columns is None):
            yield At((), ContradictionError("names one of column and columns; such as column: sex"))
        if self.columns is not None and not self.columns:
            yield At(("columns",), WrongValueError("at least one column"))
        fitting = self.ERRORS if context.task is Task.REGRESSION else self.FIGURES
        if not given:
            yield At((), ContradictionError(f"asks for nothing; bound one of {', '.join(fitting)}"))
        for name in given:
            if name not in fitting:
                told = f"is no figure of a {context.task}; there are {', '.join(fitting)}"
                yield At((name,), ContradictionError(told))
        for key, named in (("column", self.column), *(("columns", each) for each in self.columns or ())):
            if named is not None and named == context.target:
                yield At((key,), ContradictionError("names the target; groups are of another column"))


class NoRegressionInput(Input):
    """The candidate is not worse than stable on the same held-out rows."""

    metric: QualityMetric = Field(description="The metric.", examples=["accuracy"])
    level: InnerShare = Field("5%", validate_default=True, description="Of the one-sided test.")
    margin: Amount = Field("0", validate_default=True, description="How much worse is borne.")
    undecided: Annotated[str, *one_word(tuple(Undecided))] = Field(
        "pass", description="What becomes of a candidate that the rows cannot judge."
    )
    resamples: PositiveTimes = Field(1000, description="Of the bootstrap.")

    def contradictions(self, context: Context) -> Iterable[At]:
        """A margin of the metric's unit; a test at a level below one half."""
        del context
        yield from _amount_fits(self.metric, self.margin, "margin")
        if self.level >= 0.5:
            yield At(("level",), WrongValueError("a test has a level below 50%"))


class HistoryInput(Input):
    """The candidate is not worse than earlier versions of the registry were."""

    metric: QualityMetric = Field(description="The metric.", examples=["auc"])
    against: Annotated[str, *one_word(tuple(Against))] = Field("best", description="The best of them, or their median.")
    last: PositiveCount = Field(5, description="How many of the newest versions are looked at.")
    margin: Amount = Field("0", validate_default=True, description="How much worse is borne.")
    same_data: Flag = Field(default=False, description="Only versions that were trained on the same data.")

    def contradictions(self, context: Context) -> Iterable[At]:
        """A margin of the metric's unit."""
        del context
        yield from _amount_fits(self.metric, self.margin, "margin")


class LatencyInput(Input):
    """How long the model takes to answer on this machine, by the wall clock; no part of the log's digest."""

    p50: DurationLimit | None = Field(None, description="Of one row at a time: the median.", examples=["< 20ms"])
    p90: DurationLimit | None = Field(None, description="90 % stay below.")
    p95: DurationLimit | None = Field(None, description="95 % stay below.")
    p99: DurationLimit | None = Field(None, description="99 % stay below.")
    batch: DurationLimit | None = Field(None, description="Of a batch: the median.", examples=["< 100ms"])
    batch_rows: PositiveTimes = Field(256, description="Rows of a batch.")
    repeats: PositiveTimes = Field(50, description="Rows that are asked one by one in each round.")
    rounds: PositiveTimes = Field(3, description="The quietest of them is judged.")

    LIMITS: ClassVar = ("p50", "p90", "p95", "p99", "batch")

    def contradictions(self, context: Context) -> Iterable[At]:
        """A bound on something."""
        del context
        if all(getattr(self, name) is None for name in self.LIMITS):
            yield At((), ContradictionError(f"asks for nothing; bound one of {', '.join(self.LIMITS)}"))


class RobustnessInput(Input):
    """How much of a metric is lost on rows that were tampered with."""

    metric: QualityMetric = Field(description="The metric.", examples=["accuracy"])
    drop: Amount = Field(description="The largest loss that is borne.", examples=["2%"])
    noise: Noise = Field("0.1sd", validate_default=True, description="Noise on each column of numbers.")
    missing: NoShare = Field("5%", validate_default=True, description="Share of the values that are emptied.")
    unknown: NoShare = Field("5%", validate_default=True, description="Share of the categories that become unknown.")
    extreme: NoShare = Field("1%", validate_default=True, description="Share of the numbers that are moved far out.")

    def contradictions(self, context: Context) -> Iterable[At]:
        """A loss of the metric's unit, from something that is done."""
        del context
        yield from _amount_fits(self.metric, self.drop, "drop")
        if not any((self.noise, self.missing, self.unknown, self.extreme)):
            yield At((), ContradictionError("does nothing; leave one of noise, missing, unknown and extreme above 0"))


class SecurityInput(Input):
    """What the artifact holds; nothing in it is loaded to be looked at."""

    allow: list[Text] = Field([], description="Types that are trusted besides: module.name.")
    max_size: FileSize = Field("500MB", validate_default=True, description="Of the file, and of what it unpacks to.")
    pickles: Flag = Field(default=False, description="A pickle may pass, if all it imports is known to be harmless.")


class ReportInput(Input):
    """A report that something else wrote says what it should."""

    file: GatePath = Field(description="The report, relative to this file.", examples=["coverage.xml"])
    reader: Annotated[str, *one_word(READERS)] = Field(description="How it is read.", examples=["cobertura"])
    value: Text | None = Field(
        None, description="Of a JSON file: where the figure is.", examples=["$.totals.percent_covered"]
    )
    bound: Text | None = Field(
        None, description="What the figure must keep; of failures and vulnerabilities: == 0.", examples=[">= 80%"]
    )
    max_age: LongDuration | None = Field(None, description="An older file fails.", examples=["1d"])

    def contradictions(self, context: Context) -> Iterable[At]:
        """A place in JSON alone; a bound that can be read."""
        del context
        if (self.value is None) is (self.reader == "json"):
            told = "belongs with reader: json" if self.value else "lacks value: where in the JSON the figure is"
            yield At(("value",) if self.value else (), ContradictionError(told))
        try:
            self.limit()
        except ValueError as error:
            if self.bound is None:
                yield At((), ContradictionError(f'lacks bound; such as bound: "{self._example()}"'))
            else:
                yield At(("bound",), WrongValueError(str(error)))

    def limit(self) -> Limit:
        """The bound; ValueError where there is none."""
        measure = Measure.SHARE if self.reader in SHARES else Measure.NUMBER
        return limit_of(self.bound or BOUNDED.get(self.reader), measure)

    def _example(self) -> str:
        return ">= 80%" if self.reader in SHARES else ">= 80"


class GateInput(Input):
    """A gate that is no rule."""

    fairness: FairnessInput | None = Field(
        None, description="Between groups.", examples=[{"column": "sex", "demographic_parity": "<= 10%"}]
    )
    no_regression: NoRegressionInput | None = Field(
        None, description="Against stable, on the same rows.", examples=[{"metric": "accuracy"}]
    )
    history: HistoryInput | None = Field(
        None, description="Against earlier versions.", examples=[{"metric": "auc", "margin": "1%"}]
    )
    latency: LatencyInput | None = Field(None, description="Of predictions.", examples=[{"p50": "< 20ms"}])
    size: SizeLimit | None = Field(None, description="Of the artifact.", examples=["< 5MB"])
    robustness: RobustnessInput | None = Field(
        None, description="On rows that were tampered with.", examples=[{"metric": "accuracy", "drop": "2%"}]
    )
    security: SecurityInput | None = Field(None, description="A scan of the artifact.", examples=[{}])
    model_card: GatePath | None = Field(
        None, description="A model card that must be complete, relative to this file.", examples=["MODEL_CARD.md"]
    )
    report: ReportInput | None = Field(
        None, description="What others found.", examples=[{"file": "coverage.xml", "reader": "cobertura"}]
    )

    ONE_OF: ClassVar[tuple[str, ...]] = (
        "fairness", "no_regression", "history", "latency", "size", "robustness", "security", "model_card", "report",
    )  # fmt: skip
    OF_ROWS: ClassVar = ("fairness", "no_regression", "latency", "robustness")

    def contradictions(self, context: Context) -> Iterable[At]:
        """What is judged on held-out rows needs a data set."""
        for name in self.OF_ROWS:
            if getattr(self, name) is not None and context.task is None:
                yield At((name,), ContradictionError("is judged on held-out rows; add model.data"))


class _OrRule:
    """A mapping is a gate; a text is a rule, as gates have always been."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def read(value: Any, inner: Callable[[Any], Any], info: ValidationInfo) -> Any:
            return inner(value) if isinstance(value, dict) else read_gate(value, info)

        return core_schema.with_info_wrap_validator_function(read, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        rule = {"type": "string", "minLength": 1, "examples": ["f1 >= 0.55", "accuracy >= stable - 1%"]}
        return {"anyOf": [rule, handler(schema)]}


AnyGate = Annotated[GateInput, _OrRule()]


def rules_of(gates: Iterable[Any]) -> tuple[Rule, ...]:
    """The gates that are rules."""
    return tuple(gate for gate in gates if isinstance(gate, Rule))
