"""Orders from another terminal, taken up whatever a run is doing: by whoever listens then, or by the run itself.

A rollout, and what watches a promoted version, listen while they are under way. Where nobody does, an abort ends the
run, and other orders are answered with what is under way. Each order is in the log before anything comes of it, so that
a harness that dies meanwhile leaves none that is given twice, and none that is lost.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import anyio

from harness.domain.event import Commanded, Noticed
from harness.domain.order_event import Ordered, Spoken
from harness.domain.rollout import Command, End, Order, Outcome
from harness.errors import BackendError, LeaseLost
from harness.protocols import Orders

if TYPE_CHECKING:
    from harness.engine.executor import Executor

POLL_S: Final = 0.25
"""From one look into the inbox to the next."""
CLOSING_S: Final = 10.0
"""How long the last answers may take."""
SETTLING: Final = frozenset({"promote", "rollback"})
"""Stages in which nothing is turned round; what is said meanwhile is heard afterwards."""
TAKEN: Final = {
    Order.APPROVE: "approved: the rollout goes on",
    Order.REJECT: "rejected: stable keeps all traffic, or gets it back",
    Order.PROMOTE: "promoting: the candidate gets all traffic as soon as it is ready",
    Order.ABORT: "aborting: stable keeps all traffic, or gets it back",
}
Hear = Callable[[Spoken], str | None]
"""Take an order up; answers with why it comes to nothing, or None: then `Inbox.heard` or nothing more is said of it."""


class Inbox:
    """The orders of one run.

    Args:
        executor: of the run.
        orders: where they come from.
        stage: what is under way; None: nothing.
    """

    def __init__(self, executor: "Executor", orders: Orders, stage: Callable[[], str | None]) -> None:
        self._executor = executor
        self._orders = orders
        self._stage = stage
        self._listener: Hear | None = None
        self._waiting: dict[int, Spoken] = {}
        """Taken, and not answered yet."""
        self._with: dict[int, Hear] = {}
        """Who was handed them."""
        self._patient: set[int] = set()
        """Given to a harness that is dead: they wait until somebody listens again."""
        self._answers: list[tuple[int, str, bool]] = []
        """To be given."""
        self._scope: anyio.CancelScope | None = None
        self._aborted_by = ""
        self._deaf = False
        """The inbox could not be read, and that was told."""

    async def run(self) -> None:
        """Look into it again and again, until cancelled; then whoever still waits is answered."""
        try:
            await self._tried(self._left_behind)
            while True:
                await self._tried(self._look)
                await anyio.sleep(POLL_S)
        finally:
            with anyio.move_on_after(CLOSING_S, shield=True), suppress(BackendError, LeaseLost):
                await self._close()

    async def unless_aborted(self, work: Callable[[], Awaitable[End]]) -> End:
        """What the work comes to, or that an order ended it where nobody else heard that."""
        with anyio.CancelScope() as self._scope:
            end = await work()
        aborted, self._scope = self._scope.cancelled_caught, None
        return End(Outcome.ABORTED, f"aborted by {self._aborted_by}") if aborted else end

    @contextmanager
    def listening(self, hear: Hear) -> Iterator[None]:
        """Meanwhile that one takes orders up."""
        self._listener = hear
        try:
            yield
        finally:
            self._listener = None

    def heard(self, command: Command, *, effect: bool, told: str = "") -> None:
        """A command was heard, and something came of it or nothing did; one that is not from here is none of ours."""
        if self._waiting.pop(command.number, None):
            nothing = (
                "nothing waits for an approval now"
                if command.order is Order.APPROVE
                else "the rollout is on its way to its end already; this changes nothing"
            )
            self._answers.append((command.number, told or (TAKEN[command.order] if effect else nothing), effect))

    # --- the inbox itself ---

    async def _tried(self, act: Callable[[], Awaitable[None]]) -> None:
        """An inbox that cannot be read ends no run: that is told once, and tried again."""
        try:
            await act()
        except LeaseLost:
            raise
        except BackendError as error:
            if not self._deaf:
                self._deaf = True
                self._executor.tell(Noticed, "deaf", (), f"orders from other terminals cannot be heard: {error}")

    async def _look(self) -> None:
        self._again()
        for spoken in await self._orders.take():
            await self._take_up(spoken)
        await self._answer()
        self._deaf = False

    async def _take_up(self, spoken: Spoken) -> None:
        try:
            self._executor.tell(Ordered, spoken.number, spoken.order.value, spoken.by, spoken.note)
        except LeaseLost:
            await self._orders.give_back(spoken.number)
            raise
        self._waiting[spoken.number] = spoken
        self._hand_on(spoken)

    async def _left_behind(self) -> None:
        """What a harness that is dead had taken: heard by it, or to be heard now."""
        events = self._executor.log.events
        told = {event.number: place for place, event in enumerate(events) if isinstance(event, Ordered)}
        for spoken in await self._orders.unanswered():
            self._patient.add(spoken.number)
            after = told.get(spoken.number)
            if after is None:
                await self._take_up(spoken)
                continue
            said = (each for each in events[after:] if isinstance(each, Commanded))
            if any((each.order, each.by) == (spoken.order.value, spoken.by) for each in said):
                self._answers.append((spoken.number, "taken, by a harness that was cut off then", True))
                continue
            self._waiting[spoken.number] = spoken
            self._hand_on(spoken)

    async def _answer(self) -> None:
        while self._answers:
            number, text, accepted = self._answers[0]
            await self._orders.answer(number, text, accepted=accepted)
            self._answers.pop(0)

    async def _close(self) -> None:
        self._executor.mine()
        for spoken in [*self._waiting.values(), *await self._orders.take()]:
            self._answers.append((spoken.number, "the run has ended meanwhile", False))
        self._waiting.clear()
        await self._answer()

    # --- who takes an order up ---

    def _hand_on(self, spoken: Spoken) -> None:
        refusal = None
        if self._listener:
            if self._with.get(spoken.number) != self._listener:
                self._with[spoken.number] = self._listener
                refusal = self._listener(spoken)
        elif self._scope and (self._stage() in SETTLING or self._keeps(spoken)):
            return  # whoever listens next, or the run, hears it then
        else:
            refusal = self._end_run(spoken)
        if refusal is not None:
            self._waiting.pop(spoken.number, None)
            self._answers.append((spoken.number, refusal, False))

    def _keeps(self, spoken: Spoken) -> bool:
        return spoken.number in self._patient and spoken.order is not Order.ABORT

    def _again(self) -> None:
        """Hand on what nobody has answered: whoever had it may have come to an end, or another one listens now."""
        for spoken in list(self._waiting.values()):
            self._hand_on(spoken)

    def _end_run(self, spoken: Spoken) -> str | None:
        stage = self._stage() or "preparing"
        if self._scope is None:
            return "the run is decided, and is being brought to its end"
        if spoken.order is not Order.ABORT:
            return f"nothing waits for that now: stage {stage} is under way"
        self._aborted_by = spoken.by
        self._executor.tell(Commanded, spoken.order.value, spoken.by)
        self._waiting.pop(spoken.number, None)
        self._answers.append((spoken.number, TAKEN[Order.ABORT], True))
        self._scope.cancel()
        return None


@contextmanager
def listening(executor: "Executor", hear: Hear) -> Iterator[None]:
    """Meanwhile that one takes up what people say from other terminals, if they can."""
    if executor.inbox is None:
        yield
        return
    with executor.inbox.listening(hear):
        yield
