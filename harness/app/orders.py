"""Orders to runs that are under way in another terminal: to which, whether they can be given, and what came of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio

from harness import clock
from harness import log as event_log
from harness.app.folders import LATEST, LOG_NAME, find_run, state_of
from harness.domain.event import RunEnded, RunStarted
from harness.domain.rollout import Order
from harness.domain.scenario import Clock, Scenario
from harness.domain.units import SECOND, duration_text
from harness.errors import BackendError, InputError, LogError
from harness.state import lease as leases
from harness.state.inbox import Answer, Giving, Inbox, run_key

LOOK_S: Final = 0.1
"""From one look at what became of an order to the next."""
GONE_LOOKS: Final = 10
"""The harness counts as gone when it was so in so many looks one after the other."""


@dataclass(frozen=True, slots=True)
class Addressed:
    """A run that takes orders."""

    folder: Path
    state: Path

    @property
    def name(self) -> str:
        """As users call it."""
        return self.folder.name

    @property
    def driven(self) -> bool:
        """A harness drives it now."""
        return any(each.run == self.name for each in leases.holders(self.state))


def inbox_of(scenario: Scenario, folder: Path, state: Path, lease: leases.Lease | None = None) -> Inbox | None:
    """Where a run hears what people say from other terminals; None on virtual time.

    A lease that cannot be renewed stands in the same file as orders do: then they cannot come either.
    """
    if scenario.clock is not Clock.REAL:
        return None
    return Inbox(state, run_key(folder), (lambda: lease.trouble) if lease else str)


def find(name: str, reports: Path) -> Path:
    """The folder of a run as users name it; ``latest`` is the one that is under way.

    Raises:
        InputError: there is none, or there are several.
    """
    if name != LATEST:
        return find_run(name, reports)
    driven = sorted({each.run for each in leases.holders(state_of(reports))})
    if len(driven) > 1:
        raise InputError(f"several runs are under way below {reports}: name one of {', '.join(driven)}")
    return find_run(driven[0] if driven else name, reports)


def addressed(folder: Path) -> Addressed:
    """The run of a folder, if it takes orders.

    Raises:
        InputError: it does not; the message says why, and what to do.
    """
    name = folder.name
    try:
        events, _ = event_log.read_torn(folder / LOG_NAME)
    except LogError as error:
        raise InputError(str(error)) from error
    started = events[0] if len(events) else None
    if not isinstance(started, RunStarted):
        raise InputError(f"{name} is no run of a scenario: there is nothing to decide")
    if isinstance(ended := events[-1], RunEnded):
        raise InputError(f"{name} has ended: {ended.outcome}, {ended.reason}")
    if started.clock != Clock.REAL:
        raise InputError(
            f"{name} runs on virtual time, which waits for nobody; script what people say in its scenario: "
            "approvals: [{at: 5m, by: ann, decision: approve}]"
        )
    run = Addressed(folder, state_of(folder.resolve().parents[1]))
    if not run.driven:
        raise InputError(f"the harness that drove {name} is gone; take it up again with `harness resume {name}`")
    return run


def give(run: Addressed, order: Order, by: str, note: str, wait_ns: int) -> Answer:
    """Give an order, and wait until the run has answered; what was not taken by then is withdrawn.

    Must be called where no event loop runs.

    Raises:
        InputError: the harness that drives the run has gone meanwhile.
        BackendError: the order was not taken in time, or not answered.
    """
    giving = Giving(run.state, run_key(run.folder))
    number = giving.give(order, by, note)
    if not wait_ns:
        return giving.answer(number)
    answered = False
    try:
        found = clock.run_real(_awaited, run, giving, number, wait_ns)
        answered = found.accepted is not None
    finally:
        withdrawn = not answered and giving.withdraw(number)
    if answered:
        return found
    waited = duration_text(wait_ns)
    if not run.driven:
        raise InputError(
            f"the harness that drove {run.name} is gone, and "
            + ("the order was withdrawn" if withdrawn else "the order may have been heard")
            + f"; take the run up again with `harness resume {run.name}`"
        )
    if withdrawn:
        raise BackendError(
            f"{run.name} did not take the order within {waited} (it may be training a model), and it was withdrawn; "
            "give it again with a longer --wait"
        )
    raise BackendError(
        f"{run.name} took the order and has not answered within {waited}; its log tells what comes of it"
    )


async def _awaited(run: Addressed, giving: Giving, number: int, wait_ns: int) -> Answer:
    until_ns, gone = clock.now_ns() + wait_ns, 0
    while True:
        found = giving.answer(number)
        gone = 0 if run.driven else gone + 1
        if found.accepted is not None or clock.now_ns() >= until_ns or gone >= GONE_LOOKS:
            return found
        await anyio.sleep(min(LOOK_S, wait_ns / SECOND))
