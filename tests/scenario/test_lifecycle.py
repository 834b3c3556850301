"""What a scenario says of strategies, users, people and what comes after: read to values, and refused with a place."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from harness.analysis.conditions import parse
from harness.domain.analysis import AnalysisPolicy, Experiment
from harness.domain.fault import Errors, Fault, Lost
from harness.domain.lifecycle import Monitor, OnAlarm, RetrainPlan, ScriptedOrder, StagingPlan, Successor, Window
from harness.domain.model import Role, TrainPlan
from harness.domain.rollout import (
    Analyze,
    Approve,
    Decide,
    HeaderRoute,
    Order,
    Pause,
    SetMirror,
    SetRoute,
    SetScale,
    SetWeight,
    Smoke,
)
from harness.domain.traffic import RequestClass, Shares
from harness.domain.units import HOUR, MINUTE, SECOND, WHOLE
from harness.errors import Problem

TRAFFIC = "traffic: {poisson: 100/s}"
ROLLOUT = """  strategy: canary
  steps: [{weight: 10%}, {pause: 30m}, {weight: 50%}, {pause: 30m}]
"""
CLASSES = (
    "traffic: {poisson: 100/s, classes: [{name: web, share: 90%}, {name: beta, share: 10%, headers: {X-Tier: beta}}]}"
)

Problems = Callable[..., Sequence[Problem]]


def with_rollout(valid: str, rollout: str) -> str:
    assert ROLLOUT in valid
    return valid.replace(ROLLOUT, rollout)


def looks(*rules: str, **settings: Any) -> AnalysisPolicy:
    return AnalysisPolicy(tuple(parse(rule) for rule in rules), **settings)


# --- what is read -----------------------------------------------------------------------------------------------------


def test_every_kind_of_step(valid: str, load: Any) -> None:
    steps = """  strategy: canary
  sticky: true
  stepwise: 2m
  steps:
    - scale: 2
    - route: {name: beta, header: x-tier, value: beta}
    - mirror: 20%
    - analyze: {looks: 5, every: 30s, rules: [error_rate <= 1%, agreement >= 90%], inconclusive_limit: 2}
    - mirror: 0%
    - route: {name: beta}
    - smoke: 10
    - scale: full
    - weight: 10%
    - approve: {within: 1h, criteria: [f1 >= 0.5, p95 <= 200ms]}
    - pause: until approved
    - pause: 5m
"""
    rollout = load(with_rollout(valid, steps).replace(TRAFFIC, CLASSES).replace("delay: 15m", "delay: 1m")).rollout
    own = looks("error_rate <= 1%", "agreement >= 90%", every_ns=30 * SECOND, window_ns=30 * SECOND)
    assert rollout.steps == (
        SetScale(2),
        SetRoute("beta", HeaderRoute("beta", "x-tier", "beta")),
        SetMirror(2000),
        Analyze(AnalysisPolicy(own.rules, 30 * SECOND, 30 * SECOND, inconclusive_limit=2), 5),
        SetMirror(0),
        SetRoute("beta", None),
        Smoke(10),
        SetScale(None),
        SetWeight(1000),
        Approve(HOUR, (parse("f1 >= 0.5"), parse("p95 <= 200ms"))),
        Pause(None),
        Pause(5 * MINUTE),
    )
    assert (rollout.sticky, rollout.stepwise_ns) == (True, 2 * MINUTE)


def test_a_canary_without_a_router(valid: str, load: Any) -> None:
    rollout = load(with_rollout(valid, ROLLOUT + "  by: replicas\n  max_surge: 1\n  max_unavailable: 0%\n")).rollout
    assert (rollout.by_replicas, rollout.max_surge, rollout.max_unavailable) == (True, "1", "0%")


def test_blue_green_has_the_steps_of_argo(valid: str, load: Any) -> None:
    text = """  strategy: blue_green
  preview: {replicas: 1, smoke: 5, analyze: {looks: 3, rules: [drift_score <= 50%]}, approve: {within: 30m}}
  after: {looks: 2, rules: [error_rate <= 5%]}
  keep_for: 20m
"""
    rollout = load(with_rollout(valid, text).replace("delay: 15m", "delay: 1m")).rollout
    assert rollout.steps == (
        SetScale(1),
        Smoke(5),
        Analyze(looks("drift_score <= 50%"), 3),
        Approve(30 * MINUTE),
        SetScale(None),
        SetWeight(WHOLE),
        Analyze(looks("error_rate <= 5%"), 2),
    )
    assert rollout.retire_after_ns == 20 * MINUTE


def test_rolling_shadow_and_ab_test(valid: str, load: Any) -> None:
    rolling = load(with_rollout(valid, "  strategy: rolling\n  max_surge: 2\n  min_ready: 20s\n  batch_pause: 3m\n"))
    assert (rolling.rollout.min_ready_ns, rolling.rollout.batch_pause_ns) == (20 * SECOND, 3 * MINUTE)
    shadow = load(with_rollout(valid, "  strategy: shadow\n  mirror: 25%\n  for: 1h\n  promote: false\n")).rollout
    assert shadow.steps == (SetMirror(2500), Pause(HOUR))
    assert not shadow.promote
    test = "  strategy: ab_test\n  share: 40%\n  primary: mean\n  least_effect: 5ms\n  every: 2m\n  at_most: 2h\n"
    tested = load(with_rollout(valid, test)).rollout
    assert tested.steps == (SetWeight(4000), Decide(Experiment("mean", 0.005), 2 * MINUTE, 2 * HOUR))
    assert tested.sticky


def test_users_classes_and_their_schedule(valid: str, load: Any) -> None:
    text = """traffic:
  poisson: 100/s
  users: 500
  classes:
    - {name: web, share: 70%, rows: {plan: [DSL, Fibre]}}
    - {name: batch, share: 30%, service: x3, headers: {x-tier: batch}}
  schedule: [{at: 30m, shares: {batch: 100%}}]
"""
    traffic = load(valid.replace(TRAFFIC + "\n", text)).traffic
    assert traffic.users == 500
    assert traffic.classes == (
        RequestClass("web", 0.7, 1.0, "plan", ("DSL", "Fibre")),
        RequestClass("batch", 0.3, 3.0, None, (), (("x-tier", "batch"),)),
    )
    assert traffic.schedule == (Shares(30 * MINUTE, (0.0, 1.0)),)


def test_what_is_around_the_rollout(valid: str, load: Any) -> None:
    text = """
staging:
  {replicas: 2, golden_rows: 5, rate: 10/s, duration: 1m, min_grade: A, inject: [{at: 0s, on: candidate, errors: 5%}]}
approvals:
  - {at: 20m, decision: approve, by: release-manager}
  - {at: 40m, decision: abort, by: "on call"}
monitoring:
  for: 2h
  cool_down: 10m
  keep_previous: 1h
  monitors:
    - {name: errors, rules: [error_rate <= stable + 1%], failure_limit: 2}
    - {name: words, rules: [p99 <= 1s], on_alarm: notify}
successors:
  - {at: 50m, candidate: {algorithm: logistic_regression}, inject: [{at: 55m, on: candidate, lost: 20%}]}
stages: [fairness]
notify: [log, "https://hooks.example.org/services/T0/B0"]
"""
    read = load(valid + text)
    fault = Fault("at: 0s, on: candidate, errors: 5%", frozenset({Role.CANDIDATE}), Errors(0.05))
    assert read.staging == StagingPlan(2, 5, 10.0, MINUTE, "A", (fault,))
    assert read.orders == (
        ScriptedOrder(20 * MINUTE, Order.APPROVE, "release-manager"),
        ScriptedOrder(40 * MINUTE, Order.ABORT, "on call"),
    )
    assert read.aftercare.for_ns == 2 * HOUR
    assert (read.aftercare.cool_down_ns, read.aftercare.keep_previous_ns) == (10 * MINUTE, HOUR)
    assert read.aftercare.monitors == (
        Monitor("errors", looks("error_rate <= stable + 1%", failure_limit=2)),
        Monitor("words", looks("p99 <= 1s"), OnAlarm.NOTIFY),
    )
    lost = Fault("at: 55m, on: candidate, lost: 20%", frozenset({Role.CANDIDATE}), Lost(0.2), at_ns=55 * MINUTE)
    newer = TrainPlan("logistic_regression", {})
    assert read.successors == (Successor(50 * MINUTE, newer, (lost,), "candidate 2"),)
    assert (read.stages, read.notify) == (("fairness",), ("log", "https://hooks.example.org/services/T0/B0"))


def test_retraining_where_rows_are_in_order_of_time(valid: str, load: Any) -> None:
    text = """
monitoring:
  monitors: [{name: decay, rules: [accuracy >= 70%], on_alarm: retrain}]
  retrain: {algorithm: random_forest, params: {n_estimators: 10}, rows: 500, gates: [accuracy >= stable]}
"""
    read = load(valid.replace("test_share: 25%}", "test_share: 25%, walk: 4h}") + text)
    plan = TrainPlan("random_forest", {"n_estimators": 10})
    gates = (parse("accuracy >= stable"),)
    assert read.aftercare.retrain == RetrainPlan(plan, Window.SLIDING, 500, gates=gates)


# --- what is refused --------------------------------------------------------------------------------------------------

STEPS = "[{weight: 10%}, {pause: 30m}, {weight: 50%}, {pause: 30m}]"
WRONG = {
    "a key of another strategy": (
        ROLLOUT,
        ROLLOUT + "  ^mirror: 20%\n",
        "rollout.mirror belongs to shadow, not to canary",
    ),
    "a shadow without its time": (
        ROLLOUT,
        "  strategy: shadow\n  mirror: 10%\n",
        "rollout lacks for, which shadow needs",
    ),
    "no steps": (ROLLOUT, "  strategy: canary\n", "rollout lacks steps, which canary needs"),
    "a test on a metric that is no mean": (
        ROLLOUT,
        "  strategy: ab_test\n  primary: ^p95\n  least_effect: 1%\n  at_most: 1h\n",
        "rollout.primary is p95; allowed: success_rate, error_rate, accuracy, mean",
    ),
    "an effect in another unit": (
        ROLLOUT,
        "  strategy: ab_test\n  primary: mean\n  least_effect: ^1%\n  at_most: 1h\n",
        "rollout.least_effect is 1%; a difference of mean is a time, such as 5ms",
    ),
    "all users in one arm": (
        ROLLOUT,
        "  strategy: ab_test\n  share: ^100%\n  primary: mean\n  least_effect: 5ms\n  at_most: 1h\n",
        "rollout.share is 100%; this share is below 100%: something must be left",
    ),
    "a step of two kinds": (STEPS, "[{weight: 10%, ^pause: 30m}]", "rollout.steps[0].pause stands beside weight; "),
    "a pause that is no time": (
        STEPS,
        "[{weight: 10%}, {pause: ^forever}]",
        "rollout.steps[1].pause is forever; a duration is a number with a unit: 250ms, 30s, 5m, 2h or 1d; or: until",
    ),
    "a route that no request takes": (
        STEPS,
        "[{route: {name: beta, header: ^x-tier, value: beta}}, {weight: 10%}]",
        "rollout.steps[0].route.header is x-tier; no class of requests carries it (traffic.classes; headers: none)",
    ),
    "a route without a value": (
        STEPS,
        "[{route: {name: beta, ^header: x-tier}}, {weight: 10%}]",
        "rollout.steps[0].route.header belongs with value; add it, or leave both out",
    ),
    "an approval of nothing": (
        STEPS,
        "[{weight: 10%}, {approve: {}}]",
        "rollout.steps[1].approve asks for nothing; give within, criteria, or both",
    ),
    "agreement where nothing is copied": (
        "p95 <= stable * 1.5",
        "^agreement >= 90%",
        "agreement is only measured where requests are copied: in a shadow, or by a step mirror: 10%",
    ),
    "a mirror without a router": (
        ROLLOUT,
        "  strategy: canary\n  by: replicas\n  steps: [{^mirror: 10%}, {weight: 10%}]\n",
        "rollout.steps[0].mirror needs a router; leave it out, or by: replicas",
    ),
    "a surge that is no number": (
        ROLLOUT,
        "  strategy: rolling\n  max_surge: ^many\n",
        "rollout.max_surge is many; this is a number of replicas, such as 2, or a share of them, such as 25%",
    ),
    "classes that are not all": (
        TRAFFIC,
        "traffic: {poisson: 100/s, ^classes: [{name: web, share: 90%}]}",
        "traffic.classes have shares that sum to 90%; they sum to 100%",
    ),
    "a class twice": (
        TRAFFIC,
        "traffic: {poisson: 100/s, classes: [{name: web, share: 50%}, {name: ^web, share: 50%}]}",
        "traffic.classes[1].name is web; another class has this name",
    ),
    "a class of unknown rows": (
        TRAFFIC,
        "traffic: {poisson: 100/s, classes: [{name: web, share: 100%, rows: {plann: ^DSL}}]}",
        "traffic.classes[0].rows.plann is DSL; the data set has no such column; nearest: plan",
    ),
    "a schedule of an unknown class": (
        TRAFFIC,
        CLASSES[:-1] + ", schedule: [{at: 1h, shares: {wob: ^100%}}]}",
        "traffic.schedule[0].shares.wob is 100%; no class has this name; nearest: web",
    ),
    "a schedule that is not all": (
        TRAFFIC,
        CLASSES[:-1] + ", schedule: [{at: 1h, ^shares: {web: 50%}}]}",
        "traffic.schedule[0].shares sum to 50%; they are shares of all requests, and sum to 100%",
    ),
    "nobody asks": (TRAFFIC, "traffic: {poisson: 100/s, users: ^0}", "traffic.users is 0; this is a whole number from"),
    "an approval after the horizon": (
        "inject:\n",
        "approvals: [{at: ^5h, decision: approve}]\ninject:\n",
        "approvals[0].at is 5h; it would never come: the horizon is 4h",
    ),
    "an unknown decision": (
        "inject:\n",
        "approvals: [{at: 1h, decision: ^aprove}]\ninject:\n",
        "approvals[0].decision is aprove; nearest: approve; allowed: approve, reject, promote, abort",
    ),
    "a retraining that nothing describes": (
        "inject:\n",
        "monitoring: {monitors: [{name: m, rules: [error_rate <= 1%], on_alarm: ^retrain}]}\ninject:\n",
        "monitoring.monitors[0].on_alarm is retrain; nothing says how to retrain; add monitoring.retrain",
    ),
    "a retraining without an order of time": (
        "inject:\n",
        "monitoring: {^retrain: {algorithm: random_forest}}\ninject:\n",
        "monitoring.retrain learns from what has become known, in order of time; add model.data.walk, and labels",
    ),
    "successors out of order": (
        "inject:\n",
        "successors:\n  - {at: 2h, candidate: {algorithm: random_forest}}\n"
        "  - {at: ^1h, candidate: {algorithm: random_forest}}\ninject:\n",
        "successors[1].at is 1h; it comes after the one before, at 2h",
    ),
    "an unknown channel": (
        "inject:\n",
        "notify: [^slak]\ninject:\n",
        "notify[0] is slak; the URL of a webhook, or: log, memory",
    ),
    "an unknown stage": (
        "inject:\n",
        "stages: [^fair]\ninject:\n",
        "stages[0] is fair; nearest: fairness; installed: ",
    ),
    "a grade that there is none of": (
        "inject:\n",
        "staging: {min_grade: ^D}\ninject:\n",
        "staging.min_grade is D; allowed: A+, A, B, C",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_told_with_its_place(kind: str, valid: str, problems: Problems) -> None:
    part, wrong, message = WRONG[kind]
    assert part in valid
    marked = valid.replace(part, wrong, 1)
    found = problems(marked.replace("^", ""))
    assert message in found[0].message, [str(each) for each in found]
    if "^" in wrong:
        before = marked[: marked.index("^")]
        place = (before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        assert (found[0].line, found[0].column) == place
    assert found[0].line > 0
