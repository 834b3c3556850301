"""The stage ``drift`` of a run: what is told and refused, and that its log folds to the same wherever it is read."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.domain.drift_event import DataDriftChecked
from harness.domain.event import GateChecked
from harness.domain.scenario import Scenario
from harness.errors import DataError, ScenarioError
from harness.log import read
from harness.report import fold
from harness.report import json as forms
from tests.cli.conftest import SCENARIOS

FILE = SCENARIOS / "data_drift_gate.yaml"


def scenario(*overrides: str) -> Scenario:
    return harness.load_scenario(FILE, overrides=overrides)


def with_drift(**changes: Any) -> Scenario:
    """The scenario with its comparison changed from Python."""
    made = scenario()
    assert made.model.data is not None
    assert made.model.data.drift is not None
    data = replace(made.model.data, drift=replace(made.model.data.drift, **changes))
    return replace(made, model=replace(made.model, data=data), expect=())


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return harness.run_sync(scenario(), harness.Options(reports=tmp_path_factory.mktemp("reports")))


def test_drift_rejects_the_candidate_with_the_other_gates_judged_too(refused: Any) -> None:
    assert refused.outcome == "rejected"
    assert refused.passed
    for word in ("telco_newest.csv.gz drifted", "Contract", "`missing(TotalCharges) <= 1%` broken"):
        assert word in refused.reason
    assert {gate.name: gate.passed for gate in refused.gates} == {"data drift": False, "accuracy": True}
    assert refused.data_drift.detected
    assert refused.data_drift.score > 0.1
    named = {column.name for column in refused.data_drift.columns if column.drifted}
    assert {"Contract", "MonthlyCharges", "TotalCharges"} <= named
    assert not {"gender", "Churn", "customerID"} & named


def test_the_log_folds_to_the_same_result(refused: Any) -> None:
    again = fold(read(Path(refused.event_log)), log_path=Path(refused.event_log))
    assert again == refused
    told = forms.suite([refused], [])["scenarios"][0]["data_drift"]
    assert told["drift_detected"] is True
    assert json.loads(json.dumps(told)) == told


def test_drift_that_is_not_to_fail_is_only_told(tmp_path: Path) -> None:
    log = harness.run_sync(with_drift(fail=False, detectors=("statistical",)), harness.Options(reports=tmp_path))
    events = list(read(Path(log.event_log)))
    assert log.outcome == "promoted"
    assert [event.detected for event in events if isinstance(event, DataDriftChecked)] == [True]
    assert "data drift" not in [event.name for event in events if isinstance(event, GateChecked)]


def test_the_data_set_itself_does_not_drift_from_itself(tmp_path: Path) -> None:
    data = scenario().model.data
    assert data is not None
    result = harness.run_sync(
        with_drift(current=data.source, rules=(), detectors=("statistical",)), harness.Options(reports=tmp_path)
    )
    assert result.outcome == "promoted"
    assert result.data_drift is not None
    assert not result.data_drift.detected
    assert result.data_drift.score <= 0.1


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model.data.drift.rules=[max(tenur) < 3]", "did you mean tenure?"),
        ("model.data.drift.rules=[max(Contract) < 3]", "holds categories"),
    ],
)
def test_the_check_tells_what_a_rule_gets_wrong(override: str, said: str) -> None:
    from harness.app.references import check_references

    with pytest.raises(ScenarioError, match=said) as raised:
        check_references(scenario(override))
    assert "data_drift_gate.yaml:" in str(raised.value)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model.data.drift.rules=[mean(tenure]", "closing bracket"),
        ("model.data.drift.alpha=0%", "alpha"),
        ("model.data.drift.current=nothing.csv", "no such file"),
        ("model.data.drift.detectors=[statistics]", "statistical"),
        ("model.data.drift.correction=none", "holm"),
        ("model.data.drift.rule=[max(tenure) < 3]", "rules"),
    ],
)
def test_a_wrong_key_or_value_is_told_with_what_is_allowed(override: str, said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        scenario(override)


def test_current_data_that_cannot_be_read_end_the_run(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("tenure\n")
    with pytest.raises(DataError, match=r"empty\.csv"):
        harness.run_sync(with_drift(current=str(tmp_path / "empty.csv")), harness.Options(reports=tmp_path))
