"""The scenario file: what the candidate is asked beyond its figures on all held-out rows together."""

import math
from collections.abc import Callable, Iterable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, PlainValidator, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from harness.domain.evaluation import MIN_ROWS, Behaviour, Cases, Directional, EvaluationPlan, Invariant, SlicePlan
from harness.domain.model import Task
from harness.scenario.context import Context
from harness.scenario.files import header
from harness.scenario.gating import QualityMetric
from harness.scenario.inputs import At, ContradictionError, Input, WrongValueError, given
from harness.scenario.quantities import NoShare, PositiveCount, Times
from harness.scenario.words import Column, DataFile, Flag, one_word

MOST_BINS = 20


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise WrongValueError("this is a number above 0, in the column's unit")
    return float(value)


def _bins(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 2 <= value <= MOST_BINS:
        raise WrongValueError(f"this is a whole number of bins, 2 to {MOST_BINS}")
    return value


Number = Annotated[float, PlainValidator(_number), WithJsonSchema({"type": "number", "exclusiveMinimum": 0})]
Bins = Annotated[int, PlainValidator(_bins), WithJsonSchema({"type": "integer", "minimum": 2, "maximum": MOST_BINS})]


class SliceInput(Input):
    """Rows grouped by a column, or by two together."""

    ONE_OF: ClassVar[tuple[str, ...]] = ("column", "columns")

    column: Column | None = Field(None, description="Group the rows by this column.", examples=["Contract"])
    columns: list[Column] | None = Field(
        None, description="Group them by two columns together.", examples=[["Contract", "gender"]]
    )
    bins: Bins = Field(4, description="Quantile bins of a column of numbers with more values than that.")

    def contradictions(self, context: Context) -> Iterable[At]:
        """Slices are by features, of which the target is none."""
        for loc, name in self.named():
            if name == context.target:
                yield At(loc, WrongValueError("it is the target; slices are by features"))
        if self.columns is not None and len(set(self.columns)) != 2:
            yield At(("columns",), ContradictionError("are two different ones; for one, write column"))

    def named(self) -> tuple[tuple[tuple[str | int, ...], str], ...]:
        """Each column, and where it is named."""
        if self.column is not None:
            return ((("column",), self.column),)
        return tuple((("columns", place), name) for place, name in enumerate(given(self.columns)))


class _OrColumn:
    """A text is a slice by that column."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def read(value: Any, inner: Callable[[Any], Any]) -> Any:
            return inner({"column": value} if isinstance(value, str | int) and not isinstance(value, bool) else value)

        return core_schema.no_info_wrap_validator_function(read, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": ["string", "integer"], "examples": ["Contract"]}, handler(schema)]}


AnySlice = Annotated[SliceInput, _OrColumn()]


class BehaviourInput(Input):
    """How the candidate must behave where the right answer need not be known, or is known to anybody."""

    ONE_OF: ClassVar[tuple[str, ...]] = ("invariant", "raise", "lower", "file")

    invariant: Column | None = Field(
        None, description="Another value of this column must not change the answer.", examples=["gender"]
    )
    raise_: Column | None = Field(
        None, alias="raise", description="Raise this column, and see where the prediction goes.", examples=["fee"]
    )
    lower: Column | None = Field(None, description="Lower this column, and see where the prediction goes.")
    by: Number | None = Field(None, description="By so much, in its unit.", examples=[10])
    must_not: Annotated[Literal["lower", "raise"], *one_word(("lower", "raise"))] | None = Field(
        None,
        description="What must not happen to the probability of the positive class, or to the value.",
        examples=["lower"],
    )
    file: DataFile | None = Field(
        None, description="Rows with the target as a column: each must be answered so.", examples=["cases.csv"]
    )
    at_most: NoShare = Field("0%", validate_default=True, description="The share of rows in which it may all the same.")
    tolerance: Number | None = Field(
        None, description="How far the value of a regression may move, or be off, in its unit."
    )

    @property
    def moved(self) -> str | None:
        """The column that is raised or lowered."""
        return self.raise_ if self.raise_ is not None else self.lower

    def contradictions(self, context: Context) -> Iterable[At]:
        """What belongs to a direction, to a regression, and to a file of cases."""
        for name in ("by", "must_not"):
            if (getattr(self, name) is None) != (self.moved is None):
                told = f"lacks {name}" if self.moved is not None else "belongs to raise or lower"
                yield At(() if self.moved is not None else (name,), ContradictionError(told))
        if self.tolerance is not None and (self.moved is not None or context.task is Task.CLASSIFICATION):
            told = "a label is right or wrong" if self.moved is None else "a direction has no tolerance"
            yield At(("tolerance",), ContradictionError(f"belongs to a regression's values; {told}"))
        for key in ("invariant", "raise", "lower"):
            if getattr(self, "raise_" if key == "raise" else key) == context.target is not None:
                yield At((key,), WrongValueError("it is the target; behaviour is about features"))
        known = header(self.file) if self.file is not None else None
        if known is not None and context.target is not None and context.target not in known:
            yield At(("file",), WrongValueError(f"it lacks the column {context.target}: what is expected"))

    def plan(self) -> Behaviour:
        """As a value."""
        if self.invariant is not None:
            return Invariant(self.invariant, self.at_most, self.tolerance or 0.0)
        if self.file is not None:
            return Cases(self.file, self.at_most, self.tolerance or 0.0)
        sign = 1.0 if self.raise_ is not None else -1.0
        return Directional(given(self.moved), sign * given(self.by), given(self.must_not), self.at_most)


class EvaluationInput(Input):
    """What the candidate is asked on the held-out rows, after its evaluation."""

    intervals: Times = Field(
        0, description="Resamples of the bootstrap: how sure each metric is; 0: none.", examples=[1000]
    )
    slices: list[AnySlice] = Field(
        [], description="How good it is in parts of the rows.", examples=[["Contract", {"column": "tenure", "bins": 4}]]
    )
    min_rows: PositiveCount = Field(MIN_ROWS, description="A slice with fewer rows is shown, and not compared.")
    calibration: Flag = Field(
        default=False, description="Whether its probabilities mean what they say.", examples=[True]
    )
    importance: Times = Field(0, description="How often each column is shuffled to see what it is worth.", examples=[5])
    metric: QualityMetric | None = Field(
        None, description="What slices are compared by and importance is a drop of; default: f1, or rmse."
    )
    behaviour: list[BehaviourInput] = Field(
        [],
        description="How it must behave; a candidate that does not is rejected.",
        examples=[[{"invariant": "gender", "at_most": "2%"}]],
    )

    def contradictions(self, context: Context) -> Iterable[At]:
        """Held-out rows are of a data set, and only classifiers have probabilities."""
        if context.task is None:
            yield At((), ContradictionError("is on held-out rows; add model.data"))
        if self.calibration and context.task is Task.REGRESSION:
            yield At(("calibration",), ContradictionError("is of probabilities, and this data set is for regression"))

    def asked(self) -> tuple[str, ...]:
        """The keys that ask the model about rows that are not in the data set."""
        return tuple(key for key in ("importance", "behaviour") if getattr(self, key))

    def plan(self) -> EvaluationPlan:
        """As a value."""
        return EvaluationPlan(
            intervals=self.intervals,
            slices=tuple(SlicePlan(tuple(name for _, name in each.named()), each.bins) for each in self.slices),
            min_rows=self.min_rows,
            calibration=self.calibration,
            importance=self.importance,
            behaviour=tuple(each.plan() for each in self.behaviour),
            metric=self.metric,
        )


def of_recordings(evaluation: EvaluationInput | None, candidate: Any) -> Iterable[At]:
    """Recorded answers are of the rows of the data set alone."""
    if evaluation is None or candidate.predictions is None:
        return
    for key in evaluation.asked():
        told = "asks about changed rows, and of the candidate only recorded answers are known; leave it out"
        yield At(("evaluation", key), ContradictionError(told))


def plan_of(evaluation: EvaluationInput | None) -> EvaluationPlan | None:
    """The plan, if there is one."""
    return evaluation.plan() if evaluation is not None else None
