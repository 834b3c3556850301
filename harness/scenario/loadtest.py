"""The scenario file: a load test as a stage."""

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, PlainValidator, ValidationInfo, WithJsonSchema

from harness.domain import quantity
from harness.domain.load import Speech
from harness.domain.quantity import DURATION_PATTERN, NUMBER
from harness.domain.traffic import LEAST_VARIATION, MOST_VARIATION, Process
from harness.domain.units import duration_text
from harness.errors import InputError
from harness.scenario.context import Context
from harness.scenario.files import resolved
from harness.scenario.inputs import At, ContradictionError, Input, WrongValueError, refuse
from harness.scenario.lifecycle import GRADES
from harness.scenario.quantities import BusyRate, Duration, LongDuration, Rate, Servers, Users, context_in, written
from harness.scenario.rollouts import no_repeats
from harness.scenario.words import Objective, Text, TraceFile, is_file, one_word

TRACE: Final = "trace"
MOST_USERS: Final = 100_000
_WORDS: Final = "constant, poisson, gamma:CV (such as gamma:2) or trace:FILE"


@dataclass(frozen=True, slots=True)
class Spread:
    """How requests are spread along the rate, or where they were recorded."""

    text: str
    """As it was written."""
    word: str
    variation: float = 1.0
    path: str = ""
    """Of a recording, resolved."""


def _spread(value: Any, info: ValidationInfo) -> Spread:
    word, colon, detail = written(value).partition(":")
    if word == TRACE:
        return _recorded(value, detail, info)
    if word not in tuple(Process) or bool(colon) is not (word == Process.GAMMA):
        raise WrongValueError(f"it is {_WORDS}")
    if word != Process.GAMMA:
        return Spread(value, word)
    variation = float(detail) if re.fullmatch(NUMBER, detail, re.ASCII) else 0.0
    if not LEAST_VARIATION <= variation <= MOST_VARIATION:
        raise WrongValueError(
            f"the variation of gamma gaps is a number from {LEAST_VARIATION:g} to {MOST_VARIATION:g}, such as gamma:2"
        )
    return Spread(value, word, variation)


def _recorded(value: str, detail: str, info: ValidationInfo) -> Spread:
    path = resolved(detail, context_in(info).folder) if detail else ""
    if not path or not is_file(path):
        raise WrongValueError("no such recording; write trace:FILE, the path relative to the scenario file")
    return Spread(value, TRACE, path=path)


SpreadWord = Annotated[
    Spread,
    PlainValidator(_spread),
    WithJsonSchema(
        {"type": "string", "pattern": f"^(constant|poisson|gamma:{NUMBER}|trace:.+)$", "examples": ["gamma:2"]}
    ),
]


@dataclass(frozen=True, slots=True)
class Thinking:
    """What a user does between an answer and the next request."""

    mean_ns: int
    drawn: bool


def _thinking(value: Any) -> Thinking:
    text = written(value)
    word, _, mean = text.rpartition(":")
    if word not in {"", "constant", "exponential"}:
        raise WrongValueError("it is a duration, or exponential:MEAN, such as exponential:2s")
    return Thinking(quantity.duration_ns(mean), word == "exponential")


ThinkTime = Annotated[
    Thinking,
    PlainValidator(_thinking),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": DURATION_PATTERN.replace("^", "^((constant|exponential):)?", 1),
            "examples": ["1s", "exponential:2s"],
        }
    ),
]


def _url(value: Any) -> str:
    from harness.load.consent import check_url, shown

    if not isinstance(value, str):
        raise WrongValueError("it is http(s)://HOST[:PORT][/PATH], such as http://localhost:8080")
    try:
        check_url(value)
    except InputError as error:
        raise WrongValueError(str(error).removeprefix(f"{shown(value)}: ")) from None
    return value


Url = Annotated[str, PlainValidator(_url), WithJsonSchema({"type": "string", "pattern": "^https?://"})]


class LoadPointInput(Input):
    """A rate, and when it is reached."""

    at: Duration = Field(description="When, from the start of the test, the warm-up included.", examples=["30s"])
    rate: Rate = Field(description="The rate then; it runs straight from one to the next.", examples=["500/s"])


def _rising(points: list[LoadPointInput]) -> list[LoadPointInput]:
    if len(points) < 2:
        raise WrongValueError("at least two: [{at: 0s, rate: 10/s}, {at: 30s, rate: 500/s}]")
    refuse(_not_rising(points))
    return points


def _not_rising(points: list[LoadPointInput]) -> Iterable[At]:
    if points[0].at:
        yield At((0, "at"), WrongValueError("the first begins at 0s"))
    for index, (before, point) in enumerate(itertools.pairwise(points), start=1):
        if point.at < before.at or (index == len(points) - 1 and not point.at):
            yield At((index, "at"), WrongValueError(f"it comes after the one before, {duration_text(before.at)}"))
    if not any(point.rate for point in points):
        yield At((0, "rate"), WrongValueError("every rate is 0/s: nothing would be asked"))


def _some_users(users: int) -> int:
    if users > MOST_USERS:
        raise WrongValueError(f"these are from 1 to {MOST_USERS}")
    return users


class LoadInput(Input):
    """A load test that the candidate must stand before any of it reaches production."""

    rate: BusyRate | None = Field(None, description="Open loop: so many requests are due.", examples=["200/s"])
    users: Annotated[Users, AfterValidator(_some_users)] | None = Field(
        None, description="Closed loop, of a live endpoint: each waits for its answer, thinks, and asks again."
    )
    think: ThinkTime | None = Field(
        None, description="Of users: from an answer to the next request; exponential:2s draws it; default 0s."
    )
    arrivals: SpreadWord | None = Field(
        None, description="Of an open loop: constant, poisson (the default), gamma:CV or trace:FILE."
    )
    stages: Annotated[list[LoadPointInput], AfterValidator(_rising)] | None = Field(
        None,
        description="Open loop whose rate changes, straight from one to the next.",
        examples=[[{"at": "0s", "rate": "10/s"}, {"at": "30s", "rate": "500/s"}]],
    )
    duration: LongDuration | None = Field(
        None, description="Of what is measured; default: 30s, or as long as the stages are.", examples=["2m"]
    )
    warmup: Duration = Field("0s", validate_default=True, description="Asked first, and left out of every figure.")
    slo: Annotated[list[Objective], AfterValidator(no_repeats)] = Field(
        [], description="What must hold; a candidate that misses one is rejected.", examples=[["p99 < 250ms"]]
    )
    min_grade: Annotated[str, *one_word(GRADES)] | None = Field(
        None, description="The least grade that passes; default: any."
    )
    replicas: Servers | None = Field(
        None, description="Of the candidate's simulated servers; default: as many as in production."
    )
    url: Url | None = Field(
        None,
        description="With clock: real, the live endpoint to ask; without it, the candidate's own simulated servers.",
        examples=["http://localhost:8080"],
    )
    protocol: Annotated[str, *one_word(tuple(Speech))] = Field(Speech.JSON.value, description="How the url is asked.")
    model: Text | None = Field(None, description="Of the v2 protocol: the model's name at the url.")
    payload: TraceFile | None = Field(
        None,
        description="What is sent to the url: JSON, JSON lines, CSV or Parquet; default: by its own description.",
        examples=["data/rows.csv"],
    )

    @property
    def recorded(self) -> bool:
        """Requests come as they were recorded."""
        return self.arrivals is not None and self.arrivals.word == TRACE

    def contradictions(self, context: Context) -> Iterable[At]:
        """One pace; closed loops are live; what belongs to an endpoint needs one."""
        yield from self._pace(context)
        yield from self._lengths(context)
        if self.url is None:
            for name in ("protocol", "model", "payload"):
                if name in self.model_fields_set:
                    told = "is of a live endpoint; add url (and clock: real), or leave this out"
                    yield At((name,), ContradictionError(told))
            return
        from harness.load.speech import predict_url

        try:
            predict_url(self.url, Speech(self.protocol), self.model)
        except InputError as error:
            yield At(("protocol",), WrongValueError(str(error)))

    def _pace(self, context: Context) -> Iterable[At]:
        given = [name for name in ("rate", "users", "stages") if getattr(self, name) is not None]
        if len(given) > 1:
            yield At((given[1],), ContradictionError(f"stands beside {given[0]}; exactly one of rate, users, stages"))
        if self.recorded and "stages" in given:
            yield At(("stages",), ContradictionError("is no part of a recording; leave it out, or arrivals"))
        if not given and not self.recorded:
            yield At((), ContradictionError("lacks one of rate, users, stages (or arrivals: trace:FILE)"))
        if self.users is None:
            if self.think is not None:
                yield At(("think",), ContradictionError("belongs to users, of a closed loop"))
            return
        if self.arrivals is not None:
            told = "belongs to an open loop; of users the answers decide when they ask, and think"
            yield At(("arrivals",), ContradictionError(told))
        if self.url is None or not context.real:
            lacking = "url" if context.real else "clock: real" if self.url else "url and clock: real"
            told = f"are a closed loop, which is not simulated: it needs {lacking}; or ask at a rate"
            yield At(("users",), ContradictionError(told))

    def _lengths(self, context: Context) -> Iterable[At]:
        if self.recorded and self.duration is None:
            yield At((), ContradictionError("lacks duration: how much of the recording is measured"))
        if self.stages and self.duration is None and self.warmup >= self.stages[-1].at:
            told = f"it leaves nothing of the stages' {duration_text(self.stages[-1].at)} to measure"
            yield At(("warmup",), WrongValueError(told))
        if (self.duration or 0) + self.warmup >= context.horizon_ns:
            name = "duration" if self.duration else "warmup"
            told = f"with the rest of the test it is as long as the horizon, {duration_text(context.horizon_ns)}"
            yield At((name,), WrongValueError(told))
