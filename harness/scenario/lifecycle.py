"""The scenario file: staging, people, what comes after a promotion, newer candidates."""

import itertools
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from harness.domain.lifecycle import OnAlarm, Window
from harness.domain.rollout import Order
from harness.domain.units import duration_text
from harness.scenario.context import Context
from harness.scenario.environment import FaultInput
from harness.scenario.inputs import At, ContradictionError, Input, WrongValueError, refuse
from harness.scenario.models import SourceInput
from harness.scenario.quantities import BusyRate, Count, Duration, Instant, LongDuration, PositiveCount, Servers
from harness.scenario.rollouts import LooksInput, no_repeats
from harness.scenario.words import Algorithm, Gate, Name, Parameter, Text, one_word

GRADES = ("A+", "A", "B", "C")


class StagingInput(Input):
    """What the candidate must stand in staging before any of it reaches production."""

    replicas: Servers = Field(1, description="Replicas in staging.")
    golden_rows: Count = Field(20, description="Rows whose answers must be those of the evaluation.")
    rate: BusyRate = Field("20/s", validate_default=True, description="Of the load test.")
    duration: LongDuration = Field("2m", validate_default=True, description="Of the load test.")
    min_grade: Annotated[str, *one_word(GRADES)] = Field("B", description="The least grade that passes.")
    inject: list[FaultInput] = Field([], description="What goes wrong there, counted from the load test's start.")


class ApprovalInput(Input):
    """What a person says in this rehearsal, and when."""

    at: Instant = Field(description="When, from the start of traffic.", examples=["20m"])
    decision: Annotated[str, *one_word(tuple(Order))] = Field(
        description="approve and reject answer what waits for a person; promote skips what is left; abort goes back."
    )
    by: Text = Field("somebody", description="Who.", examples=["release-manager"])


class MonitorInput(LooksInput):
    """A policy that watches what was promoted; stable's figures are those it showed last."""

    name: Name = Field(description="Its name.", examples=["errors"])
    on_alarm: Annotated[str, *one_word(tuple(OnAlarm))] = Field(
        "rollback", description="What an alarm leads to: the version before, a challenger, or words to people."
    )


class RetrainInput(Input):
    """How a challenger is trained when an alarm asks for one."""

    algorithm: Algorithm = Field(description="Train it with this algorithm.", examples=["logistic_regression"])
    params: dict[str, Parameter] | None = Field(None, description="Parameters of the algorithm.")
    duration: Duration = Field("0s", validate_default=True, description="How long this takes in virtual time.")
    window: Annotated[str, *one_word(tuple(Window))] = Field(
        "sliding", description="Learn from all rows whose answers are known by then, or from the newest."
    )
    rows: PositiveCount | None = Field(
        None, description="Of a sliding window; default: as many as the first training had."
    )
    at_most: PositiveCount = Field(3, description="Retrainings in a run.")
    apart: Duration = Field("1h", validate_default=True, description="From one retraining to the next, at least.")
    gates: Annotated[list[Gate], AfterValidator(no_repeats)] = Field(
        [], description="What the challenger must show on the newest rows; stable is the champion."
    )

    def contradictions(self, context: Context) -> Iterable[At]:
        """What is known by a time is known where rows are in order of time."""
        if not context.walks:
            told = "learns from what has become known, in order of time; add model.data.walk, and labels"
            yield At((), ContradictionError(told))
        if self.rows is not None and self.window != Window.SLIDING:
            yield At(("rows",), ContradictionError("belongs to window: sliding"))


def _named_once(monitors: list[MonitorInput]) -> list[MonitorInput]:
    names = [monitor.name for monitor in monitors]
    refuse(
        At((index, "name"), WrongValueError("another monitor has this name"))
        for index, name in enumerate(names)
        if name in names[:index]
    )
    return monitors


class MonitoringInput(Input):
    """What happens once a candidate was promoted."""

    for_: LongDuration = Field("1h", validate_default=True, alias="for", description="How long it is watched.")
    monitors: Annotated[list[MonitorInput], AfterValidator(_named_once)] = Field([], description="What is watched.")
    cool_down: Duration = Field(
        "0s", validate_default=True, description="After an alarm that led to something, none is heard for so long."
    )
    keep_previous: LongDuration | None = Field(
        None, description="The version before can be gone back to for so long, then it is archived; default: always."
    )
    retrain: RetrainInput | None = Field(None, description="How a challenger is trained.")

    def contradictions(self, context: Context) -> Iterable[At]:
        """An alarm that asks for a challenger needs a way to train one."""
        for index, monitor in enumerate(self.monitors):
            if monitor.on_alarm == OnAlarm.RETRAIN and self.retrain is None:
                told = "nothing says how to retrain; add monitoring.retrain"
                yield At(("monitors", index, "on_alarm"), WrongValueError(told))


class SuccessorInput(Input):
    """A newer candidate: it supersedes the one that is being rolled out, or follows it."""

    at: Instant = Field(description="When it comes, from the start of traffic.", examples=["20m"])
    name: Text = Field("", description="What it is called.")
    candidate: SourceInput = Field(description="The model.", examples=[{"algorithm": "random_forest"}])
    inject: list[FaultInput] = Field([], description="What befalls it; times count from the start of traffic.")


def rising(items: list[Any]) -> list[Any]:
    """Refuse what comes before its forerunner."""
    refuse(
        At((index, "at"), WrongValueError(f"it comes after the one before, at {duration_text(before.at)}"))
        for index, (before, item) in enumerate(itertools.pairwise(items), start=1)
        if item.at < before.at
    )
    return items
