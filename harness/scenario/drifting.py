"""The scenario file: the newest data, held against the data set before anything is trained."""

from typing import Annotated, Any, Final

from pydantic import Field, PlainValidator, WithJsonSchema

from harness.domain.drift import USUAL, Detector, DriftPlan
from harness.drift.rules import DriftRuleError, parse
from harness.scenario.inputs import Input, WrongValueError
from harness.scenario.quantities import InnerShare
from harness.scenario.words import DataFile, Flag

CORRECTIONS: Final = ("holm", "bonferroni", "benjamini_hochberg")
DETECTORS: Final = tuple(each.value for each in Detector if each not in {Detector.PREDICTION, Detector.LABEL})


def _rule(value: Any) -> str:
    if not isinstance(value, str):
        raise WrongValueError("a domain rule is a text, such as max(age) <= 120")
    try:
        return parse(value).text
    except DriftRuleError as error:
        raise WrongValueError(error.said, error.offset) from None


def _one_of(words: tuple[str, ...]) -> tuple[PlainValidator, WithJsonSchema]:
    def read(value: Any) -> str:
        if value not in words:
            raise WrongValueError(f"is one of {', '.join(words)}")
        return str(value)

    return PlainValidator(read), WithJsonSchema({"type": "string", "enum": list(words)})


DomainRule = Annotated[
    str,
    PlainValidator(_rule),
    WithJsonSchema({"type": "string", "minLength": 1, "examples": ["max(age) <= 120", "missing(price) <= 1%"]}),
]
Correction = Annotated[str, *_one_of(CORRECTIONS)]
DetectorWord = Annotated[str, *_one_of(DETECTORS)]


class DataDriftInput(Input):
    """The newest data, or those about to be served, compared with the data set before models are trained."""

    current: DataFile = Field(
        description="CSV (also gzipped) or Parquet file with rows like those of the data set; it may lack the target.",
        examples=["data/newest.csv"],
    )
    alpha: InnerShare = Field(
        "1%", validate_default=True, description="False-alarm rate over all columns and detectors.", examples=["1%"]
    )
    correction: Correction = Field("holm", description="For many columns.", examples=["holm"])
    detectors: list[DetectorWord] = Field(
        [each.value for each in USUAL],
        min_length=1,
        description="What looks for drift.",
        examples=[["statistical", "ml_based"]],
    )
    rules: list[DomainRule] = Field(
        [],
        description="What must hold of the newest data, whatever a test says; a broken rule is drift.",
        examples=[["mean(MonthlyCharges) within 10% of reference"]],
    )
    fail: Flag = Field(
        default=True, description="Whether drift rejects the candidate; else it is only told.", examples=[True]
    )


def drift_of(given: DataDriftInput) -> DriftPlan:
    """The comparison that a section asks for."""
    return DriftPlan(
        current=given.current,
        alpha=given.alpha,
        rules=tuple(given.rules),
        fail=given.fail,
        correction=given.correction,
        detectors=tuple(map(Detector, given.detectors)),
    )
