"""``harness init``: what it writes passes the check and runs, untouched, on real tables and a model saved by skops."""

import gzip
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from harness import app
from harness.data.schema import read_schema
from tests import requires
from tests.cli.conftest import Called

Call = Callable[..., Called]
TABLES = Path(__file__).parents[1] / "data" / "tables"
ADULT, WINE = TABLES / "adult.csv.gz", TABLES / "wine-quality.csv"


def made(call: Call, *words: str | Path) -> Called:
    called = call("init", *words)
    assert called.code == 0, called.err
    return called


def runs(call: Call, path: str, *words: str) -> dict[str, Any]:
    checked = call("check", path, *words)
    assert checked.code == 0, checked.err
    assert "note" not in checked.out
    ran = call("run", path, "--json", "-", "--quiet", *words)
    assert ran.code == 0, ran.out
    (result,) = json.loads(ran.out)["scenarios"]
    assert result["passed"]
    assert result["outcome"] == "promoted"
    assert all(gate["passed"] for gate in result["gates"])
    return dict(result)


def test_two_labels_with_question_marks_and_dashes(call: Call) -> None:
    called = made(call, "--data", ADULT, "--target", "income-per-year")
    assert "'>50K' is positive" in called.out
    runs(call, "adult.yaml")
    schema = read_schema("adult.schema.yaml")
    assert schema.missing == ("?",)
    assert schema.columns["workclass"].nullable
    assert "?" not in schema.columns["workclass"].allowed
    assert schema.columns["sex"].allowed == ("Female", "Male")
    assert "income-per-year" in Path("adult.yaml").read_text()


def test_numbers_and_columns_with_spaces(call: Call) -> None:
    made(call, "--data", WINE, "--target", "quality")
    result = runs(call, "wine-quality.yaml")
    assert {gate["name"] for gate in result["gates"]} == {"rmse"}
    assert read_schema("wine-quality.schema.yaml").columns["fixed acidity"].least == pytest.approx(1.0, abs=2)


def test_a_rehearsed_fault_is_noticed_by_the_policy_it_wrote(call: Call) -> None:
    made(call, "--data", WINE, "--target", "quality")
    called = call("run", "wine-quality.yaml", "--set", "inject=[{at: 5m, on: candidate, errors: 5%}]",
                  "--set", "expect=[outcome == rolled_back]")  # fmt: skip
    assert called.code == 0, called.out


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A model as its owner would make it: of what pandas reads, where ``?`` is a category like any other."""
    with gzip.open(ADULT) as file:
        rows = pd.read_csv(file)
    texts = [name for name in rows.select_dtypes(exclude="number") if name != "income-per-year"]
    encoder = make_column_transformer((OneHotEncoder(), ["sex", "workclass"]), (OneHotEncoder(handle_unknown="ignore"),
        [name for name in texts if name not in ("sex", "workclass")]), remainder="passthrough")  # fmt: skip
    forest = RandomForestClassifier(25, min_samples_leaf=3, random_state=0)
    model = make_pipeline(encoder, forest).fit(rows.drop(columns="income-per-year"), rows["income-per-year"])
    skops.io.dump(model, tmp_path / "mine.skops")
    (tmp_path / "mine.pkl").write_bytes(pickle.dumps(model))
    return tmp_path / "mine.skops"


def test_a_model_of_ones_own_is_the_candidate(call: Call, own: Path) -> None:
    called = made(call, "--data", ADULT, "--target", "income-per-year", "--model", own, "--output", "below/first.yaml")
    assert "your RandomForestClassifier" in called.out
    text = Path("below/first.yaml").read_text()
    assert '"../mine.skops"' in text  # relative to the scenario, not to here
    runs(call, "below/first.yaml")
    # An encoder that knows "?" as a category would refuse it as a missing value.
    assert read_schema("below/first.schema.yaml").missing == ()


def test_a_pickle_only_where_it_is_trusted(call: Call, own: Path) -> None:
    words = ("--data", ADULT, "--target", "income-per-year", "--model", own.with_suffix(".pkl"))
    refused = call("init", *words)
    assert refused.code == 2
    assert "skops.io.dump" in refused.err
    assert not Path("adult.yaml").exists()
    called = made(call, *words, "--trust-pickle")
    assert "next: harness run adult.yaml --trust-pickle" in called.out
    assert call("check", "adult.yaml").code == 2
    runs(call, "adult.yaml", "--trust-pickle")


def test_a_model_worse_than_the_baseline_is_told_of_and_its_gates_hold(call: Call, tmp_path: Path) -> None:
    rows = pd.read_csv(WINE)
    skops.io.dump(LinearRegression().fit(rows[["density", "pH"]], rows["quality"]), tmp_path / "poor.skops")
    called = made(call, "--data", WINE, "--target", "quality", "--model", "poor.skops")
    assert "look at them first" in called.out
    runs(call, "wine-quality.yaml")


def test_a_model_of_other_columns_is_refused(call: Call, own: Path) -> None:
    called = call("init", "--data", WINE, "--target", "quality", "--model", own)
    assert called.code == 2
    assert "mine.skops" in called.err


def table(path: Path, **columns: Any) -> Path:
    frame = pd.DataFrame(columns)
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
    return path


N = 400
DRAWS = np.random.Generator(np.random.Philox(5))
X = DRAWS.normal(size=N)


@pytest.mark.parametrize(
    ("labels", "positive"),
    [
        (("No", "Yes"), "Yes"),
        (("0", "1"), "1"),
        ((False, True), "True"),
        (("paid", "default"), "default"),
        (("good", "bad"), "bad"),
        (("benign", "NEG"), "benign"),
    ],
)
def test_the_positive_label_is_chosen_and_can_be_said(
    call: Call, tmp_path: Path, labels: tuple[Any, Any], positive: str
) -> None:
    target = np.array(labels, dtype=object)[(X + DRAWS.normal(size=N) / 2 > 0.5).astype(int)]
    data = table(tmp_path / "own data.csv", x=X, y=target)
    made(call, "--data", data, "--target", "y")
    (path,) = tmp_path.glob("*data.yaml")
    assert app.load_scenario(path).model.data.positive == positive  # type: ignore[union-attr]
    made(call, "--data", data, "--target", "y", "--positive", str(labels[0]), "--force")
    assert app.load_scenario(path).model.data.positive == str(labels[0])  # type: ignore[union-attr]


def test_parquet_keys_wide_sets_and_odd_names(call: Call, tmp_path: Path) -> None:
    requires.module("pyarrow")
    many = [f"city: {number % 170} #1" for number in range(N)]
    data = table(tmp_path / "p.parquet", **{
        "id": np.arange(N), "a, {b}: [c]": X, "no": many, "empty": [None] * N, "1": DRAWS.integers(0, 2, N),
        "y": X * 3 + DRAWS.normal(size=N),
    })  # fmt: skip
    made(call, "--data", data, "--target", "y")
    runs(call, "p.yaml")
    columns = read_schema("p.schema.yaml").columns
    assert (columns["id"].role, columns["empty"].role, columns["no"].allowed) == ("key", "ignored", ())
    assert columns["1"].allowed == (0.0, 1.0)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"y": ["a", "b", "c", "d"] * 100}, "add a column that says whether it is one of them, such as y_is_a"),
        ({"y": ["a"] * N}, "nothing to predict"),
        ({"y": ["a", ""] * 200}, "blank in 200 rows"),
        ({"yy": ["a", "b"] * 200}, "did you mean 'yy'?"),
    ],
)
def test_what_cannot_be_rehearsed_is_told_with_a_remedy(
    call: Call, tmp_path: Path, columns: dict[str, Any], told: str
) -> None:
    called = call("init", "--data", table(tmp_path / "d.csv", x=X, **columns), "--target", "y")
    assert called.code == 2
    assert told in called.err
    assert not Path("d.yaml").exists()


def test_a_file_that_exists_is_kept(call: Call) -> None:
    Path("wine-quality.schema.yaml").write_text("mine")
    called = call("init", "--data", WINE, "--target", "quality")
    assert called.code == 2
    assert "--force" in called.err
    assert Path("wine-quality.schema.yaml").read_text() == "mine"
    made(call, "--data", WINE, "--target", "quality", "--force")
    assert Path("wine-quality.schema.yaml").read_text() != "mine"
