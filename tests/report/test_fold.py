"""The fold: every outcome from a hand-made log, and the same result whatever way the events came."""

import json as plain_json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import log
from harness.domain import event as e
from harness.domain.analysis import Verdict
from harness.domain.event import ArmTotals
from harness.domain.model import Role
from harness.domain.rollout import Outcome
from harness.domain.units import MINUTE, SECOND, WHOLE
from harness.errors import LogError
from harness.log import Events
from harness.report import fold, json, why
from harness.report.result import Mark
from harness.strategies.steps import split
from tests.report.stories import RULES, C, S, Story, long_canary

P95 = RULES[1]


def started(**changes: Any) -> Story:
    story = Story()
    story.begin(**changes)
    return story


def rolled_back(**changes: Any) -> Events:
    """Ten minutes at 10 %: passes once, then fails on three looks at a slow candidate."""
    story = started(**changes)
    story.prepare()
    story.go_live()
    story.route(1000, 0)
    story.pause(1, 24 * MINUTE, 1000)
    story.wait(MINUTE)
    story.look(P95, Verdict.PASS)
    number = -1
    for failures in (1, 2, 3):
        story.wait(MINUTE)
        figures = {"candidate": 0.214, "stable": 0.118, "bound": 0.177}
        number = story.look(P95, Verdict.FAIL, failures, **figures)
    return story.end(Outcome.ROLLED_BACK, "p95 failed on 3 looks", (number,))


def promoted(**changes: Any) -> Events:
    story = started(**changes)
    story.prepare()
    story.go_live()
    for index, weight in enumerate((1000, WHOLE)):
        story.route(weight, 2 * index)
        story.pause(2 * index + 1, 10 * MINUTE, weight)
        for _ in range(10):
            story.wait(MINUTE)
            story.look(P95, Verdict.PASS)
    return story.end(Outcome.PROMOTED, "every step was passed")


def rejected(**changes: Any) -> Events:
    story = started(**changes)
    story.prepare({"f1 >= 0.55": (0.481, False), "accuracy >= stable - 1%": (0.807, True)})
    story.done("gate", 0.001, "rejected", "f1 is 0.481, below 0.55")
    return story.end(Outcome.REJECTED, "f1 is 0.481, below 0.55", rollout=False)


def paused(**changes: Any) -> Events:
    story = started(**changes)
    story.prepare()
    story.go_live()
    story.route(1000, 0)
    story.pause(1, 24 * MINUTE, 1000)
    story.wait(24 * MINUTE)
    story.tell(e.StepHeld, 1, "too few answers to judge by at 10%; the step is not left until there are")
    story.wait(180 * MINUTE)
    return story.end(Outcome.PAUSED, "held at 10% for want of answers to judge by when the horizon came")


def aborted(**changes: Any) -> Events:
    story = started(**changes)
    story.prepare()
    story.go_live()
    story.route(1000, 0)
    story.wait(5 * MINUTE)
    story.tell(e.Interrupted, "SIGINT")
    return story.end(Outcome.ABORTED, "stopped by SIGINT")


def failed(**changes: Any) -> Events:
    story = started(**changes)
    story.prepare()
    story.go_live()
    story.route(1000, 0)
    story.wait(MINUTE)
    number = story.look(P95, Verdict.FAIL, 1, candidate=0.3)
    return story.end(Outcome.ROLLED_BACK, "p95 failed", (number,), verified=False, ended=Outcome.FAILED)


def errored(**changes: Any) -> Events:
    story = started(**changes)
    story.prepare()
    story.go_live()
    story.route(1000, 0)
    story.wait(MINUTE)
    return story.end(Outcome.ERROR, "the metrics source did not answer on 5 looks in a row")


def cut_off(**changes: Any) -> Events:
    events = rolled_back(**changes)
    return events[: events.index(events.of(e.Measured)[2]) + 1]


STORIES: dict[str, Callable[..., Events]] = {
    "aborted": aborted,
    "error": errored,
    "failed": failed,
    "paused": paused,
    "promoted": promoted,
    "rejected": rejected,
    "rolled_back": rolled_back,
    "unfinished": cut_off,
}
SENTENCES = {
    "aborted": "Aborted by SIGINT 5m 30s after traffic began, at 10% of traffic: stable has all traffic, verified.",
    "error": (
        "Ended by an error 1m 30s after traffic began, at 10% of traffic: the metrics source did not answer on 5 looks "
        "in a row. Stable has all traffic, verified."
    ),
    "failed": (
        "Failed 1m 30s after traffic began, at 10% of traffic, a person must look: stable could not be verified with "
        "all traffic: its probe was not answered."
    ),
    "paused": (
        "Paused at 10% of traffic when the horizon of 4h came: too few answers to judge by at 10%; the step is not "
        "left until there are."
    ),
    "promoted": "Promoted 20m after its first request: of 20 verdicts (20 looks by 1 rule) none failed.",
    "rejected": "Rejected before deployment: f1 is 48.1%, and the gate asks for >= 0.55.",
    "rolled_back": (
        "Rolled back 4m after its first request, at 10% of traffic: p95 was 214 ms on candidate and 118 ms on stable, "
        "above the bound 177 ms (stable * 1.5), on 3 of 4 looks."
    ),
    "unfinished": (
        "Unfinished: the log stops 3m 30s after traffic began, at 10% of traffic in stage rollout, without an end; "
        "the run was cut off."
    ),
}


@pytest.mark.parametrize("outcome", STORIES)
def test_every_outcome_is_told_in_one_sentence(outcome: str) -> None:
    result = fold(STORIES[outcome]())
    assert result.outcome == (None if outcome == "unfinished" else outcome)
    assert why(result) == SENTENCES[outcome]


def test_the_figures_of_a_rollback() -> None:
    result = fold(rolled_back(), log_path=Path("runs/events.jsonl"))
    assert (result.stable, result.candidate) == ("churn-prediction:1", "churn-prediction:2")
    assert result.detected_after_s == 240
    assert result.exposed_at_s == 30
    assert (result.requests, result.candidate_requests) == (108_000, 8_000)
    assert (result.bad_responses, result.failed_requests) == (520, 160)
    assert result.candidate_share_max == 0.1
    assert result.simulated_s == 20 * 60 + 30 + 240
    assert result.wall_s == 0.84
    assert result.timing_s["train"] == 0.41
    assert [look.at_s for look in result.analysis] == [90, 150, 210, 270]
    assert [look.number for look in result.because] == [result.analysis[-1].number]
    assert result.event_log == "runs/events.jsonl"
    assert result.report is None
    assert [stage.name for stage in result.stages][-1] == "rollback"


def test_a_weight_that_was_in_force_for_no_time_is_no_exposure() -> None:
    """The way back begins at the instant of the decision, and a step may be overtaken at its own instant."""
    story = started()
    story.go_live()
    story.route(1000)
    story.wait(MINUTE)
    story.route(WHOLE)
    result = fold(story.end(Outcome.ROLLED_BACK, "the candidate's replicas were gone"))
    assert result.candidate_share_max == 0.1
    assert result.candidate_share_last == 0.1
    assert result.detected_after_s is None


def test_a_rollback_before_any_request() -> None:
    story = started()
    story.go_live()
    result = fold(story.end(Outcome.ROLLED_BACK, "the candidate's replicas were not ready within 10m"))
    assert why(result) == ("Rolled back before it got a request: the candidate's replicas were not ready within 10m.")


def test_a_joined_rule_speaks_through_its_reason() -> None:
    story = started()
    story.go_live()
    story.route(1000)
    story.wait(MINUTE)
    joined = "p95 < 1s and error_rate < 1%"
    number = story.look(joined, Verdict.FAIL, 1, reason="p95 was 1.2 s, not < 1s.")
    result = fold(story.end(Outcome.ROLLED_BACK, "…", (number,)))
    assert why(result).endswith(f"at 10% of traffic: {joined}: p95 was 1.2 s, not < 1s, on 1 of 1 look.")


# --- expectations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "passed", "actual"),
    [
        ("outcome == rolled_back", True, "rolled_back"),
        ("outcome != promoted", True, "rolled_back"),
        ("detected_after < 45m", True, 240.0),
        ("detected_after < 4m", False, 240.0),
        ("detected_after <= 4m", True, 240.0),
        ("candidate_share_max <= 10%", True, 0.1),
        ("candidate_share_max < 10%", False, 0.1),
        ("bad_responses <= 520", True, 520),
        ("candidate_requests == 8000", True, 8000),
        ("requests >= 108000", True, 108_000),
        ("duration < 25m", True, 1470.0),
        ("accuracy >= stable - 10%", True, 0.71),
        ("accuracy >= stable - 5%", False, 0.71),
        ("f1 >= 0.5", False, None),
        ("not f1 >= 0.5", False, {"f1": None}),
        ("f1 >= 0.5 or p95 < 100ms", True, {"f1": None, "p95": 0.09}),
        ("p95 < 100ms and not error_rate > 2%", True, {"p95": 0.09, "error_rate": 0.015}),
    ],
)
def test_expectations_are_judged_on_what_came_of_the_run(text: str, passed: bool, actual: object) -> None:
    expectation = fold(rolled_back(expect=(text,))).expectations[0]
    if isinstance(actual, dict) and len(actual) == 1:
        actual = next(iter(actual.values()))
    assert (expectation.passed, expectation.actual) == (passed, actual)


def test_shares_compare_as_written_whatever_the_weight() -> None:
    for weight in range(0, WHOLE + 1, 7):
        story = started(expect=(f"candidate_share_max <= {weight / 100:g}%",))
        story.go_live()
        story.route(weight)
        story.wait(MINUTE)
        assert fold(story.end(Outcome.ABORTED, "")).expectations[0].passed, weight


@pytest.mark.parametrize(
    ("story", "expect", "passed"),
    [
        (promoted, (), True),
        (rolled_back, (), False),
        (rolled_back, ("outcome == rolled_back",), True),
        (rolled_back, ("candidate_share_max <= 25%",), True),
        (failed, ("candidate_share_max <= 25%",), False),
        (failed, ("outcome == failed",), True),
        (errored, ("candidate_share_max <= 25%",), False),
        (cut_off, ("candidate_share_max <= 25%",), False),
        (rejected, ("outcome == rejected", "candidate_requests == 0"), True),
    ],
)
def test_a_run_passes_when_it_ended_as_expected(
    story: Callable[..., Events], expect: tuple[str, ...], passed: bool
) -> None:
    assert fold(story(expect=expect)).passed is passed


# --- one log, one result ----------------------------------------------------------------------------------------------


def through_a_file(events: Events, path: Path) -> Events:
    written = log.EventLog(path)
    for event in events:
        written.append(event)
    written.close()
    return log.read(path)


@pytest.mark.parametrize("outcome", STORIES)
def test_a_log_read_again_gives_the_same_result(outcome: str, tmp_path: Path) -> None:
    events = STORIES[outcome](expect=("outcome == rolled_back",))
    assert fold(through_a_file(events, tmp_path / "events.jsonl")) == fold(events) == fold(events)


def test_a_long_log_read_again_gives_the_same_result(tmp_path: Path) -> None:
    events = long_canary()
    assert fold(through_a_file(events, tmp_path / "events.jsonl")) == fold(events)


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, WHOLE), st.floats(0, 10)), max_size=20), st.data())
def test_every_beginning_of_a_log_can_be_folded(steps: list[tuple[int, int, float]], data: st.DataObject) -> None:
    story = started()
    story.go_live()
    for seconds, weight, figure in steps:
        story.route(weight)
        story.look(P95, Verdict.FAIL if figure > 5 else Verdict.PASS, candidate=figure)
        story.wait(seconds * SECOND)
    events = story.end(Outcome.ABORTED, "stopped by SIGTERM")
    part = events[: data.draw(st.integers(1, len(events)))]
    result = fold(part)
    assert fold(part) == result
    assert 0 <= result.candidate_share_max <= 1
    assert why(result).endswith(".")
    assert plain_json.loads(json.dumps(json.plain(result)))["event_digest"] == log.digest(part)


def test_a_figure_that_is_no_number_is_no_figure() -> None:
    story = started()
    story.go_live()
    story.look(P95, Verdict.ERROR, candidate=float("nan"), stable=float("inf"), bound=None)
    look = fold(story.events).analysis[0]
    assert (look.candidate, look.stable) == (None, None)


def test_what_is_not_a_run_is_refused() -> None:
    with pytest.raises(LogError, match="no RunStarted"):
        fold([])
    with pytest.raises(LogError, match="cannot be read"):
        fold(promoted(expect=("beauty > 3",)))


# --- for the plots ----------------------------------------------------------------------------------------------------


def test_series_and_markers_of_a_long_canary() -> None:
    result = fold(long_canary())
    series = result.series
    assert len(series.at_s) == len(series.arms[C]["p95"]) == len(series.arms[S]["accuracy"])
    assert series.share[0] == (0, 0)
    assert series.share[1] == (30, 0.1)
    assert series.share[-1][1] == 0
    assert set(series.bounds) == set(RULES)
    assert [marker.mark for marker in result.markers] == [Mark.STEP, Mark.FAULT, Mark.FAULT, Mark.DECISION]
    assert result.markers[0].label == "10%"
    assert result.markers[-1].label == "rolled back"


def test_totals_that_cannot_be_known_stay_unknown() -> None:
    story = started()
    story.go_live()
    unknown = ArmTotals(10, 9, 1, 0, {"error": 1}, None, {})
    result = fold(story.end(Outcome.ABORTED, "stopped", arms=(unknown, unknown)))
    assert (result.requests, result.failed_requests, result.bad_responses) == (20, 2, None)


def test_weights_name_where_traffic_ended() -> None:
    assert fold(rolled_back()).ended_on == split(0)
    assert fold(rejected()).ended_on == {}
    assert fold(cut_off()).ended_on == {Role.STABLE: 9000, Role.CANDIDATE: 1000}
