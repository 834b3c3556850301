"""The scenario file: servers, traffic, labels and faults."""

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Final

from pydantic import AfterValidator, Field

from harness.analysis.vocabulary import suggestion
from harness.domain.model import ARMS, Role
from harness.domain.service import Balancing
from harness.domain.units import duration_text
from harness.scenario.context import Context
from harness.scenario.inputs import At, ContradictionError, Input, WrongValueError, refuse
from harness.scenario.quantities import (
    BusyRate,
    Count,
    Deviations,
    Duration,
    Factor,
    InnerShare,
    Instant,
    Latency,
    LongDuration,
    NoShare,
    PositiveCount,
    Rate,
    ScaledRate,
    Servers,
    Share,
    Users,
    Variation,
)
from harness.scenario.words import DataFile, Feature, Flag, Label, Labels, Name, ProfileFile, TraceFile, one_word
from harness.traces import FORMATS, UNITS

ON_ALL = "all"


class LognormalInput(Input):
    """Lognormal service times."""

    median: LongDuration = Field(description="Half of the requests take less.", examples=["30ms"])
    p99: LongDuration = Field(description="99 % of the requests take less.", examples=["120ms"])

    def contradictions(self, context: Context) -> Iterable[At]:
        """A percentile lies above the median."""
        if self.p99 <= self.median:
            yield At(("p99",), WrongValueError(f"it lies above the median, {duration_text(self.median)}"))


class ExponentialInput(Input):
    """Exponential service times."""

    mean: LongDuration = Field(description="The mean.", examples=["40ms"])


class ServiceTimeInput(Input):
    """A law of service times."""

    ONE_OF: ClassVar[tuple[str, ...]] = ("lognormal", "exponential", "constant", "profile")

    lognormal: LognormalInput | None = Field(None, description="Lognormal, by its median and 99th percentile.")
    exponential: ExponentialInput | None = Field(None, description="Exponential, by its mean.")
    constant: LongDuration | None = Field(None, description="The same for every request.", examples=["30ms"])
    profile: ProfileFile | None = Field(
        None,
        description="As a load test measured them: a file of `harness load --save-profile`.",
        examples=["service.yaml"],
    )


class ArmServiceInput(Input):
    """The simulated servers of an arm."""

    replicas: Servers | None = Field(None, description="Servers of the arm; default 4.", examples=[4])
    slots: Servers | None = Field(
        None, description="Requests that a replica works on at a time; default 4.", examples=[4]
    )
    service_time: ServiceTimeInput | None = Field(None, description="How long a request occupies a slot.")
    timeout: LongDuration | None = Field(None, description="A client gives up after this; default 1s.", examples=["1s"])
    queue: Count | None = Field(None, description="Requests that may wait at a replica; default 100.", examples=[100])
    startup: Duration | None = Field(None, description="From a replica's start until it is ready; default 30s.")
    restart: Duration | None = Field(None, description="From a crash until the replica starts anew; default 10s.")
    balancing: Annotated[str, *one_word(tuple(Balancing))] | None = Field(
        None, description="How a request finds its replica; default two_choices."
    )


class ServiceInput(ArmServiceInput):
    """The simulated servers: of both arms, and what differs for one of them."""

    stable: ArmServiceInput | None = Field(None, description="What differs for the servers of stable.")
    candidate: ArmServiceInput | None = Field(None, description="What differs for the servers of the candidate.")


class GammaInput(Input):
    """A process with gamma gaps."""

    rate: BusyRate = Field(description="The rate.", examples=["100/s"])
    cv: Variation = Field(
        description="Standard deviation of the gaps over their mean: above 1 in bunches, 1 Poisson, below 1 evenly.",
        examples=[2],
    )


class RampInput(Input):
    """A change of rate that takes its time."""

    from_: Rate = Field(alias="from", description="The rate at the start.", examples=["10/s"])
    to: Rate = Field(description="The rate at the end of the ramp.", examples=["200/s"])
    over: LongDuration = Field(description="How long the ramp takes.", examples=["30m"])


class RateStepInput(Input):
    """A rate that begins at once."""

    at: Duration = Field(description="When it begins.", examples=["30m"])
    rate: Rate = Field(description="The rate from then on.", examples=["200/s"])


def _rising(steps: list[RateStepInput]) -> list[RateStepInput]:
    if not steps:
        raise WrongValueError("at least one step: {at: 0s, rate: 100/s}")
    refuse(_not_rising(steps))
    return steps


def _not_rising(steps: list[RateStepInput]) -> Iterable[At]:
    if steps[0].at:
        yield At((0, "at"), WrongValueError("the first step begins at 0s"))
    for index, (before, step) in enumerate(itertools.pairwise(steps), start=1):
        if step.at <= before.at:
            yield At((index, "at"), WrongValueError(f"it lies after the step before, {duration_text(before.at)}"))


class DailyInput(Input):
    """Rates by the time of day."""

    low: Rate = Field(description="The lowest rate.", examples=["20/s"])
    high: BusyRate = Field(description="The highest rate.", examples=["200/s"])
    peak_at: Duration = Field("14h", validate_default=True, description="Time of day of the highest rate.")
    period: LongDuration = Field("24h", validate_default=True, description="Length of a day.")
    start_at: Duration = Field("9h", validate_default=True, description="Time of day at which traffic starts.")

    def contradictions(self, context: Context) -> Iterable[At]:
        """Low is below high, and times of day lie within the day."""
        if self.low > self.high:
            yield At(("low",), WrongValueError("it lies below high"))
        for name, time in (("peak_at", self.peak_at), ("start_at", self.start_at)):
            if time > self.period:
                told = WrongValueError(f"a time of day lies within the period, {duration_text(self.period)}")
                yield At((name if name in self.model_fields_set else "period",), told)


class BurstsInput(Input):
    """A steady rate with a burst at the end of each interval."""

    base: Rate = Field(description="The rate between bursts.", examples=["50/s"])
    burst: BusyRate = Field(description="The rate within a burst.", examples=["400/s"])
    every: LongDuration = Field(description="From the end of a burst to the end of the next.", examples=["10m"])
    length: LongDuration = Field(description="How long a burst lasts.", examples=["30s"])

    def contradictions(self, context: Context) -> Iterable[At]:
        """A burst is over before the next begins."""
        if self.length >= self.every:
            yield At(("length",), WrongValueError(f"it is shorter than every, {duration_text(self.every)}"))


class TraceInput(Input):
    """Recorded requests, replayed."""

    file: TraceFile = Field(
        description="The recording, relative to this file; also gzipped.", examples=["traces/azure_llm_conv.csv.gz"]
    )
    rate: ScaledRate | None = Field(
        None,
        description="Fit the recorded curve to this mean rate, or multiply it; default: as recorded.",
        examples=["200/s", "x3"],
    )
    resolution: LongDuration = Field(
        "1m", validate_default=True, description="With rate: the curve has one rate for each stretch of this length."
    )
    speed: Factor = Field("x1", validate_default=True, description="Recorded time passes so many times as fast.")
    repeat: Flag = Field(default=False, description="Begin anew when the recording is over; else traffic ends.")
    from_: Duration = Field(
        "0s", validate_default=True, alias="from", description="Leave out what comes before this, in recorded time."
    )
    until: LongDuration | None = Field(None, description="Leave out what comes from here on, in recorded time.")
    format: Annotated[str, *one_word(FORMATS)] | None = Field(
        None, description="How it is written; default: found from its first line."
    )
    time: Label | None = Field(None, description="The column or key of the time; default: found.", examples=["ts"])
    unit: Annotated[str, *one_word(tuple(UNITS))] | None = Field(
        None, description="Of times that are numbers; default: by their size."
    )
    spread: Flag = Field(default=True, description="Spread stamps of whole seconds (or minutes) over theirs.")

    def contradictions(self, context: Context) -> Iterable[At]:
        """The cut has a length, and a resolution is a fitted curve's."""
        if self.until is not None and self.until <= self.from_:
            yield At(("until",), WrongValueError(f"it lies after from, {duration_text(self.from_)}"))
        if self.rate is None and "resolution" in self.model_fields_set:
            yield At(("resolution",), ContradictionError("belongs to rate; without it every request has its own time"))


class ClassInput(Input):
    """A kind of requests."""

    name: Name = Field(description="Its name.", examples=["interactive"])
    share: NoShare = Field(description="Share of all requests, at the start.", examples=["90%"])
    service: Factor = Field("x1", validate_default=True, description="Serving one takes so many times as long.")
    rows: dict[str, Labels] | None = Field(
        None,
        description="They ask only rows with this value, or one of these, in a column.",
        examples=[{"plan": "pro"}],
    )
    headers: dict[str, Label] = Field({}, description="Headers that they carry.", examples=[{"x-tier": "beta"}])

    def contradictions(self, context: Context) -> Iterable[At]:
        """Rows are chosen by one column."""
        if self.rows is not None and len(self.rows) != 1:
            yield At(("rows",), WrongValueError("one column with its value, or values: {plan: pro}"))


class MixInput(Input):
    """The shares of the classes from a time on."""

    at: LongDuration = Field(description="When, from the start of traffic.", examples=["1h"])
    shares: dict[str, NoShare] = Field(
        description="Share of each class; those left out have none.", examples=[{"interactive": "60%", "batch": "40%"}]
    )


def _whole_classes(classes: list[ClassInput]) -> list[ClassInput]:
    names = [kind.name for kind in classes]
    refuse(
        At((index, "name"), WrongValueError("another class has this name"))
        for index, name in enumerate(names)
        if name in names[:index]
    )
    total = sum(kind.share for kind in classes)
    if classes and not math.isclose(total, 1.0, abs_tol=1e-9):
        raise ContradictionError(f"have shares that sum to {total * 100:.4g}%; they sum to 100%")
    return classes


class TrafficInput(Input):
    """How requests arrive; all but `constant`, `gamma` and a trace's own times are Poisson, along their curve."""

    ONE_OF: ClassVar[tuple[str, ...]] = ("constant", "poisson", "gamma", "ramp", "steps", "daily", "bursts", "trace")

    constant: BusyRate | None = Field(None, description="Evenly, one after the other.", examples=["100/s"])
    poisson: BusyRate | None = Field(None, description="A Poisson process.", examples=["100/s"])
    gamma: GammaInput | None = Field(None, description="Gamma gaps: in bunches, or more even than chance.")
    ramp: RampInput | None = Field(None, description="A rate that rises or falls evenly, then stays.")
    steps: Annotated[list[RateStepInput], AfterValidator(_rising)] | None = Field(
        None, description="Rates that change at once.", examples=[[{"at": "0s", "rate": "100/s"}]]
    )
    daily: DailyInput | None = Field(None, description="A daily curve.")
    bursts: BurstsInput | None = Field(None, description="A steady rate with bursts.")
    trace: TraceInput | None = Field(None, description="What was recorded: a table of times, a web log, JSON lines.")
    users: Users = Field(10_000, description="Each request comes from one of so many users, drawn alike.")
    classes: Annotated[list[ClassInput], AfterValidator(_whole_classes)] = Field(
        [], description="Kinds of requests, whose shares sum to 100%; default: all are alike."
    )
    schedule: list[MixInput] = Field([], description="How the shares of the classes change.")

    def contradictions(self, context: Context) -> Iterable[At]:
        """The schedule speaks of the classes, of all of them, and goes forward."""
        names = [kind.name for kind in self.classes]
        if self.schedule and not names:
            yield At(("schedule",), ContradictionError("is of classes of requests; add traffic.classes"))
            return
        for index, mix in enumerate(self.schedule):
            if index and mix.at <= self.schedule[index - 1].at:
                before = duration_text(self.schedule[index - 1].at)
                yield At(("schedule", index, "at"), WrongValueError(f"it lies after the one before, {before}"))
            for name in mix.shares:
                if name not in names:
                    told = WrongValueError(f"no class has this name; {suggestion(name, names)}")
                    yield At(("schedule", index, "shares", name), told)
            total = sum(mix.shares.values())
            if set(mix.shares) <= set(names) and not math.isclose(total, 1.0, abs_tol=1e-9):
                summed = f"sum to {total * 100:.4g}%; they are shares of all requests, and sum to 100%"
                yield At(("schedule", index, "shares"), ContradictionError(summed))
        if context.columns is not None:
            for index, kind in enumerate(self.classes):
                yield from (
                    At(
                        ("classes", index, "rows", name),
                        WrongValueError(f"the data set has no such column; {suggestion(name, context.columns)}"),
                    )
                    for name in kind.rows or {}
                    if name not in context.columns
                )
        if context.task is None and any(kind.rows for kind in self.classes):
            yield At(("classes",), ContradictionError("ask rows of a data set; add model.data, or leave rows out"))


class LabelsInput(Input):
    """When the true answers become known."""

    delay: Duration = Field(description="From a request to its true answer.", examples=["15m"])
    share: Share = Field("100%", validate_default=True, description="Share of the requests that get one.")
    column: Label | None = Field(
        None,
        description="What becomes known, where it is not the target: a proxy, and no feature.",
        examples=["clicked"],
    )
    positive: Label | None = Field(
        None, description="The label of that column that counts as positive; default: the target's.", examples=["yes"]
    )
    file: DataFile | None = Field(
        None, description="A file of your own that holds the column, joined to the data set.", examples=["outcomes.csv"]
    )
    key: Label | None = Field(
        None, description="The column by which the file's rows find those of the data set.", examples=["customer_id"]
    )

    def contradictions(self, context: Context) -> Iterable[At]:
        """A file needs its key; a rule on true answers needs them before the rollout is over."""
        if (self.file is None) is not (self.key is None):
            given, lacking = ("file", "key") if self.key is None else ("key", "file")
            yield At((given,), ContradictionError(f"belongs with {lacking}; add it, or leave both out"))
        if self.column is None and self.positive is not None and self.file is None:
            yield At(
                ("positive",), ContradictionError("belongs with column or file; the target's is model.data.positive")
            )
        columns = context.columns
        if self.column is not None and self.file is None and columns is not None and self.column not in columns:
            told = f"the data set has no such column; {suggestion(self.column, columns, 'its columns')}"
            yield At(("column",), WrongValueError(told))
        if context.task is None and (self.column or self.file):
            yield At((), ContradictionError("is about a data set; add model.data"))
        if context.quality_rule and 0 < context.policy_ns <= self.delay and not context.waits_for_people:
            policy = duration_text(context.policy_ns)
            told = (
                f"the policy takes {policy}, so no true answer would come in time for {context.quality_rule}; "
                "make the delay shorter or the pauses longer, or leave that rule out"
            )
            yield At(("delay",), WrongValueError(told))


def _pair(labels: list[Any]) -> list[Any]:
    if len(labels) != 2 or labels[0] == labels[1]:
        raise WrongValueError("swap takes two different categories: [month-to-month, two-year]")
    return labels


class DriftInput(Input):
    """A column of the requests that is no longer what the model was trained with."""

    ONE_OF: ClassVar[tuple[str, ...]] = ("shift", "scale", "swap", "missing")

    column: Feature = Field(description="The column that drifts.", examples=["MonthlyCharges"])
    shift: Deviations | None = Field(None, description="Move it by so many standard deviations.", examples=["1.5sd"])
    scale: Factor | None = Field(None, description="Multiply it: a change of unit.", examples=["x1.2"])
    swap: Annotated[list[Label], AfterValidator(_pair)] | None = Field(
        None, description="Two categories change places.", examples=[["DSL", "Fiber optic"]]
    )
    missing: Share | None = Field(None, description="This share of its values is missing.", examples=["20%"])


class TrainingInput(Input):
    """A fault in the training of a model."""

    ONE_OF: ClassVar[tuple[str, ...]] = ("stale", "corrupt")

    stale: InnerShare | None = Field(None, description="Train without the newest share of the rows.", examples=["30%"])
    corrupt: Share | None = Field(None, description="Replace this share of the training labels.", examples=["10%"])


_NO_TIME: Final = "means nothing for training, which is over when traffic starts; leave it out"
_AT_ONCE: Final = "means nothing for a crash, which is over at once; service.restart says how long replicas are gone"
_SENSELESS: Final[Mapping[str, Mapping[str, str]]] = {
    "training": {"at": _NO_TIME, "until": _NO_TIME, "ramp": _NO_TIME},
    "crash": {"until": _AT_ONCE, "ramp": _AT_ONCE},
}


class FaultInput(Input):
    """One thing that goes wrong."""

    ONE_OF: ClassVar[tuple[str, ...]] = ("latency", "errors", "lost", "crash", "drift", "label_drift", "training")

    at: Instant | None = Field(
        None, description="When it begins, from the start of traffic; default 0s.", examples=["10m"]
    )
    until: Duration | None = Field(None, description="When it ends; default: never.", examples=["40m"])
    ramp: Duration | None = Field(None, description="How long it takes to grow to full strength.", examples=["5m"])
    on: Annotated[str, *one_word((*ARMS, ON_ALL))] | None = Field(
        None, description="The arm that it befalls; drift befalls all unless told otherwise.", examples=["candidate"]
    )
    latency: Latency | None = Field(None, description="Requests take longer: x1.8 or +50ms.", examples=["x1.8"])
    errors: Share | None = Field(None, description="This share of the requests fails.", examples=["5%"])
    lost: Share | None = Field(
        None, description="This share of the users who are sent to the arm never get there.", examples=["10%"]
    )
    crash: PositiveCount | None = Field(None, description="So many replicas die and start anew.", examples=[1])
    drift: DriftInput | None = Field(None, description="A column of the requests drifts.")
    label_drift: Share | None = Field(None, description="This share of the true answers changes.", examples=["10%"])
    training: TrainingInput | None = Field(None, description="The model was trained wrongly.")

    def contradictions(self, context: Context) -> Iterable[At]:
        """Every effect has its own arms and times."""
        yield from self._times()
        if self.drift is not None and context.task is None:
            yield At(("drift",), ContradictionError("moves a column of the data set; add model.data"))
        if self.label_drift is not None:
            if self.on not in {None, ON_ALL}:
                yield At(
                    ("on",), WrongValueError("the true answers are the same for both arms; label_drift is on: all")
                )
            if not context.labels:
                yield At(
                    ("label_drift",), ContradictionError("changes true answers; add labels: {delay: 15m, share: 30%}")
                )
        if self.training is not None and self.on is not None:
            yield from self._trained(context)
        if self.crash is not None and self.on is not None:
            yield from self._crash(self.crash, context)

    @classmethod
    def structure(cls, value: Mapping[str, Any]) -> Iterable[At]:
        """Each effect has keys of its own: an arm, times, or neither."""
        yield from super().structure(value)
        kinds = [key for key in value if key in cls.ONE_OF]
        if len(kinds) != 1:
            return
        kind = kinds[0]
        if kind not in {"drift", "label_drift"} and "on" not in value:
            yield At((), ContradictionError("lacks on; say on: candidate, on: stable or on: all"))
        for key, told in _SENSELESS.get(kind, {}).items():
            if key in value:
                yield At((key,), ContradictionError(told))

    def roles(self) -> frozenset[Role]:
        """The arms that it befalls."""
        return frozenset(ARMS) if self.on in {None, ON_ALL} else frozenset({Role(self.on)})

    def _times(self) -> Iterable[At]:
        at = self.at or 0
        if self.until is not None and self.until <= at:
            yield At(("until",), WrongValueError(f"it ends after it begins, at {duration_text(at)}"))
        elif self.until is not None and at + (self.ramp or 0) > self.until:
            told = f"it would never reach full strength: only {duration_text(self.until - at)} lie between at and until"
            yield At(("ramp",), WrongValueError(told))

    def _trained(self, context: Context) -> Iterable[At]:
        brought = sorted(self.roles() - context.trained)
        if brought:
            told = f"the model of {' and '.join(brought)} is brought, not trained here"
            yield At(("on",), WrongValueError(told))

    def _crash(self, count: int, context: Context) -> Iterable[At]:
        for role in sorted(self.roles()):
            replicas = context.replicas.get(role, count)
            if count > replicas:
                yield At(("crash",), WrongValueError(f"{role} has only {replicas} replicas"))
                return
