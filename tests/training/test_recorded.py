"""Models by their recorded predictions: joined by pandas once more, measured by scikit-learn once more."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from harness import app
from harness.clock import run_virtual
from harness.data import dataset
from harness.domain.model import DataPlan, PredictionsPlan, Role, Source
from harness.errors import DataError, InputError, RegistryError, ScenarioError
from harness.training.evaluate import evaluate
from harness.training.recorded import recorded
from tests import requires

DRAWS = np.random.Generator(np.random.Philox(11))
ROWS = 400
TABLE = pd.DataFrame({"id": [f"{number:04}" for number in range(ROWS)], "x": DRAWS.normal(size=ROWS)})
TABLE["id"] = np.where(TABLE.index == 0, "first", TABLE["id"])  # so that a key is a text, also where it is all digits
TABLE["bought"] = np.where(TABLE["x"] + DRAWS.normal(0, 0.5, ROWS) > 0, "yes", "no")
TABLE["price"] = 3 * TABLE["x"] + DRAWS.normal(0, 1, ROWS)
CHANCE = DRAWS.random(ROWS)
GIVEN = pd.DataFrame(
    {
        "id": TABLE["id"],
        # Another threshold than a half: what was answered is not what is likelier.
        "answer": np.where(CHANCE > 0.3, "yes", "no"),
        "chance": CHANCE,
        "value": TABLE["price"] + DRAWS.normal(0, 0.5, ROWS),
    }
)
SCENARIO = """\
harness: 1
name: own
model:
  name: m
  data: {source: rows.csv, target: bought, positive: "yes"}
  stable: {algorithm: logistic_regression}
  candidate: {predictions: given.csv, key: id, column: answer}
traffic: {constant: 50/s}
rollout:
  strategy: canary
  steps: [{weight: 50%}, {pause: 10m}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    TABLE.drop(columns="price").to_csv(tmp_path / "rows.csv", index=False)
    TABLE.drop(columns="bought").to_csv(tmp_path / "prices.csv", index=False)
    GIVEN.to_csv(tmp_path / "given.csv", index=False)
    return tmp_path


def held(folder: Path, seed: int = 1, *, regression: bool = False):
    target = ("prices.csv", "price", None) if regression else ("rows.csv", "bought", "yes")
    return dataset.load(DataPlan(str(folder / target[0]), *target[1:], keys=("id",))).split(seed)[1]


def plan(folder: Path, column: str = "answer", score: str | None = "chance", file: str = "given.csv", key: str = "id"):
    return PredictionsPlan(str(folder / file), key, column, score)


def joined(population) -> pd.DataFrame:
    """The held-out rows with their predictions, found by the feature x and merged by pandas."""
    named = TABLE.assign(x=TABLE["x"].round(9))[["id", "x"]].merge(GIVEN, on="id")
    return population.rows.assign(x=population.rows["x"].round(9)).merge(named, on="x", how="left")


def test_labels_and_probabilities_are_those_of_the_file(folder: Path) -> None:
    population = held(folder)
    model = recorded(plan(folder), "m", Role.CANDIDATE, population)
    expected = joined(population)
    assert model.source is Source.RECORDED
    assert model.classes == ("no", "yes")
    assert model.estimator.predict(population.rows).tolist() == expected["answer"].tolist()
    np.testing.assert_array_equal(model.estimator.predict_proba(population.rows)[:, 1], expected["chance"])
    found = evaluate(model, population)
    yes = expected["answer"] == "yes"
    assert found["accuracy"] == metrics.accuracy_score(population.target, yes)
    assert found["recall"] == metrics.recall_score(population.target, yes)
    assert found["auc"] == metrics.roc_auc_score(population.target, expected["chance"])
    assert found["log_loss"] == pytest.approx(metrics.log_loss(population.target, expected["chance"]), rel=1e-12)


def test_without_a_score_there_is_neither_auc_nor_log_loss(folder: Path) -> None:
    model = recorded(plan(folder, score=None), "m", Role.CANDIDATE, held(folder))
    assert set(evaluate(model, held(folder))) == {"accuracy", "precision", "recall", "f1"}


def test_values_of_a_regression(folder: Path) -> None:
    population = held(folder, regression=True)
    model = recorded(plan(folder, "value", None), "m", Role.STABLE, population)
    expected = joined(population)["value"]
    assert model.classes == ()
    found = evaluate(model, population)
    assert found["rmse"] == metrics.root_mean_squared_error(population.target, expected)
    assert found["r2"] == metrics.r2_score(population.target, expected)


@given(st.permutations(range(60)), st.integers(0, 59))
def test_rows_are_looked_up_by_their_number_in_whatever_order_they_come(order: list[int], one: int) -> None:
    from harness.training.recorded import RecordedRegressor

    answers = pd.DataFrame({"predicted": np.arange(60.0)}, index=np.arange(100, 160))
    model = RecordedRegressor(answers)
    rows = pd.DataFrame({"x": 0.0}, index=[100 + place for place in order])
    assert model.predict(rows).tolist() == [float(place) for place in order]
    with pytest.raises(KeyError, match="row 161 of the data set"):
        model.predict(rows.rename(index={100 + one: 160}))


def test_the_digest_is_over_what_was_joined(folder: Path) -> None:
    def digest(file: str, seed: int = 1, score: str | None = "chance") -> str:
        return recorded(plan(folder, file=file, score=score), "m", Role.CANDIDATE, held(folder, seed)).artifact_digest

    extra = pd.DataFrame({"id": ["nobody"], "answer": ["no"], "chance": [0.5]})
    pd.concat([GIVEN.sample(frac=1, random_state=3), extra]).to_csv(folder / "other.csv.gz", index=False)
    assert digest("given.csv") == digest("other.csv.gz") == digest("given.csv", seed=2)
    assert digest("given.csv") != digest("given.csv", score=None)
    GIVEN.assign(chance=np.where(GIVEN.index == 7, 0.123, CHANCE)).to_csv(folder / "changed.csv", index=False)
    assert digest("changed.csv") != digest("given.csv")


def test_parquet_is_read_as_csv_is(folder: Path) -> None:
    requires.module("pyarrow")
    GIVEN.to_parquet(folder / "given.parquet")
    made = [recorded(plan(folder, file=f"given.{e}"), "m", Role.STABLE, held(folder)) for e in ("csv", "parquet")]
    assert made[0].artifact_digest == made[1].artifact_digest


def test_zero_and_one_stand_for_negative_and_positive(folder: Path) -> None:
    GIVEN.assign(answer=(GIVEN["answer"] == "yes").astype(int)).to_csv(folder / "ones.csv", index=False)
    models = [recorded(plan(folder, file=file), "m", Role.STABLE, held(folder)) for file in ("given.csv", "ones.csv")]
    assert models[0].artifact_digest == models[1].artifact_digest


def test_a_key_of_digits_alone_finds_the_text_of_the_data_set(folder: Path) -> None:
    """`0012` names a row; that this file has no other kind of name does not make it twelve."""
    digits = GIVEN[GIVEN["id"] != "first"]
    digits.to_csv(folder / "digits.csv", index=False)
    population = held(folder)
    population = population.take(np.flatnonzero(population.rows.index != 0))
    model = recorded(plan(folder, file="digits.csv"), "m", Role.STABLE, population)
    assert model.estimator.predict(population.rows).tolist() == joined(population)["answer"].tolist()


@pytest.mark.parametrize(
    ("change", "given", "told"),
    [
        (lambda t: t, {"column": "anser"}, "has no column 'anser'; did you mean answer"),
        (lambda t: t, {"score": "luck"}, "has no column 'luck'; its columns: id, answer"),
        (lambda t: t.rename(columns={"id": "number"}), {}, "has no column 'id'"),
        (lambda t: pd.concat([t, t.iloc[[3]]]), {}, "id '0003' stands in several rows; each key has one prediction"),
        (lambda t: t.assign(answer="ja"), {}, "must hold 'no' or 'yes', as the target does, or 0 and 1; it holds 'ja'"),
        (lambda t: t.assign(chance=t["chance"] * 100), {}, "a probability is a number from 0 to 1"),
        (lambda t: t.assign(chance="high"), {}, "chance holds text; a probability is a number from 0 to 1"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_joined_is_told(folder: Path, change, given, told: str) -> None:
    change(GIVEN).to_csv(folder / "wrong.csv", index=False)
    with pytest.raises(DataError, match=told):
        recorded(plan(folder, file="wrong.csv", **given), "m", Role.CANDIDATE, held(folder))


def test_text_is_no_value_of_a_regression(folder: Path) -> None:
    with pytest.raises(DataError, match="answer holds text; a value is a number"):
        recorded(plan(folder, score=None), "m", Role.CANDIDATE, held(folder, regression=True))


@pytest.mark.parametrize("column", [None, "answer", "chance"])
def test_rows_without_a_prediction_are_counted_and_the_first_named(folder: Path, column: str | None) -> None:
    population = held(folder)
    ids = TABLE["id"][population.rows.index[[2, 5, 9, 20, 30, 31, 40]]]
    wanting = GIVEN["id"].isin(ids)
    short = GIVEN[~wanting] if column is None else GIVEN.assign(**{column: GIVEN[column].where(~wanting)})
    short.to_csv(folder / "short.csv", index=False)
    with pytest.raises(DataError) as refused:
        recorded(plan(folder, file="short.csv"), "m", Role.CANDIDATE, population)
    told = f"7 of the 100 held-out rows have no {column or 'answer'} there; id: {', '.join(map(repr, ids[:5]))}, ...; "
    assert told in str(refused.value)
    assert "add them, or take these rows out" in str(refused.value)


def test_rows_that_are_not_held_out_need_no_prediction(folder: Path) -> None:
    population = held(folder)
    GIVEN.loc[population.rows.index].to_csv(folder / "held.csv", index=False)
    model = recorded(plan(folder, file="held.csv"), "m", Role.CANDIDATE, population)
    assert model.estimator.predict(population.rows).tolist() == joined(population)["answer"].tolist()


def test_without_a_data_set_there_is_nothing_to_look_up(folder: Path) -> None:
    with pytest.raises(InputError, match=r"the scenario has no model\.data"):
        recorded(plan(folder), "m", Role.CANDIDATE, None)


# --- the scenario -----------------------------------------------------------------------------------------------------


def checked(folder: Path, *changes: tuple[str, str]) -> app.references.Findings:
    text = SCENARIO
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "own.yaml").write_text(text)
    return app.check_references(app.load_scenario(folder / "own.yaml"))


def test_a_check_says_what_such_a_model_cannot_show(folder: Path) -> None:
    found = checked(folder)
    assert "candidate is looked up in given.csv" in found.found
    (note,) = [note for note in found.notes if "given.csv" in note]
    assert "whether it was trained on these rows is unknown" in note
    drift = (
        "traffic:",
        "inject:\n  - {at: 1m, drift: {column: x, shift: 2sd}}\n"
        "  - {at: 1m, on: stable, drift: {column: x, missing: 5%}}\ntraffic:",
    )
    (note,) = [note for note in checked(folder, drift).notes if note.startswith("inject")]
    assert "shift: 2sd" in note
    assert note.endswith("changes the rows that candidate is asked, and not its answers, which are recorded")


def test_the_probability_of_the_other_label_is_noted(folder: Path) -> None:
    GIVEN.assign(chance=1 - CHANCE).to_csv(folder / "given.csv", index=False)
    notes = checked(folder, ("column: answer", "column: answer, score: chance")).notes
    assert any("it must be the probability of 'yes'" in note for note in notes)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ([("key: id", "key: idd")], "the data set has no such column; nearest: id"),
        ([("column: answer", "column: anser")], "the predictions have no such column; nearest: answer"),
        ([("column: answer", "column: chance")], "chance must hold 'no' or 'yes'"),
        ([(', positive: "yes"', ""), ("logistic_regression", "ridge"), ("answer", "value, score: chance")],
         "score is a probability, and this data set is for regression"),
        ([("rollout:", "backends: {registry: 'mlflow+sqlite:///r.db'}\nrollout:")],
         "leave backends.registry (or --registry) out"),
        ([("rollout:", "inject: [{on: candidate, training: {stale: 30%}}]\nrollout:")],
         "the model of candidate is brought, not trained here"),
    ],
)  # fmt: skip
def test_wrong_words_are_told_in_the_scenario(folder: Path, changes: list[tuple[str, str]], told: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        checked(folder, *changes)
    (problem,) = refused.value.problems
    assert told in problem.message
    assert problem.line in {7, 9}


def test_mlflow_keeps_no_recorded_model(folder: Path) -> None:
    requires.module("mlflow")
    from harness.backends.mlflow import MlflowRegistry

    model = recorded(plan(folder), "m", Role.CANDIDATE, held(folder))
    with pytest.raises(RegistryError, match="register in memory"):
        run_virtual(lambda: MlflowRegistry(f"sqlite:///{folder}/r.db").register(model, "i"))
    assert not (folder / "r.db").exists()
