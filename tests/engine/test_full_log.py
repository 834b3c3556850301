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
from tests.build import RULES, parts, scenario

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
