"""How often a counter rose, from samples: windows add up however they are cut, and a first sample counts only where it
is known what was before it.
"""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.backends.prometheus_api import Points, Series
from harness.backends.prometheus_series import Counted, Targets, clipped, counted
from harness.stats.cumulative import from_cumulative

OLD = {"instance": "a:1", "arm": "candidate"}
HERE = {**OLD, "code": "503"}


def rise(points: Points, start_ms: int, stop_ms: int, **given: object) -> Counted:
    """Of one counter in ``[start, stop)``, as a look asks for it."""
    series = (Series(HERE, points),)
    before = clipped(series, 0, start_ms)
    targets = given.get("targets", Targets())
    assert isinstance(targets, Targets)
    return counted(before, clipped(series, start_ms, stop_ms), targets, series)


@given(
    st.lists(st.tuples(st.integers(1, 50), st.one_of(st.integers(0, 5), st.just(-1))), min_size=2, max_size=40),
    st.lists(st.integers(0, 2000), min_size=1, max_size=5),
)
def test_windows_add_up_however_they_are_cut(steps: list[tuple[int, int]], cuts: list[int]) -> None:
    at, value, points, rises = 1, 0.0, list[tuple[int, float]](), list[int]()
    for gap, more in steps:
        at += gap
        anew = more < 0 and value > 2  # a process that began anew, and has counted two by now
        rises.append(2 if anew else max(more, 0))
        value = 2.0 if anew else value + max(more, 0)
        points.append((at, value))
    edges = sorted({points[0][0] + 1, *(cut for cut in cuts if cut > points[0][0]), at + 1})
    parts = [rise(tuple(points), a, b).total for a, b in pairwise(edges)]
    assert sum(parts) == rise(tuple(points), edges[0], edges[-1]).total == sum(rises[1:])


def test_the_first_sample_of_a_counter_that_its_target_did_not_have_before_is_a_rise() -> None:
    before = Targets(before=(Series(OLD, ((90, 1.0),)),))
    assert rise(((110, 3.0), (120, 4.0)), 100, 200, targets=before).total == 4


def test_after_an_adoption_a_counter_goes_on_where_it_stood_under_its_other_labels() -> None:
    now = {"instance": "a:1", "arm": "stable"}
    targets = Targets(before=(Series(OLD, ((90, 1.0),)),), within=(Series(now, ((110, 1.0), (120, 1.0))),))
    former = Series({**OLD, "code": "200"}, ((90, 40.0),))
    series = Series({**now, "code": "200"}, ((110, 42.0), (120, 45.0)))
    assert counted((), (series,), targets, (former, series)).total == 5


@pytest.mark.parametrize(("began_s", "total"), [(100.0, 9), (100.0 - 3600, 2), (None, 2)])
def test_a_new_target_counts_from_zero_only_where_its_process_is_young(began_s: float | None, total: int) -> None:
    began = {} if began_s is None else {"a:1": began_s}
    targets = Targets(within=(Series(OLD, ((110_000, 1.0),)),), began_s=began)
    assert rise(((110_000, 7.0), (120_000, 9.0)), 100_000, 200_000, targets=targets).total == total


def test_processes_of_ours_are_young() -> None:
    assert rise(((110, 7.0), (120, 9.0)), 100, 200, targets=Targets(ours=True)).total == 9


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_sample_that_is_no_number_spoils_the_windows_that_it_ends_or_begins(value: float) -> None:
    points = ((10, 1.0), (110, value), (210, 3.0), (310, 4.0))
    assert [rise(points, at, at + 100).spoilt for at in (100, 200, 300)] == [True, True, False]


@given(st.lists(st.integers(0, 200), min_size=3, max_size=3), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_a_quantile_lies_in_the_bucket_that_holds_its_rank(inside: list[int], quantile: float) -> None:
    bounds = (0.1, 0.25, 1.0)
    rising = [sum(inside[: at + 1]) for at in range(3)]
    found = from_cumulative({**dict(zip(bounds, rising, strict=True)), math.inf: rising[-1]})
    assert found.count == rising[-1]
    if found.count:
        rank = math.ceil(quantile * found.count * (1 - 1e-12))
        at = next(at for at, count in enumerate(rising) if count >= rank)
        assert (0.0, *bounds)[at] * 0.992 <= found.quantile(quantile) / 1e9 <= bounds[at] * 1.008


def test_buckets_that_fall_are_raised_and_what_is_beyond_the_last_bound_stands_at_it() -> None:
    found = from_cumulative({0.1: 5, 0.2: 3, math.inf: 9})
    assert found.count == 9
    assert found.quantile(0.99) / 1e9 == pytest.approx(0.2, rel=0.008)
    assert from_cumulative({math.inf: 9}).count == 0
