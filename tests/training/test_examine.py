"""The stage `examine` in whole runs: what it tells, what it refuses, and what reports make of it."""

import io
from dataclasses import replace

import pytest

from harness.domain.evaluation import Cases, Directional, EvaluationPlan, Invariant, SlicePlan
from harness.domain.evaluation_event import (
    BehaviourFound,
    CalibrationFound,
    ImportanceFound,
    IntervalsFound,
    SlicesFound,
)
from harness.domain.event import GateChecked, StageStarted
from harness.domain.model import DataPlan, ModelPlan, Role, TrainPlan
from harness.domain.rollout import Outcome
from harness.errors import DataError, InputError
from harness.log import EventLog, read
from harness.report import fold, html, json, markdown, terminal
from harness.training.answered import answered
from harness.training.bootstrap import intervals
from harness.training.brought import brought
from harness.training.examine import Examine, hold
from harness.training.paired import paired_difference
from tests.build import parts, rehearse, scenario

from .conftest import fitted, make_rows

ROWS = make_rows(400)
MODELS = {
    role: replace(brought(fitted(word, ROWS).estimator, "m", role, "here"), classes=ROWS.classes)
    for role, word in ((Role.STABLE, "logistic_regression"), (Role.CANDIDATE, "decision_tree"))
}
SLICES = (SlicePlan(("c",)), SlicePlan(("x",), 3), SlicePlan(("c", "n"), 2))
ALL = EvaluationPlan(200, SLICES, 40, True, 2, (Invariant("n", 0.9), Directional("x", 1.0, "lower", 0.0)))


class Brings:
    """A stage that brings two models and the rows to hold them against."""

    name = "train"

    async def run(self, case, tell):
        return case.having(models=MODELS, population=ROWS)


def examined(plan, seed=1):
    of = scenario(model=ModelPlan("m", TrainPlan("a", {}), TrainPlan("b", {}), DataPlan("", "yes", "Yes")), seed=seed)
    return rehearse(of, parts(of, stages=[Brings(), Examine(plan)]))


@pytest.fixture(scope="module")
def refused():
    return examined(ALL)


def test_what_is_asked_is_told_of_both_models_or_of_the_candidate(refused):
    _, events = refused
    both = [Role.STABLE, Role.CANDIDATE]
    assert [event.role for event in events.of(IntervalsFound)] == both
    assert [(event.role, event.by) for event in events.of(SlicesFound)] == [
        (role, by) for role in both for by in ("c", "x", "c × n")
    ]
    assert [event.role for event in events.of(CalibrationFound)] == both
    assert events.only(ImportanceFound).role is Role.CANDIDATE
    assert [event.kind for event in events.of(BehaviourFound)] == ["invariant", "directional"]


def test_intervals_and_differences_are_those_of_the_parts(refused):
    _, events = refused
    candidate = events.of(IntervalsFound)[1]
    alone = intervals(answered(MODELS[Role.CANDIDATE], ROWS), ("f1",), resamples=200)["f1"]
    assert candidate.intervals["f1"].value == pytest.approx(alone.value)
    assert candidate.intervals["f1"].lower == pytest.approx(alone.lower, abs=0.02)  # another stream
    apart = paired_difference(MODELS[Role.STABLE], MODELS[Role.CANDIDATE], ROWS, "f1", resamples=200)
    assert candidate.difference["f1"].value == pytest.approx(apart.estimate)
    assert candidate.difference["f1"].lower == pytest.approx(apart.lower, abs=0.02)
    assert events.of(IntervalsFound)[0].difference == {}


def test_a_behaviour_that_fails_is_a_gate_that_refuses(refused):
    outcome, events = refused
    assert outcome is Outcome.REJECTED
    failed = events.of(BehaviourFound)[1]
    assert not failed.passed
    gates = [event for event in events.of(GateChecked) if event.name == "behaviour"]
    assert [(gate.passed, gate.bound) for gate in gates] == [(True, "<= 90%"), (False, "<= 0%")]
    assert gates[1].value == failed.share
    reason = f"behaviour: x + 1 lowers the prediction in {failed.failed} of {failed.rows} rows"
    assert events[-1].reason.startswith(reason)


def test_only_what_is_asked_is_told():
    outcome, events = examined(EvaluationPlan(behaviour=(Invariant("n", 1.0),)))
    assert outcome is Outcome.PROMOTED
    kinds = (IntervalsFound, SlicesFound, CalibrationFound, ImportanceFound)
    assert not any(events.of(kind) for kind in kinds)
    assert events.only(BehaviourFound).passed
    assert "examine" in [event.stage for event in events.of(StageStarted)]


def test_the_same_seed_tells_the_same(refused):
    def told(events):
        return [event for event in events if isinstance(event, IntervalsFound | SlicesFound | ImportanceFound)]

    assert told(examined(ALL)[1]) == told(refused[1])
    assert told(examined(ALL, seed=2)[1]) != told(refused[1])


# --- reports ----------------------------------------------------------------------------------------------------------


def test_a_terminal_and_markdown_show_all_of_it(refused):
    result = fold(refused[1])
    out = io.StringIO()
    terminal.show([result], color=False, file=out)
    for title in ("Behaviour", "How sure the figures are", "Slices by c", "Slices by c × n", "Calibration"):
        assert title in out.getvalue()
        assert title in markdown.render([result])
    assert "Importance of columns" in out.getvalue()
    assert "few rows" in out.getvalue()
    assert "x + 1 must not lower the prediction in any row" in out.getvalue()


def test_the_page_draws_the_calibration_curve(refused):
    page = html.render(fold(refused[1]))
    assert "Calibration curve" in page
    assert page.count('class="curve ') == 2
    bins = sum(len(event.bins) for event in refused[1].of(CalibrationFound))
    assert page.count("<circle class=") == bins
    plain = html.render(fold(examined(EvaluationPlan(behaviour=(Invariant("n", 1.0),)))[1]))
    assert "Calibration curve" not in plain
    assert "figure.calibration" not in plain


def test_json_has_it_as_the_log_keeps_it(refused, tmp_path):
    kept = EventLog(tmp_path / "events.jsonl")
    for event in refused[1]:
        kept.append(event)
    kept.close()
    there = json.plain(fold(read(tmp_path / "events.jsonl")))["evaluation"]
    assert json.plain(fold(refused[1]))["evaluation"] == there
    assert [each["by"] for each in there["slices"]] == ["c", "x", "c × n"] * 2
    assert there["behaviour"][1]["passed"] is False
    assert set(there["importance"][0]["columns"][0]) == {"column", "drop", "sd"}


# --- plans against the data -------------------------------------------------------------------------------------------


def test_a_plan_is_held_against_the_rows_before_anything_runs(tmp_path):
    file = tmp_path / "cases.csv"
    file.write_text("x,yes\n1,Yes\n")
    plan = EvaluationPlan(
        slices=(SlicePlan(("nowhere",)),),
        behaviour=(Invariant("gone"), Directional("c", 1.0, "lower"), Cases(str(file))),
    )
    with pytest.raises(InputError) as raised:
        hold(plan, ROWS.rows, "yes")
    assert str(raised.value).splitlines() == [
        "slices by nowhere: the features have no such column; they are x, n, c",
        "behaviour of gone: the features have no such column; they are x, n, c",
        "c holds text, and only numbers can be raised",
        "cases.csv lacks columns: n, c",
    ]
    hold(ALL, ROWS.rows, "yes")
    with pytest.raises(DataError, match="no such file"):
        hold(EvaluationPlan(behaviour=(Cases(str(tmp_path / "gone.csv")),)), ROWS.rows, "yes")
