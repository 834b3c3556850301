"""Logs of runs that never were: a small factory for hand-made ones, and a canary as long as a real one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from harness.domain import event as e
from harness.domain.analysis import Verdict
from harness.domain.event import LOG_VERSION, ArmObserved, ArmTotals, Event
from harness.domain.model import Role, Source
from harness.domain.rollout import Outcome
from harness.domain.units import MINUTE, SECOND, WHOLE, duration_text, share_text
from harness.log import Events
from harness.strategies.steps import split

E = TypeVar("E", bound=Event)
S, C = Role.STABLE, Role.CANDIDATE

RULES = ("error_rate <= stable + 2%", "p95 <= stable * 1.5", "accuracy >= stable - 5%")
TEXT = """harness: 1
name: canary-regression
description: Passes every offline gate, then is slower and wronger under live drift.
seed: 7
expect:
  - outcome == rolled_back
"""


@dataclass
class Story:
    """Appends events at a time that only moves on when told."""

    at_ns: int = 0
    events: list[Event] = field(default_factory=list)
    intents: int = 0

    def tell(self, kind: type[E], *args: Any, **kwargs: Any) -> int:
        """Append an event now; its sequence number."""
        self.events.append(kind(self.at_ns, *args, **kwargs))
        return len(self.events) - 1

    def wait(self, duration_ns: int) -> None:
        self.at_ns += duration_ns

    def begin(self, **changes: Any) -> None:
        fields: dict[str, Any] = {
            "version": LOG_VERSION,
            "scenario": "canary-regression",
            "description": "Passes every offline gate, then is slower and wronger under live drift.",
            "seed": 7,
            "clock": "virtual",
            "horizon_ns": 240 * MINUTE,
            "strategy": "canary",
            "steps": ("weight 10%", "pause 24m", "weight 25%", "pause 24m", "weight 50%", "pause 24m"),
            "plan": ((0, 1000), (24 * MINUTE, 2500), (48 * MINUTE, 5000), (72 * MINUTE, WHOLE)),
            "rules": RULES,
            "every_ns": MINUTE,
            "window_ns": MINUTE,
            "expect": (),
            "faults": (),
            "text": TEXT,
            "overrides": (),
            "run": "20260101T000000-7",
            "path": "scenarios/canary_regression.yaml",
            "program": "0.1.0",
            "started": "2026-01-01T00:00:00+00:00",
        }
        self.tell(e.RunStarted, **(fields | changes))

    def prepare(self, gates: Mapping[str, tuple[float, bool]] | None = None) -> bool:
        """Data, training, evaluation and gates; whether every gate was passed."""
        self.stage("validate")
        self.tell(e.DataChecked, "telco_churn.csv.gz", 7043, 20, "sha256:d", {"TotalCharges": 11}, (), 5282, 1761)
        self.done("validate", 0.02)
        self.stage("train")
        self.tell(e.ModelReady, S, Source.TRAINED, "logistic_regression", {"C": 1.0}, "sha256:s", "sha256:d", 0)
        self.wait(20 * MINUTE)
        params = {"n_estimators": 100}
        self.tell(
            e.ModelReady, C, Source.TRAINED, "random_forest", params, "sha256:c", "sha256:d", 20 * MINUTE, reused=True
        )
        self.done("train", 0.41)
        self.stage("evaluate")
        self.tell(e.Evaluated, S, 1761, {"accuracy": 0.805, "f1": 0.602, "auc": 0.842})
        self.tell(e.Evaluated, C, 1761, {"accuracy": 0.807, "f1": 0.588, "auc": 0.835})
        self.done("evaluate", 0.05)
        self.stage("gate")
        gates = gates if gates is not None else {"f1 >= 0.55": (0.588, True), "accuracy >= stable - 1%": (0.807, True)}
        for text, (value, passed) in gates.items():
            metric, bound = text.split(" ", 1)
            self.tell(e.GateChecked, metric, text, passed, value, 0.805 if "stable" in text else None, bound)
        passed = all(passed for _, passed in gates.values())
        if passed:
            self.done("gate", 0.001)
            self.register()
        return passed

    def register(self) -> None:
        self.stage("register")
        for version, role in enumerate((S, C), start=1):
            self.intents += 1
            self.tell(e.Intended, self.intents, "register", f"{role} as a version of churn-prediction")
            self.tell(e.Registered, self.intents, role, "churn-prediction", version, f"sha256:{role}")
        self.done("register", 0.004)

    def stage(self, name: str) -> None:
        self.tell(e.StageStarted, name)

    def done(self, name: str, wall_s: float, status: str = "ok", detail: str = "") -> None:
        self.tell(e.StageFinished, name, status, detail, wall_s=wall_s)

    def go_live(self) -> None:
        """Users' traffic on stable, then the candidate's replicas."""
        self.stage("deploy")
        self.tell(e.TrafficStarted, split(0))
        self.tell(e.ReadyChanged, S, 4, 4)
        self.done("deploy", 0.003)
        self.stage("rollout")
        self.intents += 1
        self.tell(e.ReplicasApplied, self.intents, {S: 4, C: 4})
        self.wait(30 * SECOND)
        self.tell(e.ReadyChanged, C, 4, 4)

    def route(self, weight: int, index: int | None = None) -> None:
        if index is not None:
            self.tell(e.StepEntered, index, f"weight {share_text(weight)}", weight)
        self.intents += 1
        self.tell(e.Intended, self.intents, "route", "")
        self.tell(e.Routed, self.intents, split(weight))

    def pause(self, index: int, duration_ns: int, weight: int) -> None:
        self.tell(e.StepEntered, index, f"pause {duration_text(duration_ns)}", weight)

    def look(self, rule: str, verdict: Verdict, failures: int = 0, **changes: Any) -> int:
        fields: dict[str, Any] = {
            "metric": rule.split(" ", 1)[0],
            "verdict": verdict,
            "reason": f"{rule}: {verdict}",
            "candidate": 0.1,
            "stable": 0.09,
            "bound": 0.135,
            "requests": {S: 5400, C: 600},
            "failures": failures,
        }
        return self.tell(e.Measured, rule, **(fields | changes))

    def end(
        self,
        outcome: Outcome,
        reason: str,
        because: tuple[int, ...] = (),
        *,
        arms: tuple[ArmTotals, ArmTotals] | None = None,
        verified: bool = True,
        rollout: bool = True,
        ended: Outcome | None = None,
    ) -> Events:
        """The decision, the way back or forth, the totals, and the last event."""
        if rollout:
            self.done("rollout", 0.3, outcome.value, reason)
        self.tell(e.Decided, outcome, reason, because)
        keeps = C if outcome is Outcome.PROMOTED else S
        weights: dict[Role, int] = {}
        if rollout:
            weights = dict(self.settle(outcome, keeps, verified=verified))
            good, bad = arms or (totals(100_000, 40, 12, 0.8), totals(8_000, 120, 400, 0.71))
            self.tell(e.InputsSeen, MINUTE, INPUTS, PREDICTIONS)
            self.tell(e.Totalled, {S: good, C: bad})
        self.tell(e.RunEnded, ended or outcome, reason, weights, wall_s=0.84)
        return Events(self.events)

    def settle(self, outcome: Outcome, keeps: Role, *, verified: bool) -> Mapping[Role, int]:
        if outcome is Outcome.PAUSED:
            return split(1000)
        name = "promote" if keeps is C else "rollback"
        self.stage(name)
        self.route(WHOLE if keeps is C else 0)
        for attempt in (1,) if verified else (1, 2, 3):
            self.tell(e.Verified, keeps, verified, True, True, verified, attempt, "4 of 4 replicas ready")
            self.wait(0 if verified else SECOND)
        if not verified:
            self.tell(e.Escalated, "stable could not be verified with all traffic: its probe was not answered")
        elif keeps is C:
            self.tell(e.Promoted, "churn-prediction", 2)
        else:
            self.tell(e.RolledBack, "churn-prediction", 1)
        self.done(name, 0.01)
        return split(WHOLE if keeps is C else 0)


INPUTS = (
    e.InputColumn(
        "TotalCharges", ("below 400", "400 and more"), (0.5, 0.5), {S: (0.1, 0.9), C: (0.0, 1.0)}, {S: 0.4, C: 0.56}
    ),
    e.InputColumn("<b>plan</b>", ("basic", "full"), (0.3, 0.7), {S: (0.3, 0.7), C: (0.31, 0.69)}, {S: 0.0, C: 0.01}),
)  # fmt: skip


PREDICTIONS = {
    S: e.InputColumn("probability of Yes", ("below 0.2", "0.2 and more"), (0.5, 0.5), {S: (0.52, 0.48)}, {S: 0.02}),
    C: e.InputColumn("probability of Yes", ("below 0.3", "0.3 and more"), (0.5, 0.5), {C: (0.1, 0.9)}, {C: 0.38}),
}


def totals(arrived: int, failed: int, wrong: int, accuracy: float) -> ArmTotals:
    figures = {"p50": 0.03, "p95": 0.09, "p99": 0.12, "error_rate": failed / arrived, "accuracy": accuracy}
    return ArmTotals(arrived, arrived - failed, failed, 0, {"timeout": failed}, failed + wrong, figures)


# --- a canary as long as a real one -----------------------------------------------------------------------------------

STEPS = (1000, 2500, 5000, 7500, WHOLE)
LOOKS_PER_STEP = 24


def long_canary(*, bad: bool = True, **changes: Any) -> Events:
    """Five steps of 24 minutes; the bad candidate is slow and wrong from minute ten on, and 120 looks pass the good."""
    story = Story()
    faults = ("latency x1.8 on candidate from 10m, ramp 5m", "MonthlyCharges shifted by 1.5 sd from 10m")
    expect = (
        f"outcome == {'rolled_back' if bad else 'promoted'}",
        "detected_after < 45m",
        "candidate_share_max <= 25%",
    )
    plan = (*((24 * MINUTE * i, weight) for i, weight in enumerate(STEPS)), (120 * MINUTE, WHOLE))
    story.begin(faults=faults if bad else (), expect=expect, plan=plan, **changes)
    story.prepare()
    story.go_live()
    canary = _Canary(story, bad)
    for index, weight in enumerate(STEPS):
        story.route(weight, 2 * index)
        if index == 0:
            story.tell(e.AnalysisStarted)
        story.pause(2 * index + 1, LOOKS_PER_STEP * MINUTE, weight)
        for _ in range(LOOKS_PER_STEP):
            because = canary.minute(weight)
            if because:
                story.tell(e.AnalysisStopped)
                reason = "p95 <= stable * 1.5 failed on 3 looks, more than the failure limit of 2"
                arms = (totals(146_000, 60, 11, 0.80), totals(10_500, 190, 720, 0.70))
                return story.end(Outcome.ROLLED_BACK, reason, because, arms=arms)
    arms = (totals(372_000, 150, 0, 0.80), totals(374_000, 160, 900, 0.80))
    return story.end(Outcome.PROMOTED, "every step was passed", arms=arms)


class _Canary:
    """Plays both arms minute by minute."""

    def __init__(self, story: Story, bad: bool) -> None:
        self.story, self.bad = story, bad
        self.rng = np.random.default_rng(7)
        self.minutes = 0
        self.failures = dict.fromkeys(RULES, 0)

    def minute(self, weight: int) -> tuple[int, ...]:
        """One look; the events that a rollback rests on, if it comes to one."""
        self.story.wait(MINUTE)
        self.minutes += 1
        if self.bad and self.minutes == 10:
            self.story.tell(e.Noticed, "fault_began", (C,), "latency x1.8 from 10m, ramp 5m")
            self.story.tell(e.Noticed, "fault_began", (S, C), "MonthlyCharges shifted by 1.5 sd from 10m")
        worse = min(1.0, max(0.0, (self.minutes - 10) / 5)) if self.bad else 0.0
        arms = {S: self.arm(WHOLE - weight, 0.0, worse), C: self.arm(weight, worse, worse)}
        self.story.tell(e.Observed, MINUTE, arms)
        return self.judge(arms)

    def arm(self, weight: int, slow: float, drifted: float) -> ArmObserved:
        requests = int(self.rng.poisson(weight * 0.6))
        noise = 1 + self.rng.normal(0, 0.5) / max(requests, 25) ** 0.5
        factor = (1 + 0.8 * slow) * noise
        failed = int(self.rng.poisson(requests * (0.001 + 0.004 * slow)))
        labelled = int(requests * 0.3) if self.minutes > 15 else 0
        quality = 0.80 - 0.02 * drifted - 0.08 * slow + self.rng.normal(0, 0.4) / max(labelled, 30) ** 0.5 / 2
        figures = {
            "mean": 0.038 * factor,
            "p50": 0.03 * factor,
            "p90": 0.07 * factor,
            "p95": 0.088 * factor,
            "p99": 0.121 * factor,
            "requests": float(requests),
            "rate": requests / 60,
            "error_rate": failed / requests if requests else None,
            "accuracy": float(quality) if labelled else None,
            "drift_score": 0.03 + 0.3 * drifted + abs(self.rng.normal(0, 0.004)),
            "utilisation": 0.25,
        }
        return ArmObserved(weight, requests, failed, labelled, figures)

    def judge(self, arms: Mapping[Role, ArmObserved]) -> tuple[int, ...]:
        failed: tuple[int, ...] = ()
        for rule in RULES:
            metric = rule.split(" ", 1)[0]
            mine, theirs = arms[C].figures.get(metric), arms[S].figures.get(metric)
            bound = None if theirs is None else {"e": theirs + 0.02, "p": theirs * 1.5, "a": theirs - 0.05}[rule[0]]
            if mine is None or bound is None:
                verdict = Verdict.INCONCLUSIVE
            else:
                verdict = Verdict.FAIL if (mine < bound if metric == "accuracy" else mine > bound) else Verdict.PASS
            self.failures[rule] += verdict is Verdict.FAIL
            figures = {"candidate": mine, "stable": theirs, "bound": bound}
            number = self.story.look(rule, verdict, self.failures[rule], **figures)
            if verdict is Verdict.FAIL and self.failures[rule] > 2:
                failed = (*failed, number)
        return failed
