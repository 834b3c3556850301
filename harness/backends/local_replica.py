"""One local replica: its process, from the first line that it says to its end, and what happens where it dies.

It is started, looked at (``GET /ready``), started anew with growing pauses where it dies, and left down where that does
not help. Its fleet says when it goes; until its router has let go of it, it stays.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import aiohttp
import anyio

from harness.backends import processes
from harness.backends.local_models import Loaded
from harness.backends.processes import Note
from harness.clock import now_ns
from harness.domain.model import Role
from harness.domain.real import LocalPlan
from harness.domain.units import SECOND, duration_text
from harness.errors import BackendError
from harness.protocols import Notice
from harness.realtime import Place
from harness.serving.faults import PATH, Strength

KIND: Final = "replica"
PAUSE_S, LONGEST_PAUSE_S = 0.2, 10.0
ANSWER: Final = aiohttp.ClientTimeout(total=5.0)
"""Of a look: a machine may be held up for seconds, and a replica is not lost for that."""
MISSES: Final = 3
"""So many looks in a row without an answer, and a replica gets no traffic; one that says itself that it is not ready
gets none at once."""
KILL_S: Final = 5.0
"""Over its drain: from SIGTERM to SIGKILL."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a fleet's replicas share."""

    place: Place
    plan: LocalPlan
    ready_within_ns: int
    session: aiohttp.ClientSession
    faults: bool
    """They take orders for faults."""
    tell: Callable[[Notice], None]
    changed: Callable[[], None]
    """To be called when a replica may get traffic, or may not any more."""


class Replica:
    """A replica of an arm.

    Args:
        name: of its process and its log.
        number: rises in the order in which replicas were made.
        arm: whom it serves; changes where a candidate becomes stable.
        loaded: its model.
        command: what is run.
        around: what it shares with the others.
        adopted: the note of a living process that an earlier harness started.
    """

    def __init__(
        self, name: str, number: int, arm: Role, loaded: Loaded, command: tuple[str, ...], around: Surroundings,
        adopted: Note | None = None,
    ) -> None:  # fmt: skip
        self.name, self.number, self.arm, self.loaded = name, number, arm, loaded
        self.note = adopted
        self.url: str | None = adopted.url if adopted else None
        self.ready = False
        self.leaving = False
        """It is not wanted any more."""
        self.down = False
        """It died too often, and is not started again."""
        self.strength = Strength()
        """What is to befall it."""
        self._command, self._around = command, around
        self._sent: Strength | None = None
        self._sending = anyio.Lock()
        self._known = bool(adopted and adopted.extra.get("ready"))
        self._why = ""
        self._was_ready = False

    @property
    def settled(self) -> bool:
        """Whether nothing more will come of it by waiting."""
        return self.ready or self.down

    def serve(self, arm: Role) -> None:
        """It serves that arm from now on."""
        self.arm = arm
        self._amend(arm=arm.value)

    async def live(self) -> None:
        """Run until cancelled, or until it is left down."""
        died = 0
        while True:
            self._why, was_ready = "", False
            try:
                await self._come_up()
                was_ready = await self._watch()
            except Exception as error:  # noqa: BLE001 - whatever it was, it is told, and another process tried
                self._why = str(error) or repr(error)
            self._set(ready=False)
            self.url = self._sent = None
            why = await self._clear()
            died = 1 if was_ready else died + 1
            if died > self._around.plan.restarts:
                self.down = True
                self._tell("replica_down", f"died {died} times without being ready in between, and is left down: {why}")
                self._around.changed()
                return
            pause_s = min(PAUSE_S * 2 ** (died - 1), LONGEST_PAUSE_S)
            self._tell("replica_crashed", f"crashed, and is started again in {pause_s:g}s ({why})")
            await anyio.sleep(pause_s)

    async def end(self) -> None:
        """Take it down: it finishes what it is answering, within its drain; nothing is left of it.

        Raises:
            LeaseLost: it is another harness's now, and stays as it is.
        """
        if self.note is not None:
            with self._around.place.ours():
                self.ready, self.url = False, None
            await processes.stop(self.note, self._around.plan.drain_ns / SECOND + KILL_S)
            self.note = None

    async def _clear(self) -> str:
        """End what is left of a process that died, or was given up; why it did."""
        why = self._why
        if self.note is not None:
            why = why or processes.told(self.note)
            try:
                await processes.stop(self.note, 1.0)
            except BackendError as error:  # it cannot be killed: its note stays, and this is told
                return f"{why}; {error}"
            self.note = None
        return why

    def _amend(self, **changes: Any) -> None:
        with contextlib.suppress(OSError):  # a full disk: the process goes on, and its log says where it listens
            if self.note is not None:
                self.note = processes.amend(self.note, **changes)

    # --- its process --------------------------------------------------------------------------------------------------

    async def _come_up(self) -> None:
        around = self._around
        if self.note is None:
            self._known = False
            extra = {"digest": self.loaded.digest, "revision": str(self.loaded.revision), "number": self.number}
            self.note = processes.start(
                around.place, self.name, kind=KIND, command=self._command, arm=self.arm.value, extra=extra
            )
        if self.note.url is None:
            url = await processes.said(self.note, "ready ", around.ready_within_ns / SECOND)
            self.url = url.strip()
            self._amend(url=self.url)
        self.url = self.url or self.note.url

    async def _watch(self) -> bool:
        """Until it has died, or is given up; whether it was ready in between."""
        assert self.note is not None
        self._was_ready = False
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._look, tasks.cancel_scope)
            await processes.ended(self.note)
            tasks.cancel_scope.cancel()
        return self._was_ready

    async def _look(self, scope: anyio.CancelScope) -> None:
        plan, missed = self._around.plan, 0
        good_since: int | None = None
        last_good = now_ns()
        while True:
            said = await self._asked()
            now = now_ns()
            if said:
                missed, last_good = 0, now
                good_since = now if good_since is None else good_since
                if self._known or now - good_since >= plan.ready_after_ns:
                    self._set(ready=True)
            else:
                missed += 1
                if said is False or missed >= MISSES:
                    good_since = None
                    self._set(ready=False)
            if now - last_good > self._around.ready_within_ns:
                self._why = f"has not been ready for {duration_text(self._around.ready_within_ns)}"
                scope.cancel()
            wait_ns = plan.probe_every_ns
            if good_since is not None and not self.ready:
                wait_ns = min(wait_ns, max(0, good_since + plan.ready_after_ns - now))
            await anyio.sleep(wait_ns / SECOND)

    async def _asked(self) -> bool | None:
        """Whether it is ready, with what is to befall it in force; None: it gave no answer."""
        try:
            if not await self.send():
                return None
            async with self._around.session.get(f"{self.url}/ready", timeout=ANSWER) as response:
                await response.read()
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None

    async def send(self) -> bool:
        """Have what is to befall it in force; False: it gave no answer, and is told again at the next look."""
        if not self._around.faults:
            return True
        async with self._sending:
            wanted = self.strength
            if self.url is None or self._sent == wanted:
                return self.url is not None
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
                async with self._around.session.put(self.url + PATH, json=wanted.told(), timeout=ANSWER) as response:
                    await response.read()
                    self._sent = wanted if response.status == 200 else None
            return self._sent == wanted

    def _set(self, *, ready: bool) -> None:
        if ready == self.ready:
            return
        self.ready = ready
        if ready:
            self._was_ready = self._known = True
            if self.note is not None:
                self._amend(extra={**self.note.extra, "ready": True})
        self._around.changed()

    def _tell(self, kind: str, text: str) -> None:
        if not self.leaving:
            self._around.tell(Notice(kind, (self.arm,), f"replica {self.name} of {self.arm} {text}"))


def strength(base: Any, seed: int) -> Strength:
    """What is in force, with the seed that says which of a replica's answers are errors."""
    return replace(Strength(base.latency_factor, base.latency_add_s, base.errors), seed=seed)


async def ended(tasks: "list[asyncio.Task[None]]") -> None:
    """Cancel tasks and wait until they are over."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
