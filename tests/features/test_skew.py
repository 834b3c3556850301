"""Training and serving see the same, bit for bit; where they do not, the columns are named."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.data.split import Rows
from harness.features import sketch
from harness.features.reading import feature_set
from harness.serving.skew import as_json, skew
from harness.training import artifact
from harness.training.algorithms import effective
from harness.training.fit import fit, unfitted
from tests.features.test_building import EVERYTHING


@pytest.fixture
def model(rows: Rows) -> Any:
    params = effective("logistic_regression", {}, 5)
    return fit(
        "logistic_regression", unfitted("logistic_regression", params, rows, feature_set(EVERYTHING)), rows
    ).estimator


@pytest.mark.parametrize("said", [EVERYTHING, {"columns": {"z": {"drop": True}}}], ids=["everything", "usual"])
@pytest.mark.parametrize("word", ["logistic_regression", "decision_tree"])
def test_what_is_served_is_what_was_trained(said: Any, word: str, rows: Rows) -> None:
    params = effective(word, {}, 5)
    fitted = fit(word, unfitted(word, params, rows, feature_set(said)), rows).estimator
    found = skew(fitted, rows.rows)
    assert found.none, [str(each) for each in found.differences] or found.refused


def test_a_model_file_is_as_good(model: Any, rows: Rows, tmp_path: Any) -> None:
    artifact.save(model, tmp_path / "m.skops")
    assert skew(tmp_path / "m.skops", rows.rows, as_json(rows.rows)).none


def broken(requests: Any) -> pd.DataFrame:
    """A serving path as they are met: 0 for what is missing, single precision, words in small letters."""
    table = pd.DataFrame(list(requests))
    return table.assign(x=table["x"].astype(float).fillna(0.0), z=table["z"].astype("float32").astype(float),
                        plan=table["plan"].str.upper(), signup=table["signup"].astype(float))  # fmt: skip


def test_a_broken_serving_path_is_found_column_by_column(model: Any, rows: Rows) -> None:
    found = skew(model, rows.rows, path=broken)
    assert set(found.columns) == {"x", "z", "plan"}
    gaps = int(rows.rows["x"].isna().sum())
    (x,) = [each for each in found.differences if each.column == "x" and each.stage == "raw"]
    assert x.count == gaps
    assert set(x.serving) == {0.0}
    seen = {each.column for each in found.differences if each.stage == "feature"}
    assert {"x", "x is missing", "z", "plan", "ratio"} <= seen
    assert not {"city", "y", "signup.year"} & seen
    assert "row" in str(x)


def test_a_lacking_column_and_a_refused_request_are_told(model: Any, rows: Rows) -> None:
    few = rows.rows.head(4)
    found = skew(model, few, path=lambda requests: pd.DataFrame(list(requests)).drop(columns="z"))
    assert "z" in found.columns
    assert any(each.column == "*" and "z" in each.serving[0] for each in found.differences)
    wrong = [{**each, "z": "many"} for each in as_json(few)]
    assert 'z is "many"; it takes a number' in skew(model, few, wrong).refused


def test_statistics_beside_a_model_tell_what_serving_rows_have_that_training_had_not(
    frame: pd.DataFrame, tmp_path: Any
) -> None:
    path = tmp_path / "model.skops"
    assert sketch.save(path, frame).name == "model.statistics.json"
    known = sketch.load(path)
    assert known["columns"]["z"]["mean"] == frame["z"].mean()
    assert known["columns"]["z"]["sd"] == np.std(frame["z"])
    assert sketch.held_against(known, frame) == ()
    live = frame.assign(z=frame["z"] + 2 * np.std(frame["z"]), plan="gold", y=frame["y"].astype(str)).drop(columns="x")
    told = {remark.column: str(remark) for remark in sketch.held_against(known, live)}
    assert told["x"] == "x: the column is missing"
    assert "+2.00 sd" in " ".join(str(each) for each in sketch.held_against(known, live) if each.column == "z")
    assert "holds text" in told["y"]
    assert any("never seen: 'gold'" in str(each) for each in sketch.held_against(known, live))
    assert "city" not in told
