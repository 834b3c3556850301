"""Quality from counts equals scikit-learn's on rows repeated as often."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn import metrics

from harness.drift.quality import classification, log_losses, regression

ROWS = 12
COUNTS = st.lists(st.integers(0, 5), min_size=ROWS, max_size=ROWS).map(np.array)
BITS = st.lists(st.integers(0, 1), min_size=ROWS, max_size=ROWS).map(np.array)
CHANCES = st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5, 0.9, 1.0]), min_size=ROWS, max_size=ROWS).map(np.array)
VALUES = st.lists(st.floats(-100, 100), min_size=ROWS, max_size=ROWS).map(np.array)


@given(COUNTS, BITS, CHANCES)
def test_classification_is_scikit_learns(counts, truth, chances):
    assume(counts.any())
    predicted = (chances > 0.5).astype(np.int64)
    found = classification(counts, truth, predicted, chances, log_losses(truth, chances))
    t, p, c = (np.repeat(values, counts) for values in (truth, predicted, chances))
    expected = {"accuracy": metrics.accuracy_score(t, p)}
    if p.any():
        expected["precision"] = metrics.precision_score(t, p)
    if t.any():
        expected["recall"] = metrics.recall_score(t, p)
    if p.any() or t.any():
        expected["f1"] = metrics.f1_score(t, p)
    if 0 < t.sum() < len(t):
        expected["auc"] = metrics.roc_auc_score(t, c)
        expected["log_loss"] = metrics.log_loss(t, c, labels=[0, 1])
    assert found == pytest.approx(expected, abs=1e-9)


@given(COUNTS, VALUES, VALUES)
def test_regression_is_scikit_learns(counts, truth, predicted):
    assume(counts.sum() > 1)
    t, p = np.repeat(truth, counts), np.repeat(predicted, counts)
    assume(np.var(t) > 1e-3)
    found = regression(counts, truth, predicted)
    assert found == pytest.approx(
        {
            "rmse": metrics.root_mean_squared_error(t, p),
            "mae": metrics.mean_absolute_error(t, p),
            "r2": metrics.r2_score(t, p),
        },
        rel=1e-9,
        abs=1e-9,
    )


def test_nothing_asked_is_nothing_measured():
    none = np.zeros(3, dtype=np.int64)
    assert classification(none, none, none, none / 1.0, None) == {}
    assert regression(none, none / 1.0, none / 1.0) == {}


def test_a_model_without_probabilities_has_no_log_loss():
    ones, truth = np.ones(2, dtype=np.int64), np.array([0, 1])
    assert classification(ones, truth, truth, np.array([-3.0, 4.0]), None) == {
        "accuracy": 1.0, "precision": 1.0, "recall": 1.0, "f1": 1.0, "auc": 1.0,
    }  # fmt: skip


def test_counts_of_months_of_traffic_stay_exact():
    counts = np.array([10**9 + 1, 10**9, 10**9 + 3])
    found = classification(counts, np.array([1, 0, 1]), np.array([1, 1, 0]), np.array([0.9, 0.8, 0.1]), None)
    assert found["accuracy"] == (10**9 + 1) / (3 * 10**9 + 4)
    assert found["auc"] == (10**9 + 1) / (2 * 10**9 + 4)
