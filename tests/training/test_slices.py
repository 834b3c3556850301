"""Metrics by slices, calibration and permutation importance, against pandas and scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import calibration_curve
from sklearn.inspection import permutation_importance
from sklearn.metrics import brier_score_loss, f1_score

from harness.data.split import Rows
from harness.domain.evaluation import SlicePlan
from harness.domain.model import Role, Task
from harness.errors import InputError
from harness.seeds import stream
from harness.training.answered import Answered, answered, answered_rows
from harness.training.brought import brought
from harness.training.calibration import calibration
from harness.training.importance import importance
from harness.training.slices import groups, sliced
from harness.training.weighed import value

from .conftest import fitted, make_rows
from .test_paired import classified, estimated


def of(word="logistic_regression", rows=None, role=Role.CANDIDATE):
    rows = make_rows(400) if rows is None else rows
    return brought(fitted(word, rows).estimator, "m", role, "here"), rows


# --- slices -----------------------------------------------------------------------------------------------------------


def test_each_slice_has_the_figures_of_its_rows_alone():
    model, rows = of()
    answers = answered(model, rows)
    found = sliced(answers, rows.rows, SlicePlan(("c",)))
    assert [each.name for each in found.slices] == ["a", "b", "c", "missing"]
    assert sum(each.rows for each in found.slices) == 400
    for each in found.slices:
        chosen = rows.rows["c"].isna() if each.name == "missing" else rows.rows["c"] == each.name
        assert each.rows == chosen.sum()
        theirs = f1_score(answers.target[chosen], answers.predicted[chosen])
        assert each.metrics["f1"] == pytest.approx(theirs)
    assert found.worst == min(found.slices, key=lambda each: each.metrics["f1"]).name
    assert found.overall == value("f1", answers)


def test_numbers_fall_into_quantile_bins_as_pandas_cuts_them():
    values = pd.Series(np.random.default_rng(1).normal(size=500).round(1))
    places, names = groups(values, 4)
    theirs = pd.qcut(values, 4)
    assert np.array_equal(places, theirs.cat.codes)
    assert names[0].startswith("≤ ")
    assert names[3].startswith("> ")
    assert len(names) == 4


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([1.0, 0.0, 1.0, np.nan], ["0", "1", "missing"]),
        ([0.0] * 90 + [1.0, 2.0, 3.0, 4.0, 5.0], ["≤ 0", "> 0"]),
        (["x"] * 3 + list("abcdefghijklmnopqrstuvwy"), [*"abcdefghijklmnopqrs", "x", "all others"]),
        ([True, False], ["False", "True"]),
    ],
)
def test_groups_are_named_by_what_they_hold(values, names):
    places, found = groups(pd.Series(values), 4)
    assert found == names
    assert set(places) == set(range(len(names)))


def test_two_columns_make_a_slice_of_each_pair_that_has_rows():
    rows = pd.DataFrame({"a": ["x", "x", "y"], "b": ["u", "v", "v"]})
    answers = Answered(Task.CLASSIFICATION, np.array([1, 0, 1]), np.array([1, 1, 1]))
    found = sliced(answers, rows, SlicePlan(("a", "b")), metric="accuracy", min_rows=1)
    assert [(each.name, each.metrics["accuracy"]) for each in found.slices] == [
        ("x × u", 1),
        ("x × v", 0),
        ("y × v", 1),
    ]
    assert (found.by, found.worst) == ("a × b", "x × v")


def test_a_slice_of_few_rows_is_shown_and_never_the_worst():
    answers = Answered(Task.REGRESSION, np.zeros(43), np.r_[np.linspace(0.5, 1.5, 40), 9.0, 9.0, 9.0])
    rows = pd.DataFrame({"c": ["a"] * 20 + ["b"] * 20 + ["few"] * 3})
    found = sliced(answers, rows, SlicePlan(("c",)), min_rows=20, resamples=50)
    assert [(each.name, each.compared, each.interval is None) for each in found.slices] == [
        ("a", True, False),
        ("b", True, False),
        ("few", False, True),
    ]
    assert found.metric == "rmse"
    assert found.worst in {"a", "b"}


def test_a_slice_that_is_worse_by_construction_is_named_and_surely_worse():
    draws = np.random.default_rng(3)
    rows = pd.DataFrame({"where": draws.choice(["home", "abroad"], 600), "n": draws.normal(size=600)})
    target = draws.integers(0, 2, 600)
    wrong = draws.random(600) < np.where(rows["where"] == "abroad", 0.4, 0.1)
    answers = Answered(Task.CLASSIFICATION, target, np.where(wrong, 1 - target, target))
    found = sliced(answers, rows, SlicePlan(("where",)), resamples=500, draws=stream(1, "s"))
    worst = next(each for each in found.slices if each.name == found.worst)
    assert worst.name == "abroad"
    assert worst.interval.upper < found.overall


def test_slices_by_no_column_are_an_error():
    with pytest.raises(InputError, match="slices by nowhere: the data's features have no such column; they are a"):
        sliced(classified(3), pd.DataFrame({"a": [1, 2, 3]}), SlicePlan(("nowhere",)))


# --- calibration ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("strategy", "kind"), [("uniform", "bins"), ("quantile", "equal_mass")])
def test_the_curve_is_scikit_learns(strategy, kind):
    answers = classified(500, seed=4)
    theirs = calibration_curve(answers.target, answers.score, n_bins=10, strategy=strategy)
    ours = getattr(calibration(answers), kind)
    assert [each.seen for each in ours] == pytest.approx(theirs[0])
    assert [each.predicted for each in ours] == pytest.approx(theirs[1])
    assert sum(each.rows for each in ours) == 500
    assert all(each.lower <= each.seen <= each.upper for each in ours)


def test_brier_is_scikit_learns_and_its_parts_add_up():
    answers = classified(500, seed=4)
    found = calibration(answers)
    assert found.brier == pytest.approx(brier_score_loss(answers.target, answers.score))
    assert found.brier == pytest.approx(found.reliability - found.resolution + found.uncertainty + found.within)


def test_murphys_decomposition_is_whole_where_each_probability_has_its_bin():
    draws = np.random.default_rng(2)
    score = draws.choice([0.05, 0.35, 0.75], 300)
    target = (draws.random(300) < score).astype(np.int64)
    found = calibration(Answered(Task.CLASSIFICATION, target, score > 0.5, score, probable=True))
    assert found.within == pytest.approx(0, abs=1e-15)
    by_hand = sum((score == p).mean() * abs(target[score == p].mean() - p) for p in (0.05, 0.35, 0.75))
    assert found.ece == pytest.approx(by_hand)
    assert found.uncertainty == pytest.approx(target.mean() * (1 - target.mean()))


def test_overconfidence_shows_and_honesty_does_not():
    draws = np.random.default_rng(5)
    honest = draws.random(20_000)
    target = (draws.random(20_000) < honest).astype(np.int64)
    sure = np.where(honest > 0.5, 0.95, 0.05)
    told = [Answered(Task.CLASSIFICATION, target, honest > 0.5, score, probable=True) for score in (honest, sure)]
    assert calibration(told[0]).ece < 0.015
    assert calibration(told[1]).ece == pytest.approx(0.2, abs=0.01)  # says 95 %, is right in 75 %
    assert calibration(told[1]).ece_equal_mass == pytest.approx(0.2, abs=0.01)


def test_calibration_is_of_probabilities():
    with pytest.raises(InputError, match="the model gives none"):
        calibration(estimated())
    with pytest.raises(InputError, match="no row"):
        calibration(classified(10).take(np.zeros(0, np.int64)))


# --- importance -------------------------------------------------------------------------------------------------------


def test_importance_is_scikit_learns_with_the_metric_asked_for():
    model, rows = of()
    found = importance(model, rows, metric="auc", repeats=4, draws=stream(2, "i"))
    theirs = permutation_importance(
        model.estimator,
        rows.rows,
        np.array(["No", "Yes"])[rows.target],
        scoring="roc_auc",
        n_repeats=4,
        random_state=stream(2, "i").integer(),
    )
    ours = {each.column: (each.drop, each.sd) for each in found.columns}
    for place, name in enumerate(rows.rows.columns):
        assert ours[name] == pytest.approx((theirs.importances_mean[place], theirs.importances_std[place]), abs=1e-12)
    assert found.columns[0].column == "x"
    assert found.baseline == value("auc", answered(model, rows))


def test_what_an_error_gains_is_a_drop():
    rows = make_rows(300, regression=True)
    model = brought(fitted("linear_regression", rows).estimator, "m", Role.CANDIDATE, "here")
    found = importance(model, rows, repeats=2)
    assert found.metric == "rmse"
    assert found.columns[0].column == "x"
    assert found.columns[0].drop > 0.3
    idle = next(each for each in found.columns if each.column == "n")
    assert abs(idle.drop) < 0.05


def test_of_many_rows_some_are_asked():
    model, rows = of()
    found = importance(model, rows, repeats=1, most=100)
    assert found.rows == 100
    place = np.unique(np.linspace(0, 399, 100).astype(int))
    assert found.baseline == value("f1", answered_rows(model, rows.rows.iloc[place], rows.target[place]))


def test_recorded_answers_cannot_be_asked_of_shuffled_rows():
    from dataclasses import replace

    from harness.domain.model import Source

    model, rows = of()
    with pytest.raises(InputError, match="of the candidate model only recorded answers are known"):
        importance(replace(model, source=Source.RECORDED), Rows(rows.rows, rows.target, rows.classes))


def test_a_figure_that_no_resample_changes_has_no_interval():
    never = Answered(Task.CLASSIFICATION, np.array([0, 1] * 20), np.zeros(40, np.int64))
    found = sliced(never, pd.DataFrame({"c": ["a"] * 40}), SlicePlan(("c",)), resamples=100)
    assert (found.slices[0].metrics["f1"], found.slices[0].interval) == (0.0, None)
