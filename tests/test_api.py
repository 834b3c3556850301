"""What ``import harness`` gives, used as the README uses it."""

import subprocess
import sys
from pathlib import Path

import pytest

import harness
from fakes.registry import MemoryRegistry
from fakes.tracker import MemoryTracker
from harness.clock import run_virtual

SCENARIOS = Path(__file__).parents[1] / "scenarios"
BROUGHT = """\
harness: 1
name: brought
seed: 4
model:
  name: churn-prediction
  data: {{source: {data}/telco_churn.csv.gz, target: Churn, positive: "Yes", schema: {data}/telco_schema.yaml}}
  stable: {stable}
  candidate: {{algorithm: logistic_regression, params: {{C: 0.5}}}}
traffic: {{poisson: 40/s}}
rollout: {{strategy: canary, steps: [{{weight: 20%}}, {{pause: 3m}}]}}
"""


@pytest.fixture
def options(tmp_path: Path) -> harness.Options:
    return harness.Options(reports=tmp_path / "reports", registry=MemoryRegistry(), tracker=MemoryTracker())


def brought(tmp_path: Path, stable: str) -> harness.Scenario:
    path = tmp_path / "brought.yaml"
    path.write_text(BROUGHT.format(data=(SCENARIOS / "data").as_posix(), stable=stable))
    return harness.load_scenario(path)


def test_every_public_name_can_be_had() -> None:
    for name in harness.__all__:
        assert getattr(harness, name).__doc__, name
    assert harness.__all__ == sorted(harness.__all__, key=lambda name: (not name.isupper(), name))
    with pytest.raises(AttributeError, match="no attribute 'rnu'"):
        harness.rnu  # noqa: B018


def test_importing_it_imports_nothing_heavy() -> None:
    heavy = "numpy pandas sklearn scipy numba pydantic rich anyio simpy pandera"
    code = f"import sys, harness, harness.cli; print([m for m in '{heavy}'.split() if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_run_sync(options: harness.Options) -> None:
    result = harness.run_sync(harness.load_scenario(SCENARIOS / "canary_regression.yaml"), options)
    assert result.passed
    assert result.outcome == "rolled_back"


async def test_run_from_inside_another_loop(options: harness.Options) -> None:
    result = await harness.run(harness.load_scenario(SCENARIOS / "gate_rejected.yaml"), options)
    assert result.outcome == "rejected"


def test_a_later_run_starts_from_what_the_alias_names(tmp_path: Path, options: harness.Options) -> None:
    registry = options.registry
    first = harness.run_sync(brought(tmp_path, "{algorithm: logistic_regression}"), options)
    assert (first.outcome, first.stable, first.candidate) == ("promoted", "churn-prediction:1", "churn-prediction:2")
    second = harness.run_sync(brought(tmp_path, "{registered: stable}"), options)
    assert (second.outcome, second.stable, second.candidate) == ("promoted", "churn-prediction:2", "churn-prediction:3")
    assert run_virtual(registry.resolve, "churn-prediction", "stable").version == 3


def test_an_alias_that_names_nothing_is_an_error_with_a_remedy(tmp_path: Path, options: harness.Options) -> None:
    result = harness.run_sync(brought(tmp_path, "{registered: stable}"), options)
    assert result.outcome == "error"
    assert "the registry holds no model 'churn-prediction'" in result.reason
    assert result.requests == 0


def test_a_model_from_a_file_with_and_without_data(tmp_path: Path, options: harness.Options) -> None:
    trained = harness.run_sync(brought(tmp_path, "{algorithm: logistic_regression}"), options)
    registry = options.registry
    model = run_virtual(registry.load, run_virtual(registry.resolve, "churn-prediction", "stable"))
    from harness.training.artifact import save

    save(model.estimator, tmp_path / "model.skops")
    with_data = harness.run_sync(brought(tmp_path, "{artifact: model.skops}"), options)
    assert with_data.outcome == trained.outcome == "promoted"
    without = tmp_path / "without.yaml"
    without.write_text(
        "harness: 1\nname: without-data\nmodel: {name: m, stable: {artifact: model.skops},"
        " candidate: {artifact: model.skops}}\ntraffic: {constant: 20/s}\n"
        "rollout: {strategy: canary, steps: [{weight: 50%}, {pause: 2m}],"
        " analysis: {every: 30s, rules: [error_rate <= 1%]}}\n"
    )
    assert harness.run_sync(harness.load_scenario(without), options).outcome == "promoted"


def test_a_pickle_is_not_loaded(tmp_path: Path, options: harness.Options) -> None:
    import pickle

    (tmp_path / "model.skops").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(harness.InputError, match="skops"):
        harness.run_sync(brought(tmp_path, "{artifact: model.skops}"), options)
