"""A log that cannot be written any more, found by a task beside the run: the run ends for that, and says so."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from harness import engine
from harness.clock import run_virtual
from harness.domain.event import Decided, Event, Interrupted, Measured, RunEnded, Verified
from harness.domain.model import Role
from harness.domain.order_event import Spoken
from harness.domain.rollout import Outcome
from harness.domain.units import WHOLE
from harness.errors import BackendError, LogError
from harness.log import EventLog
from tests.build import RULES, parts, policy, scenario
from tests.surviving import World, made_of

FULL = Path("/dev/full")


class Inbox:
    """Orders that cannot be heard from some moment on: the run then logs that."""

    full = False

    async def take(self) -> Sequence[Spoken]:
        if self.full:
            raise BackendError("the disk is full")
        return ()

    async def unanswered(self) -> Sequence[Spoken]:
        return ()

    async def answer(self, number: int, text: str, *, accepted: bool) -> None:
        raise AssertionError(number, text, accepted)

    async def give_back(self, number: int) -> None:
        raise AssertionError(number)


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
def test_the_run_ends_as_an_error_and_not_as_if_somebody_had_stopped_it(tmp_path: Path) -> None:
    inbox, of = Inbox(), scenario()
    log = EventLog(tmp_path / "events.jsonl")

    def fill(_: int, event: Event) -> None:
        if isinstance(event, Measured) and event.rule == RULES[-1] and not inbox.full:
            inbox.full = True
            assert log._file is not None
            log._file.close()
            log._file = FULL.open("w", encoding="utf-8", buffering=1)

    log.watch(fill)
    with pytest.raises(LogError, match="No space left"):
        run_virtual(engine.run, of, parts(of, inbox=inbox), log)
    log.close()
    events = log.events
    decided = next(event for event in events if isinstance(event, Decided))
    assert decided.outcome is Outcome.ERROR
    assert "the event log cannot be written: No space left" in decided.reason
    assert not [event for event in events if isinstance(event, Interrupted)]
    ended, verified = events[-1], [event for event in events if isinstance(event, Verified)][-1]
    assert isinstance(ended, RunEnded)
    assert (ended.outcome, ended.weights[Role.STABLE]) == (Outcome.ERROR, WHOLE)
    assert (verified.role, verified.passed) == (Role.STABLE, True)


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
def test_a_promotion_whose_decision_could_not_be_written_is_none(tmp_path: Path) -> None:
    """The disk is full at that very line: nothing on it would tell that the alias was about to move."""
    of, world = policy(scenario(), analysis=None), World()
    told = EventLog(tmp_path / "told.jsonl", durable=True)
    assert run_virtual(engine.run, of, made_of(of, World(), 0.0), told) is Outcome.PROMOTED
    told.close()
    path = tmp_path / "events.jsonl"
    log = EventLog(path, durable=True)

    def fill(number: int, _: Event) -> None:
        if log._file is not None and isinstance(told.events[number + 1], Decided):  # what comes next, as in the other
            log._file.close()
            log._file = FULL.open("w", encoding="utf-8", buffering=1)

    log.watch(fill)
    assert run_virtual(engine.run, of, made_of(of, world, 0.0), log) is Outcome.ERROR
    log.close()
    assert log.failure is not None
    first, last = log.events[[isinstance(each, Decided) for each in log.events].index(True)], log.events[-1]
    assert isinstance(first, Decided)
    assert first.outcome is Outcome.PROMOTED
    assert isinstance(last, RunEnded)
    assert "no promotion is begun that is not in the log" in last.reason
    assert world.routing is not None
    assert world.routing.weights[Role.STABLE] == WHOLE
    kept = {alias: each.revision.version for each in world.registry.kept("m") for alias in each.aliases}
    assert kept["stable"] == 1
    assert b'"Decided"' not in path.read_bytes()
