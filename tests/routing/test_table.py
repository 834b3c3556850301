"""Which arm a request goes to: shares are exact, only those move who must, and a header leads whom it names."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from scipy import stats

from harness.domain.model import Role
from harness.domain.rollout import HeaderRoute, Routing
from harness.domain.units import WHOLE
from harness.routing.table import LINE, Spread, Table, point_of

shares = st.integers(0, WHOLE)


def table(candidate: int, baseline: int = 0) -> Table:
    stable = WHOLE - candidate - baseline
    return Table.of(Routing({Role.STABLE: stable, Role.CANDIDATE: candidate, Role.BASELINE: baseline}))


@given(st.lists(shares, min_size=2, max_size=2).map(sorted))
def test_each_arm_has_as_many_points_as_its_weight(edges: list[int]) -> None:
    weights = {Role.CANDIDATE: edges[0], Role.STABLE: edges[1] - edges[0], Role.BASELINE: WHOLE - edges[1]}
    made = Table.of(Routing(weights))
    at = [made.at(point) for point in range(WHOLE)]
    assert {role: at.count(role) for role in LINE} == weights


@given(st.integers(0, 4000), shares, shares)
def test_when_shares_change_only_those_move_who_must(baseline: int, one: int, other: int) -> None:
    before, after = (table(share % (WHOLE - baseline + 1), baseline) for share in (one, other))
    moved = [(before.at(point), after.at(point)) for point in range(WHOLE) if before.at(point) != after.at(point)]
    assert len(moved) == abs(one % (WHOLE - baseline + 1) - other % (WHOLE - baseline + 1))
    assert len(set(moved)) <= 1  # all the same way
    assert Role.BASELINE not in {role for pair in moved for role in pair}


@given(st.integers(0, 2**64 - 1), shares, st.integers(1, 3000))
def test_requests_are_spread_evenly_wherever_one_begins(place: int, weight: int, count: int) -> None:
    """Of any run of requests an arm gets its share, give or take a few; coins would be off by the root of it."""
    spread = Spread(place)
    found = sum(spread.next() < weight for _ in range(count))
    assert abs(found - count * weight / WHOLE) <= 4


def test_users_have_points_alike_and_for_good() -> None:
    points = [point_of(f"user-{number}") for number in range(20_000)]
    counts = [0] * 20
    for point in points:
        counts[point * 20 // WHOLE] += 1
    assert stats.chisquare(counts).pvalue > 0.001
    expected = int(hashlib.blake2b(b"alice", digest_size=8).hexdigest(), 16) * WHOLE // 2**64
    assert point_of("alice") == expected == 3043


@given(st.text(), st.text())
def test_any_text_names_a_user(one: str, other: str) -> None:
    assert 0 <= point_of(one) < WHOLE
    assert one != other or point_of(one) == point_of(other)


def test_a_header_leads_whatever_its_letters_and_its_value_does_not() -> None:
    made = Table.of(Routing({Role.STABLE: WHOLE}, (HeaderRoute("a", "X-Beta", "yes"), HeaderRoute("b", "x-own", "1"))))
    led = [[("x-beta", "yes")], [("X-BETA", "no"), ("x-beta", "yes")], [("X-Own", "1")]]
    not_led: list[list[tuple[str, str]]] = [[], [("x-beta", "Yes")], [("x-beta", "yes ")], [("beta", "yes")]]
    assert [made.leads(CIMultiDict(pairs)) for pairs in (*led, *not_led)] == [True] * 3 + [False] * 4
