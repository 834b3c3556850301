"""``harness stage`` and ``harness export dvc``; feature sets in scenarios, dates among them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from harness import load_scenario, run_sync
from harness.domain.event import FeaturesBuilt
from harness.errors import ScenarioError
from harness.features.reading import read_features
from harness.serving.skew import as_json, skew
from harness.training import artifact

SCENARIO = """\
harness: 1
name: dated
model:
  name: dated
  data: {source: data.csv, target: left, positive: "yes"}
  features: features.yaml
  stable: {algorithm: logistic_regression}
  candidate:
    {algorithm: decision_tree, params: {max_depth: 3}, features: {columns: {since: {date: [year]}}, others: drop}}
traffic: {poisson: 20/s}
rollout: {strategy: canary, steps: [{weight: 50%}, {pause: 2m}]}
"""
FEATURES = """\
features: 1
name: by-date
columns:
  since: {date: [month, days], cyclic: [weekday], reference: 2020-01-01}
  plan: {encode: target}
derived:
  per_call: spent / calls
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draws = np.random.Generator(np.random.Philox(1))
    lines = ["since,plan,spent,calls,left"]
    for day in range(200):
        date = str(np.datetime64("2019-12-20") + np.timedelta64(day, "D"))
        left = "yes" if draws.random() < (0.8 if day % 3 else 0.2) else "no"
        lines.append(f"{date},{'abc'[day % 3]},{draws.normal(10, 3):.2f},{draws.integers(0, 5)},{left}")
    (tmp_path / "data.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "s.yaml").write_text(SCENARIO)
    (tmp_path / "features.yaml").write_text(FEATURES)
    return tmp_path


def test_a_rehearsal_sees_features_and_tells_of_them(folder: Path) -> None:
    from harness import Options

    result = run_sync(load_scenario(folder / "s.yaml"), Options(reports=folder / "reports", cache=False))
    assert result.outcome == "promoted"
    log = next((folder / "reports").rglob("events.jsonl")).read_text().splitlines()
    stable, candidate = [json.loads(line) for line in log if json.loads(line)["event"] == FeaturesBuilt.__name__]
    assert stable["name"] == "by-date"
    assert stable["digest"] == read_features(str(folder / "features.yaml")).digest
    assert stable["columns_out"][:4] == ["since.month", "since.days", "since.weekday.sin", "since.weekday.cos"]
    assert "per_call" in stable["columns_out"]
    assert candidate["columns_in"] == ["since"]  # every date differs, and it is a feature all the same
    assert candidate["columns_out"] == ["since.year"]
    assert stable["rows"] == 150


def test_the_pipeline_watches_rules_of_quality_and_searches(call: Any, folder: Path) -> None:
    text = SCENARIO.replace('positive: "yes"', 'positive: "yes", quality: rules.yaml')
    (folder / "s.yaml").write_text(text.replace("max_depth: 3}", "max_depth: 3}, cross_validation: 3"))
    (folder / "rules.yaml").write_text("quality: [{check: duplicates}]\n")
    assert call("export", "dvc", folder / "s.yaml", "-o", folder / "p").code == 0
    stages = YAML(typ="safe").load((folder / "p" / "dvc.yaml").read_text())["stages"]
    assert all("../rules.yaml" in stages[name]["deps"] for name in stages)
    # A search, or folds, are no parameters of DVC's: the scenario's own section is watched as a whole.
    assert {"../s.yaml": ["model"]} in stages["train"]["params"]


def test_stages_leave_files_that_the_next_can_use(call: Any, folder: Path) -> None:
    for name, told in (("validate", "200 rows of 5 columns"), ("features", "candidate sees 1 features"),
                       ("train", "stable: logistic_regression"), ("evaluate", "candidate: accuracy")):  # fmt: skip
        done = call("stage", name, folder / "s.yaml", "-o", folder / "out")
        assert done.code == 0, done.err
        assert told in done.out
    out = folder / "out"
    models, data = (json.loads((out / name).read_text()) for name in ("models.json", "data.json"))
    assert models["stable"]["data_digest"] == data["digest"]
    assert models["stable"]["features_digest"] == read_features(str(folder / "features.yaml")).digest
    assert models["stable"]["artifact_digest"] != models["candidate"]["artifact_digest"]
    metrics = json.loads((out / "metrics.json").read_text())
    assert 0 < metrics["candidate"]["accuracy"] < 1
    roc = (out / "plots" / "roc.csv").read_text().splitlines()
    assert roc[0] == "fpr,tpr"
    assert roc[-1] == "1.0,1.0"
    predictions = (out / "plots" / "predictions.csv").read_text().splitlines()
    right = sum(len(set(line.split(","))) == 1 for line in predictions[1:]) / len(predictions[1:])
    assert right == pytest.approx(metrics["candidate"]["accuracy"])


def test_another_model_than_train_wrote_is_not_evaluated(call: Any, folder: Path) -> None:
    out = folder / "out"
    assert call("stage", "train", folder / "s.yaml", "-o", out).code == 0
    told = json.loads((out / "models.json").read_text())
    assert call("stage", "train", folder / "s.yaml", "-o", folder / "other", "--seed", 7).code == 0
    own = (out / "models" / "stable.skops").read_bytes()
    (out / "models" / "stable.skops").write_bytes((folder / "other" / "models" / "stable.skops").read_bytes())
    done = call("stage", "evaluate", folder / "s.yaml", "-o", out)
    assert done.code == 2
    assert "stable.skops: not the model that `harness stage train` wrote" in done.err
    assert told["stable"]["artifact_digest"] in done.err
    assert not (out / "metrics.json").exists()
    (out / "models" / "stable.skops").write_bytes(own)
    assert call("stage", "evaluate", folder / "s.yaml", "-o", out).code == 0
    for damage in (None, "{}", "no JSON"):
        (out / "models.json").unlink() if damage is None else (out / "models.json").write_text(damage)
        done = call("stage", "evaluate", folder / "s.yaml", "-o", out)
        assert (done.code, "models.json: the digests of the models cannot be read" in done.err) == (2, True)


def test_the_served_model_takes_unix_time(call: Any, folder: Path) -> None:
    assert call("stage", "train", folder / "s.yaml", "-o", folder / "out").code == 0
    model = folder / "out" / "models" / "stable.skops"
    statistics = json.loads(model.with_suffix(".statistics.json").read_text())["columns"]["since"]
    assert statistics["kind"] == "number"
    from harness.data import dataset

    plan = load_scenario(folder / "s.yaml").model.data
    assert plan is not None
    rows = dataset.load(plan).split(0)[1].rows
    assert as_json(rows)[0]["since"] % 86_400 == 0
    assert skew(model, rows).none
    assert set(artifact.load(model).feature_names_in_) == set(rows.columns)


def test_parameters_of_a_file_go_before_the_scenarios(call: Any, folder: Path) -> None:
    (folder / "params.yaml").write_text(
        "seed: 4\nmodel: {candidate: {algorithm: logistic_regression, params: {C: 2}}}\n"
    )
    done = call("stage", "train", folder / "s.yaml", "-o", folder / "out", "--params", folder / "params.yaml")
    assert "candidate: logistic_regression" in done.out
    assert json.loads((folder / "out" / "models.json").read_text())["candidate"]["params"]["C"] == 2


def test_data_that_break_their_schema_end_the_stage_with_1(call: Any, folder: Path) -> None:
    (folder / "schema.yaml").write_text(
        "schema: 1\nother_columns: ignore\n"
        "columns:\n  spent: {type: number, max: 5}\n  left: {type: category, role: target}\n"
    )
    sets = [f"model.data.schema={folder}/schema.yaml"]
    sets += ["model.features={columns: {}}", "model.candidate.features={columns: {}}"]
    done = call(
        "stage", "validate", folder / "s.yaml", "-o", folder, *(word for each in sets for word in ("--set", each))
    )
    assert done.code == 1
    assert "above 5" in done.err
    assert any("above 5" in each for each in json.loads((folder / "data.json").read_text())["failures"])


def test_export_writes_a_pipeline_and_minds_what_is_there(call: Any, folder: Path) -> None:
    done = call("export", "dvc", folder / "s.yaml", "-o", folder / "p")
    assert done.code == 0, done.err
    text = (folder / "p" / "dvc.yaml").read_text()
    assert "harness stage train ../s.yaml --params params.yaml" in text
    assert "- ../features.yaml" in text
    assert call("export", "dvc", folder / "s.yaml", "-o", folder / "p").code == 0
    (folder / "p" / "params.yaml").write_text("seed: 9\n")
    refused = call("export", "dvc", folder / "s.yaml", "-o", folder / "p")
    assert (refused.code, "--force writes over it" in refused.err) == (2, True)
    assert call("export", "dvc", folder / "s.yaml", "-o", folder / "p", "--force").code == 0
    unknown = call("export", "dvx", folder / "s.yaml", "-o", folder / "p")
    assert (unknown.code, unknown.err.strip()) == (
        2,
        "there is no target 'dvx'; did you mean dvc? there are: dvc, kubernetes, helm",
    )
    elsewhere = call(
        "export", "dvc", folder / "s.yaml", "-o", folder / "q", "--set", "model.stable={registered: stable}"
    )
    assert "model.stable comes from a registry" in elsewhere.err


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("model.features={columns: {plann: drop}}", "the data set has no feature plann; did you mean plan?"),
        ("model.features={columns: {left: drop}}", "the data set has no feature left"),
        ("model.features={columns: {plan: {encode: hot}}}", "columns.plan.encode (hot) is not one of one_hot"),
        ("model.features=none.yaml", "the feature set cannot be read"),
        ("model.features=7", "the path of a feature set"),
        ("model.stable={artifact: m.skops, features: features.yaml}", "belongs to algorithm"),
    ],
)
def test_a_wrong_feature_set_is_told_when_the_scenario_is_read(override: str, told: str, folder: Path) -> None:
    (folder / "m.skops").write_text("")
    with pytest.raises(ScenarioError) as caught:
        load_scenario(folder / "s.yaml", [override])
    assert told in str(caught.value)


def test_check_finds_what_only_the_data_can_tell(call: Any, folder: Path) -> None:
    done = call("check", folder / "s.yaml", "--set", "model.features={columns: {plan: {scale: robust}}}")
    assert done.code == 2
    assert "scale asks for numbers, and it holds text" in done.err
    (folder / "data.csv").write_text((folder / "data.csv").read_text().replace("2019-12-21", "the 21st"))
    assert "since: 1 values are no dates of ISO 8601" in call("check", folder / "s.yaml").err
