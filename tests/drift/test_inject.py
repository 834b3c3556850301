"""Drift put into rows: by strength, on exact shares, nested, and never in the rows given."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.domain.fault import LabelDrift, Missing, Scale, Shift, Swap
from harness.drift.inject import check, drifted, relabelled
from harness.errors import InputError

ROWS = pd.DataFrame({"x": np.arange(10, dtype=np.float64), "n": np.arange(10), "c": ["a", "b"] * 5})
RANKS = np.random.Generator(np.random.Philox(3)).permutation(10)
EFFECTS = [Shift("x", 2.0), Scale("x", 3.0), Swap("c", "a", "b"), Missing("c", 0.5), Missing("n", 1.0)]
STRENGTHS = st.floats(0, 1)


def put(effect, strength, rows=ROWS):
    return drifted(rows, effect, strength, RANKS, deviation=4.0)


@pytest.mark.parametrize("effect", EFFECTS, ids=str)
def test_rows_given_stay_as_they_are_and_no_strength_is_no_effect(effect):
    before = ROWS.copy(deep=True)
    put(effect, 1.0)
    pd.testing.assert_frame_equal(before, ROWS)
    pd.testing.assert_frame_equal(put(effect, 0.0), ROWS)


def test_a_shift_moves_by_reference_deviations():
    assert (put(Shift("x", -2.0), 0.5)["x"] - ROWS["x"]).unique().tolist() == [-4.0]


def test_a_scale_grows_with_strength():
    assert put(Scale("x", 3.0), 0.5)["x"].tolist() == (ROWS["x"] * 2).tolist()
    assert put(Scale("x", 0.01), 1.0)["x"].tolist() == pytest.approx((ROWS["x"] / 100).tolist())


def test_a_swap_changes_places():
    assert put(Swap("c", "a", "b"), 1.0)["c"].tolist() == ["b", "a"] * 5


@given(STRENGTHS, STRENGTHS)
@pytest.mark.parametrize("effect", EFFECTS[2:], ids=str)
def test_a_row_once_reached_stays_reached(effect, one, other):
    weak, strong = (_changed(put(effect, strength), effect.column) for strength in sorted((one, other)))
    assert not (weak & ~strong).any()
    assert strong.sum() == round(max(one, other) * getattr(effect, "share", 1.0) * 10)


def _changed(frame, column):
    return np.array([a != b for a, b in zip(frame[column], ROWS[column], strict=True)])


def test_missing_values_keep_the_columns_type():
    assert put(Missing("c", 1.0), 1.0)["c"].dtype == ROWS["c"].dtype
    assert put(Missing("n", 1.0), 1.0)["n"].isna().all()


def test_answers_are_turned_or_moved():
    labels, values = np.array([0, 1] * 5), np.linspace(0, 1, 10)
    turned = relabelled(labels, LabelDrift(0.4), 0.5, RANKS, 0.5)
    assert (turned != labels).sum() == 2
    assert turned.dtype == labels.dtype
    moved = relabelled(values, LabelDrift(1.0), 1.0, RANKS, 0.25)
    assert (moved - values).tolist() == pytest.approx([0.25] * 10)


@pytest.mark.parametrize(
    ("effect", "message"),
    [
        (Shift("y", 1.0), "no feature is called 'y'; there are x, n, c"),
        (Shift("c", 1.0), "only a column of numbers"),
        (Swap("x", "a", "b"), "only two categories"),
        (Swap("c", "a", "z"), "c never is 'z'; it is one of a, b"),
    ],
)
def test_effects_that_do_not_fit_are_told(effect, message):
    with pytest.raises(InputError, match=message):
        check(ROWS, effect)
    for fitting in [*EFFECTS, LabelDrift(0.1)]:
        check(ROWS, fitting)
