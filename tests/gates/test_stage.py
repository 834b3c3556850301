"""Gates in a run: all are told, all that failed refuse the candidate together with its rules."""

import json
import pickle
import re
from pathlib import Path
from typing import Any

import pytest

import harness
from fakes.registry import MemoryRegistry
from harness import app, log
from harness.clock import run_virtual
from harness.data import dataset
from harness.domain.event import Decided, GateChecked, GateDetails
from harness.domain.gates import (
    Fairness,
    GatePlan,
    History,
    Latency,
    Measure,
    ModelCard,
    NoRegression,
    Security,
    Size,
    limit_of,
)
from harness.domain.model import ArtifactPlan, DataPlan, TrainPlan
from harness.domain.rollout import Pause, RolloutPolicy, SetWeight
from harness.domain.scenario import Scenario
from harness.domain.units import MINUTE
from harness.gates.fairness import ERRORS, FIGURES
from harness.gates.promotion import CHECKS
from harness.gates.reports import READERS
from harness.gates.table import GATES
from harness.report import fold, html, markdown
from harness.report import json as report_json
from harness.training import artifact
from harness.training.algorithms import effective
from harness.training.fit import fit, unfitted
from tests.build import analysis
from tests.gates import adult

SCENARIOS = Path(__file__).parents[2] / "scenarios"
TREE = TrainPlan("decision_tree", {"max_depth": 4})
DATA = DataPlan(str(SCENARIOS / "data" / "telco_churn.csv.gz"), "Churn", "Yes")
STEPS = (SetWeight(1000), Pause(MINUTE), SetWeight(10_000))


def scenario(*gates: str | GatePlan, **more: Any) -> Scenario:
    given = {"stable": TrainPlan("majority", {}), "candidate": TREE, "data": DATA, "seed": 3, **more}
    policy = RolloutPolicy("canary", STEPS, analysis("error_rate <= stable + 2%"))
    return app.rehearsal(policy, name="gated", model="m", gates=gates, **given)


def rehearse(made: Scenario, folder: Path, **more: Any) -> Any:
    return app.rehearse(made, harness.Options(reports=folder, **more))


def events(made: Any) -> log.Events:
    return log.Events(made.log.events)


def names(made: Any) -> list[str]:
    return [each.name for each in events(made).of(GateChecked)]


SMALL, TINY = Size(limit_of("< 1MB", Measure.SIZE)), Size(limit_of("< 1kB", Measure.SIZE))


def test_a_candidate_that_keeps_all_gates_is_promoted_and_each_gate_says_why(tmp_path: Path) -> None:
    fair = Fairness(("gender",), {"demographic_parity": limit_of("<= 20%", Measure.SHARE)})
    made = rehearse(scenario("accuracy >= 0.7", NoRegression(), SMALL, fair), tmp_path)
    assert made.outcome == "promoted"
    told = ["no_regression.accuracy", "size", "fairness.demographic_parity"]
    assert names(made) == [*told, "accuracy"]
    details = events(made).of(GateDetails)
    assert [each.name for each in details] == told
    assert details[2].columns[0] == "group"
    assert [row[0] for row in details[2].rows] == ["Female", "Male"]
    assert details[2].interval is not None


def test_all_gates_are_judged_and_all_that_failed_are_the_reason(tmp_path: Path) -> None:
    card = ModelCard(str(tmp_path / "CARD.md"))
    made = rehearse(scenario("accuracy >= 0.99", TINY, SMALL, card), tmp_path)
    assert made.outcome == "rejected"
    reason = events(made).only(Decided).reason
    parts = [reason.index(part) for part in ("gate size < 1kB: ", "gate model card CARD.md", "gate accuracy >= 0.99")]
    assert parts == sorted(parts)
    assert len(names(made)) == 4


def test_without_any_rule_the_gates_reject_all_the_same(tmp_path: Path) -> None:
    assert rehearse(scenario(TINY), tmp_path).outcome == "rejected"


def test_what_the_wall_clock_says_is_no_part_of_the_digest(tmp_path: Path) -> None:
    latency = Latency({"p50": limit_of("< 1h", Measure.DURATION)}, repeats=2, rounds=1)
    made = [rehearse(scenario(latency, NoRegression("f1")), tmp_path) for _ in range(2)]
    assert made[0].log.digest == made[1].log.digest
    measured = [events(each).of(GateDetails)[0].measured["p50"] for each in made]
    assert all(value > 0 for value in measured)
    assert measured[0] != measured[1]


def test_a_log_of_gates_is_read_as_it_was_written(tmp_path: Path) -> None:
    fair = Fairness(("gender",), {"equalised_odds": limit_of("<= 50%", Measure.SHARE)})
    made = rehearse(scenario(fair, TINY), tmp_path)
    read = log.read(made.path)
    assert log.digest(read) == made.log.digest
    assert [each.rows for each in read.of(GateDetails)] == [
        tuple(tuple(_nine(cell) for cell in row) for row in each.rows) for each in events(made).of(GateDetails)
    ]


def _nine(cell: Any) -> Any:
    return float(f"{cell:.9g}") if isinstance(cell, float) else cell


def test_every_form_of_the_report_says_why(tmp_path: Path) -> None:
    fair = Fairness(("gender",), {"equalised_odds": limit_of("<= 0%", Measure.SHARE)})
    made = rehearse(scenario(fair, SMALL), tmp_path)
    result = fold(made.log.events, log_path=made.path)
    reason = result.gate_details[0].reason
    page, text = html.render(result), markdown.render([result])
    for form in (page, text):
        assert "Why the gates passed or failed" in form
        assert "Fairness of gender" in form
        assert "selection rate" in form
    assert "equalised_odds of gender was" in page
    document = json.loads(json.dumps(report_json.plain(result)))
    fairness, size = document["gate_details"]
    assert fairness["reason"] == reason
    assert fairness["table"][0]["group"] == "Female"
    assert size["table"] == []
    assert [gate["passed"] for gate in document["gates"]] == [False, True]


def test_without_such_gates_nothing_is_told(tmp_path: Path) -> None:
    made = rehearse(scenario("accuracy >= 0.99"), tmp_path)
    assert not events(made).of(GateDetails)
    assert "gate_details" not in report_json.plain(fold(made.log.events))


def test_history_looks_at_the_versions_before_this_run(tmp_path: Path) -> None:
    registry, plan = MemoryRegistry(), History("accuracy")
    first = rehearse(scenario(plan), tmp_path, registry=registry)
    assert first.outcome == "promoted"
    assert "no earlier version" in events(first).of(GateDetails)[0].reason
    assert len(run_virtual(registry.versions, "m")) == 2
    worse = scenario(plan, candidate=TrainPlan("majority", {}), stable=TREE)
    second = rehearse(worse, tmp_path, registry=registry)
    assert second.outcome == "rejected"
    details = events(second).of(GateDetails)[0]
    assert [row[0] for row in details.rows] == ["m:1", "m:2"]


def test_the_scenario_teaches_what_it_says(tmp_path: Path) -> None:
    """Its own candidate is refused by fairness alone; the tree that its comment names keeps every gate."""
    path = SCENARIOS / "fairness_gate.yaml"
    refused = rehearse(app.load_scenario(path), tmp_path)
    failed = [each.name for each in events(refused).of(GateChecked) if not each.passed]
    assert failed == ["fairness.equalised_odds"]
    comment = path.read_text(encoding="utf-8").replace("\n# ", " ")
    change = comment.split('--set "')[1].split('"')[0]
    assert rehearse(app.load_scenario(path, [change, "expect=[]"]), tmp_path).outcome == "promoted"


def test_the_file_that_a_candidate_came_from_is_scanned_as_it_lies_there(tmp_path: Path) -> None:
    """Trusting a pickle for a run does not let it through the gate."""
    training, _ = dataset.load(DATA).split(3)
    fitted = fit(
        TREE.algorithm, unfitted(TREE.algorithm, effective(TREE.algorithm, TREE.params, 0), training), training
    )
    file = tmp_path / "model.pkl"
    file.write_bytes(pickle.dumps(fitted.estimator))
    artifact.save(fitted.estimator, file.with_suffix(".skops"))
    brought = [ArtifactPlan(str(file), pickled=True), ArtifactPlan(str(file.with_suffix(".skops")))]
    made = [rehearse(scenario(Security(), candidate=plan), tmp_path) for plan in brought]
    assert [each.outcome for each in made] == ["rejected", "promoted"]
    assert "model.pkl: a pickle, which runs what it holds" in events(made[0]).only(Decided).reason


@pytest.mark.parametrize(
    ("gate", "told"),
    [
        ("{fairness: {column: SeniorCitizen, equal_opportunity: '<= 1%', min_rows: 1700}}", "makes 0 groups of at"),
        ("{fairness: {column: TotalCharges, equal_opportunity: '<= 1%'}}", "values, which make no groups"),
    ],
)
def test_check_holds_gates_against_the_data(tmp_path: Path, gate: str, told: str) -> None:
    loaded = app.load_scenario(SCENARIOS / "gate_rejected.yaml", [f"model.gates=[{gate}]"])
    with pytest.raises(harness.ScenarioError, match=told):
        app.check_references(loaded)


def test_check_notes_what_is_not_there_yet(tmp_path: Path) -> None:
    gates = "[{model_card: nowhere.md}, {history: {metric: f1}}]"
    found = app.check_references(app.load_scenario(SCENARIOS / "gate_rejected.yaml", [f"model.gates={gates}"]))
    assert any("nowhere.md, which is not there yet" in note for note in found.notes)
    assert any("begins every run without any" in note for note in found.notes)
    assert "2 gates" in found.found


PAGE = (SCENARIOS.parent / "docs" / "gates.md").read_text(encoding="utf-8")


def test_what_the_page_shows_is_read_and_runs(tmp_path: Path) -> None:
    shown, python, _ = re.findall(r"```(?:yaml|python)\n(.*?)```", PAGE, re.DOTALL)
    text = (SCENARIOS / "fairness_gate.yaml").read_text(encoding="utf-8")
    own = re.search(r"  gates:\n(?:    - .*\n)+", text)
    assert own is not None
    asked = "".join(f"  {line}\n" for line in shown.splitlines())
    text = text.replace(own[0], asked).replace("data/adult", f"{SCENARIOS}/data/adult")
    (tmp_path / "shown.yaml").write_text(text, encoding="utf-8")
    made = app.load_scenario(tmp_path / "shown.yaml")
    assert len(made.model.checks) == len(shown.splitlines()) - 2
    names = {"candidate": adult.plain(), "held_out": adult.rows()[1]}
    exec(python, names)
    assert names["checks"][0].name == "fairness.equalised_odds"


def test_every_gate_reader_and_check_has_its_place_on_the_page() -> None:
    words = set(re.findall(r"`(\w+)`", PAGE)) | set(re.findall(r"^## (\w+)", PAGE, re.MULTILINE))
    assert {*FIGURES, *ERRORS, *READERS, *CHECKS, *(name for name, _ in GATES.values())} <= words
