"""A load test as a stage of a scenario: what is read, and what is wrong told with place, value and remedy."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness import app
from harness.domain.lifecycle import LoadStagePlan
from harness.domain.load import ClosedLoop, OpenLoop, Speech
from harness.domain.traffic import Knots, Process, Trace, Traffic
from harness.domain.units import MINUTE, SECOND
from harness.errors import Problem, ScenarioError

Problems = Callable[..., Sequence[Problem]]
SCENARIOS = Path(__file__).parents[2] / "scenarios"
LIVE = "url: http://localhost:8080"


def read(valid: str, load: Any, text: str, clock: str = "virtual") -> LoadStagePlan:
    plan: LoadStagePlan = load(valid.replace("clock: virtual", f"clock: {clock}") + f"\nload: {text}\n").load
    return plan


def flat(rate: float, word: str = "poisson", **changes: Any) -> Traffic:
    return Traffic(word, Process(word), Knots((0,), (rate,)), users=0, **changes)


def test_the_least_that_is_said(valid: str, load: Any) -> None:
    assert read(valid, load, "{rate: 200/s}") == LoadStagePlan(OpenLoop(flat(200.0), "poisson", 200.0))


def test_all_that_may_be_said_of_a_simulated_one(valid: str, load: Any) -> None:
    text = "{rate: 12000/m, arrivals: 'gamma:2.5', duration: 1m, warmup: 5s, "
    text += "slo: [p99 < 250ms], min_grade: A, replicas: 2}"
    plan = read(valid, load, text)
    assert plan.pace == OpenLoop(flat(200.0, "gamma", variation=2.5), "gamma:2.5", 200.0)
    assert (plan.duration_ns, plan.warmup_ns, plan.min_grade, plan.replicas) == (MINUTE, 5 * SECOND, "A", 2)
    assert [rule.text for rule in plan.slos] == ["p99 < 250ms"]


def test_a_rate_that_changes_lasts_as_long_as_it_does(valid: str, load: Any) -> None:
    plan = read(valid, load, "{stages: [{at: 0s, rate: 10/s}, {at: 30s, rate: 500/s}], warmup: 5s, arrivals: constant}")
    curve = Knots((0, 30 * SECOND), (10.0, 500.0))
    assert plan.pace == OpenLoop(Traffic("constant", Process.CONSTANT, curve, users=0), "constant", None)
    assert (plan.warmup_ns, plan.duration_ns) == (5 * SECOND, 25 * SECOND)


def test_a_recording(valid: str, load: Any) -> None:
    file = SCENARIOS / "traces" / "azure_llm_conv.csv.gz"
    plan = read(valid, load, f"{{arrivals: 'trace:{file}', rate: 50/s, duration: 1m}}")
    assert isinstance(plan.pace, OpenLoop)
    assert plan.pace.traffic.curve == Trace(str(file), rate=50.0)


def test_a_live_one(valid: str, load: Any) -> None:
    text = f"{{users: 8, think: 'exponential:2s', {LIVE}, protocol: v2, model: churn, payload: data/churn.csv}}"
    plan = read(valid, load, text, "real")
    assert plan.pace == ClosedLoop(8, 2 * SECOND, exponential=True)
    assert (plan.url, plan.speech, plan.model) == ("http://localhost:8080", Speech.V2, "churn")
    assert str(plan.payload).endswith("churn.csv")


def test_its_grade_may_be_expected(valid: str, load: Any) -> None:
    text = valid.replace("expect:\n", "load: {rate: 20/s}\nexpect:\n  - grade == B\n")
    assert any(rule.text == "grade == B" for rule in load(text).expect)


WRONG = {
    "nothing that says when": ("{slo: [p99 < 1s]}", "load lacks one of rate, users, stages (or arrivals: trace:FILE)"),
    "two that do": (
        "{rate: 10/s, ^stages: [{at: 0s, rate: 1/s}, {at: 1m, rate: 9/s}]}",
        "load.stages stands beside rate",
    ),
    "a rate of nothing": ("{rate: ^0/s}", "load.rate is 0/s; this rate is above 0/s"),
    "a rate without its unit": ("{rate: ^200}", "load.rate is 200; "),
    "a closed loop on virtual time": (
        "{^users: 8}",
        "load.users are a closed loop, which is not simulated: it needs url and clock: real; or ask at a rate",
    ),
    "a closed loop of an endpoint on virtual time": (
        f"{{^users: 8, {LIVE}}}",
        "load.users are a closed loop, which is not simulated: it needs clock: real; or ask at a rate",
    ),
    "thinking without users": ("{rate: 10/s, ^think: 1s}", "load.think belongs to users, of a closed loop"),
    "arrivals that there are none of": (
        "{rate: 10/s, arrivals: ^uniform}",
        "load.arrivals is uniform; it is constant, poisson, gamma:CV (such as gamma:2) or trace:FILE",
    ),
    "gamma without its variation": (
        "{rate: 10/s, arrivals: ^gamma}",
        "load.arrivals is gamma; it is constant, poisson,",
    ),
    "gamma beyond measure": (
        "{rate: 10/s, arrivals: ^'gamma:400'}",
        'load.arrivals is "gamma:400"; the variation of gamma gaps is a number from 0.01 to 20, such as gamma:2',
    ),
    "a recording that is not there": (
        "{arrivals: ^'trace:no.csv', duration: 1m}",
        "no such recording; write trace:FILE",
    ),
    "a recording without an end": (
        "{arrivals: 'trace:data/churn.csv'}",
        "load lacks duration: how much of the recording is measured",
    ),
    "stages that fall back": (
        "{stages: [{at: 0s, rate: 1/s}, {at: 2m, rate: 9/s}, {at: ^1m, rate: 9/s}]}",
        "load.stages[2].at is 1m; it comes after the one before, 2m",
    ),
    "one stage": ("{stages: ^[{at: 0s, rate: 1/s}]}", "at least two: [{at: 0s, rate: 10/s}, {at: 30s, rate: 500/s}]"),
    "a warm-up that leaves nothing": (
        "{stages: [{at: 0s, rate: 1/s}, {at: 1m, rate: 9/s}], warmup: ^1m}",
        "load.warmup is 1m; it leaves nothing of the stages' 1m to measure",
    ),
    "longer than the run": ("{rate: 1/s, duration: ^4h}", "with the rest of the test it is as long as the horizon, 4h"),
    "an objective that is none": (
        "{rate: 1/s, slo: [^p98 < 1s]}",
        'load.slo[0] is "p98 < 1s"; no metric is called p98',
    ),
    "an objective of what is not measured": (
        "{rate: 1/s, slo: [^accuracy > 70%]}",
        "accuracy is not measured by a load test",
    ),
    "an objective against stable": (
        "{rate: 1/s, slo: [p99 < ^stable * 2]}",
        "a load test has no stable to compare with; give a number",
    ),
    "a grade that there is none of": ("{rate: 1/s, min_grade: ^D}", "load.min_grade is D; allowed: A+, A, B, C"),
    "a url that is none": (
        "{rate: 1/s, url: ^'localhost:8080'}",
        'load.url is "localhost:8080"; it has no scheme; a target is http(s)://HOST[:PORT][/PATH]',
    ),
    "a url with a password": (
        "{rate: 1/s, url: ^'http://ann:secret@example.org'}",
        "the URL holds a user or a password",
    ),
    "a protocol that there is none of": (
        f"{{rate: 1/s, {LIVE}, protocol: ^grpc}}",
        "load.protocol is grpc; allowed: json, mlflow, v2, raw",
    ),
    "v2 without a model": (f"{{rate: 1/s, {LIVE}, protocol: ^v2}}", "load.protocol is v2; "),
    "a payload for nobody": (
        "{rate: 1/s, ^payload: data/churn.csv}",
        "load.payload is of a live endpoint; add url (and clock: real), or leave this out",
    ),
    "a payload that is not there": (
        f"{{rate: 1/s, {LIVE}, payload: ^rows.csv}}",
        "load.payload is rows.csv; no such file",
    ),
    "a key that there is none of": ("{rate: 1/s, ^warm_up: 5s}", "warm_up"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_told_with_its_place(kind: str, valid: str, problems: Problems) -> None:
    wrong, message = WRONG[kind]
    marked = valid.replace("inject:\n", f"load: {wrong}\ninject:\n", 1)
    lines = marked.splitlines()
    line = next(number for number, text in enumerate(lines, 1) if text.startswith("load:"))
    column = max(lines[line - 1].find("^"), 0) + 1
    found = problems(marked.replace("^", ""))
    told = [(each.line, each.column, each.message) for each in found]
    assert any(each[:2] == (line, column) and message in each[2] for each in told), told
    assert not any("secret" in each.message for each in found)


def test_what_would_ask_more_than_simulated_servers_can_do_is_told_beforehand() -> None:
    path = SCENARIOS / "load_stage.yaml"
    remarks = app.timeline(app.load_scenario(path)).remarks
    assert remarks[0].startswith(
        "before it, a load test of 4 simulated replicas at 200/s (poisson) for 2m after 10s of"
    )
    assert remarks[1] == "the load test asks 200/s of servers that can do 194.4/s"
    fine = app.timeline(app.load_scenario(path, ["load.rate=60/s", "load.replicas=1", "load.slo=[]", "load.warmup=0s"]))
    assert fine.remarks[0] == (
        "before it, a load test of 1 simulated replica at 60/s (poisson) for 2m; grade B at least"
    )
    assert "the load test asks 60/s of servers that can do 48.59/s" in fine.remarks


def test_a_check_tells_what_is_asked_and_reads_what_is_sent(tmp_path: Path) -> None:
    path = SCENARIOS / "load_stage.yaml"
    found = app.check_references(app.load_scenario(path))
    assert "a load test of 4 simulated replicas at 200/s (poisson) for 2m after 10s of warm-up" in str(found)
    (tmp_path / "rows.json").write_text('{"a": ')
    elsewhere = ["load.url=http://198.51.100.7:8080", "clock=real"]
    found = app.check_references(app.load_scenario(path, elsewhere))
    assert any("http://198.51.100.7:8080 is not on this machine" in note and "--yes" in note for note in found.notes)
    broken = app.load_scenario(path, [*elsewhere, f"load.payload={tmp_path}/rows.json"])
    with pytest.raises(ScenarioError) as refused:
        app.check_references(broken)
    assert "rows.json" in str(refused.value)
