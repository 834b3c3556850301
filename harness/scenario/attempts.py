"""The scenario file: how often a stage before deployment is tried, and how long it may take."""

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import AfterValidator, Field, ValidationInfo

from harness.analysis.vocabulary import suggestion
from harness.domain.attempts import Attempts
from harness.scenario.inputs import At, ContradictionError, Input, refuse
from harness.scenario.quantities import Duration, LongDuration, Retries, context_in

OWN: Final = ("validate", "train", "evaluate", "examine", "staging", "load")
"""Stages that may be tried again: what they do twice does no harm."""


class AttemptsInput(Input):
    """How often a stage is tried where a backend fails it, and how long it may take."""

    timeout: LongDuration | None = Field(
        None, description="How long each attempt may take; then the run ends.", examples=["30m"]
    )
    retries: Retries = Field(0, description="Attempts after the first, where a backend has failed.", examples=[2])
    backoff: Duration = Field(
        "10s",
        validate_default=True,
        description="Before the second attempt; twice as long before each that follows, at most 5m.",
    )


def _known(given: dict[str, AttemptsInput], info: ValidationInfo) -> dict[str, AttemptsInput]:
    words = (*OWN, *context_in(info).catalog.stages)
    refuse(
        At((name,), ContradictionError(f"is no stage that may be tried again; {suggestion(name, words, 'those are')}"))
        for name in given
        if name not in words
    )
    return given


ByStage = Annotated[dict[str, AttemptsInput], AfterValidator(_known)]


def attempts_of(given: Mapping[str, AttemptsInput]) -> dict[str, Attempts]:
    """What a section says of each stage."""
    return {name: Attempts(each.timeout, each.retries, each.backoff) for name, each in given.items()}
