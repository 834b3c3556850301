"""After a promotion the run's folder holds what a Prometheus is started with, and nothing else depends on it."""

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from harness import app
from harness.app.monitoring import FolderMonitoring
from harness.domain.event import MonitoringSet, Noticed, Promoted, TrafficStarted
from harness.domain.fault import Errors
from harness.domain.lifecycle import Aftercare, Monitor, OnAlarm
from harness.domain.rollout import Outcome
from harness.log import Events
from tests.build import analysis, fault, parts, policy, rehearse, scenario
from tests.requires import program

CARE = Aftercare(monitors=(Monitor("decay", analysis("error_rate <= stable + 1%"), OnAlarm.RETRAIN),))
ROOT = Path(__file__).parents[2]


def run(of: Any, folder: Path) -> tuple[Outcome, Events]:
    return rehearse(of, parts(of, monitoring=FolderMonitoring(of, folder)))


def test_what_was_promoted_is_watched_by_its_own_rules_against_what_stable_showed(tmp_path: Path) -> None:
    of = scenario(aftercare=CARE)
    outcome, events = run(of, tmp_path)
    assert outcome is Outcome.PROMOTED
    told = events.last(MonitoringSet)
    assert (told.name, told.version) == ("m", 2)
    assert told.alerts == ("error_rate <= stable + 2%", "p95 <= stable * 1.5", "error_rate <= stable + 1%")
    assert all((tmp_path / name).is_file() for name in told.files)
    rules = YAML(typ="safe").load(tmp_path / "monitoring" / "alerts.yml")["groups"]
    assert [group["name"] for group in rules] == ["m/rollout", "m/decay"]
    assert rules[1]["rules"][-1]["labels"]["action"] == "retrain"
    assert rules[1]["rules"][-1]["expr"].split(" > ")[1].startswith("0.01)")  # no error of stable's, and a point more
    assert "previous" not in (tmp_path / "monitoring" / "alerts.yml").read_text(encoding="utf-8")
    checked = subprocess.run(
        [program("promtool"), "check", "config", "prometheus-scrape.yml"],
        cwd=tmp_path / "monitoring", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr


def test_a_candidate_that_is_rolled_back_is_not_watched(tmp_path: Path) -> None:
    outcome, events = run(scenario(faults=(fault(Errors(0.3)),)), tmp_path)
    assert outcome is Outcome.ROLLED_BACK
    assert not events.of(MonitoringSet)
    assert not list(tmp_path.iterdir())


def test_a_rollout_without_rules_has_nothing_to_be_watched_by(tmp_path: Path) -> None:
    _, events = run(policy(scenario(), analysis=None), tmp_path)
    assert events.last(MonitoringSet).alerts == ()


def test_a_folder_that_cannot_be_written_is_told_and_changes_no_outcome(tmp_path: Path) -> None:
    (tmp_path / "monitoring").write_text("in the way", encoding="utf-8")
    outcome, events = run(scenario(), tmp_path)
    assert outcome is Outcome.PROMOTED
    assert not events.of(MonitoringSet)
    assert events.last(Promoted).version == 2
    assert "monitoring was left undone: the monitoring's files cannot be written" in events.last(Noticed).text


@pytest.mark.parametrize("name", ["canary_healthy", "canary_regression"])
def test_a_whole_run_leaves_the_files_where_the_log_says(tmp_path: Path, name: str) -> None:
    made = app.rehearse(app.load_scenario(ROOT / "scenarios" / f"{name}.yaml"), app.Options(reports=tmp_path))
    told = Events(made.log.events).of(MonitoringSet)
    assert len(told) == (made.outcome is Outcome.PROMOTED)
    for name_ in (name_ for event in told for name_ in event.files):
        assert (made.folder / name_).is_file()


def test_staging_is_wired_from_the_scenario(tmp_path: Path) -> None:
    from harness.domain.event import Checked, LoadTested
    from harness.domain.lifecycle import StagingPlan

    of = app.load_scenario(ROOT / "scenarios" / "canary_healthy.yaml")
    made = app.rehearse(replace(of, staging=StagingPlan()), app.Options(reports=tmp_path))
    events = Events(made.log.events)
    assert all(check.passed for check in events.of(Checked)), [c for c in events.of(Checked) if not c.passed]
    assert {"answer_schema", "bad_input", "golden_rows"} <= {check.name for check in events.of(Checked)}
    assert events.first(LoadTested).grade == "A+"
    order = [type(event) for event in events if isinstance(event, LoadTested | TrafficStarted)]
    assert order == [LoadTested, TrafficStarted]
