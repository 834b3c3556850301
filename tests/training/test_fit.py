"""Every algorithm of the table, on columns as they come."""

import numpy as np
import pandas as pd
import pytest

from harness.data.split import Rows
from harness.domain.model import Task
from harness.errors import InputError
from harness.training.algorithms import effective, parameters
from harness.training.features import conform
from harness.training.fit import label_values
from harness.training.vocabulary import ALGORITHM_NAMES, ALGORITHMS

from .conftest import fitted, make_rows

NO_CHANCES = ("linear_svm", "svm")
TREES = ("random_forest", "random_forest_regressor", "extra_trees", "extra_trees_regressor")


@pytest.mark.parametrize("word", ALGORITHM_NAMES)
def test_every_algorithm_trains_and_answers(word):
    regression = ALGORITHMS[word].task is Task.REGRESSION
    rows = make_rows(regression=regression)
    small = {"n_estimators": 5} if word in TREES else {}
    model = fitted(word, rows, **small)
    answers = model.estimator.predict(rows.rows)
    assert model.notes == ()
    if not regression:
        assert set(answers) <= {"No", "Yes"}
        if word in NO_CHANCES:
            assert not hasattr(model.estimator, "predict_proba")
        else:
            assert model.estimator.predict_proba(rows.rows).shape == (200, 2)


def test_the_words_are_sorted():
    assert list(ALGORITHM_NAMES) == sorted(ALGORITHM_NAMES)


@pytest.mark.parametrize("word", ["logistic_regression", "random_forest", "gradient_boosting"])
@pytest.mark.parametrize(
    "change",
    [
        {"c": np.nan},
        {"c": None},
        {"x": np.nan},
        {"x": None, "n": None, "c": None},
        {"c": "never seen"},
        {"c": 5},
    ],
    ids=str,
)
def test_live_columns_may_be_missing_or_hold_anything(rows, word, change):
    small = {"n_estimators": 5} if word in TREES else {}
    live = conform(rows.rows.assign(**change), rows.rows)
    chances = fitted(word, rows, **small).estimator.predict_proba(live)
    assert np.isfinite(chances).all()


def test_rows_from_elsewhere_get_the_columns_and_types_of_known_ones(rows):
    live = pd.DataFrame([{"c": None, "n": "3", "more": 1}, {"c": "b", "n": "?"}])
    found = conform(live, rows.rows)
    assert list(found.columns) == ["x", "n", "c"]
    assert found.dtypes.to_dict() == rows.rows.dtypes.to_dict()
    assert found["n"].tolist() == pytest.approx([3.0, np.nan], nan_ok=True)
    assert found["c"].isna().tolist() == [True, False]


@pytest.mark.parametrize("columns", [["x"], ["c"], ["x", "n"]])
def test_columns_of_one_kind_suffice(rows, columns):
    few = Rows(rows.rows[columns], rows.target, rows.classes)
    assert len(fitted("logistic_regression", few).estimator.predict(few.rows)) == 200


def test_a_column_without_any_value_is_no_obstacle(rows):
    empty = Rows(rows.rows.assign(x=np.nan), rows.target, rows.classes)
    assert np.isfinite(fitted("logistic_regression", empty).estimator.predict_proba(empty.rows)).all()


def test_features_are_learnt_from_training_rows_only(rows):
    model = fitted("logistic_regression", rows).estimator
    before = model[:-1].transform(rows.rows[:5])
    model.predict(rows.rows.assign(x=1e9, c="new"))
    assert (model[:-1].transform(rows.rows[:5]) == before).all()


def test_labels_are_answered_as_the_data_write_them():
    assert label_values(("No", "Yes")).tolist() == ["No", "Yes"]
    assert label_values(("0", "1")).tolist() == [0, 1]
    assert label_values(("-1", "1")).tolist() == [-1, 1]
    assert label_values(("01", "1")).tolist() == ["01", "1"]


def test_what_does_not_converge_is_noted_and_no_warning(rows):
    (note,) = fitted("logistic_regression", rows, max_iter=1).notes
    assert note.startswith("logistic_regression: lbfgs failed to converge")


def test_parameters_are_told_by_name():
    assert parameters("ridge") == (
        "alpha", "fit_intercept", "max_iter", "positive", "random_state", "solver", "tol",
    )  # fmt: skip
    with pytest.raises(InputError, match=r"no parameter 'n_estimator'; did you mean n_estimators\? \(allowed: boot"):
        effective("random_forest", {"n_estimator": 5}, 1)
    with pytest.raises(InputError, match="n_jobs is set by the harness"):
        effective("random_forest", {"n_jobs": 5}, 1)
    with pytest.raises(InputError, match=r"no algorithm 'random_forrest'; did you mean random_forest\?"):
        effective("random_forrest", {}, 1)


def test_the_random_state_is_the_seeds_unless_given():
    assert effective("random_forest", {}, 5)["random_state"] == 5
    assert effective("random_forest", {"random_state": None}, 5)["random_state"] == 5
    assert effective("random_forest", {"random_state": 6}, 5)["random_state"] == 6
    assert "random_state" not in effective("naive_bayes", {}, 5)


@pytest.mark.parametrize(
    ("word", "params", "message"),
    [
        ("logistic_regression", {"C": -1.0}, "logistic_regression could not be trained.*'C'"),
        ("logistic_regression", {"C": "much"}, "logistic_regression could not be trained.*'C'"),
        ("ridge", {}, "ridge is an algorithm for regression, but the target is labels"),
    ],
)
def test_what_scikit_learn_refuses_is_told(rows, word, params, message):
    with pytest.raises(InputError, match=message):
        fitted(word, rows, **params)
