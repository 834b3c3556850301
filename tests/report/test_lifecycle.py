"""What a report tells of tests, shadows, people, alarms and several rollouts: folded, said, and shown in every form."""

import io
import json as plain_json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness import log
from harness.domain import event as e
from harness.domain.analysis import Verdict
from harness.domain.rollout import Outcome
from harness.domain.units import MINUTE
from harness.live import view
from harness.live.picture import picture
from harness.log import Events
from harness.report import chapters, compare, diary, fold, html, json, markdown, plots, terminal, why
from harness.report.folding import Folding
from harness.report.lifecycle import Answer
from harness.report.result import Mark
from tests.golden.make import HERE
from tests.report import lifecycles as told
from tests.report.stories import C, S
from tests.report.test_fold import through_a_file

BETTER = "the candidate is better"
MISMATCH = (
    "sample ratio mismatch: 46.45% of 4909 users are the candidate's, not 50.00% (p = 3.4e-05); what was measured "
    "on them says nothing"
)
RUNS: dict[str, Callable[..., Events]] = {
    "better": lambda **on: told.ab_test("better", Outcome.PROMOTED, reason=BETTER, **on),
    "worse": lambda **on: told.ab_test("worse", Outcome.KEPT_STABLE, **on),
    "no difference": lambda **on: told.ab_test("undecided", Outcome.KEPT_STABLE, **on),
    "mismatch": lambda **on: told.ab_test("mismatch", Outcome.KEPT_STABLE, reason=MISMATCH, mismatch_p=3.4e-5, **on),
    "shadow": told.shadow,
    "shadow promoted": lambda **on: told.shadow(Outcome.PROMOTED, **on),
    "classes": told.classes,
    "approved": lambda **on: told.approval("approve", Outcome.PROMOTED, "every step was passed", **on),
    "refused": lambda **on: told.approval("reject", Outcome.ROLLED_BACK, "refused by release-manager", **on),
    "expired": lambda **on: told.approval(None, Outcome.ROLLED_BACK, "the approval was not given in time", **on),
    "aborted": lambda **on: told.approval("abort", Outcome.ABORTED, "aborted by release-manager", **on),
    "taken back": told.taken_back,
    "no previous": told.no_previous,
    "retrained": told.retrained,
    "superseded": told.superseded,
}
INTERVAL = "accuracy was 82% on candidate and 80% on stable, a difference between +1 points and +3 points"
COPIES = (
    "12,000 copies answered, 93% of them as stable did, p95 90 ms beside 90 ms on stable, error_rate 0% beside 0.1% on "
    "stable"
)
SENTENCES = {
    "better": f"Promoted 50m after its first request: the A/B test found the candidate better: {INTERVAL}.",
    "worse": f"Kept stable: the candidate is not better by 2 points: {INTERVAL}.",
    "no difference": f"Kept stable: the A/B test found no difference in its time: {INTERVAL}.",
    "mismatch": (
        "Kept stable: the A/B test says nothing, for users were not split as they should be: 46.45% of 4909 users are "
        "the candidate's, not 50.00% (p = 3.4e-05)."
    ),
    "shadow": f"Kept stable, as planned: the shadow ended with {COPIES}.",
    "shadow promoted": (
        f"Promoted 10m after its first copy, with {COPIES}: every step was passed; no rule watched it."
    ),
    "refused": (
        "Rolled back 5m after its first request, at 10% of traffic: release-manager refused an approval, asked for "
        "30 s after traffic began."
    ),
    "expired": (
        "Rolled back 15m after its first request, at 10% of traffic: an approval, asked for 30 s after traffic began, "
        "was not given within 15m."
    ),
    "aborted": (
        "Aborted by release-manager 5m 30s after traffic began, at 10% of traffic: stable has all traffic, verified."
    ),
    "taken back": (
        "Rolled back 20m after its promotion, from churn-prediction:2 to churn-prediction:1: monitor errors raised an "
        "alarm, for error_rate was 6% on candidate, above the bound 2%, on 2 of 2 looks."
    ),
    "no previous": (
        "Failed 20m after the promotion of churn-prediction:2, a person must look: monitor errors raised an alarm, for "
        "error_rate was 6% on candidate, above the bound 2%, on 2 of 2 looks, and there is no previous version to go "
        "back to; traffic stays."
    ),
    "retrained": (
        "Promoted, the challenger churn-prediction:3 that was trained after an alarm, 2m after its first request: of 2 "
        "verdicts (2 looks by 1 rule) none failed. Before that, churn-prediction:2 was promoted."
    ),
    "superseded": (
        "Promoted 10m after its first request: every step was passed; no rule watched it. Before that, "
        "churn-prediction:2 was superseded by the hotfix."
    ),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_every_ending_has_its_sentence(name: str) -> None:
    assert why(fold(RUNS[name]())) == SENTENCES[name]


@pytest.mark.parametrize("name", RUNS)
def test_a_log_read_again_gives_the_same_result_and_every_beginning_can_be_told(name: str, tmp_path: Path) -> None:
    events = RUNS[name]()
    assert fold(through_a_file(events, tmp_path / "events.jsonl")) == fold(events)
    for end in range(1, len(events)):
        assert why(fold(events[:end])).endswith(".")


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("width", [40, 80, 120])
def test_every_form_can_be_had_of_it(name: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    result = fold(RUNS[name](expect=("outcome == error",)))
    monkeypatch.setenv("COLUMNS", str(width))
    out = io.StringIO()
    terminal.show([result], file=out, verbose=True)
    assert max(len(line) for line in out.getvalue().splitlines() if "sha256" not in line) <= width
    page, summary = html.render(result), markdown.render([result])
    for chapter in chapters.chapters(result):
        assert f">{chapter.title}</" in page
        assert chapter.title in out.getvalue() or chapter.detail
        assert (chapter.title in summary) is not chapter.detail
    assert plain_json.loads(json.dumps(json.plain(result)))["name"] == result.name


# --- rollouts ---------------------------------------------------------------------------------------------------------


def test_rollouts_are_told_in_order_with_how_each_ended() -> None:
    result = fold(told.retrained())
    assert [(each.number, each.stable, each.candidate, each.ending) for each in result.rollouts] == [
        (1, "churn-prediction:1", "churn-prediction:2", "promoted"),
        (2, "churn-prediction:2", "churn-prediction:3", "promoted"),
    ]
    assert [each.challenger for each in result.rollouts] == [False, True]
    assert (result.stable, result.candidate) == ("churn-prediction:2", "churn-prediction:3")
    assert [model.revision for model in result.models] == [f"churn-prediction:{number}" for number in (1, 2, 3)]
    back = fold(told.taken_back()).rollouts[0]
    assert (back.ending, back.undone_s, back.share_max) == ("promoted, later rolled back", 30.0 + 30 * 60, 1.0)


def test_shares_are_those_of_the_candidate_of_the_time() -> None:
    """The first one's 100 % ends where the next rollout begins, which routes nothing itself."""
    result = fold(told.retrained())
    began = result.rollouts[1].began_s
    share = dict(result.series.share)
    assert share[began] == 0.0
    plan = next(line for line in plots.plots(result)[0].lines if line.kind == "planned")
    drawn = dict(zip(plots.plots(result)[0].minutes, plan.values, strict=True))
    assert drawn[round(began / 60, 4)] == 0.0
    assert drawn[round((began + 60) / 60, 4)] == 0.1
    assert result.exposed_at_s == began + 60


def test_a_refused_newer_candidate_is_a_line_without_a_number() -> None:
    made = told.Promoted()
    made.story.wait(MINUTE)
    made.decide(Outcome.REJECTED, "gate f1 >= 0.55: f1 was 0.4")
    result = fold(made.finish(Outcome.REJECTED, "gate f1 >= 0.55: f1 was 0.4", 10_000))
    assert [(each.number, each.outcome) for each in result.rollouts] == [(1, "promoted"), (None, "rejected")]
    assert why(result).endswith("Before that, churn-prediction:2 was promoted.")


def test_looks_of_monitors_stand_apart_from_those_of_the_rollout() -> None:
    """The same rule, watched by two, is two lines; a step's own analysis is a third."""
    story = told.live()
    for step in (None, 2, -1):
        story.wait(MINUTE)
        story.look(told.ERRORS, Verdict.PASS, step=step)
    tallies = fold(story.end(Outcome.PROMOTED, "every step was passed")).tallies
    assert [(tally.by, tally.looks) for tally in tallies] == [("", 1), ("step 3", 1), ("monitor 1", 1)]
    assert fold(told.taken_back()).tallies[0].by == "monitor errors"


def test_one_look_stands_for_each_instant() -> None:
    """A window of the policy's length, where others were looked at as well."""
    story = told.live()
    story.wait(MINUTE)
    for window, requests in ((MINUTE // 4, 10), (MINUTE, 100), (5 * MINUTE, 500)):
        story.tell(e.Observed, window, {role: e.ArmObserved(5000, requests, 0, 0, {"p95": 0.1}) for role in (S, C)})
    series = fold(story.events).series
    assert len(series.at_s) == 1
    assert series.arms[S]["requests"] == (100,)


# --- people and checks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "answer", "by"),
    [
        ("approved", Answer.APPROVED, "release-manager"),
        ("refused", Answer.REFUSED, "release-manager"),
        ("expired", Answer.EXPIRED, ""),
        ("aborted", Answer.ABORTED, "release-manager"),
    ],
)
def test_who_was_asked_and_what_came_of_it(name: str, answer: Answer, by: str) -> None:
    (asked,) = fold(RUNS[name]()).approvals
    assert (asked.answer, asked.by, asked.asked_s, asked.until_s) == (answer, by, 30.0, 930.0)


def test_an_order_that_nobody_asked_for_is_told_too() -> None:
    story = told.live()
    story.wait(MINUTE)
    story.tell(e.Commanded, "reject", "sre")
    result = fold(story.end(Outcome.ROLLED_BACK, "refused by sre"))
    assert (result.approvals[0].asked_s, result.approvals[0].answer) == (None, Answer.REFUSED)
    assert why(result).endswith("at 10% of traffic: sre ordered it back.")


def test_a_run_that_ends_while_it_waits_says_for_what() -> None:
    story = told.live()
    story.wait(MINUTE)
    story.tell(e.Awaited, "this pause ends when a person says so", None)
    story.wait(10 * MINUTE)
    result = fold(story.end(Outcome.PAUSED, "waiting for a person at 10% when the horizon came"))
    assert result.approvals[0].answer is Answer.OPEN
    assert "waiting for a person (this pause ends when a person says so)" in why(result)


def test_checks_and_messages_that_failed_are_shown() -> None:
    result = fold(RUNS["approved"]())
    assert [(check.text, check.passed, check.detail) for check in result.checks] == [
        ("accuracy >= 75%", True, "accuracy >= 75%: holds")
    ]
    titles = {chapter.title: chapter for chapter in chapters.chapters(result)}
    assert titles["Notifications that failed"].lines[0].cells[1:] == (
        "chat",
        "waiting for a person: an approval",
        "503",
    )
    assert titles["Checks"].lines[0].cells[1:4] == ("accuracy >= 75%", "80.7%", ">= 75%")


# --- A/B tests, shadows, classes --------------------------------------------------------------------------------------


def test_the_plot_of_a_test_is_its_interval_look_by_look() -> None:
    (plot,) = [plot for plot in plots.plots(fold(RUNS["better"]())) if plot.id == "effect"]
    lines = {line.name: line.values for line in plot.lines}
    widths = [upper - lower for upper, lower in zip(lines["upper"], lines["lower"], strict=True)]
    assert widths == pytest.approx([0.2 / number for number in range(1, 11)], rel=1e-5)
    assert plot.span is not None
    assert plot.span[0] < 0.02 - 0.1 / 4 < 0 < 0.02 + 0.1 / 4 < plot.span[1] < 0.12
    assert plot.summary == "After 10 looks the effect was +2 points, between +1 points and +3 points."


def test_json_tells_the_test_s_plan_and_where_it_stood() -> None:
    test = json.plain(fold(RUNS["better"]()))["experiment"]
    assert (test["metric"], test["needed"], test["needed_s"], test["power"]) == ("accuracy", 12_000, 3600.0, 0.8)
    assert (test["finding"], test["looks"], test["answers"]) == ("better", 10, {"stable": 6000, "candidate": 5900})
    assert test["interval"] == pytest.approx([0.01, 0.03])


def test_a_shadow_is_held_against_stable_and_has_a_curve_of_its_own() -> None:
    result = fold(told.shadow())
    (chapter,) = [chapter for chapter in chapters.first(result) if chapter.title == "Shadow"]
    cells = {line.cells[0]: line.cells[1:] for line in chapter.lines}
    assert cells["requests"] == ("12,000", "60,000")
    assert cells["answered alike"] == ("93%", "")
    assert cells["error rate"] == ("0%", "0.1%")
    share, *metrics = plots.plots(result)
    assert {line.name: max(v for v in line.values if v is not None) for line in share.lines}["copied to it"] == 0.2
    (p95,) = [plot for plot in metrics if plot.id == "p95"]
    assert [line.kind for line in p95.lines] == ["stable", "shadow"]


def test_classes_and_users_are_counted_arm_by_arm() -> None:
    result = fold(told.classes())
    rows = json.plain(result)["classes"]
    assert [(row["class"], row["arm"], row["requests"], row["failed"]) for row in rows] == [
        ("web", "stable", 800, 2),
        ("web", "candidate", 800, 2),
        ("<batch>", "stable", 200, 8),
        ("<batch>", "candidate", 200, 8),
    ]
    page = html.render(result)
    assert "&lt;batch&gt;" in page
    assert "<batch>" not in page
    assert (json.plain(result)["users_exposed"], json.plain(result)["users_harmed"]) == (300, 7)
    assert "7 of them got a failure" in page
    assert " | 7 | " in markdown.render([result])
    rows_of = {row.name: row for part in compare.compare(result, result).sections for row in part.rows}
    assert (rows_of["users exposed"].a, rows_of["users harmed"].b) == ("300", "7")


# --- after the promotion ----------------------------------------------------------------------------------------------


def test_alarms_and_retrainings_are_marked_and_told() -> None:
    result = fold(told.retrained())
    kinds = [marker.mark for marker in result.markers]
    assert [kind for kind in kinds if kind in {Mark.ALARM, Mark.RETRAINING, Mark.ROLLOUT}] == [
        Mark.ALARM,
        Mark.RETRAINING,
        Mark.ROLLOUT,
    ]
    document = json.plain(result)
    assert [(each["monitor"], each["leads_to"], each["rollout"]) for each in document["alarms"]] == [
        ("errors", "retrain", 1)
    ]
    assert document["retrainings"][0]["better"] is True
    texts = [moment.text for moment in result.moments]
    assert "alarm of errors: error_rate was 6%; training anew" in texts
    assert any(text.startswith("rollout 2 begins: churn-prediction:3 against churn-prediction:2") for text in texts)


@pytest.mark.parametrize("name", RUNS)
def test_the_diary_has_a_line_for_every_event_of_the_lifecycle(name: str) -> None:
    kinds = (
        e.Checked, e.Awaited, e.Commanded, e.Notified, e.ExperimentPlanned, e.RolloutStarted, e.Alarmed, e.Retrained,
    )  # fmt: skip
    events = RUNS[name]()
    lines = [moment.kind for moment in fold(events).moments]
    for kind in kinds:
        assert lines.count(kind.__name__) == len(events.of(kind))


@pytest.mark.parametrize(("needed_ns", "takes"), [(1_715_664_300_000, "28m36s"), (1, "1s"), (60 * MINUTE, "1h")])
def test_a_plan_is_told_in_whole_seconds_upwards(needed_ns: int, takes: str) -> None:
    planned = e.ExperimentPlanned(0, "accuracy", 0.02, 0.05, 0.8, 0.8, 12_000, needed_ns)
    assert f"12,000 answers in {takes} would find it" in str(diary.tell(planned))


# --- the live view ----------------------------------------------------------------------------------------------------


def seen_until(events: Events, kind: type[e.Event], width: int = 120) -> str:
    """The picture right after the last event of that kind."""
    folding = Folding()
    last = max(number for number, event in enumerate(events) if isinstance(event, kind))
    for number, event in enumerate(events[: last + 1]):
        folding.see(number, event)
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(picture(folding, width))
    return console.export_text()


def test_the_live_view_says_who_is_waited_for_how_the_test_stands_and_what_alarms() -> None:
    waiting = seen_until(RUNS["expired"](), e.Awaited)
    assert "waiting for a person: an approval, until +15:30 (15m left)" in waiting
    assert "left)" not in seen_until(RUNS["approved"](), e.Commanded)
    test = seen_until(RUNS["better"](), e.ExperimentLooked)
    assert "A/B test on accuracy: +2 points (+1 points to +3 points), p 0.05" in test
    assert "alarm of errors at +30:30: error_rate was 6%; going back" in seen_until(told.taken_back(), e.Alarmed)
    assert "rollout 2" in seen_until(told.retrained(), e.Routed)


def test_plain_lines_tell_what_asks_for_a_person() -> None:
    class Named:
        name = "run"

    def lines(events: Events) -> str:
        out = io.StringIO()
        with view.watching(Named(), file=out) as watcher:  # type: ignore[arg-type]
            assert watcher is not None
            for number, event in enumerate(events):
                watcher(number, event)
        return out.getvalue()

    assert "could not be told by chat (503)" in lines(RUNS["expired"]())
    assert "waiting for a person: an approval" in lines(RUNS["expired"]())
    assert "challenger trained on 4,000 rows, better than the champion" in lines(told.retrained())
    assert "A/B test, better: the candidate is better" in lines(RUNS["better"]())


# --- logs of before ---------------------------------------------------------------------------------------------------


def test_a_log_of_before_there_was_any_of_it_still_folds(tmp_path: Path) -> None:
    """Without the fields that came with it, the golden log of a canary gives what it gives with them."""
    newer = {"Routed": ("routes", "mirror", "sticky"), "Measured": ("step",), "AnalysisStarted": ("step",)}
    newer["AnalysisStopped"] = ("step",)
    path = HERE / "canary_regression.jsonl"
    old = tmp_path / "old.jsonl"
    old.write_text("\n".join(_without(line, newer) for line in path.read_text("utf-8").splitlines()) + "\n", "utf-8")
    assert old.stat().st_size < path.stat().st_size
    then, now = (_compared(fold(log.read(each))) for each in (old, path))
    assert then == now


def _without(line: str, newer: dict[str, tuple[str, ...]]) -> str:
    event: dict[str, Any] = plain_json.loads(line)
    for name in newer.get(event["event"], ()):
        del event[name]
    if event["event"] == "Totalled":
        for arm in event["arms"].values():
            for name in ("users", "harmed", "classes"):
                arm.pop(name, None)
    return plain_json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def _compared(result: Any) -> dict[str, Any]:
    unlike = ("event_digest", "users_exposed", "users_harmed")
    return {name: value for name, value in json.plain(result).items() if name not in unlike}
