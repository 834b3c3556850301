"""Online detectors alarm at the rows at which river alarms, on the electricity market and on errors of a model."""

import inspect

import numpy as np
import pytest
import river.drift
from hypothesis import given
from hypothesis import strategies as st

from harness import seeds
from harness.drift.online import PageHinkley
from harness.drift.stream import ONLINE, River, alarms, alarms_of, online
from harness.errors import InputError

START, CHANGE = 17_000, 424
STREAM = seeds.stream(8, "online")
RIVER = {"adwin": river.drift.ADWIN, "kswin": river.drift.KSWIN, "page_hinkley": river.drift.PageHinkley}
SETTINGS = [
    ("adwin", {}),
    ("adwin", {"delta": 0.05, "clock": 1}),
    ("kswin", {"seed": 5}),
    ("kswin", {"alpha": 0.0001, "window_size": 200, "stat_size": 50, "seed": 1}),
    ("page_hinkley", {"threshold": 3.0}),
    ("page_hinkley", {"threshold": 2.0, "mode": "down", "min_instances": 10}),
]


@pytest.fixture(scope="module")
def elec2():
    """Demand; what stood still up to row 17,424 (Victoria's price, transfer); errors of "as it was"."""
    import pandas as pd

    rows = pd.read_csv("scenarios/data/electricity.csv.gz").iloc[START : START + 900]
    up = (rows["class"] == "UP").to_numpy()
    return {
        "nswdemand": rows["nswdemand"].to_numpy(),
        "vicprice": rows["vicprice"].to_numpy(),
        "transfer": rows["transfer"].to_numpy(),
        "errors": np.r_[0.0, up[1:] != up[:-1]],
    }


def rivers(detector, values):
    found = []
    for row, value in enumerate(values.tolist()):
        detector.update(value)
        if detector.drift_detected:
            found.append(row)
    return tuple(found)


@pytest.mark.parametrize("column", ["nswdemand", "transfer", "errors"])
@pytest.mark.parametrize(("name", "parameters"), SETTINGS, ids=str)
def test_alarms_are_rivers(elec2, column, name, parameters):
    values = elec2[column]
    assert alarms(online(name, STREAM, **parameters), values) == rivers(RIVER[name](**parameters), values)


@pytest.mark.parametrize(("name", "column"), [("adwin", "transfer"), ("kswin", "vicprice"), ("kswin", "transfer")])
def test_the_change_of_the_market_is_found(elec2, name, column):
    found = alarms(online(name, STREAM), elec2[column])
    assert CHANGE < found[0] < CHANGE + 200


def test_several_detectors_hear_the_same(elec2):
    detectors = {name: online(name, STREAM) for name in ("adwin", "page_hinkley")}
    assert alarms_of(detectors, elec2["transfer"]) == {
        name: alarms(online(name, STREAM), elec2["transfer"]) for name in detectors
    }


@pytest.mark.parametrize("name", ONLINE)
def test_parameters_are_rivers_and_so_are_their_defaults(name):
    signature = inspect.signature(RIVER[name]).parameters
    assert ONLINE[name].defaults == {key: signature[key].default for key in ONLINE[name].defaults}
    assert set(signature) - {"window"} == set(ONLINE[name].defaults)


def test_kswin_draws_from_the_stream_it_is_given(elec2):
    same = [alarms(online("kswin", STREAM), elec2["nswdemand"]) for _ in range(2)]
    direct = rivers(river.drift.KSWIN(seed=STREAM.integer()), elec2["nswdemand"])
    other = alarms(online("kswin", STREAM.child("other")), elec2["nswdemand"])
    assert same == [direct, direct]
    assert other != direct


@given(st.lists(st.floats(0, 1), max_size=150), st.sampled_from([0.5, 2.0]), st.sampled_from([0.0, 0.005, 0.1]))
def test_our_page_hinkley_is_rivers_where_conventions_agree(values, threshold, tolerance):
    theirs = online("page_hinkley", STREAM, threshold=threshold, delta=tolerance, mode="up", alpha=1.0, min_instances=1)
    assert alarms(PageHinkley(threshold, tolerance), values) == alarms(theirs, values)


def test_where_the_two_page_hinkleys_differ():
    """A fall, and a rise within the first thirty values: ours is for errors, which may only rise, from the start."""
    falling, early = [1.0] * 200 + [0.0] * 200, [0.0] * 10 + [1.0] * 15
    theirs, ours = lambda: online("page_hinkley", STREAM, threshold=5.0), lambda: PageHinkley(5.0)
    assert alarms(ours(), falling) == ()
    assert alarms(theirs(), falling)
    assert alarms(ours(), early)
    assert alarms(theirs(), early) == ()


def test_missing_values_are_not_heard_of():
    values = np.r_[np.zeros(300), np.ones(300)]
    gaps = np.insert(values, [100, 300, 301], np.nan)
    whole, parted = (alarms(online("adwin", STREAM), each) for each in (values, gaps))
    assert [row + 3 for row in whole] == list(parted)


def test_what_is_wrong_is_told():
    assert isinstance(online("adwin", STREAM), River)
    with pytest.raises(InputError, match="'ddm'; there are adwin, kswin, page_hinkley"):
        online("ddm", STREAM)
    with pytest.raises(InputError, match="adwin has no parameter 'threshold'; it has delta, clock"):
        online("adwin", STREAM, threshold=3)
    with pytest.raises(InputError, match="kswin: Alpha must be between 0 and 1"):
        online("kswin", STREAM, alpha=3)
