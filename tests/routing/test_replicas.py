"""Which replica is asked next, and when one that was let go of is idle."""

import asyncio
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from harness.domain.model import Role
from harness.routing.replicas import Replica, Replicas

ARM = Role.STABLE


def pointed(*urls: str) -> Replicas:
    replicas = Replicas()
    replicas.point({ARM: urls})
    return replicas


def chosen(replicas: Replicas, *tried: Replica, now_ns: int = 0) -> Replica:
    found = replicas.choose(ARM, now_ns, tried)
    assert found is not None
    return found


@given(st.lists(st.sampled_from(["ask", "done"]), max_size=60), st.integers(2, 5))
def test_the_least_busy_is_asked(steps: list[str], count: int) -> None:
    replicas = pointed(*(f"http://r{number}" for number in range(count)))
    busy: list[Replica] = []
    for step in steps:
        if step == "ask":
            found = chosen(replicas)
            assert found.outstanding == min((dict.fromkeys(replicas.behind[ARM], 0) | _busy(busy)).values())
            found.outstanding += 1
            busy.append(found)
        elif busy:
            replicas.done(busy.pop(0))


def _busy(replicas: list[Replica]) -> dict[str, int]:
    return {each.url: each.outstanding for each in replicas}


def test_of_those_alike_each_has_its_turn() -> None:
    replicas = pointed("http://a", "http://b", "http://c")
    assert Counter(chosen(replicas).url for _ in range(30)) == {"http://a": 10, "http://b": 10, "http://c": 10}


def test_who_was_tried_or_could_not_be_reached_comes_last() -> None:
    replicas = pointed("http://a", "http://b", "http://c")
    first, second, third = (chosen(replicas) for _ in range(3))
    second.ailing_until_ns = 100
    assert {chosen(replicas, first, now_ns=50) for _ in range(9)} == {third}
    assert {chosen(replicas, first, now_ns=100) for _ in range(9)} == {second, third}
    assert chosen(replicas, first, second, third) in {first, second, third}  # there is nobody else
    assert replicas.choose(Role.CANDIDATE, 0) is None


async def test_those_let_go_of_are_idle_when_they_have_answered() -> None:
    replicas = pointed("http://a", "http://b")
    one, other = chosen(replicas), chosen(replicas)
    one.outstanding = other.outstanding = 2
    replicas.point({ARM: (one.url,)})
    assert {chosen(replicas) for _ in range(5)} == {one}
    waiting = asyncio.create_task(replicas.drained(30))
    replicas.done(other)
    await asyncio.sleep(0.01)
    assert not waiting.done()
    assert replicas.leaving() == [other.url]
    replicas.done(other)
    assert await waiting
    assert await pointed().drained(0)


async def test_one_that_comes_back_is_the_one_that_left() -> None:
    replicas = pointed("http://a")
    one = chosen(replicas)
    one.outstanding = 1
    replicas.point({ARM: ()})
    assert not await replicas.drained(0.01)
    replicas.point({Role.CANDIDATE: ("http://a",)})
    assert replicas.choose(Role.CANDIDATE, 0) is one
    assert await replicas.drained(0.01)
