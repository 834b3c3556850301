"""Folds: scikit-learn's, with features that see nothing of what they are judged on; and figures over folds."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from scipy import stats
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import cross_validate as sklearns

from harness.data.split import Rows
from harness.domain.training import FoldsPlan, Split
from harness.errors import InputError
from harness.seeds import stream
from harness.training.algorithms import effective
from harness.training.features import pipeline
from harness.training.folds import cross_validate, estimate, folds_of, ratio_of

from .conftest import make_rows

DRAWS = stream(5, "folds")


def cut(rows, *args, draws=DRAWS, **kwargs):
    return folds_of(rows, FoldsPlan(*args, **kwargs), draws)


@pytest.mark.parametrize(
    ("word", "split", "scoring"),
    [
        ("logistic_regression", Split.STRATIFIED, {"accuracy": "accuracy", "f1": "f1", "auc": "roc_auc"}),
        ("logistic_regression", Split.RANDOM, {"precision": "precision", "recall": "recall"}),
        ("ridge", Split.RANDOM, {"r2": "r2", "mae": "neg_mean_absolute_error"}),
        ("ridge", Split.TIME, {"r2": "r2", "rmse": "neg_root_mean_squared_error"}),
    ],
)
def test_figures_are_scikit_learns_on_the_same_folds(word, split, scoring):
    rows = make_rows(regression=word == "ridge")
    folds = cut(rows, 4, split)
    found = cross_validate(word, {}, rows, folds, 1, split=split)
    made = (Ridge if word == "ridge" else LogisticRegression)(**effective(word, {}, 1))
    places = [(fold.train, fold.test) for fold in folds]
    theirs = sklearns(pipeline(rows.rows, made), rows.rows, rows.target, cv=places, scoring=scoring)
    for name, scorer in scoring.items():
        values = theirs[f"test_{name}"] * (-1 if scorer.startswith("neg_") else 1)
        assert found.folds[name] == pytest.approx(values.tolist(), rel=1e-12)
        assert found.estimates[name].mean == pytest.approx(values.mean(), rel=1e-12)


def test_features_learn_from_a_folds_own_training_rows_alone():
    """A value of the rows judged on that would shift every mean changes nothing but its own row."""
    rows = make_rows(60)
    fold = cut(rows, 5)[0]
    wild = rows.rows.copy()
    wild.loc[wild.index[fold.test[0]], "x"] = 1e9
    before = cross_validate("logistic_regression", {}, rows, [fold, fold], 1, split=Split.STRATIFIED)
    after = cross_validate(
        "logistic_regression", {}, Rows(wild, rows.target, rows.classes), [fold, fold], 1, split=Split.STRATIFIED
    )
    changed = abs(before.folds["accuracy"][0] - after.folds["accuracy"][0]) * len(fold.test)
    assert changed <= 1 + 1e-9


# --- how rows are cut -------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(count=some.integers(20, 200), folds=some.integers(2, 6), seed=some.integers(0, 99))
def test_each_row_is_judged_on_once_and_never_learned_from_then(count, folds, seed):
    rows = make_rows(count, regression=True, seed=seed)
    made = cut(rows, folds, Split.RANDOM, draws=stream(seed, "x"))
    assert sorted(np.concatenate([fold.test for fold in made])) == list(range(count))
    assert all(sorted([*fold.train, *fold.test]) == list(range(count)) for fold in made)


def test_classes_are_split_alike():
    rows = make_rows(203)
    shares = [rows.target[fold.test].mean() for fold in cut(rows, 5)]
    assert max(shares) - min(shares) < 0.03


@settings(max_examples=40, deadline=None)
@given(count=some.integers(30, 200), folds=some.integers(2, 5), gap=some.integers(0, 3))
def test_in_order_of_time_nothing_is_judged_before_what_is_learned_from(count, folds, gap):
    made = cut(make_rows(count, regression=True), folds, Split.TIME, gap=gap)
    for earlier, later in itertools.pairwise(made):
        assert earlier.test.max() < later.test.min()
        assert set(earlier.train) < set(later.train)
    for fold in made:
        assert fold.test.min() - fold.train.max() == gap + 1
        assert list(fold.train) == list(range(len(fold.train)))
    other = cut(make_rows(count, regression=True), folds, Split.TIME, gap=gap, draws=stream(6, "other"))
    assert all((a.test == b.test).all() for a, b in zip(made, other, strict=True))


def test_a_group_is_never_on_both_sides():
    rows = make_rows(100)
    names = pd.DataFrame({"who": np.repeat([f"u{number}" for number in range(20)], 5)})
    names.loc[7, "who"] = None
    grouped = Rows(rows.rows, rows.target, rows.classes, names)
    for fold in cut(grouped, 4, Split.GROUP, "who"):
        assert not set(names["who"].fillna("-")[fold.train]) & set(names["who"].fillna("-")[fold.test])
    with pytest.raises(InputError, match="the data have no 'whom'"):
        cut(grouped, 4, Split.GROUP, "whom")
    few = grouped.take(np.arange(50, 75))
    assert len(cut(few, 4, Split.GROUP, "who")) == 4


def test_one_seed_one_cut():
    rows = make_rows()
    one, same, other = (cut(rows, 5, draws=draws) for draws in (DRAWS, DRAWS, stream(6, "folds")))
    assert all((a.test == b.test).all() for a, b in zip(one, same, strict=True))
    assert not all((a.test == b.test).all() for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("rows", "args", "message"),
    [
        (make_rows(), (1,), "at least 2"),
        (make_rows(5), (7,), "5 rows cannot be cut into 7 stratified folds"),
        (make_rows(regression=True), (3, Split.STRATIFIED), "this target holds numbers"),
        (make_rows(20), (3, Split.TIME, "", 50), "20 rows cannot be cut into 3 time folds"),
    ],
)
def test_what_cannot_be_cut_is_told(rows, args, message):
    with pytest.raises(InputError, match=message):
        cut(rows, *args)


def test_a_fold_that_would_learn_from_one_class_is_told():
    rows = make_rows(60)
    sorted_rows = rows.take(np.argsort(rows.target, kind="stable"))
    with pytest.raises(InputError, match=r"fold 1 \(time\) would learn from rows of one class"):
        cut(sorted_rows, 4, Split.TIME)


# --- figures over folds -----------------------------------------------------------------------------------------------


def test_the_interval_is_the_corrected_resampled_t():
    """Nadeau & Bengio (2003), equation 10, by hand for five equal folds."""
    values = [0.80, 0.82, 0.84, 0.78, 0.81]
    found = estimate(values, 1 / 4)
    variance = sum((value - 0.81) ** 2 for value in values) / 4
    error = ((1 / 5 + 1 / 4) * variance) ** 0.5
    assert found.sd == pytest.approx(variance**0.5)
    assert found.standard_error == pytest.approx(error)
    assert found.high - found.mean == pytest.approx(2.7764451051977987 * error)  # t of 4 degrees of freedom, 97.5 %
    plain = stats.ttest_1samp(values, 0).confidence_interval()
    assert (found.high - found.low) / (plain.high - plain.low) == pytest.approx((1 + 5 / 4) ** 0.5)


def test_a_metric_that_a_fold_does_not_define_has_no_mean():
    rows = make_rows()
    found = cross_validate("majority", {}, rows, cut(rows, 3), 1, split=Split.STRATIFIED)
    majority_is_negative = rows.target.mean() < 0.5
    assert ("precision" in found.folds) is not majority_is_negative
    assert "accuracy" in found.estimates
    assert ratio_of(cut(rows, 4)) == pytest.approx(1 / 3, rel=0.02)
