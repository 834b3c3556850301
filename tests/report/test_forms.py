"""The forms a result is read in: JSON key by key, and what a terminal shows."""

import base64
import hashlib
import io
import json as plain_json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from harness import log
from harness.domain import event as e
from harness.domain.analysis import Verdict
from harness.domain.rollout import Outcome
from harness.domain.units import MINUTE
from harness.errors import InputError
from harness.log import EventLog
from harness.report import fold, html, json, plots, terminal
from tests.report.stories import C, S, Story, long_canary
from tests.report.test_fold import P95, STORIES, promoted, rejected, rolled_back

SUITE_KEYS = ["version", "passed", "skipped", "scenarios", "page"]
# fmt: off
KEYS = [
    "name", "path", "seed", "clock", "passed", "outcome", "reason", "stable",
    "candidate", "simulated_s", "wall_s", "timing_s", "requests", "detected_after_s",
    "candidate_requests", "candidate_share_max",
    "bad_responses", "failed_requests", "users_exposed", "users_harmed",
    "expectations", "gates", "analysis", "inputs",
    "checks", "load_tests", "approvals", "experiment", "classes", "rollouts", "alarms", "retrainings",
    "event_log", "event_digest", "report",
]
# fmt: on
NESTED = {
    "expectations": ["text", "passed", "actual"],
    "gates": ["name", "passed", "value", "bound", "stable"],
    "analysis": ["at_s", "metric", "verdict", "candidate", "stable", "rule", "bound", "reason"],
}


@pytest.mark.parametrize("outcome", STORIES)
def test_json_has_the_promised_keys_for_every_outcome(outcome: str) -> None:
    document = json.suite([fold(STORIES[outcome](expect=("outcome == promoted",)))], ["a.yaml"])
    read = plain_json.loads(json.dumps(document))
    assert list(read) == SUITE_KEYS
    assert (read["version"], read["skipped"]) == (1, ["a.yaml"])
    (scenario,) = read["scenarios"]
    assert list(scenario) == KEYS
    for name, keys in NESTED.items():
        assert all(list(item) == keys for item in scenario[name])
    assert scenario["outcome"] == (None if outcome == "unfinished" else outcome)


def test_json_of_a_rollback() -> None:
    result = fold(rolled_back(), log_path=Path("r/events.jsonl"), report_path=Path("r/report.html"))
    scenario = json.plain(result)
    assert scenario["analysis"][-1] == {
        "at_s": 270.0,
        "metric": "p95",
        "verdict": "fail",
        "candidate": 0.214,
        "stable": 0.118,
        "rule": P95,
        "bound": 0.177,
        "reason": f"{P95}: fail",
    }
    assert scenario["gates"][0] == {"name": "f1", "passed": True, "value": 0.588, "bound": ">= 0.55", "stable": None}
    assert scenario["detected_after_s"] == 240.0
    assert (scenario["event_log"], scenario["report"]) == ("r/events.jsonl", "r/report.html")


def test_a_suite_passes_when_every_run_did() -> None:
    good, bad = fold(promoted()), fold(rolled_back())
    assert json.suite([good, good], [])["passed"] is True
    assert json.suite([good, bad], [])["passed"] is False


def test_json_goes_to_a_file_or_to_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.suite([fold(promoted())], [])
    json.write(document, str(tmp_path / "out.json"))
    json.write(document, "-")
    assert plain_json.loads(capsys.readouterr().out) == plain_json.loads((tmp_path / "out.json").read_text())
    with pytest.raises(InputError, match=r"--json .*: cannot be written"):
        json.write(document, str(tmp_path / "no" / "out.json"))


# --- terminal ---------------------------------------------------------------------------------------------------------


def shown(*results: object, monkeypatch: pytest.MonkeyPatch, width: int = 100, **options: object) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    out = io.StringIO()
    terminal.show(results, file=out, **options)  # type: ignore[arg-type]
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


@pytest.mark.parametrize("outcome", STORIES)
@pytest.mark.parametrize("width", [40, 80, 120])
def test_every_outcome_can_be_shown_in_any_width(outcome: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(fold(STORIES[outcome]()), monkeypatch=monkeypatch, width=width, verbose=True)
    assert max(len(line) for line in text.splitlines() if "sha256" not in line) <= width
    assert "\x1b" not in text


def test_the_sentence_comes_first_and_a_failed_expectation_says_what_was(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(fold(rolled_back(expect=("detected_after < 2m", "f1 > 0.5"))), monkeypatch=monkeypatch)
    assert text.index("Rolled back 4m after") < text.index("requests to the candidate") < text.index("Expectations")
    assert "✗ detected_after < 2m\n    expected < 2m, was 4m" in text
    assert "✗ f1 > 0.5\n    expected > 0.5, was not measured" in text


def test_analysis_is_condensed_by_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(fold(long_canary()), monkeypatch=monkeypatch).splitlines()
    (line,) = [line for line in lines if "p95 <= stable * 1.5   " in line]
    assert line.split()[5:11] == ["16", "13", "3", "0", "162", "ms"]


def test_features_that_drifted_are_named_and_each_has_its_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    result = fold(rolled_back())
    text = shown(result, monkeypatch=monkeypatch)
    assert "TotalCharges  stable 0.40, candidate 0.56" in text
    assert "plan" not in text.split("Drifted features")[1]
    assert json.plain(result)["inputs"][0] == {"column": "TotalCharges", "stable": 0.4, "candidate": 0.56}
    page = html.render(result)
    assert page.index("<h3>TotalCharges</h3>") < page.index("1 feature as before") < page.index("&lt;b&gt;plan")
    rows = re.findall(r'<th scope="row">([^<]+)</th><td><svg.*?</svg></td><td class="n">([^<]+)</td>', page)
    assert rows[0] == ("below 400", "50%")
    widths = [float(width) for width in re.findall(r'<rect class="candidate"[^>]*width="([0-9.]+)"', page)[:2]]
    assert widths == [0.0, 160.0]


def test_the_predictions_of_each_arm_stand_beside_its_own_usual_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    result = fold(rolled_back())
    text = shown(result, monkeypatch=monkeypatch).split("Drifted predictions")[1]
    assert "probability of Yes  candidate 0.38" in text
    assert "stable" not in text.split("distance")[0]
    page = html.render(result).split("<h3>Predictions of ")
    assert [part.split("</h3>")[0] for part in page[1:]] == [
        "stable: probability of Yes",
        "candidate: probability of Yes",
    ]
    rows = re.findall(r'<th scope="row">([^<]+)</th><td><svg.*?</svg></td>((?:<td class="n">[^<]+</td>)+)', page[2])
    assert rows == [
        ("below 0.3", '<td class="n">50%</td><td class="n">10%</td>'),
        ("0.3 and more", '<td class="n">50%</td><td class="n">90%</td>'),
    ]


def test_a_log_of_before_there_were_predictions_still_folds(tmp_path: Path) -> None:
    events = [replace(event, predictions={}) if isinstance(event, e.InputsSeen) else event for event in rolled_back()]
    kept = EventLog(tmp_path / "events.jsonl")
    for event in events:
        kept.append(event)
    kept.close()
    text = (tmp_path / "events.jsonl").read_text(encoding="utf-8")
    assert text.count(',"predictions":{}') == 1
    (tmp_path / "old.jsonl").write_text(text.replace(',"predictions":{}', ""), encoding="utf-8")
    old = fold(log.read(tmp_path / "old.jsonl"))
    assert old == fold(events)
    assert "Predictions of" not in html.render(old)


def test_drift_is_plotted_wherever_it_was_measured() -> None:
    def measured(event: e.Event) -> e.Event:
        if not isinstance(event, e.Observed):
            return event
        arms = {
            role: replace(arm, figures={**arm.figures, "prediction_drift": 0.1}) for role, arm in event.arms.items()
        }
        return replace(event, arms=arms)

    events = [measured(event) for event in long_canary()]
    before, after = ([plot.id for plot in plots.plots(fold(told))] for told in (long_canary(), events))
    assert [name for name in after if name not in before] == ["prediction_drift"]


def test_a_narrow_terminal_has_the_bound_and_says_the_rest_below(monkeypatch: pytest.MonkeyPatch) -> None:
    story = Story()
    story.begin()
    story.prepare()
    story.go_live()
    story.route(1000, 0)
    for verdict in (Verdict.PASS, Verdict.INCONCLUSIVE):
        story.wait(MINUTE)
        story.look(P95, verdict, candidate=0.1, stable=0.1, bound=0.15)
    text = shown(fold(story.end(Outcome.PROMOTED, "every step was passed")), monkeypatch=monkeypatch, width=80)
    assert "bound" in text
    assert "incon." not in text
    assert ": 1 inconclusive" in text


def test_what_is_piped_has_no_blanks_at_the_end_of_a_line() -> None:
    out = io.StringIO()
    terminal.show([fold(long_canary())], file=out)
    assert out.getvalue().endswith("\n")
    assert not [line for line in out.getvalue().splitlines() if line != line.rstrip()]


def test_a_suite_is_a_table_with_its_failures_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    results = [fold(promoted(scenario="good")), fold(rejected(scenario="bad"))]
    text = shown(*results, monkeypatch=monkeypatch, skipped=["real.yaml"])
    assert text.count("Rejected before deployment") == 1
    assert "Promoted 20m" not in text
    assert "1 of 2 scenarios passed, 1 skipped" in text
    assert "real.yaml" in text


def test_colours_can_be_forced_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[1" in shown(fold(promoted()), monkeypatch=monkeypatch)
    assert "\x1b[3" not in shown(fold(promoted()), monkeypatch=monkeypatch, color=False)


def test_a_terminal_that_knows_few_letters_still_tells_the_rest() -> None:
    out = io.TextIOWrapper(raw := io.BytesIO(), encoding="ascii", write_through=True)
    terminal.show([fold(promoted(expect=("outcome == promoted",)))], file=out)
    assert b"? passed" in raw.getvalue()


def test_what_a_user_wrote_is_shown_and_never_read_as_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(fold(promoted(scenario="[bold]:bug:[/]")), monkeypatch=monkeypatch)
    assert "[bold]:bug:[/]" in text


# --- the page ---------------------------------------------------------------------------------------------------------


def test_a_page_is_the_same_wherever_it_is_made() -> None:
    pages = {
        html.render(fold(long_canary(), log_path=folder / "events.jsonl", report_path=folder / "report.html"))
        for folder in (Path("reports/a"), Path("/somewhere/else"))
    }
    assert len(pages) == 1


def test_the_page_s_policy_names_its_own_scripts_and_nothing_else() -> None:
    page = html.render(fold(promoted()))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert "default-src &#39;none&#39;" in policy[1]
    assert "unsafe" not in policy[1]
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert len(scripts) == 2
    assert all(f"sha256-{found}" in policy[1] for found in hashes)


def test_a_page_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the report cannot be written"):
        html.write(fold(promoted()), tmp_path / "no" / "report.html")


def test_every_plot_has_its_figures_in_words_and_as_a_table() -> None:
    result = fold(long_canary(bad=False))
    drawn = plots.plots(result)
    page = html.render(result)
    assert [plot.id for plot in drawn] == ["share", "p50", "p95", "p99", "error_rate", "accuracy", "drift_score"]
    for plot in drawn:
        assert plot.summary in unescape(page)
        assert all(len(line.values) == len(plot.minutes) for line in plot.lines)
    assert [line.kind for line in drawn[2].lines] == ["stable", "candidate", "bound"]


def test_a_window_of_too_few_answers_sets_no_scale() -> None:
    story = Story()
    story.begin()
    story.go_live()
    story.route(1000)
    for requests, p95 in ((4, 9.0), (5, 0.1)):
        story.wait(MINUTE)
        arm = e.ArmObserved(5000, requests, 0, 0, {"p95": p95})
        story.tell(e.Observed, MINUTE, {S: arm, C: arm})
    (plot,) = [plot for plot in plots.plots(fold(story.events)) if plot.id == "p95"]
    assert [list(line.values) for line in plot.lines] == [[None, 0.1], [None, 0.1]]


def test_each_fault_has_a_letter_and_those_of_one_instant_stand_together() -> None:
    story = Story()
    story.begin()
    story.go_live()
    for kind, text in (("fault_began", "slow"), ("fault_began", "wrong"), ("fault_ended", "slow")):
        story.tell(e.Noticed, kind, (C,), text)
        story.wait(0 if text == "slow" else MINUTE)
    found = [(flag.minute, flag.label) for flag in plots.flags(fold(story.events))]
    assert found == [(0.5, "A, B"), (1.5, "A ends")]
