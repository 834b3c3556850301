"""The scenario file: the rollout, whatever its strategy, and how it is judged."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Final

from pydantic import AfterValidator, Field, ValidationInfo

from harness.analysis.ab import PRIMARY
from harness.domain.units import duration_text, share_text
from harness.scenario.context import Context
from harness.scenario.inputs import At, ContradictionError, Input, WrongValueError, refuse
from harness.scenario.quantities import (
    Count,
    Effect,
    InnerShare,
    InnerWeight,
    LongDuration,
    NoWeight,
    PauseLength,
    PositiveCount,
    ReplicaLimit,
    Scale,
    Servers,
    Weight,
)
from harness.scenario.words import AnalysisRule, Criterion, Flag, Label, Name, Parameter, Strategy, one_word


def no_repeats(rules: list[Any]) -> list[Any]:
    """Refuse a rule that stands there already."""
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


# --- analyses ---------------------------------------------------------------------------------------------------------


class LooksInput(Input):
    """What is looked at again and again, and what too many failures are."""

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
    inconclusive_limit: Count | None = Field(
        None, description="Pause for a person when a rule could not be judged more often than this in a row."
    )
    no_data: Annotated[str, *one_word(("hold", "ignore", "fail"))] = Field(
        "hold", description="Without enough answers: hold the step, ignore it, or count the look as failed."
    )
    rules: Annotated[list[AnalysisRule], AfterValidator(no_repeats), AfterValidator(_some)] = Field(
        description="What must hold at each look: METRIC OP BOUND.", examples=[["error_rate <= stable + 2%"]]
    )


class AnalysisInput(LooksInput):
    """Background analysis: look again and again, roll back after too many failures."""

    from_step: Count = Field(0, description="Begin with the step of this number (the first is 0), at the earliest.")


class AnalyzeInput(LooksInput):
    """An analysis of its own, which must pass before the next step."""

    looks: PositiveCount = Field(description="How often it looks.", examples=[5])


class ApproveInput(Input):
    """An approval: criteria that must hold, and a person's word."""

    within: LongDuration | None = Field(
        None, description="A person must approve in this time; left out: the criteria decide alone.", examples=["1h"]
    )
    criteria: Annotated[list[Criterion], AfterValidator(no_repeats)] = Field(
        [], description="What must hold: quality on the held-out rows, everything else on the last look."
    )

    def contradictions(self, context: Context) -> Iterable[At]:
        """Something must decide."""
        if self.within is None and not self.criteria:
            yield At((), ContradictionError("asks for nothing; give within, criteria, or both"))


# --- steps ------------------------------------------------------------------------------------------------------------


class RouteInput(Input):
    """A route by header: requests that carry it go to the candidate, whatever the weights."""

    name: Name = Field(description="Name of the route; a later step of that name changes it.", examples=["beta"])
    header: Label | None = Field(None, description="The header; left out, the route is removed.", examples=["x-tier"])
    value: Label | None = Field(None, description="Its value, exactly.", examples=["beta"])

    def contradictions(self, context: Context) -> Iterable[At]:
        """A header has a value, and some class of requests carries it."""
        if (self.header is None) is not (self.value is None):
            given, lacking = ("header", "value") if self.value is None else ("value", "header")
            yield At((given,), ContradictionError(f"belongs with {lacking}; add it, or leave both out"))
        elif self.header is not None and self.header.lower() not in context.headers:
            known = ", ".join(sorted(context.headers)) or "none"
            told = f"no class of requests carries it (traffic.classes; headers: {known}), so nothing would be routed"
            yield At(("header",), WrongValueError(told))


class StepInput(Input):
    """A step of the rollout."""

    ONE_OF: ClassVar[tuple[str, ...]] = ("weight", "pause", "scale", "route", "mirror", "analyze", "approve", "smoke")

    weight: Weight | None = Field(None, description="Give the candidate this share of the traffic.", examples=["10%"])
    pause: PauseLength | None = Field(
        None, description="Stay as it is for so long, or until approved.", examples=["30m", "until approved"]
    )
    scale: Scale | None = Field(
        None, description="Give the candidate so many replicas, apart from its weight; full: its full size."
    )
    route: RouteInput | None = Field(None, description="Send requests with a header to the candidate.")
    mirror: NoWeight | None = Field(None, description="Copy this share of stable's requests to the candidate.")
    analyze: AnalyzeInput | None = Field(None, description="Stay until an analysis of its own has passed.")
    approve: ApproveInput | None = Field(None, description="Go on when it is approved.")
    smoke: PositiveCount | None = Field(
        None, description="So many requests of our own, which the candidate must answer well and in time."
    )


def _in_order(steps: list[StepInput], info: ValidationInfo) -> list[StepInput]:
    """Weights rise, and there is at least one."""
    refuse(_disorder(steps))
    return steps


def _disorder(steps: list[StepInput]) -> Iterable[At]:
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


# --- strategies -------------------------------------------------------------------------------------------------------


class PreviewInput(Input):
    """Blue-green: what happens before the switch."""

    replicas: Servers | None = Field(None, description="Replicas while it gets no traffic; default: its full size.")
    smoke: PositiveCount | None = Field(None, description="Requests of our own that it must answer.", examples=[10])
    analyze: AnalyzeInput | None = Field(None, description="An analysis before the switch.")
    wait: LongDuration | None = Field(None, description="Wait so long before the switch.", examples=["10m"])
    approve: ApproveInput | None = Field(None, description="Switch when it is approved.")

    def contradictions(self, context: Context) -> Iterable[At]:
        """A person's word makes a wait useless."""
        if self.wait is not None and self.approve is not None:
            yield At(("wait",), ContradictionError("stands beside approve; the switch waits for that already"))


COMMON: Final = ("strategy", "analysis", "ready_within", "keep_for", "settings")
STRATEGY_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "canary": ("steps", "by", "max_surge", "max_unavailable", "baseline", "sticky", "stepwise"),
    "blue_green": ("preview", "after"),
    "rolling": ("max_surge", "max_unavailable", "min_ready", "batch_pause"),
    "shadow": ("mirror", "for", "promote", "approve"),
    "ab_test": ("share", "primary", "least_effect", "level", "power", "every", "at_most", "promote"),
}
"""What each strategy has besides the common keys; a strategy from outside may have any."""
NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "canary": ("steps",),
    "shadow": ("mirror", "for"),
    "ab_test": ("primary", "least_effect", "at_most"),
}


class RolloutInput(Input):
    """How the candidate is to replace stable."""

    strategy: Strategy = Field(description="The kind of rollout.", examples=["canary"])
    steps: Annotated[list[StepInput], AfterValidator(_in_order)] | None = Field(
        None,
        description="canary: what is done, in order; after the last step the candidate is promoted.",
        examples=[[{"weight": "10%"}, {"pause": "30m"}]],
    )
    ready_within: LongDuration = Field("10m", validate_default=True, description="Replicas must be ready by then.")
    analysis: AnalysisInput | None = Field(None, description="Background analysis; without it nothing is judged.")
    keep_for: LongDuration | None = Field(
        None, description="Keep what was stable up for so long after the promotion: until then the way back is instant."
    )
    by: Annotated[str, *one_word(("router", "replicas"))] = Field(
        "router", description="canary: what splits traffic; without a router, counts of replicas do."
    )
    max_surge: ReplicaLimit = Field(
        "25%", validate_default=True, description="Replicas beyond stable's size; a count, or a share rounded up."
    )
    max_unavailable: ReplicaLimit = Field(
        "25%", validate_default=True, description="Ready replicas that may lack; a count, or a share rounded down."
    )
    baseline: Flag = Field(
        default=False, description="canary: compare with a second copy of stable, as large as the candidate."
    )
    sticky: Flag = Field(default=False, description="canary: a user keeps to its arm.")
    stepwise: LongDuration | None = Field(
        None, description="canary: on the way back, keep each weight for so long; default: back at once."
    )
    preview: PreviewInput | None = Field(None, description="blue_green: what happens before the switch.")
    after: AnalyzeInput | None = Field(
        None, description="blue_green: an analysis after the switch; what fails it switches back."
    )
    min_ready: LongDuration | None = Field(
        None, description="rolling: a replica counts as ready when it has been for so long.", examples=["30s"]
    )
    batch_pause: LongDuration | None = Field(
        None, description="rolling: stay so long after each batch, and judge it; default: no batches.", examples=["2m"]
    )
    mirror: Weight | None = Field(None, description="shadow: copy this share of the requests.", examples=["20%"])
    for_: LongDuration | None = Field(None, alias="for", description="shadow: for so long.", examples=["1h"])
    approve: ApproveInput | None = Field(None, description="shadow: promote when it is approved.")
    share: InnerWeight = Field("50%", validate_default=True, description="ab_test: the candidate's share of the users.")
    primary: Annotated[str, *one_word(PRIMARY)] | None = Field(None, description="ab_test: the metric that decides.")
    least_effect: Effect | None = Field(
        None, description="ab_test: the smallest difference worth finding: points, or a time.", examples=["1%", "5ms"]
    )
    level: InnerShare = Field(
        "5%", validate_default=True, description="ab_test: how often a difference is found where there is none."
    )
    power: InnerShare = Field(
        "80%", validate_default=True, description="ab_test: how often the least effect is to be found."
    )
    every: LongDuration = Field("5m", validate_default=True, description="ab_test: time from look to look.")
    at_most: LongDuration | None = Field(None, description="ab_test: its time.", examples=["24h"])
    promote: Flag = Field(
        default=True, description="shadow, ab_test: promote in the end; else stable is kept, whatever was found."
    )
    settings: dict[str, Parameter] = Field({}, description="What a strategy from another package wants to know.")

    @classmethod
    def structure(cls, value: Mapping[str, Any]) -> Iterable[At]:
        """Each strategy has keys of its own."""
        yield from super().structure(value)
        strategy = value.get("strategy")
        allowed = STRATEGY_KEYS.get(strategy) if isinstance(strategy, str) else None
        if allowed is None:
            return
        for key in value:
            if key in cls.written_keys() and key not in {*COMMON, *allowed}:
                owners = " and ".join(name for name, keys in STRATEGY_KEYS.items() if key in keys)
                yield At((key,), ContradictionError(f"belongs to {owners or 'another strategy'}, not to {strategy}"))
        for key in NEEDED.get(str(strategy), ()):
            if key not in value:
                yield At((), ContradictionError(f"lacks {key}, which {strategy} needs"))

    def contradictions(self, context: Context) -> Iterable[At]:
        """The policy fits below the horizon, and an effect has its metric's unit."""
        if context.models_ns + context.policy_ns > context.horizon_ns:
            takes, horizon = duration_text(context.policy_ns), duration_text(context.horizon_ns)
            models = f" after {duration_text(context.models_ns)} for the models" if context.models_ns else ""
            where = ("steps",) if self.steps is not None else ()
            yield At(where, ContradictionError(f"takes {takes}{models}, longer than the horizon {horizon}"))
        if self.primary and self.least_effect is not None:
            timed = self.primary == "mean"
            if timed is not self.least_effect.timed:
                told = "is a time, such as 5ms" if timed else "is a share, such as 1%"
                yield At(("least_effect",), WrongValueError(f"a difference of {self.primary} {told}"))
        if self.primary == "accuracy" and not context.labels:
            told = "needs true answers; add labels: {delay: 15m, share: 30%}"
            yield At(("primary",), WrongValueError(told))
        if self.sticky and self.by == "replicas":
            yield At(("sticky",), ContradictionError("needs a router; without one a user is answered by any replica"))
        if self.baseline and self.by == "replicas":
            yield At(("baseline",), ContradictionError("needs a router, which gives it the candidate's weight"))
        for index, step in enumerate(self.steps or ()):
            apart = next((key for key in ("scale", "route", "mirror") if getattr(step, key) is not None), None)
            if self.by == "replicas" and apart:
                yield At(("steps", index, apart), ContradictionError("needs a router; leave it out, or by: replicas"))
