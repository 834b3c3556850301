"""Orders from another terminal, at any moment of a run: taken once, logged before anything comes of them, answered."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from harness.clock import now_ns
from harness.domain.event import Awaited, Commanded, Decided, Noticed, RolledBack, RunEnded, StageStarted, StepEntered
from harness.domain.fault import Errors
from harness.domain.lifecycle import Aftercare
from harness.domain.model import Role
from harness.domain.order_event import Ordered, Spoken
from harness.domain.rollout import Order, Outcome, Pause, SetWeight
from harness.domain.scenario import Scenario
from harness.domain.units import MINUTE, SECOND, WHOLE
from harness.engine.inbox import POLL_S
from harness.errors import BackendError
from harness.log import Events
from harness.protocols import Case, Tell
from tests.build import Models, analysis, fault, parts, policy, rehearse, scenario
from tests.surviving import resumed, told

APPROVAL = policy(scenario(), steps=(SetWeight(1000), Pause(None), SetWeight(5000), Pause(2 * MINUTE)))
WATCHED = replace(APPROVAL, aftercare=Aftercare(for_ns=30 * MINUTE))


@dataclass
class Said:
    """An inbox in memory: orders come at times of the loop, in seconds."""

    at: Sequence[tuple[float, Order]]
    taken: set[int] = field(default_factory=set)
    answers: dict[int, tuple[str, bool]] = field(default_factory=dict)
    broken_s: tuple[float, float] = (0.0, 0.0)
    """It cannot be read meanwhile."""
    left: tuple[Spoken, ...] = ()
    """Taken by a harness that is dead."""

    async def take(self) -> Sequence[Spoken]:
        if self.broken_s[0] <= now_ns() / SECOND < self.broken_s[1]:
            raise BackendError("the disk is full")
        due = [number for number, (at_s, _) in enumerate(self.at, 1) if at_s * SECOND <= now_ns()]
        new = [number for number in due if number not in self.taken]
        self.taken.update(new)
        return [Spoken(number, self.at[number - 1][1], "ann", "why not") for number in new]

    async def unanswered(self) -> Sequence[Spoken]:
        return self.left

    async def answer(self, number: int, text: str, *, accepted: bool) -> None:
        assert number not in self.answers
        self.answers[number] = (text, accepted)

    async def give_back(self, number: int) -> None:
        self.taken.discard(number)


class Slow(Models):
    """Models that take two minutes to train."""

    async def run(self, case: Case, tell: Tell) -> Case:
        await anyio.sleep(120)
        return await super().run(case, tell)


def run(of: Scenario, *at: tuple[float, Order], **other: Any) -> tuple[Outcome, Events, Said]:
    said = Said(at)
    outcome, events = rehearse(of, parts(of, inbox=said, **other))
    assert set(said.answers) == set(range(1, len(at) + 1))
    for ordered in events.of(Ordered):
        assert (ordered.by, ordered.note) == ("ann", "why not")
    return outcome, events, said


def test_an_approval_is_given_when_it_is_waited_for_and_once_is_enough() -> None:
    """The replicas take 30 s; the second one comes within the pause of two minutes that follows."""
    outcome, events, said = run(APPROVAL, (100.0, Order.APPROVE), (160.0, Order.APPROVE))
    assert outcome is Outcome.PROMOTED
    awaited, (given, again) = events.only(Awaited), events.of(Commanded)
    assert awaited.at_ns < 100 * SECOND <= given.at_ns <= (100 + POLL_S) * SECOND
    assert said.answers == {1: ("approved: the rollout goes on", True), 2: ("nothing waits for an approval now", False)}
    assert again.at_ns >= 160 * SECOND


def test_an_approval_that_nobody_waits_for_changes_nothing() -> None:
    of = policy(scenario(), steps=(SetWeight(1000), Pause(5 * MINUTE), Pause(None)))
    outcome, events, said = run(of, (60.0, Order.APPROVE), (600.0, Order.APPROVE))
    assert outcome is Outcome.PROMOTED
    assert said.answers == {1: ("nothing waits for an approval now", False), 2: ("approved: the rollout goes on", True)}
    assert [round(each.at_ns / SECOND) for each in events.of(Commanded)] == [60, 600]
    assert events.last(StepEntered).at_ns >= 330 * SECOND  # the pause of five minutes was kept
    assert [each.number for each in events.of(Ordered)] == [1, 2]


@pytest.mark.parametrize(
    ("order", "outcome", "weight"),
    [
        (Order.ABORT, Outcome.ABORTED, 0),
        (Order.REJECT, Outcome.ROLLED_BACK, 0),
        (Order.PROMOTE, Outcome.PROMOTED, WHOLE),
    ],
)
def test_an_order_ends_a_rollout_that_waits(order: Order, outcome: Outcome, weight: int) -> None:
    ended, events, said = run(APPROVAL, (300.0, order))
    assert ended is outcome
    assert events.only(RunEnded).weights[Role.CANDIDATE] == weight
    assert said.answers[1][1] is True
    assert 0 <= events.only(Decided).at_ns - 300 * SECOND < MINUTE
    assert "ann" in events.only(Decided).reason


@pytest.mark.parametrize("order", Order)
def test_before_users_are_asked_an_abort_ends_the_run_and_nothing_else_does_anything(order: Order) -> None:
    of = policy(scenario(), steps=(SetWeight(1000), Pause(MINUTE)))
    outcome, events, said = run(of, (50.0, order), stages=[Slow()])
    if order is Order.ABORT:
        assert (outcome, events.only(Decided).reason) == (Outcome.ABORTED, "aborted by ann")
        assert [stage.stage for stage in events.of(StageStarted)] == ["train"]
        assert events.only(RunEnded).at_ns <= (50 + POLL_S) * SECOND
        assert said.answers[1][1] is True
    else:
        assert outcome is Outcome.PROMOTED
        assert said.answers == {1: ("nothing waits for that now: stage train is under way", False)}
        assert events.of(Commanded) == []


@pytest.mark.parametrize("order", Order)
def test_what_was_promoted_goes_back_by_an_abort_or_a_rejection(order: Order) -> None:
    outcome, events, said = run(WATCHED, (60.0, Order.PROMOTE), (900.0, order))
    back = order in {Order.ABORT, Order.REJECT}
    assert outcome is (Outcome.ROLLED_BACK if back else Outcome.PROMOTED)
    assert said.answers[2][1] is back
    assert len(events.of(RolledBack)) == back
    assert events.only(RunEnded).weights[Role.STABLE if back else Role.CANDIDATE] == WHOLE


def test_orders_of_one_look_are_each_answered_and_an_abort_comes_first() -> None:
    outcome, events, said = run(APPROVAL, (300.0, Order.PROMOTE), (300.0, Order.APPROVE), (300.0, Order.ABORT))
    assert outcome is Outcome.ABORTED
    assert said.answers[3] == ("aborting: stable keeps all traffic, or gets it back", True)
    assert [accepted for _, accepted in (said.answers[1], said.answers[2])] == [False, False]
    assert [each.order for each in events.of(Commanded)] == ["abort"]


def test_an_order_that_comes_too_late_is_told_that_the_run_is_over() -> None:
    bad = replace(APPROVAL, faults=(fault(Errors(0.5)),))
    outcome, events, _ = run(bad)
    assert outcome is Outcome.ROLLED_BACK
    decided_s = events.only(Decided).at_ns / SECOND
    late, _, said = run(bad, (decided_s, Order.PROMOTE))
    assert late is Outcome.ROLLED_BACK
    assert said.answers[1][1] is False


def test_an_inbox_that_cannot_be_read_for_a_while_ends_no_run() -> None:
    said = Said([(200.0, Order.APPROVE)], broken_s=(100.0, 500.0))
    outcome, events = rehearse(APPROVAL, parts(APPROVAL, inbox=said))
    assert outcome is Outcome.PROMOTED
    (noticed,) = [each for each in events.of(Noticed) if each.kind == "deaf"]
    assert "the disk is full" in noticed.text
    assert events.only(Commanded).at_ns >= 500 * SECOND
    assert said.answers == {1: ("approved: the rollout goes on", True)}


def test_a_run_without_an_inbox_has_none_of_its_events() -> None:
    _, events = rehearse(policy(scenario(), steps=(SetWeight(1000), Pause(MINUTE))))
    assert events.of(Ordered) == []


def test_an_order_is_carried_out_once_wherever_the_harness_is_killed(tmp_path: Path) -> None:
    """Killed after any line around the order; the harness that takes the run up finds it taken, and not answered."""
    rule = analysis("error_rate <= stable + 5%", every_ns=20 * SECOND, window_ns=20 * SECOND, min_requests=10)
    of = policy(scenario(), steps=(SetWeight(1000), Pause(None), SetWeight(5000), Pause(None)), analysis=rule)
    of = replace(of, horizon_ns=8 * MINUTE)
    said = Said([(120.0, Order.APPROVE), (300.0, Order.APPROVE)])
    whole = told(of, tmp_path / "whole.jsonl", inbox=said)
    assert whole.outcome is Outcome.PROMOTED
    places = [number for number, line in enumerate(whole.lines) if b'"Ordered"' in line]
    assert len(places) == 2
    for cut in range(places[0] - 1, places[0] + 6):
        path = tmp_path / f"{cut}.jsonl"
        path.write_bytes(b"".join(whole.lines[: cut + 1]))
        again = Said([], left=(Spoken(1, Order.APPROVE, "ann", "why not"),))
        outcome, log = resumed(of, path, whole.worlds[cut], inbox=again)
        events = Events(log.events)
        # The first approval was given, once, and the second one, which nobody gave any more, is waited for.
        assert outcome is Outcome.PAUSED, cut
        assert [each.number for each in events.of(Ordered)] == [1], cut
        assert [(each.order, each.by) for each in events.of(Commanded)] in (
            [("approve", "ann")], [("approve", "ann")] * 2,
        ), cut  # fmt: skip
        assert again.answers[1][1] is True, cut
        assert len({each.index for each in events.of(StepEntered)}) == 4, cut
