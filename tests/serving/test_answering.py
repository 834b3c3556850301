"""What a model is asked and what it says: the quick way is the slow way, and a batch is its rows one by one."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    StandardScaler,
)

from harness.domain.model import Role, Task
from harness.errors import ArtifactError
from harness.serving.answering import Answerer, NotFinite
from harness.serving.checking import Checker
from harness.serving.features import Kind, read
from harness.serving.probe import served
from harness.training.brought import brought
from tests.serving.trained import CLASSIFIERS, REGRESSORS, churn, made_of, pipeline, random_row, rows_of, serving


def answerer(estimator: Any) -> tuple[Answerer, Checker, Any]:
    one = serving(estimator)
    return Answerer(estimator, one.features, one.task), Checker(one.features), one


@pytest.mark.parametrize("word", [*CLASSIFIERS, *REGRESSORS])
def test_the_quick_way_says_exactly_what_the_slow_way_says(word: str) -> None:
    asked, checker, one = answerer(pipeline(word))
    assert asked.quick
    draws = np.random.default_rng(7)
    rows = checker.rows([*(rows_of(one) if word in CLASSIFIERS else []), *(random_row(one, draws) for _ in range(150))])
    assert asked.answer(rows) == asked.slow(rows)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 20), st.sampled_from(["logistic_regression", "random_forest", "ridge"]))
def test_the_quick_way_is_the_slow_way_for_any_rows(seed: int, count: int, word: str) -> None:
    asked, checker, one = answerer(pipeline(word))
    draws = np.random.default_rng(seed)
    rows = checker.rows([random_row(one, draws) for _ in range(count)])
    assert asked.answer(rows) == asked.slow(rows)


@pytest.mark.parametrize("word", ["logistic_regression", "random_forest", "naive_bayes", "ridge"])
def test_a_batch_is_answered_as_its_rows_one_by_one(word: str) -> None:
    asked, checker, one = answerer(pipeline(word))
    draws = np.random.default_rng(11)
    rows = checker.rows([random_row(one, draws) for _ in range(64)])
    together = asked.answer(rows)
    alone = [asked.answer([row]) for row in rows]
    if one.labels:
        assert together.values == [each.values[0] for each in alone]
        sure = [each.confidences[0] for each in alone if each.confidences]
        assert together.confidences == pytest.approx(sure, rel=1e-12)
    else:
        assert together.values == pytest.approx([each.values[0] for each in alone], rel=1e-9)


@pytest.mark.parametrize("word", CLASSIFIERS)
def test_it_says_what_scikit_learn_says_of_the_data_set(word: str) -> None:
    model = pipeline(word)
    asked, checker, one = answerer(model)
    said = asked.answer(checker.rows(rows_of(one, 300)))
    frame = churn().rows.iloc[:300]
    assert said.values == list(model.predict(frame))
    if hasattr(model, "predict_proba"):
        assert said.confidences == pytest.approx(model.predict_proba(frame).max(axis=1), rel=1e-12)
    else:  # a support vector machine says how far, and not how sure
        assert said.confidences is None or set(said.confidences) == {None}


def own(*parts: Any) -> Any:
    """A column transformer that somebody else might have built, fitted to four columns."""
    draws = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "a": draws.normal(size=200),
            "b": draws.normal(size=200) * 1e3,
            "c": draws.choice(["x", "y", "z"], 200),
            "d": draws.choice(["p", None], 200),
        }
    )
    target = np.where(frame["a"] + (frame["c"] == "x") > 0.3, "yes", "no")
    model = make_pipeline(ColumnTransformer(list(parts)), LogisticRegression(max_iter=10_000))
    return model.fit(frame, target)


ENCODERS = {
    "dropped": (OneHotEncoder(drop="first", sparse_output=False), False),
    "ignored": (OneHotEncoder(handle_unknown="ignore", sparse_output=False), True),
    "rare": (OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=70, sparse_output=False), True),
    "ordinal": (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2), True),
    "refused": (make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(sparse_output=False)), True),
    "sparse": (OneHotEncoder(handle_unknown="ignore", sparse_output=True), None),
}


@pytest.mark.parametrize(
    "numbers",
    [
        SimpleImputer(),
        StandardScaler(),
        MinMaxScaler(),
        "passthrough",
        make_pipeline(SimpleImputer(), PolynomialFeatures()),
    ],
)
@pytest.mark.parametrize("word", ENCODERS)
@pytest.mark.filterwarnings("ignore:Found unknown categories")
def test_other_peoples_pipelines_are_answered_as_they_answer(word: str, numbers: Any) -> None:
    encoder, quick = ENCODERS[word]
    model = own(("n", numbers, ["a", "b"]), ("c", encoder, ["c"]), ("d", "drop", ["d"]))
    asked, checker, one = answerer(model)
    if quick is not None:
        assert asked.quick is quick
    draws = np.random.default_rng(5)
    rows = []
    for _ in range(60):
        row = random_row(one, draws)
        closed = {each.name: each.known[0] for each in one.features if each.closed and row[each.name] not in each.known}
        rows.append(row | closed)
    asked_rows = checker.rows(rows)
    assert asked.answer(asked_rows) == asked.slow(asked_rows)


def test_what_an_encoder_refuses_is_refused_before_it_is_asked() -> None:
    model = own(("n", SimpleImputer(), ["a", "b"]), ("c", OneHotEncoder(sparse_output=False), ["c"]))
    features = {feature.name: feature for feature in serving(model).features}
    assert features["c"].closed
    assert features["c"].known == ("x", "y", "z")
    assert not features["c"].nullable
    assert features["a"].nullable


def test_kinds_are_read_off_the_parts() -> None:
    frame = pd.DataFrame({"n": [1.0, 2, 3, 4], "t": ["a", "b", "a", "b"], "i": [1, 2, 1, 2], "f": [True, False] * 2})
    encode = make_column_transformer(
        (OneHotEncoder(), ["t"]), (OneHotEncoder(handle_unknown="ignore"), ["i"]), (OneHotEncoder(), [3]),
        (StandardScaler(), slice(0, 1)),
    )  # fmt: skip
    model = make_pipeline(encode, LogisticRegression()).fit(frame, ["no", "yes", "no", "yes"])
    kinds = {feature.name: (feature.kind, feature.known) for feature in read(model, list(frame.columns))}
    assert kinds == {
        "n": (Kind.NUMBER, ()),
        "t": (Kind.TEXT, ("a", "b")),
        "i": (Kind.NUMBER, (1.0, 2.0)),
        "f": (Kind.BOOLEAN, (False, True)),
    }


def test_columns_that_no_part_tells_of_may_hold_anything_and_are_never_asked_together() -> None:
    frame = pd.DataFrame({"a": [1.0, 2, 3, 4], "b": [4.0, 3, 2, 1]})
    model = make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()).fit(frame, ["no", "no", "yes", "yes"])
    one = serving(model)
    assert {feature.kind for feature in one.features} == {Kind.ANY}
    asked = Answerer(model, one.features, one.task)
    assert not asked.together
    assert asked.answer([[1.0, 4.0]]).values == ["no"]


def test_models_of_bare_numbers_wrapped_and_unnamed() -> None:
    draws = np.random.default_rng(1)
    values, target = draws.normal(size=(80, 3)), np.arange(80) % 2
    frame = pd.DataFrame(values, columns=["a", "b", "c"])
    for model in (
        LogisticRegression().fit(frame, target),
        GridSearchCV(LogisticRegression(), {"C": [1.0]}, cv=2).fit(frame, target),
        CalibratedClassifierCV(LogisticRegression(), cv=2).fit(frame, target),
        make_pipeline(PolynomialFeatures(), StandardScaler(), RandomForestClassifier(5)).fit(frame, target),
    ):
        one = serving(model)
        assert [(each.name, each.kind) for each in one.features] == [(name, Kind.NUMBER) for name in "abc"]
        rows = Checker(one.features).rows([dict(zip("abc", row, strict=True)) for row in values.tolist()])
        asked = Answerer(model, one.features, one.task)
        assert asked.quick is not hasattr(model, "calibrated_classifiers_")  # whose inner models know names
        said = asked.answer(rows)
        assert said == asked.slow(rows)
        assert said.values == model.predict(frame).tolist()
        assert said.confidences == pytest.approx(model.predict_proba(frame).max(axis=1))
    unnamed = LogisticRegression().fit(values, target)
    one = serving(unnamed)
    assert [each.name for each in one.features] == ["x0", "x1", "x2"]
    assert Answerer(unnamed, one.features, one.task).answer(values.tolist()).values == unnamed.predict(values).tolist()


def test_numbers_that_would_overflow_are_limited_and_nulls_that_would_fail_refused() -> None:
    draws = np.random.default_rng(1)
    frame = pd.DataFrame(draws.normal(size=(60, 2)), columns=["a", "b"])
    forest = serving(RandomForestClassifier(3).fit(frame, np.arange(60) % 2))
    assert all(1e30 < each.limit < 3.5e38 and each.nullable for each in forest.features)  # trees think in 32 bits
    linear = serving(LinearRegression().fit(frame, frame["a"]))
    assert not any(each.nullable for each in linear.features)


def test_near_ties_are_decided_by_the_model_itself() -> None:
    class Tied(LogisticRegression):
        """Says the second although the first is as likely."""

        def predict(self, rows: Any) -> Any:
            return np.array(["yes"] * len(rows))

        def predict_proba(self, rows: Any) -> Any:
            return np.full((len(rows), 2), 0.5)

    Tied.__name__, Tied.__module__ = "LogisticRegression", "sklearn.made_up"
    frame = pd.DataFrame({"a": [0.0, 1.0]})
    model = Tied().fit(frame, ["no", "yes"])
    assert Answerer(model, serving(model).features, Task.CLASSIFICATION).answer([[0.0]]).values == ["yes"]


def test_an_answer_that_is_not_finite_is_none() -> None:
    class Broken:
        feature_names_in_ = np.array(["a"], dtype=object)

        def predict(self, rows: Any) -> Any:
            return np.where(rows["a"] > 0, np.nan, 1.0)

    model = made_of(Broken(), Task.REGRESSION, ["a"])
    asked = Answerer(model.estimator, served(model, "m", "1", "t").features, Task.REGRESSION)
    assert asked.answer([[-1.0]]).values == [1.0]
    with pytest.raises(NotFinite):
        asked.answer([[1.0]])


def test_a_model_that_answers_nothing_is_refused() -> None:
    frame = pd.DataFrame({"a": [0.0, 1.0]})
    model = LogisticRegression().fit(frame, ["no", "yes"])
    model.coef_ = np.ones((1, 7))
    with pytest.raises(ArtifactError, match="answers no row"):
        served(brought(model, "m", Role.STABLE, "f"), "m", "1", "f.skops")
