"""Hand-made logs of what goes on beside the steps of one rollout: tests, shadows, people, alarms, several rollouts."""

from typing import Any

from harness.domain import event as e
from harness.domain.analysis import Verdict
from harness.domain.event import ArmTotals, ClassTotals
from harness.domain.model import Role
from harness.domain.rollout import Outcome
from harness.domain.units import MINUTE, WHOLE
from harness.log import Events
from harness.strategies.steps import split
from tests.report.stories import C, S, Story, totals

ERRORS = "error_rate <= 2%"
MODEL = "churn-prediction"


def live(
    *, strategy: str = "canary", weight: int = 1000, steps: tuple[str, ...] = ("weight 10%",), **changes: Any
) -> Story:
    """A run whose candidate has its first weight."""
    story = Story()
    story.begin(strategy=strategy, steps=steps, **changes)
    story.prepare()
    story.go_live()
    if weight:
        story.route(weight, 0)
    return story


# --- A/B tests --------------------------------------------------------------------------------------------------------


def ab_test(finding: str, outcome: Outcome, *, mismatch_p: float = 0.8, reason: str = "told", **changes: Any) -> Events:
    """Ten looks at a test whose interval narrows: half of it is 0.1 / look."""
    story = live(strategy="ab_test", weight=5000, steps=("weight 50%", "A/B test on accuracy, at most 8h"), **changes)
    story.tell(e.StepEntered, 1, "A/B test on accuracy, at most 8h", 5000)
    story.tell(e.ExperimentPlanned, "accuracy", 0.02, 0.05, 0.8, 0.8, 12_000, 60 * MINUTE)
    for number in range(1, 11):
        story.wait(5 * MINUTE)
        story.tell(
            e.ExperimentLooked,
            metric="accuracy",
            stable=0.8,
            candidate=0.82,
            answers={S: 600 * number, C: 590 * number},
            effect=0.02,
            lower=0.02 - 0.1 / number,
            upper=0.02 + 0.1 / number,
            p_value=0.5 / number,
            users={S: 700, C: 690},
            mismatch_p=mismatch_p,
            finding="undecided" if number < 10 else finding,
            reason=reason,
        )
    return story.end(outcome, reason, (len(story.events) - 1,))


# --- shadows ----------------------------------------------------------------------------------------------------------


def shadow(outcome: Outcome = Outcome.KEPT_STABLE, **changes: Any) -> Events:
    """A fifth of stable's requests is copied for ten minutes; no user meets the candidate."""
    story = live(strategy="shadow", weight=0, steps=("mirror 20%", "pause 10m"), **changes)
    story.tell(e.StepEntered, 0, "mirror 20%", 0)
    story.tell(e.Routed, 3, split(0), (), 2000, False)
    begun = story.at_ns
    copies = e.ArmObserved(0, 1200, 0, 0, {"p95": 0.09})
    stable, candidate = e.ArmObserved(WHOLE, 6000, 0, 0, {"p95": 0.08}), e.ArmObserved(0, 0, 0, 0, {})
    for _ in range(10):
        story.wait(MINUTE)
        story.tell(e.Observed, MINUTE, {S: stable, C: candidate, Role.SHADOW: copies})
    figures = {"agreement": 0.93, "score_distance": 0.05, "p95": 0.09, "error_rate": 0.0}
    met = ArmTotals(12_000, 12_000, 0, 0, {}, 0, figures, begun)
    events = story.end(outcome, "every step was passed", arms=(totals(60_000, 0, 0, 0.8), unmet()))
    return replaced_totals(events, {S: totals(60_000, 60, 0, 0.8), C: unmet(), Role.SHADOW: met})


def unmet() -> ArmTotals:
    """The totals of an arm that no user met."""
    return ArmTotals(0, 0, 0, 0, {}, 0, {}, None, 0, 0)


def replaced_totals(events: Events, arms: dict[Role, ArmTotals]) -> Events:
    """The same log, with other totals."""
    return Events([e.Totalled(each.at_ns, arms) if isinstance(each, e.Totalled) else each for each in events])


def classes(**changes: Any) -> Events:
    """Two classes of requests, the second slower, and users who are counted."""
    story = live(**changes)
    story.wait(MINUTE)
    arms = {
        role: ArmTotals(
            1000, 990, 10, 0, {"timeout": 10}, 10, {"p95": 0.1}, 0, 300, 7,
            {"web": ClassTotals(800, 798, 2, 0.03, 0.08), "<batch>": ClassTotals(200, 192, 8, 0.09, 0.24)},
        )
        for role in (S, C)
    }  # fmt: skip
    return replaced_totals(story.end(Outcome.PROMOTED, "every step was passed"), arms)


# --- people -----------------------------------------------------------------------------------------------------------


def approval(answer: str | None, outcome: Outcome, reason: str, **changes: Any) -> Events:
    """A person is asked for a quarter of an hour; answers after five minutes, or (None) never."""
    story = live(**changes)
    story.tell(e.StepEntered, 1, "approval within 15m", 1000)
    story.tell(e.Checked, "accuracy", "accuracy >= 75%", True, 0.807, ">= 75%", "gate accuracy >= 75%: holds")
    story.tell(e.Awaited, "an approval", story.at_ns + 15 * MINUTE)
    story.tell(e.Notified, "chat", "waiting for a person: an approval", False, "503")
    story.wait(15 * MINUTE if answer is None else 5 * MINUTE)
    if answer:
        story.tell(e.Commanded, answer, "release-manager")
    return story.end(outcome, reason)


# --- after the promotion ----------------------------------------------------------------------------------------------


class Promoted:
    """A candidate that was promoted, and is watched by a monitor."""

    def __init__(self, **changes: Any) -> None:
        self.story = live(weight=WHOLE, **changes)
        self.story.wait(10 * MINUTE)
        self.decide(Outcome.PROMOTED, "every step was passed")
        self.story.tell(e.Promoted, MODEL, 2)
        self.story.stage("monitor")

    def decide(self, outcome: Outcome, reason: str, because: tuple[int, ...] = ()) -> None:
        self.story.tell(e.Decided, outcome, reason, because)

    def alarm(self, leads_to: str) -> tuple[int, ...]:
        """Twenty minutes later the monitor's rule has failed on two looks."""
        story, number = self.story, 0
        story.wait(18 * MINUTE)
        for failures in (1, 2):
            story.wait(MINUTE)
            number = story.look(ERRORS, Verdict.FAIL, failures, candidate=0.06, stable=None, bound=0.02, step=-1)
        story.tell(e.Alarmed, "errors", "error_rate was 6%", leads_to, (number,))
        return (number,)

    def finish(self, outcome: Outcome, reason: str, weight: int) -> Events:
        story = self.story
        story.tell(e.Totalled, {S: totals(9000, 0, 0, 0.8), C: totals(3000, 180, 0, 0.8)})
        story.tell(e.RunEnded, outcome, reason, split(weight))
        return Events(story.events)


def taken_back(**changes: Any) -> Events:
    """An alarm leads from 2 back to 1."""
    told = Promoted(**changes)
    number = told.alarm("rollback")
    told.decide(Outcome.ROLLED_BACK, "error_rate was 6% (errors)", number)
    told.story.route(0)
    told.story.tell(e.Verified, S, True, True, True, True, 1, "4 of 4 replicas ready")
    told.story.tell(e.RolledBack, MODEL, 1)
    return told.finish(Outcome.ROLLED_BACK, "error_rate was 6% (errors)", 0)


def no_previous(**changes: Any) -> Events:
    """An alarm, and nothing to go back to."""
    told = Promoted(**changes)
    number = told.alarm("rollback")
    told.decide(Outcome.ROLLED_BACK, "error_rate was 6% (errors)", number)
    reason = (
        "error_rate was 6% (errors); and there is no previous version to go back to (no alias 'previous' (aliases: "
        "stable); set it first): traffic stays, a person must look"
    )
    told.story.tell(e.Escalated, reason)
    return told.finish(Outcome.FAILED, reason, WHOLE)


def retrained(**changes: Any) -> Events:
    """An alarm leads to a challenger, which is promoted after a rollout of its own, against what was promoted first."""
    told = Promoted(**changes)
    story = told.story
    told.alarm("retrain")
    story.tell(e.Retrained, 4000, 9000, True, "accuracy 0.83 against 0.78")
    story.tell(e.Registered, 9, C, MODEL, 3, "sha256:challenger")
    story.tell(e.RolloutStarted, 2, f"{MODEL}:2", f"{MODEL}:3", True)
    story.wait(MINUTE)
    for weight in (1000, WHOLE):
        story.route(weight, 0)
        story.wait(MINUTE)
        story.look(ERRORS, Verdict.PASS, candidate=0.0, stable=0.0, bound=0.02)
    told.decide(Outcome.PROMOTED, "every step was passed")
    return told.finish(Outcome.PROMOTED, "every step was passed", WHOLE)


def superseded(**changes: Any) -> Events:
    """A newer candidate comes while the first one is at 10 %."""
    story = live(**changes)
    story.wait(5 * MINUTE)
    story.tell(e.Decided, Outcome.ABORTED, "superseded by the hotfix", ())
    story.route(0)
    story.tell(e.Registered, 9, C, MODEL, 3, "sha256:hotfix")
    story.tell(e.RolloutStarted, 2, f"{MODEL}:1", f"{MODEL}:3", False)
    story.wait(MINUTE)
    story.route(2500, 0)
    story.wait(10 * MINUTE)
    return story.end(Outcome.PROMOTED, "every step was passed")
