"""Records: windows add up, sums hold everything once, and memory is bounded."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.domain.lost import LOST, OTHERS, PRESUMED, lost_in
from harness.domain.model import SERVING, Role
from harness.stats.histogram import Histogram
from harness.users.records import CODES, KINDS, Records, Table
from harness.users.sums import FAILED, LATELY, MET, Sums

OUTCOMES = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 30), st.sampled_from(SERVING), st.sampled_from(KINDS)), max_size=60
)


def write(records: Records, done_ns: int, due_ns: int, role: Role, kind: str, **other: float) -> None:
    values = {"user": 0, "cls": 0, "row": 0, "level": 0, "labelled": False, "predicted": 0.0, "score": 0.0}
    records.append(**values | other, done_ns=done_ns, due_ns=due_ns, role=SERVING.index(role), kind=CODES[kind])


def filled(outcomes: list, over=lambda table: None) -> Records:
    records, now = Records(10**9, over), 0
    for later, took, role, kind in outcomes:
        now += later
        write(records, now, now - took, role, kind)
    return records


@given(OUTCOMES, st.lists(st.integers(0, 3000), min_size=1, max_size=6))
def test_neighbouring_windows_hold_what_the_whole_holds(outcomes, cuts):
    records = filled(outcomes)
    edges = [0, *sorted(cuts), 4000]
    for role in SERVING:
        parts = [records.between(a, b).of(role) for a, b in itertools.pairwise(edges)]
        whole = records.between(0, 4000).of(role)
        assert sum(map(len, parts)) == len(whole) == sum(each[2] is role for each in outcomes)
        assert Histogram.merge(part.latency for part in parts) == whole.latency
        assert sum((Counter(part.errors) for part in parts), Counter()) == Counter(whole.errors)
        assert Counter(whole.errors) == Counter(each[3] for each in outcomes if each[2] is role and each[3] != "ok")


@given(OUTCOMES, st.sets(st.integers(0, 59)), st.integers(0, 100))
def test_sums_hold_each_outcome_once_whenever_they_are_asked(outcomes, asked, keep_ns):
    tables: list[Table] = []
    records, now = Records(keep_ns, tables.append), 0
    for number, (later, took, role, kind) in enumerate(outcomes):
        now += later
        write(records, now, now - took, role, kind)
        if number in asked:
            records.settle()
            records._drop(now - keep_ns)  # as `append` does once there are thousands
    records.settle()
    seen = [int(code) for table in tables for code in table["kind"]]
    assert seen == [CODES[kind] for *_, kind in outcomes]
    assert len(records.since(now - keep_ns)) == sum(
        done >= now - keep_ns for done in np.cumsum([each[0] for each in outcomes])
    )


def test_what_is_older_than_any_window_is_dropped_and_said_to_be():
    count = 0

    def add(table: Table) -> None:
        nonlocal count
        count += len(table)

    records = Records(1000, add)
    for now in range(100_000):
        write(records, now, now, Role.STABLE, "ok")
    assert len(records) < 20_000
    assert len(records.between(99_000, 100_000)) == 1000
    with pytest.raises(ValueError, match="is not kept"):
        records.between(0, 100_000)
    records.settle()
    assert count == 100_000


def test_refusals_take_no_time_and_time_outs_do():
    records = Records(10**9, lambda table: None)
    for number, kind in enumerate(KINDS):
        write(records, 1000 + number, 0, Role.STABLE, kind)
    waited = records.since(0).latency.count
    assert waited == 2 * len(("error", "timeout", "bad_answer", "router_504")) + len(("ok",))


def test_users_are_known_by_what_they_met():
    sums = Sums(Role.STABLE, 10, ("",), 0)
    records = Records(10**9, lambda table: sums.add(table, None, 100))
    write(records, 90, 80, Role.STABLE, "ok", user=1)
    write(records, 120, 95, Role.STABLE, "reset", user=2)
    write(records, 130, 110, Role.STABLE, "ok", user=3)
    records.settle()
    assert [sums.having(bits) for bits in (MET, FAILED, LATELY)] == [3, 1, 1]
    assert sums.first_ns == 80
    sums.changed()
    assert sums.having(LATELY) == 0


def test_lost_is_what_no_replica_answered():
    every = {PRESUMED * presumed + kind: 1 for kind in (*LOST, *OTHERS) for presumed in (False, True)}
    assert lost_in(every) == dict.fromkeys(LOST, 2)
    assert len(every) == len(KINDS) - 1
