"""Every shipped scenario goes as it expects: with its own seed and, since none may be a lucky one, with others."""

import re
from pathlib import Path

import pytest

from harness import app
from tests import requires, shipped

SCENARIOS = shipped.VIRTUAL


@pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow", "ignore::DeprecationWarning:sqlalchemy")
@pytest.mark.parametrize(
    ("path", "seed"),
    [(path, None) for path in SCENARIOS] + [(path, 1) for path in shipped.sample(shipped.EVEN)],
    ids=lambda value: value.stem if isinstance(value, Path) else str(value),
)
def test_it_goes_as_expected(path: Path, seed: int | None, tmp_path: Path) -> None:
    overrides = []
    if path.stem == "mlflow_registry":
        requires.module("mlflow")
        overrides = [f"backends.{kind}=mlflow+sqlite:///{tmp_path}/registry.db" for kind in ("registry", "tracker")]
    result = app.run_sync(app.load_scenario(path, overrides, seed=seed), app.Options(reports=tmp_path))
    failed = [(each.text, each.actual) for each in result.expectations if not each.passed]
    assert result.passed, (result.outcome, result.reason, failed)
    assert result.expectations


CAUGHT = [
    path
    for path in SCENARIOS
    if path.stem in {"canary_regression", "canary_silent_quality", "label_delay", "seed_canary"}
]
DRIFT = "[{at: 10m, on: all, drift: {column: TotalCharges, shift: 1sd}}]"
F1 = ("rollout.analysis.rules.2=f1 >= stable - 10%", "rollout.analysis.window=10m")


@pytest.mark.parametrize("seed", [None, 1])
@pytest.mark.parametrize("path", CAUGHT, ids=lambda path: path.stem)
def test_it_is_the_fault_that_is_caught(path: Path, seed: int | None, tmp_path: Path) -> None:
    """Without its fault the same candidate is promoted: no scenario is won by a false alarm."""
    scenario = app.load_scenario(path, overrides=["inject=[]", "expect=[]"], seed=seed)
    assert app.run_sync(scenario, app.Options(reports=tmp_path)).outcome == "promoted"


TRY = [
    ("trace_replay", "traffic.trace.rate=200/s", "promoted"),
    ("trace_replay", "traffic.trace.file=traces/nasa_http.tsv.gz traffic.trace.speed=x60", "promoted"),
    ("flash_crowd", "rollout.analysis.rules.0=error_rate <= 2%", "rolled_back"),
    ("flash_crowd", "inject=[{at: 75m, on: candidate, latency: x2}]", "rolled_back"),
    ("label_delay", "rollout.analysis.no_data=ignore", "rolled_back"),
    ("label_delay", "labels.delay=10m", "rolled_back"),
    ("label_delay", "rollout.analysis.min_requests=30000", "paused"),
    ("drift_gradual", "rollout.steps=[{weight: 10%}, {pause: 1h}, {weight: 50%}, {pause: 1h}]", "promoted"),
]


@pytest.mark.parametrize(("name", "change", "outcome"), TRY, ids=[f"{name}: {change}" for name, change, _ in TRY])
def test_what_a_scenario_says_to_try_ends_as_it_says(name: str, change: str, outcome: str, tmp_path: Path) -> None:
    path = next(path for path in SCENARIOS if path.stem == name)
    changes = re.split(r" (?=traffic\.)", change)
    (said,) = [line for line in path.read_text(encoding="utf-8").splitlines() if all(each in line for each in changes)]
    assert outcome.replace("_", " ") in said
    result = app.run_sync(app.load_scenario(path, overrides=changes), app.Options(reports=tmp_path))
    assert result.outcome == outcome


def test_ignoring_the_missing_labels_costs_half_of_the_users(tmp_path: Path) -> None:
    path = next(path for path in SCENARIOS if path.stem == "label_delay")
    ignored = app.load_scenario(path, overrides=["rollout.analysis.no_data=ignore"])
    assert app.run_sync(ignored, app.Options(reports=tmp_path)).candidate_share_max == 0.5


@pytest.mark.parametrize("seed", [None, 1, 2])
@pytest.mark.parametrize(("rules", "outcome"), [((), "promoted"), (F1, "rolled_back")])
def test_what_the_main_scenario_says_of_its_rules_is_so(
    rules: tuple[str, ...], outcome: str, seed: int | None, tmp_path: Path
) -> None:
    path = next(path for path in SCENARIOS if path.stem == "canary_regression")
    assert DRIFT in path.read_text(encoding="utf-8")
    scenario = app.load_scenario(path, overrides=[f"inject={DRIFT}", *rules], seed=seed)
    assert app.run_sync(scenario, app.Options(reports=tmp_path)).outcome == outcome
