"""Fairness: fairlearn's figures, intervals of the right spread, and a gate that tells biased models from fair ones."""

from dataclasses import replace
from typing import Any

import fairlearn.metrics as fl
import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.domain.gates import Check, Fairness, Judge, Measure, limit_of
from harness.domain.model import Role, Source, Task, TrainedModel
from harness.errors import InputError
from harness.gates import fairness
from harness.gates.groups import cells, grouping, rates, redrawn
from harness.gates.scene import Scene
from harness.protocols import Population
from harness.seeds import stream
from tests.gates import adult

SHARE = limit_of("<= 15%", Measure.SHARE)


def asked(*words: str, columns: tuple[str, ...] = ("sex",), bound: str = "<= 15%", **more: Any) -> Fairness:
    return Fairness(columns, {word: limit_of(bound, Measure.SHARE) for word in words}, **more)


def only(plan: Fairness, scene: Scene) -> Check:
    (check,) = fairness.judge(plan, scene)
    return check


# --- figures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [("sex",), ("race",), ("sex", "race")])
def test_figures_of_adult_are_fairlearns(columns: tuple[str, ...]) -> None:
    scene = Scene(adult.plain(), None, adult.whole())
    answers, held = scene.answers, adult.whole()
    groups = grouping(held.rows, columns, min_rows=1)
    sensitive = held.rows[list(columns)].agg(" & ".join, axis=1)
    counted = cells(answers.target, answers.predicted, groups)
    for word, (figure, name) in fairness.FIGURES.items():
        theirs = getattr(fl, name)(answers.target, answers.predicted, sensitive_features=sensitive)
        assert float(figure(rates(counted))) == pytest.approx(theirs, abs=1e-12)
        assert only(asked(word, columns=columns, min_rows=1), scene).value == pytest.approx(theirs, abs=1e-12)


def test_the_table_of_adult_is_fairlearns_by_group() -> None:
    scene = Scene(adult.plain(), None, adult.whole())
    check = only(asked("equalised_odds", columns=("race",), min_rows=1), scene)
    metrics = {"n": fl.count, "sel": fl.selection_rate, "tpr": fl.true_positive_rate, "fpr": fl.false_positive_rate}
    theirs = fl.MetricFrame(
        metrics=metrics,
        y_true=scene.answers.target,
        y_pred=scene.answers.predicted,
        sensitive_features=adult.whole().rows["race"],
    ).by_group
    assert check.details is not None
    assert [row[0] for row in check.details.rows] == list(theirs.index)
    for row, (_, their) in zip(check.details.rows, theirs.iterrows(), strict=True):
        assert row[1] == their["n"]
        assert row[3:] == pytest.approx(tuple(their[["sel", "tpr", "fpr"]]), abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from("abc")), min_size=12, max_size=60))
def test_figures_are_fairlearns_of_any_rows(drawn: list[tuple[bool, bool, str]]) -> None:
    target, predicted, group = (np.array(each) for each in zip(*drawn, strict=True))
    target, predicted = target.astype(int), predicted.astype(int)
    names = sorted(set(group))
    assume(len(names) > 1 and all(len(set(target[group == name])) == 2 for name in names))
    groups = grouping(pd.DataFrame({"g": group}), ("g",), min_rows=1)
    of = rates(cells(target, predicted, groups))
    for word, (figure, name) in fairness.FIGURES.items():
        if word == "demographic_parity_ratio" and not predicted.any():
            continue
        theirs = getattr(fl, name)(target, predicted, sensitive_features=group)
        assert float(figure(of)) == pytest.approx(theirs, abs=1e-12)


def test_a_group_with_one_true_answer_alone_has_no_part_in_odds() -> None:
    """Fairlearn counts a rate of no rows as 0, the farthest from fair; here the group is left out."""
    group = np.repeat(["a", "b", "c"], 40)
    target = np.r_[np.tile([0, 1], 40), np.zeros(40, int)]
    rows = pd.DataFrame({"g": group, "x": target.astype(float)})
    scene = Scene(_echo(), None, Population(rows, target))
    assert only(asked("equalised_odds", columns=("g",)), scene).value == 0
    assert fl.equalized_odds_difference(target, target, sensitive_features=group) == 1


# --- intervals --------------------------------------------------------------------------------------------------------


def test_redrawn_rates_spread_as_a_binomial_share_does() -> None:
    counted = np.array([[500, 100, 50, 150], [60, 10, 5, 25]])
    drawn = rates(np.concatenate(list(redrawn(counted, 20_000, np.random.default_rng(1))))).selection
    for place, row in enumerate(counted):
        size, share = row.sum(), (row[1] + row[3]) / row.sum()
        assert drawn[:, place].mean() == pytest.approx(share, abs=0.002)
        assert drawn[:, place].std() == pytest.approx(np.sqrt(share * (1 - share) / size), rel=0.03)


@pytest.mark.parametrize("most", [7, 8, 16, 100, 2**40])
def test_what_is_redrawn_in_parts_is_what_is_drawn_at_once(most: int) -> None:
    counted = np.array([[500, 100, 50, 150], [6, 1, 0, 2]])
    generator = stream(3, "parts").generator()
    whole = np.stack([generator.multinomial(row.sum(), row / row.sum(), size=33) for row in counted], axis=1)
    parts = list(redrawn(counted, 33, stream(3, "parts").generator(), most=most))
    assert max(part.size for part in parts) <= max(most, counted.size)
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_more_resamples_than_tell_anything_are_refused() -> None:
    with pytest.raises(InputError, match="100,001 resamples are too many: give 100,000 or fewer"):
        next(redrawn(np.array([[5, 1, 5, 1]]), 100_001, np.random.default_rng(1)))


def test_an_interval_holds_the_normal_ones_ends() -> None:
    """Of two large groups the difference is nearly normal."""
    scene = Scene(adult.plain(), None, adult.whole())
    check = only(asked("demographic_parity", resamples=4000), scene)
    assert check.details is not None
    assert check.interval is not None
    spread = np.sqrt(sum(row[3] * (1 - row[3]) / row[1] for row in check.details.rows))  # type: ignore[operator,misc]
    assert check.interval == pytest.approx((check.value - 1.96 * spread, check.value + 1.96 * spread), abs=0.002)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    plan = asked("equalised_odds", resamples=200)
    first, again, other = (only(plan, adult.scene(adult.plain(), seed=seed)).interval for seed in (1, 1, 2))
    assert first == again != other


# --- the gate ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("judge", list(Judge))
def test_models_biased_on_purpose_are_rejected(judge: Judge) -> None:
    shifted = adult.model(adult.Thresholds(adult.plain().estimator, 0.9))
    for biased in (adult.flipped(), shifted):
        check = only(asked("equalised_odds", judge=judge), adult.scene(biased))
        assert not check.passed
        assert check.value > 0.5  # type: ignore[operator]


@pytest.mark.parametrize("judge", list(Judge))
def test_mitigated_models_pass(judge: Judge) -> None:
    """By fairlearn's ThresholdOptimizer, or by leaving out the sex and what stands for it."""
    for fair in (adult.mitigated(), adult.without_proxies()):
        assert only(asked("equalised_odds", judge=judge), adult.scene(fair)).passed


def test_four_fifths_is_a_bound_on_the_ratio() -> None:
    check = only(asked("demographic_parity_ratio", bound=">= 80%"), adult.scene(adult.plain()))
    assert not check.passed
    assert "was 0.315" in check.reason


def test_a_figure_may_keep_its_bound_where_its_interval_does_not() -> None:
    scene = adult.scene(adult.plain())
    found = {judge: only(asked("equalised_odds", judge=judge), scene) for judge in Judge}
    assert found[Judge.POINT].passed
    assert "the figure is judged" in found[Judge.POINT].reason
    assert not found[Judge.INTERVAL].passed
    assert "its interval is judged" in found[Judge.INTERVAL].reason
    assert found[Judge.POINT].interval == found[Judge.INTERVAL].interval


def test_groups_that_are_too_small_are_told_and_left_out() -> None:
    scene = adult.scene(adult.plain())
    few = only(asked("demographic_parity", columns=("race",), min_rows=100), scene)
    assert "left out, being too small: Amer-Indian-Eskimo (49 rows), Other (39 rows)" in few.reason
    assert few.details is not None
    assert few.details.rows[-1][:3] == ("Other", 39, None)
    with pytest.raises(InputError, match=r"makes 1 groups of at least 2000 rows.*lower min_rows"):
        only(asked("demographic_parity", min_rows=2000), scene)


def test_what_cannot_be_asked_is_wrong_input() -> None:
    scene = adult.scene(adult.plain())
    with pytest.raises(InputError, match="no column 'gender'; they have age, "):
        only(asked("demographic_parity", columns=("gender",)), scene)
    with pytest.raises(InputError, match=r"fnlwgt has 3,.* values, which make no groups"):
        only(asked("demographic_parity", columns=("fnlwgt",)), scene)
    with pytest.raises(InputError, match="fairness of a classification has no mean_error"):
        only(asked("mean_error"), scene)
    with pytest.raises(InputError, match="no held-out rows"):
        only(asked("demographic_parity"), replace(scene, population=None))


def test_missing_values_are_a_group() -> None:
    rows = pd.DataFrame({"g": ["a", None, "a", None], "n": [1.0, 2.0, np.nan, 1.0]})
    assert grouping(rows, ("g",), 1).names == ("(missing)", "a")
    assert grouping(rows, ("n",), 1).names == ("(missing)", "1", "2")


# --- regression -------------------------------------------------------------------------------------------------------


class _Echo:
    """Answers what a column says."""

    classes_ = np.array([0, 1])

    def predict(self, rows: Any) -> Any:
        return rows["x"].to_numpy()


def _echo(task: Task = Task.CLASSIFICATION) -> TrainedModel:
    classes = ("0", "1") if task is Task.CLASSIFICATION else ()
    return TrainedModel("m", Role.CANDIDATE, Source.GIVEN, "echo", {}, _Echo(), task, ("g", "x"), classes, "d")


def test_errors_of_a_regression_are_compared_by_group() -> None:
    draws = np.random.default_rng(3)
    group, target = np.repeat(["a", "b"], [300, 100]), draws.normal(size=400)
    error = np.where(group == "a", 0.0, 2.0) + draws.normal(size=400)
    rows = pd.DataFrame({"g": group, "x": target + error})
    scene = Scene(_echo(Task.REGRESSION), None, Population(rows, target))
    limits = {word: limit_of("<= 1") for word in fairness.ERRORS}
    mean, absolute = fairness.judge(Fairness(("g",), limits, judge=Judge.INTERVAL), scene)
    of = [error[group == name] for name in "ab"]
    assert mean.value == pytest.approx(of[1].mean() - of[0].mean())
    assert absolute.value == pytest.approx(abs(np.abs(of[1]).mean() - np.abs(of[0]).mean()))
    spread = np.sqrt(sum(each.var() / len(each) for each in of))
    assert mean.interval == pytest.approx((mean.value - 1.96 * spread, mean.value + 1.96 * spread), abs=0.06)  # type: ignore[operator]
    assert not mean.passed
