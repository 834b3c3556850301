"""The inbox in its database: an order is taken once or withdrawn once, whoever is quicker, and only by its own run."""

import stat
from pathlib import Path

import anyio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.clock import run_real
from harness.domain.order_event import Spoken
from harness.domain.rollout import Order
from harness.state.database import FILE
from harness.state.inbox import Answer, Giving, Inbox


def test_an_order_is_given_taken_and_answered(tmp_path: Path) -> None:
    giving, inbox = Giving(tmp_path, "s/1"), Inbox(tmp_path, "s/1")
    assert run_real(inbox.take) == ()
    assert not (tmp_path / FILE).exists()  # looking makes nothing
    number = giving.give(Order.APPROVE, "ann", 'it\'s "fine"; DROP TABLE orders')
    assert giving.answer(number) == Answer(taken=False)
    taken = Spoken(number, Order.APPROVE, "ann", 'it\'s "fine"; DROP TABLE orders')
    assert run_real(inbox.take) == [taken]
    assert run_real(inbox.take) == []
    assert run_real(inbox.unanswered) == [taken]
    assert giving.answer(number) == Answer(taken=True)

    async def answer() -> None:
        await inbox.answer(number, "approved", accepted=True)
        await inbox.answer(number, "too late", accepted=False)  # the first answer stands

    run_real(answer)
    assert giving.answer(number) == Answer(taken=True, accepted=True, text="approved")
    assert run_real(inbox.unanswered) == []


def test_the_same_order_is_not_given_twice_while_it_is_still_there(tmp_path: Path) -> None:
    giving, inbox = Giving(tmp_path, "s/1"), Inbox(tmp_path, "s/1")
    first = giving.give(Order.APPROVE, "ann")
    assert giving.give(Order.APPROVE, "bob") == first
    assert giving.give(Order.ABORT, "bob") != first
    assert [each.by for each in run_real(inbox.take)] == ["ann", "bob"]
    assert giving.give(Order.APPROVE, "bob") != first  # the first one was heard; this is another decision


def test_a_run_hears_only_what_is_said_to_it(tmp_path: Path) -> None:
    number = Giving(tmp_path, "one/1").give(Order.ABORT, "ann")
    assert run_real(Inbox(tmp_path, "two/1").take) == []
    assert [each.number for each in run_real(Inbox(tmp_path, "one/1").take)] == [number]


def test_only_the_user_can_give_orders(tmp_path: Path) -> None:
    Giving(tmp_path, "s/1").give(Order.ABORT, "ann")
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.sampled_from(Order), min_size=1, max_size=4), number=st.integers(0, 10**9))
def test_each_order_is_either_taken_or_withdrawn(words: list[Order], number: int, tmp_path: Path) -> None:
    """Two runs' sides and one that withdraws, at once: every order goes to exactly one of the three."""
    run = f"s/{number}"
    giving, sides = Giving(tmp_path, run), [Inbox(tmp_path, run), Inbox(tmp_path, run)]
    given_ = {giving.give(word, "ann") for word in words}
    got: list[int] = []
    withdrawn: list[int] = []

    async def race() -> None:
        async def take(side: Inbox) -> None:
            got.extend(each.number for each in await side.take())

        def withdraw() -> None:
            withdrawn.extend(each for each in given_ if giving.withdraw(each))

        async with anyio.create_task_group() as tasks:
            for side in sides:
                tasks.start_soon(take, side)
            tasks.start_soon(anyio.to_thread.run_sync, withdraw)

    run_real(race)
    assert sorted([*got, *withdrawn]) == sorted(given_)
    for each in withdrawn:
        assert giving.answer(each) == Answer(taken=True, accepted=False, text="withdrawn")
