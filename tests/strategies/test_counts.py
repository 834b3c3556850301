"""Replica counts: closed forms, and what holds on every way to a goal. The published cases are in tests/oracle."""

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.domain.model import Role
from harness.domain.rollout import Pause, SetScale, SetWeight
from harness.domain.units import WHOLE
from harness.errors import InputError
from harness.strategies.counts import Counts, Fleet, Limits, fenceposts, step, target, weights_by_ready
from harness.strategies.sizes import Scale, Threshold, asked, dynamic, enough, needed, routed, way_back
from harness.strategies.state import Count

WEIGHTS = st.integers(0, WHOLE) | st.integers(0, 20).map(lambda part: part * WHOLE // 20)
"""Any, and often those that lie midway between two counts."""


@st.composite
def limits(draw: st.DrawFn, least: int = 1) -> Limits:
    replicas = draw(st.integers(least, 12))
    surge = draw(st.integers(0, replicas))
    return Limits(replicas, surge, draw(st.integers(0 if surge else 1, replicas)))


class World:
    """Replicas that become ready, or crash, when they are told to; what is not ready is taken away first."""

    def __init__(self, bounds: Limits, stable: int, candidate: int = 0) -> None:
        self.bounds = bounds
        self.wanted = Counts(stable, candidate)
        self.ready = Counts(stable, candidate)

    @property
    def fleet(self) -> Fleet:
        return Fleet(Count(self.ready.stable, self.wanted.stable), Count(self.ready.candidate, self.wanted.candidate))

    def ask(self, counts: Counts) -> None:
        self.wanted = counts
        self.ready = Counts(min(self.ready.stable, counts.stable), min(self.ready.candidate, counts.candidate))

    def move(self, goal: Counts) -> None:
        """One step, held to all that a step promises when it begins within the limits."""
        wanted, ready = self.wanted, self.ready
        self.ask(step(self.bounds, goal, self.fleet))
        assert self.wanted.total <= self.bounds.most
        assert self.ready.total >= min(ready.total, self.bounds.least)
        for before, now, end in (
            (wanted.stable, self.wanted.stable, goal.stable),
            (wanted.candidate, self.wanted.candidate, goal.candidate),
        ):
            assert min(before, end) <= now <= max(before, end), "never more than asked, and never away from the goal"

    def settle(self, goal: Counts) -> int:
        """All becomes ready at once; each move then comes closer, until the goal is reached. Says in how many."""
        moves = 0
        while True:
            self.ready = self.wanted
            before = self.wanted
            self.move(goal)
            if self.wanted == before:
                assert self.wanted == goal
                return moves
            moves += 1


def clamp(count: int, low: int, high: int) -> int:
    return max(low, min(count, high))


# --- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["", "%", "-1", "-10%", "1.5", "ten", "25%%", "1e1", "²"])
def test_what_is_neither_a_count_nor_a_share_is_refused(value: str) -> None:
    with pytest.raises(InputError, match=r"max_unavailable is .*; give a count"):
        Limits.of(4, 1, value)


def test_negative_counts_are_refused() -> None:
    with pytest.raises(InputError, match="max_surge is -1; give a count"):
        fenceposts(4, -1, 1)


def test_limits_under_which_nothing_could_change_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing could ever change"):
        Limits(4, 0, 0)


@given(st.integers(0, 1000), st.integers(0, 200), st.integers(0, 200))
def test_shares_round_away_from_losing_capacity(replicas: int, surge: int, unavailable: int) -> None:
    found = Limits.of(replicas, f"{surge}%", f"{unavailable}%")
    assert 0 <= found.surge - Fraction(surge * replicas, 100) < 1
    if found.surge or unavailable * replicas >= 100:
        assert 0 <= min(Fraction(unavailable * replicas, 100), replicas) - found.unavailable < 1
    else:
        assert found.unavailable == min(1, replicas)


# --- a weight in whole replicas ---------------------------------------------------------------------------------------


@given(st.integers(2, 200), WEIGHTS)
@example(10, 9500)
@example(3, 5000)
def test_without_surge_a_weight_is_rounded_half_up_and_nobody_is_left_with_none(replicas: int, weight: int) -> None:
    rounded = (2 * replicas * weight + WHOLE) // (2 * WHOLE)
    candidate = rounded if weight in {0, WHOLE} else clamp(rounded, 1, replicas - 1)
    assert target(Limits(replicas, 0, 1), weight) == Counts(replicas - candidate, candidate)


@given(limits(), WEIGHTS)
def test_a_surge_only_ever_brings_the_share_closer(bounds: Limits, weight: int) -> None:
    found = target(bounds, weight)
    assert bounds.replicas <= found.total <= min(bounds.most, bounds.replicas + 1)
    if bounds.replicas > 1:
        without = target(Limits(bounds.replicas, 0, 1), weight)
        off, off_without = (
            abs(Fraction(each.candidate, each.total) - Fraction(weight, WHOLE)) for each in (found, without)
        )
        assert off <= off_without


@given(limits(), WEIGHTS, WEIGHTS)
def test_more_weight_is_never_a_smaller_share(bounds: Limits, one: int, other: int) -> None:
    low, high = (target(bounds, weight) for weight in sorted((one, other)))
    assert Fraction(low.candidate, low.total) <= Fraction(high.candidate, high.total)


def test_a_weight_beyond_all_is_refused() -> None:
    with pytest.raises(ValueError, match="weight is 10001; it is a share from 0 to 10000"):
        target(Limits(4, 1, 0), WHOLE + 1)


# --- moves ------------------------------------------------------------------------------------------------------------


@given(limits(), st.lists(WEIGHTS, min_size=1, max_size=4))
def test_moves_reach_each_goal_and_stop_there(bounds: Limits, weights: list[int]) -> None:
    world = World(bounds, bounds.replicas)
    for weight in weights:
        goal = target(bounds, weight)
        world.settle(goal)
        assert world.settle(goal) == 0


@given(limits(), st.lists(WEIGHTS, min_size=1, max_size=4), st.data())
def test_replicas_that_are_late_or_crash_delay_a_goal_and_no_more(
    bounds: Limits, weights: list[int], data: st.DataObject
) -> None:
    world = World(bounds, bounds.replicas)
    for weight in [*weights, 0]:  # given up in the middle, at the end
        goal = target(bounds, weight)
        for _ in range(data.draw(st.integers(0, 8), "moves before the goal is changed")):
            world.ready = Counts(
                data.draw(st.integers(0, world.wanted.stable)), data.draw(st.integers(0, world.wanted.candidate))
            )
            world.move(goal)
    world.settle(goal)


@given(limits(), WEIGHTS, st.data())
def test_a_goal_once_reached_is_not_left_whatever_crashes(bounds: Limits, weight: int, data: st.DataObject) -> None:
    goal = target(bounds, weight)
    ready = Counts(data.draw(st.integers(0, goal.stable)), data.draw(st.integers(0, goal.candidate)))
    fleet = Fleet(Count(ready.stable, goal.stable), Count(ready.candidate, goal.candidate))
    assert step(bounds, goal, fleet) == goal


@given(limits(), st.booleans(), st.data())
def test_the_revision_that_goes_need_not_be_ready(bounds: Limits, forth: bool, data: st.DataObject) -> None:
    """Neither an update away from a stable that crashes is held up by it, nor the way back from such a candidate."""
    start = target(bounds, data.draw(WEIGHTS))
    world, goal = World(bounds, start.stable, start.candidate), bounds.whole if forth else Counts(bounds.replicas, 0)
    for _ in range(2 * bounds.most + 2):
        world.ready = Counts(0, world.wanted.candidate) if forth else Counts(world.wanted.stable, 0)
        world.move(goal)
    assert world.wanted == goal


@given(limits(), st.integers(0, 12))
def test_a_candidate_that_never_gets_ready_costs_what_may_be_unavailable_and_no_more(bounds: Limits, at: int) -> None:
    world = World(bounds, bounds.replicas)
    for _ in range(at + 2):
        world.move(bounds.whole)
        world.ready = Counts(world.wanted.stable, 0)
    assert world.ready == Counts(bounds.least, 0)
    assert world.wanted.candidate == min(bounds.replicas, bounds.surge + bounds.unavailable)


COUNT = st.tuples(st.integers(0, 24), st.integers(0, 24)).map(lambda pair: Count(min(pair), max(pair)))


@given(limits(), WEIGHTS, COUNT, COUNT)
@example(Limits(11, 0, 1), 8000, Count(ready=7, wanted=11), Count(ready=4, wanted=15))
def test_from_beyond_the_limits_it_only_gets_nearer(
    bounds: Limits, weight: int, stable: Count, candidate: Count
) -> None:
    """The service was made smaller in the middle of a rollout."""
    goal, world = target(bounds, weight), World(bounds, stable.wanted, candidate.wanted)
    world.ready = Counts(stable.ready, candidate.ready)
    world.ask(step(bounds, goal, world.fleet))
    assert min(world.wanted.stable, world.wanted.candidate) >= 0
    assert world.wanted.total <= max(bounds.most, stable.wanted + candidate.wanted)
    assert world.ready.total >= min(stable.ready + candidate.ready, bounds.least)
    for _ in range(4 * bounds.most + 50):
        world.ready = world.wanted
        world.ask(step(bounds, goal, world.fleet))
    assert world.wanted == goal


def test_beyond_the_limits_nothing_is_given_up_that_the_least_may_rest_on() -> None:
    fleet = Fleet(Count(ready=10, wanted=10), Count(ready=0, wanted=10))
    assert step(Limits(10, 1, 0), Counts(0, 10), fleet) == Counts(10, 10)
    fleet = Fleet(Count(ready=10, wanted=10), Count(ready=1, wanted=10))
    assert step(Limits(10, 1, 0), Counts(0, 10), fleet) == Counts(9, 2)
    fleet = Fleet(Count(ready=7, wanted=11), Count(ready=4, wanted=15))  # 10 must be ready: 6 of stable's, 4 of its own
    assert step(Limits(11, 0, 1), Counts(2, 9), fleet) == Counts(6, 5)


def test_a_goal_beyond_the_limits_is_refused() -> None:
    with pytest.raises(ValueError, match="the goal is 6 replicas; there may be 5"):
        step(Limits(4, 1, 0), Counts(3, 3), Fleet(Count(4, 4)))


@given(limits(), WEIGHTS, st.integers(1, 5))
def test_while_older_revisions_stand_nothing_else_is_given_up(bounds: Limits, weight: int, older: int) -> None:
    full = Count(ready=bounds.replicas, wanted=bounds.replicas)
    found = step(bounds, target(bounds, weight), Fleet(full, older=older))
    assert found.stable >= bounds.replicas
    assert found.total + older <= max(bounds.most, bounds.replicas + older)


# --- what comes of it -------------------------------------------------------------------------------------------------


@given(st.dictionaries(st.sampled_from(Role), st.integers(0, 1000), min_size=1))
def test_all_ready_replicas_get_the_same_share(ready: dict[Role, int]) -> None:
    found, total = weights_by_ready(ready), sum(ready.values())
    assert sum(found.values()) == WHOLE
    if not total:
        assert {role: share for role, share in found.items() if share} == {Role.STABLE: WHOLE}
        return
    assert list(found) == list(ready)
    assert all(abs(found[role] - Fraction(WHOLE * count, total)) < 1 for role, count in ready.items())
    up = {role: WHOLE * count % total for role, count in ready.items() if found[role] * total > WHOLE * count}
    down = {role: WHOLE * count % total for role, count in ready.items() if role not in up}
    assert min(up.values(), default=total) >= max(down.values(), default=0), "the largest remainders are rounded up"


def test_of_equal_remainders_the_first_named_gets_the_rest() -> None:
    thirds = {Role.CANDIDATE: 1, Role.STABLE: 1, Role.BASELINE: 1}
    assert weights_by_ready(thirds) == {Role.CANDIDATE: 3334, Role.STABLE: 3333, Role.BASELINE: 3333}


def test_fewer_than_no_replicas_are_refused() -> None:
    with pytest.raises(ValueError, match="none may be negative"):
        weights_by_ready({Role.STABLE: -1})


# --- with a router ----------------------------------------------------------------------------------------------------


@given(st.integers(1, 50), WEIGHTS, st.integers(1, 60))
def test_behind_a_router_a_canary_can_bear_its_weight(replicas: int, weight: int, least: int) -> None:
    found = routed(replicas, Scale(weight), least=least)
    assert found.stable == replicas
    assert Fraction(found.candidate, replicas) >= Fraction(weight, WHOLE)
    assert found.candidate == (max(needed(replicas, weight), min(least, replicas)) if weight else 0)


@given(st.integers(1, 50), st.lists(WEIGHTS, min_size=1, max_size=6, unique=True), st.booleans())
def test_with_a_dynamic_stable_the_way_back_ends_and_no_revision_lacks_what_it_serves(
    replicas: int, weights: list[int], keep: bool
) -> None:
    weights.sort()
    weight = weights[-1]
    available = Counts(needed(replicas, WHOLE - weight), needed(replicas, weight))
    for _ in range(2 * len(weights) + 2):
        in_force = {Role.STABLE: WHOLE - weight, Role.CANDIDATE: weight}
        lower = way_back(replicas, weights, available, keep_candidate=keep)
        assert lower <= weight
        available = dynamic(replicas, Scale(lower), in_force, aborted=True)
        assert available.stable * WHOLE >= replicas * (WHOLE - min(lower, weight))
        assert available.candidate * WHOLE >= replicas * weight
        weight = lower
    assert weight == 0
    assert available == Counts(replicas, 0)


def test_a_scale_that_a_step_sets_stays_until_the_next_one() -> None:
    steps = (SetScale(2), SetWeight(1000), Pause(None), SetScale(None), SetWeight(2000))
    assert [asked(steps, index) for index in range(6)] == [
        *[Scale(replicas=2)] * 3,
        *[Scale(WHOLE)] * 3,
    ]
    assert asked(steps[1:3], 1) == Scale(1000)
    assert asked(steps, 3, aborted=True) == Scale()


def test_after_an_abort_the_weight_falls_to_what_stable_can_bear() -> None:
    weights, available = (2000, 4000, 6000), Counts(stable=8, candidate=6)
    assert way_back(10, weights, available) == 4000  # the candidate's 6 have to go, too
    assert way_back(10, weights, available, keep_candidate=True) == 0  # only the 2 that stable lacks count
    assert way_back(10, weights, Counts(stable=7, candidate=6), keep_candidate=True) == 2000


def test_a_threshold_below_0_asks_for_all() -> None:
    some = Count(ready=9, wanted=10)
    assert enough(some, 10, Threshold(9, percent=False))
    assert not enough(some, 10, Threshold(-1, percent=False))
    assert not enough(some, 10)
