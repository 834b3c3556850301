"""The split: seeded, stratified, in the order of the file."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.split import Rows, split, target_of
from harness.errors import DataError
from harness.seeds import stream


def rows_of(target, classes=("No", "Yes")):
    return Rows(pd.DataFrame({"place": np.arange(len(target))}), np.asarray(target), classes)


@given(
    st.lists(st.integers(0, 1), min_size=20, max_size=200).filter(lambda t: 5 <= sum(t) <= len(t) - 5),
    st.floats(0.25, 0.75),
    st.integers(0, 100),
)
def test_every_row_is_on_one_side_in_order_and_classes_keep_their_share(target, share, seed):
    training, held = split(rows_of(target), share, stream(seed, "data/split"))
    places = [side.rows["place"].tolist() for side in (training, held)]
    assert sorted(places[0] + places[1]) == list(range(len(target)))
    assert all(side == sorted(side) for side in places)
    assert len(places[1]) == round(len(target) * share)
    for label in (0, 1):
        assert abs((held.target == label).sum() - share * target.count(label)) <= 1
    for side in (training, held):
        assert side.target.tolist() == [target[place] for place in side.rows["place"]]
        assert side.rows.index.tolist() == side.rows["place"].tolist(), "each row keeps its number in the data set"
        assert side.classes == ("No", "Yes")


def test_the_seed_decides_and_nothing_else():
    rows = rows_of([0, 1] * 50)
    first, again, other = (
        split(rows, 0.25, stream(seed, "data/split"))[1].rows["place"].tolist() for seed in (7, 7, 8)
    )
    assert first == again != other


def test_regression_is_split_at_random():
    training, held = split(rows_of(np.linspace(0, 1, 100), ()), 0.2, stream(1, "data/split"))
    assert (len(training.rows), len(held.rows)) == (80, 20)


@pytest.mark.parametrize(("target", "share"), [([0] * 9 + [1], 0.5), ([0, 1] * 5, 0.01), ([0, 1] * 5, 0.99)])
def test_both_sides_need_rows_of_both_classes(target, share):
    with pytest.raises(DataError, match="both sides need at least one"):
        split(rows_of(target), share, stream(1, "data/split"))


@pytest.mark.parametrize(
    ("values", "positive", "target", "classes"),
    [
        (["Yes", "No", "Yes"], "Yes", [1, 0, 1], ("No", "Yes")),
        (["Yes", "No", "Yes"], "No", [0, 1, 0], ("Yes", "No")),
        ([1.0, 0.0, 1.0], "1", [1, 0, 1], ("0", "1")),
        ([1.5, 0.0, 2.0], None, [1.5, 0.0, 2.0], ()),
    ],
)
def test_the_target_becomes_numbers(values, positive, target, classes):
    found, labels = target_of(pd.DataFrame({"t": values}), "t", positive)
    assert found.tolist() == target
    assert labels == classes
    assert found.dtype == (np.int64 if positive else np.float64)


@pytest.mark.parametrize(
    ("values", "positive", "message"),
    [
        (["a", "b", None], "a", "missing in 1 rows, the first is row 3"),
        (["a", "b", "c"], "a", "must hold two labels, but holds 3: 'a', 'b', 'c'"),
        (["a", "b", "a"], "yes", "no row has t = 'yes'.*it holds 'a', 'b'"),
        (["a", "b", "a"], None, "set model.data.positive"),
    ],
)
def test_a_target_that_does_not_fit_is_told(values, positive, message):
    with pytest.raises(DataError, match=message):
        target_of(pd.DataFrame({"t": values}, dtype=object), "t", positive)
