"""What a scenario says of an evaluation and of attempts: read to values, and refused with a place."""

import pytest

from harness.domain.attempts import Attempts
from harness.domain.evaluation import Cases, Directional, EvaluationPlan, Invariant, SlicePlan
from harness.domain.units import MINUTE, SECOND

WHERE = "\nbackends: {registry"


def asking(valid: str, evaluation: str) -> str:
    return valid.replace(WHERE, f"  evaluation: {evaluation}\n{WHERE}")


def test_every_key_of_an_evaluation(valid, load, folder):
    (folder / "cases.csv").write_text("age,charges,plan,churn\n30,9.5,DSL,No\n", encoding="utf-8")
    plan = load(
        asking(
            valid,
            """
    intervals: 1000
    slices: [plan, {column: age, bins: 3}, {columns: [plan, age]}]
    min_rows: 20
    calibration: true
    importance: 5
    metric: accuracy
    behaviour:
      - {invariant: plan, at_most: 2%}
      - {raise: charges, by: 10, must_not: lower, at_most: 5%}
      - {lower: charges, by: 2.5, must_not: raise}
      - {file: cases.csv}""",
        )
    ).model.evaluation
    assert plan == EvaluationPlan(
        intervals=1000,
        slices=(SlicePlan(("plan",)), SlicePlan(("age",), 3), SlicePlan(("plan", "age"))),
        min_rows=20,
        calibration=True,
        importance=5,
        behaviour=(
            Invariant("plan", 0.02),
            Directional("charges", 10.0, "lower", 0.05),
            Directional("charges", -2.5, "raise"),
            Cases(str(folder / "cases.csv")),
        ),
        metric="accuracy",
    )


def test_without_an_evaluation_there_is_none(valid, load):
    assert load(valid).model.evaluation is None
    assert load(asking(valid, "{}")).model.evaluation == EvaluationPlan()


@pytest.mark.parametrize(
    ("evaluation", "said"),
    [
        ("{intervals: -1}", "model.evaluation.intervals is -1"),
        ("{slices: [agee]}", "the data set has no such column; nearest: age"),
        ("{intervals: 100001}", "model.evaluation.intervals is 100001; this is a whole number from 0 to 100000"),
        ("{importance: 1000000}", "importance is 1000000; this is a whole number from 0 to 100000"),
        ("{slices: [churn]}", "it is the target; slices are by features"),
        ("{slices: [{column: age, bins: 1}]}", "bins is 1; this is a whole number of bins, 2 to 20"),
        ("{slices: [{columns: [age, age]}]}", "are two different ones; for one, write column"),
        ("{slices: [{bins: 3}]}", "lacks one of column, columns"),
        ("{metric: rmse}", "model.evaluation.metric is rmse"),
        ("{behaviour: [{invariant: plan, by: 3}]}", "by belongs to raise or lower"),
        ("{behaviour: [{raise: charges, by: 3}]}", "lacks must_not"),
        ("{behaviour: [{raise: charges, by: 0, must_not: lower}]}", "this is a number above 0, in the column's unit"),
        ("{behaviour: [{raise: charges, by: 1, must_not: fall}]}", "must_not is fall"),
        ("{behaviour: [{invariant: churn}]}", "it is the target; behaviour is about features"),
        (
            "{behaviour: [{invariant: plan, tolerance: 2}]}",
            "belongs to a regression's values; a label is right or wrong",
        ),
        ("{behaviour: [{file: gone.csv}]}", "no such file"),
        ("{behaviour: [{file: data/other.csv}]}", "it lacks the column churn: what is expected"),
        ("{behaviour: [{at_most: 1%}]}", "lacks one of invariant, raise, lower, file"),
        ("{behavior: []}", "behaviour"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(valid, problems, folder, evaluation, said):
    (folder / "data" / "other.csv").write_text("age,charges\n1,2\n", encoding="utf-8")
    (found,) = problems(asking(valid, evaluation))
    assert said in str(found)
    assert found.line > 10


def test_calibration_is_of_classifiers_and_all_of_it_of_a_data_set(valid, problems):
    numbers = asking(valid, "{calibration: true}").replace(', positive: "Yes"', "")
    assert any("is of probabilities, and this data set is for regression" in str(each) for each in problems(numbers))


def test_recorded_answers_are_asked_about_no_other_rows(valid, problems, folder):
    (folder / "said.csv").write_text("age,said\n30,No\n", encoding="utf-8")
    recorded = asking(valid, "{importance: 2, intervals: 100}").replace(
        "candidate: {algorithm: random_forest, params: {n_estimators: 100}, duration: 20m}",
        "candidate: {predictions: said.csv, key: age, column: said}",
    )
    (found,) = problems(recorded)
    assert "model.evaluation.importance asks about changed rows" in str(found)


# --- attempts ---------------------------------------------------------------------------------------------------------


def test_attempts_of_stages(valid, load):
    read = load(valid + "attempts: {train: {timeout: 30m, retries: 2}, fairness: {backoff: 1s}}\n")
    assert read.attempts == {
        "train": Attempts(30 * MINUTE, 2, 10 * SECOND),
        "fairness": Attempts(None, 0, SECOND),
    }
    assert load(valid).attempts == {}


@pytest.mark.parametrize(
    ("attempts", "said"),
    [
        ("{trian: {retries: 1}}", "attempts.trian is no stage that may be tried again; nearest: train"),
        ("{register: {retries: 1}}", "those are: validate, train"),
        ("{train: {retries: -1}}", "attempts.train.retries is -1"),
        ("{train: {retries: 101}}", "attempts.train.retries is 101; this is a whole number from 0 to 100"),
        ("{train: {timeout: 0s}}", "this duration is longer than 0s"),
        ("{train: {retry: 1}}", "retries"),
    ],
)
def test_attempts_that_cannot_be(valid, problems, attempts, said):
    (found,) = problems(valid + f"attempts: {attempts}\n")
    assert said in str(found)
