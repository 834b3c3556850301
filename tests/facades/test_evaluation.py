"""The handbook's `ModelEvaluator`: against scikit-learn, and as the handbook's test uses it."""

import doctest
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics
from sklearn.datasets import load_iris
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.svm import LinearSVC

import harness
from harness.domain.model import Task
from harness.errors import InputError
from harness.facades.evaluation import ModelEvaluator

DRAWS = np.random.default_rng(42)
X = pd.DataFrame({"a": DRAWS.normal(size=400), "b": DRAWS.normal(size=400)})
Y = ((X["a"] + DRAWS.normal(size=400)) > 0).astype(int)
TRAIN, TEST = slice(0, 300), slice(300, 400)
MODEL = LogisticRegression().fit(X[TRAIN], Y[TRAIN])
ASKED = ["accuracy", "precision", "recall", "f1"]


def evaluate(model=MODEL, x=X[TEST], y=Y[TEST], asked=None, **given):
    return ModelEvaluator(**given).evaluate_model(model=model, X_test=x, y_test=y, metrics=asked)


def test_the_handbooks_call_gives_scikit_learns_figures():
    assert harness.ModelEvaluator is ModelEvaluator
    found = evaluate(asked=ASKED)
    said = MODEL.predict(X[TEST])
    for name in ASKED:
        assert found.metrics[name] == getattr(metrics, f"{name}_score")(Y[TEST], said)
    assert found.metrics["accuracy"] > 0.5
    assert (found.rows, found.task, found.meets_requirements()) == (100, Task.CLASSIFICATION, True)


def test_without_names_all_of_the_task_are_given():
    found = evaluate().metrics
    chances = MODEL.predict_proba(X[TEST])
    assert list(found) == ["accuracy", "precision", "recall", "f1", "auc", "log_loss"]
    assert found["auc"] == metrics.roc_auc_score(Y[TEST], chances[:, 1])
    assert found["log_loss"] == metrics.log_loss(Y[TEST], chances)


def test_labels_may_be_texts_and_the_positive_one_is_the_last_or_named():
    words = np.where(Y == 1, "yes", "no")
    model = LogisticRegression().fit(X[TRAIN], words[TRAIN])
    for positive in (None, "no"):
        found = evaluate(model, y=words[TEST], positive=positive).metrics
        asked = words[TEST] == (positive or "yes")
        said = model.predict(X[TEST]) == (positive or "yes")
        assert found["recall"] == metrics.recall_score(asked, said)
        assert found["auc"] == pytest.approx(
            metrics.roc_auc_score(asked, model.predict_proba(X[TEST])[:, 0 if positive else 1])
        )


def test_more_classes_are_macro_averages():
    iris = load_iris()
    model = RandomForestClassifier(5, max_depth=2, random_state=1).fit(iris.data[::2], iris.target[::2])
    x, y = iris.data[1::2], iris.target[1::2]
    found = evaluate(model, x, y, resamples=100)
    for name in ("precision", "recall", "f1"):
        assert found.metrics[name] == getattr(metrics, f"{name}_score")(y, model.predict(x), average="macro")
    chances = model.predict_proba(x)
    assert found.metrics["auc"] == metrics.roc_auc_score(y, chances, multi_class="ovr", average="macro")
    assert found.metrics["log_loss"] == metrics.log_loss(y, chances)
    assert found.intervals == {}


def test_a_regression_has_errors_with_intervals():
    y = X["a"] * 2 + DRAWS.normal(size=400)
    model = LinearRegression().fit(X[TRAIN], y[TRAIN])
    found = evaluate(model, y=y[TEST], resamples=200)
    said = model.predict(X[TEST])
    assert found.metrics == {
        "rmse": metrics.root_mean_squared_error(y[TEST], said),
        "mae": metrics.mean_absolute_error(y[TEST], said),
        "r2": metrics.r2_score(y[TEST], said),
    }
    assert set(found.intervals) == set(found.metrics)
    assert found.intervals["rmse"].lower < found.metrics["rmse"] < found.intervals["rmse"].upper


def test_anything_that_predicts_is_measured():
    class Rule:
        def predict(self, rows):
            return (rows["a"] > 0).astype(int)

    found = evaluate(Rule(), resamples=100)
    assert list(found.metrics) == ASKED
    assert set(found.intervals) == set(ASKED)
    with pytest.raises(InputError, match="Rule gives no probabilities"):
        evaluate(Rule(), asked=["auc"])
    assert evaluate(LinearSVC().fit(X[TRAIN], Y[TRAIN]), asked=["auc"]).metrics["auc"] > 0.7


def test_requirements_are_met_or_named():
    good = evaluate(asked={"accuracy": 0.6, "log_loss": 0.9, "f1": "> 0.1"})
    assert good.meets_requirements() is True
    bad = evaluate(asked={"accuracy": 0.99, "log_loss": 0.01, "f1": "< 0.1"})
    assert bad.meets_requirements() is False
    assert [failure.split(" ")[0] for failure in bad.failures] == ["accuracy", "log_loss", "f1"]
    assert bad.failures[1].endswith("and must be <= 0.01")
    with pytest.raises(InputError, match="the requirement of f1 is 'good'"):
        evaluate(asked={"f1": "good"})


def test_nothing_predicted_positive_is_a_precision_of_nought():
    never = DummyClassifier(strategy="constant", constant=0).fit(X[TRAIN], Y[TRAIN])
    assert evaluate(never, asked=["precision"]).metrics == {"precision": 0.0}


def test_test_data_come_in_pairs_mappings_and_tables():
    table = X[TEST].assign(target=Y[TEST])
    forms = [(X[TEST], Y[TEST]), {"X": X[TEST], "y": Y[TEST]}, {"X_test": X[TEST], "y_test": Y[TEST]}, table]
    found = [ModelEvaluator().evaluate(model=MODEL, test_data=data, metrics=ASKED).metrics for data in forms]
    named = table.rename(columns={"target": "churn"})
    found.append(ModelEvaluator().evaluate(MODEL, named, ASKED, target="churn").metrics)
    assert all(each == found[0] for each in found)
    with pytest.raises(InputError, match="or a table with the column 'target'"):
        ModelEvaluator().evaluate(MODEL, named, ASKED)


def test_what_cannot_be_measured_says_why():
    with pytest.raises(InputError, match="rmse is no metric of classification; known: accuracy"):
        evaluate(asked=["rmse"])
    with pytest.raises(InputError, match="100 answers for 99 rows"):
        evaluate(y=Y[301:400])


def test_rows_without_answers_are_told():
    with pytest.raises(InputError, match="there are no rows to measure the model on: give test rows"):
        evaluate(x=X[:0], y=Y[:0])
    for lacking in ([0.0, np.nan], [0, None], ["0", None]):
        with pytest.raises(InputError, match=r"1 of 2 true answers are missing .*leave these rows out"):
            evaluate(x=X[:2], y=lacking)
    line = LinearRegression().fit(X[TRAIN], X["a"][TRAIN])
    with pytest.raises(InputError, match="1 of 2 true answers are no finite numbers"):
        evaluate(line, x=X[:2], y=[1.5, np.inf])
    with pytest.raises(InputError, match="a regression is measured by numbers, and true answers hold others"):
        evaluate(line, x=X[:2], y=["much", "little"])


def test_a_label_that_the_model_does_not_know_is_told():
    strange = Y[TEST].replace({1: 2})
    for asked in (["f1"], ["auc"], ["log_loss"], None):
        with pytest.raises(InputError, match="the true answers have 2, which the model does not know: it answers 0, 1"):
            evaluate(y=strange, asked=asked)
    assert evaluate(y=strange, asked=["accuracy"]).metrics["accuracy"] == np.mean(MODEL.predict(X[TEST]) == strange)
    with pytest.raises(InputError, match=r"have '0', '1', which the model does not know: .*labels as in training"):
        evaluate(y=Y[TEST].astype(str), asked=["accuracy"])
    with pytest.raises(InputError, match="positive is 'yes', and the labels are 0, 1"):
        evaluate(positive="yes")


def test_a_label_of_many_that_is_not_known_is_a_wrong_answer():
    rows, kinds = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=500).fit(rows, kinds)
    strange = np.where(np.arange(len(kinds)) < 10, 7, kinds)
    found = evaluate(model, rows, strange, ["accuracy", "f1"]).metrics
    assert found["f1"] == metrics.f1_score(strange, model.predict(rows), average="macro", zero_division=0)
    with pytest.raises(InputError, match="the true answers have 7"):
        evaluate(model, rows, strange, ["auc"])


@pytest.mark.parametrize("bound", [None, float("nan"), ">= x", ">= 1.2.3", "== 1", [0.5]])
def test_a_requirement_that_is_no_bound_is_told(bound):
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(InputError, match="the requirement of accuracy is"):
        ModelEvaluator().evaluate_model(model, [[0.0], [1.0]], [0, 1], {"accuracy": bound})


def test_what_the_document_shows_runs():
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    examples = "\n".join(re.findall(r"```pycon\n(.*?)```", page[page.index("## Evaluation\n") :], re.DOTALL))
    runner = doctest.DocTestRunner()
    runner.run(doctest.DocTestParser().get_doctest(examples, {}, "training.md", "docs/training.md", 0))
    assert runner.summarize(verbose=False).failed == 0
    assert runner.tries > 10
