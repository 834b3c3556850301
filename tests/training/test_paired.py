"""Intervals by the bootstrap and two models on the same rows, against scikit-learn, scipy, closed forms and papers."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from harness.domain.model import Role, Task
from harness.errors import InputError
from harness.seeds import stream
from harness.stats.intervals import wilson
from harness.training.answered import Answered, answered
from harness.training.bootstrap import bounds, counts, intervals
from harness.training.brought import brought
from harness.training.paired import difference, disagreements, mcnemar, mcnemar_of, paired_difference
from harness.training.weighed import defined, names, value, weighed

from .conftest import fitted, make_rows

CLASSIFICATION = {
    "accuracy": lambda a, w: metrics.accuracy_score(a.target, a.predicted, sample_weight=w),
    "precision": lambda a, w: metrics.precision_score(a.target, a.predicted, sample_weight=w),
    "recall": lambda a, w: metrics.recall_score(a.target, a.predicted, sample_weight=w),
    "f1": lambda a, w: metrics.f1_score(a.target, a.predicted, sample_weight=w),
    "auc": lambda a, w: metrics.roc_auc_score(a.target, a.score, sample_weight=w),
    "log_loss": lambda a, w: metrics.log_loss(a.target, a.score, sample_weight=w),
    "brier": lambda a, w: metrics.brier_score_loss(a.target, a.score, sample_weight=w),
}
REGRESSION = {
    "rmse": lambda a, w: metrics.root_mean_squared_error(a.target, a.predicted, sample_weight=w),
    "mae": lambda a, w: metrics.mean_absolute_error(a.target, a.predicted, sample_weight=w),
    "r2": lambda a, w: metrics.r2_score(a.target, a.predicted, sample_weight=w),
}


def classified(rows=300, seed=1, skill=1.0):
    """Answers of a classifier with ties among its scores."""
    draws = np.random.Generator(np.random.Philox(seed))
    target = draws.integers(0, 2, rows)
    score = np.round(1 / (1 + np.exp(-(skill * (2 * target - 1) + draws.normal(0, 1.5, rows)))), 2)
    return Answered(Task.CLASSIFICATION, target, (score > 0.5).astype(np.int64), score, probable=True)


def estimated(rows=300, seed=1):
    draws = np.random.Generator(np.random.Philox(seed))
    target = draws.normal(50, 3, rows)
    return Answered(Task.REGRESSION, target, target + draws.normal(0.2, 1, rows))


@pytest.mark.parametrize(("answers", "theirs"), [(classified(), CLASSIFICATION), (estimated(), REGRESSION)])
def test_a_resample_is_scored_as_scikit_learn_scores_weighted_rows(answers, theirs):
    assert set(names(answers.task)) == set(theirs)
    (weights,) = counts(len(answers), 5, stream(3, "test"))
    for name, score in theirs.items():
        ours = weighed(name, answers).of(weights)
        assert ours == pytest.approx([score(answers, row) for row in weights], rel=1e-10), name
        assert value(name, answers) == pytest.approx(score(answers, None), rel=1e-10), name


@pytest.mark.parametrize(("answers", "theirs"), [(classified(60), CLASSIFICATION), (estimated(60), REGRESSION)])
def test_the_jackknife_leaves_out_each_row_in_turn(answers, theirs):
    for name in theirs:
        by_hand = [value(name, answers.take(np.arange(60) != place)) for place in range(60)]
        assert weighed(name, answers).left_out() == pytest.approx(by_hand, rel=1e-9), name


def test_what_rows_do_not_define_is_not_a_number_and_gets_no_interval():
    none = Answered(Task.CLASSIFICATION, np.zeros(8, np.int64), np.zeros(8, np.int64))
    assert defined(none) == ("accuracy", "precision", "recall", "f1")
    assert all(math.isnan(value(name, none)) for name in ("precision", "recall", "f1"))
    assert math.isnan(value("r2", Answered(Task.REGRESSION, np.full(5, 0.1), np.arange(5.0))))
    assert set(intervals(none)) == {"accuracy"}
    with pytest.raises(InputError, match="auc needs scores"):
        weighed("auc", none)
    with pytest.raises(InputError, match="rmse is no metric of classification; known: accuracy, precision"):
        weighed("rmse", none)


def test_resamples_are_the_same_however_they_are_cut(monkeypatch):
    whole = np.concatenate(list(counts(50, 40, stream(1, "cut"))))
    monkeypatch.setattr("harness.training.bootstrap.CELLS", 350)
    cut = list(counts(50, 40, stream(1, "cut")))
    assert len(cut) == 6
    assert np.array_equal(np.concatenate(cut), whole)
    assert (whole.sum(axis=1) == 50).all()
    assert whole.var() == pytest.approx(49 / 50, abs=0.1)  # of a multinomial count: n p (1 - p)


def test_bca_bounds_are_scipys_of_the_same_resamples():
    draws = np.random.Generator(np.random.Philox(4))
    sample = draws.exponential(size=80)
    theirs = stats.bootstrap((sample,), np.mean, n_resamples=999, method="BCa", rng=draws)
    left_out = (sample.sum() - sample) / 79
    lower, upper, method = bounds(theirs.bootstrap_distribution, sample.mean(), 0.95, left_out)
    assert (lower, upper) == pytest.approx(theirs.confidence_interval, rel=1e-12)
    assert method == "bca"
    less = stats.bootstrap(
        (sample,), np.mean, n_resamples=0, method="percentile", alternative="less", bootstrap_result=theirs
    )
    assert bounds(theirs.bootstrap_distribution, sample.mean(), 0.95, None, "less")[:2] == pytest.approx(
        less.confidence_interval
    )


@pytest.mark.parametrize("method", ["bca", "percentile"])
def test_intervals_agree_with_scipys_own_bootstrap(method):
    answers = classified(400)
    ours = intervals(answers, ("accuracy", "auc"), resamples=4000, method=method, draws=stream(2, "test"))
    theirs = stats.bootstrap(
        (answers.right.astype(float),), np.mean, n_resamples=4000, method=method, rng=np.random.default_rng(1)
    ).confidence_interval
    assert (ours["accuracy"].lower, ours["accuracy"].upper) == pytest.approx(theirs, abs=0.006)
    assert ours["accuracy"].lower < ours["accuracy"].value < ours["accuracy"].upper
    assert ours["auc"].method == method


def test_intervals_hold_what_is_true_as_often_as_they_say():
    """Accuracy 0.8 by construction, 200 rows, 400 seeds: 95 % (the sampling error of 400 is 1.1 points)."""
    held = close = 0
    for seed in range(400):
        right = np.random.Generator(np.random.Philox(seed)).random(200) < 0.8
        answers = Answered(Task.CLASSIFICATION, np.ones(200, np.int64), right.astype(np.int64))
        found = intervals(answers, ("accuracy",), resamples=300, draws=stream(seed, "coverage"))["accuracy"]
        lower, upper = wilson(float(right.mean()), 200, 1.96)
        held += found.lower <= 0.8 <= found.upper
        close += abs(found.lower - lower) < 0.02 and abs(found.upper - upper) < 0.02
    assert 0.92 <= held / 400 <= 0.98
    assert close >= 360


def test_a_proportion_without_an_error_gets_wilsons_interval():
    perfect = Answered(Task.CLASSIFICATION, np.ones(30, np.int64), np.ones(30, np.int64))
    found = intervals(perfect, ("accuracy", "recall"))
    assert {one.method for one in found.values()} == {"wilson"}
    assert (found["accuracy"].lower, found["accuracy"].upper) == pytest.approx(
        tuple(stats.binomtest(30, 30).proportion_ci(method="wilson"))
    )


def test_the_same_seed_gives_the_same_interval_and_another_another():
    answers = classified(100)
    first, again, other = (intervals(answers, draws=stream(seed, "x"), resamples=200) for seed in (1, 1, 2))
    assert first == again
    assert first["f1"].lower != other["f1"].lower
    with pytest.raises(InputError, match="0 resamples are none"):
        intervals(answers, resamples=0)


# --- two models -------------------------------------------------------------------------------------------------------


def test_the_paired_difference_of_a_mean_is_that_of_the_differences():
    stable = estimated(300)
    candidate = replace(stable, predicted=stable.predicted + 0.1)
    found = difference(stable, candidate, "mae", resamples=4000, method="percentile", draws=stream(1, "d"))
    each = np.abs(candidate.predicted - candidate.target) - np.abs(stable.predicted - stable.target)
    theirs = stats.bootstrap((each,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(2))
    assert found.estimate == pytest.approx(each.mean())
    assert (found.lower, found.upper) == pytest.approx(theirs.confidence_interval, abs=0.002)
    assert found.lower_is_better
    assert found.worse_share > 0.99  # more error


def test_pairing_makes_the_interval_narrow_where_models_agree():
    stable = classified(400)
    flipped = np.where(np.arange(400) < 6, 1 - stable.predicted, stable.predicted)
    paired = difference(stable, replace(stable, predicted=flipped), "accuracy")
    alone = intervals(stable, ("accuracy",))["accuracy"]
    assert paired.upper - paired.lower < (alone.upper - alone.lower) / 2


def test_one_sided_intervals_bound_one_side():
    stable, candidate = classified(300, seed=1), classified(300, seed=1, skill=1.0)
    candidate = replace(candidate, predicted=np.where(np.arange(300) < 20, 1 - candidate.target, candidate.predicted))
    less, greater, both = (
        difference(stable, candidate, "accuracy", alternative=side) for side in ("less", "greater", "two-sided")
    )
    assert (less.lower, greater.upper) == (-math.inf, math.inf)
    assert both.lower < greater.lower < both.estimate < less.upper < both.upper
    assert less.upper < 0  # the candidate is worse, and surely so


def test_the_difference_covers_the_truth_as_often_as_it_says():
    """Two classifiers that are right 80 % and 75 % of the time, 300 rows, 300 seeds."""
    held = 0
    for seed in range(300):
        draws = np.random.Generator(np.random.Philox(seed))
        common, target = draws.random(300), np.ones(300, np.int64)
        stable = Answered(Task.CLASSIFICATION, target, (common < 0.8).astype(np.int64))
        candidate = replace(stable, predicted=((common < 0.6) | (draws.random(300) < 0.375)).astype(np.int64))
        found = difference(stable, candidate, "accuracy", resamples=300, draws=stream(seed, "d"))
        held += found.lower <= -0.05 <= found.upper
    assert 0.915 <= held / 300 <= 0.985


def test_two_models_are_asked_the_same_rows():
    rows = make_rows(400)
    models = [
        replace(brought(fitted(word, rows).estimator, "m", role, "here"), classes=rows.classes)
        for word, role in (("logistic_regression", Role.STABLE), ("decision_tree", Role.CANDIDATE))
    ]
    found = paired_difference(*models, rows, "auc", resamples=100)
    assert found.candidate == pytest.approx(value("auc", answered(models[1], rows)))
    assert found.rows == 400
    test = mcnemar_of(*models, rows, alternative="less")
    assert (test.only_stable, test.only_candidate) == disagreements(*(answered(model, rows) for model in models))
    assert test.only_candidate > test.only_stable  # a full tree knows its training rows by heart
    assert test.p_value > 0.99


def test_models_of_other_rows_are_not_compared():
    with pytest.raises(InputError, match="the true answers differ"):
        difference(classified(100), classified(100, seed=2), "accuracy")
    with pytest.raises(InputError, match="the true answers differ"):
        disagreements(classified(100), classified(100, seed=2))
    nobody = Answered(Task.CLASSIFICATION, np.zeros(5, np.int64), np.zeros(5, np.int64))
    with pytest.raises(InputError, match="5 rows do not define recall"):
        difference(nobody, nobody, "recall")


# Tables of statsmodels' own test of its exact test, and the p-values there (from the Vassar calculator).
@pytest.mark.parametrize(
    ("only_stable", "only_candidate", "p_value"),
    [
        (121, 59, 0.000004),
        (70, 59, 0.378688),
        (80, 59, 0.089452),
        (30, 60, 0.00206),
        (10, 30, 0.002221),
        (10, 10, 1.0),
    ],
)
def test_mcnemar_has_statsmodels_published_p_values(only_stable, only_candidate, p_value):
    assert mcnemar(only_stable, only_candidate).p_value == pytest.approx(p_value, abs=5e-7)


# Fagerland, Lydersen and Laake (2013), the two examples: airway hyper-responsiveness, complete response.
@pytest.mark.parametrize(("b", "c", "exact", "mid"), [(1, 7, 0.070, 0.039), (6, 16, 0.052, 0.035)])
def test_mcnemar_has_the_papers_exact_and_mid_p_values(b, c, exact, mid):
    assert mcnemar(b, c).p_value == pytest.approx(exact, abs=6e-4)
    assert mcnemar(b, c, mid_p=True).p_value == pytest.approx(mid, abs=6e-4)


@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
@pytest.mark.parametrize(("b", "c"), [(3, 9), (9, 3), (5, 5), (0, 4)])
def test_mcnemar_is_a_binomial_test(b, c, alternative):
    theirs = stats.binomtest(c, b + c, 0.5, alternative=alternative).pvalue
    assert mcnemar(b, c, alternative=alternative).p_value == pytest.approx(theirs, rel=1e-12)


def test_mcnemar_of_no_disagreement_finds_nothing():
    assert mcnemar(0, 0).p_value == 1.0
    with pytest.raises(InputError, match="-1 and 2"):
        mcnemar(-1, 2)


@pytest.mark.parametrize(
    ("resamples", "told"), [(0, "0 resamples are none"), (100_001, "100,001 resamples are too many")]
)
def test_too_few_and_too_many_resamples_are_refused(resamples, told):
    with pytest.raises(InputError, match=told):
        next(counts(10, resamples, stream(0, "x")))
