"""Folds, searches and experiments in each form of a report, folded from the log alone."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness import app, log
from harness.domain.training import Estimate
from harness.domain.training_event import CrossValidated, ExperimentChosen, ExperimentTried, Tuned
from harness.report import fold, html, markdown, terminal
from harness.report import json as report_json
from harness.report.chapters import chapters
from harness.report.result import Result
from harness.report.training import given, ranking, training_chapters

SMALL = (
    "model.candidate.experiments.tree.tune.trials=5",
    "model.candidate.experiments.tree.tune.folds=2",
    "model.candidate.cross_validation=2",
    "model.stable.cross_validation=2",
    "model.gates=[f1 >= 99%]",
    "expect=[outcome == rejected]",
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log of the shipped scenario, made smaller and ended by its gate."""
    scenario = app.load_scenario("scenarios/tuned_candidate.yaml", overrides=SMALL)
    return app.rehearse(scenario, app.Options(reports=tmp_path_factory.mktemp("reports"))).path


@pytest.fixture(scope="module")
def result(kept: Path) -> Result:
    return fold(log.read(kept), log_path=kept)


def test_the_log_is_read_back_as_it_was_told(kept: Path, result: Result) -> None:
    events = log.read(kept)
    (search,) = events.of(Tuned)
    assert search.best == ranking(search)[0].params
    assert len(search.took_s) == len(search.trials) == 5
    assert all(isinstance(each, Estimate) for each in events.only(CrossValidated).estimates.values())
    assert [type(event) for event in result.training] == [
        CrossValidated,
        Tuned,
        *[ExperimentTried] * 3,
        ExperimentChosen,
    ]
    line = next(line for line in kept.read_text().splitlines() if '"event":"Tuned"' in line)
    assert set(json.loads(line)["host"]) == {"took_s", "reused"}


def test_every_form_tells_what_was_chosen_and_from_what(result: Result, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = next(event for event in result.training if isinstance(event, ExperimentChosen))
    titles = [chapter.title for chapter in chapters(result)]
    assert titles[:2] == ["Experiments of candidate", "Cross-validation of stable"]
    assert "Tuning of candidate, tree" in titles
    terminal.show([result], color=False)
    shown = capsys.readouterr().out
    page, text = html.render(result), markdown.render([replace(result, passed=False)])  # it tells failures in full
    for form in (shown, page, text):
        assert "Experiments of candidate" in form
        assert "✓ chosen" in form
        assert "Nadeau" in form
    assert chosen.detail.split(" differs")[0] in shown
    assert "Every trial for candidate, tree" in titles or len(ranking(_search(result))) == 5


def _search(result: Result) -> Tuned:
    return next(event for event in result.training if isinstance(event, Tuned))


def test_a_program_reads_the_same(result: Result) -> None:
    (told,) = report_json.suite([result], [])["scenarios"]
    kinds = [each["kind"] for each in told["training"]]
    assert kinds == ["cross_validation", "tuning", "experiment", "experiment", "experiment", "choice"]
    search, choice = told["training"][1], told["training"][-1]
    assert [trial["number"] for trial in search["trials"]] == [1, 2, 3, 4, 5]
    assert search["value"] == max(trial["value"] for trial in search["trials"] if trial["value"] is not None)
    low, high = choice["difference"]["ci95"]
    assert low <= choice["difference"]["mean"] <= high
    assert json.dumps(told, allow_nan=False)


def test_a_run_without_any_says_nothing_of_it() -> None:
    assert list(training_chapters(())) == []
    assert given({}) == "–"
    assert given({"C": 0.123456, "layers": [10, 5], "depth": None, "how": "best"}) == (
        "C 0.1235, layers [10, 5], depth null, how best"
    )
