"""The herald: tells people what matters, beside everything else; nobody waits for it, least of all a rollback.

Each channel has a queue and a task of its own: one that does not answer holds up no other.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import anyio

from harness.clock import is_virtual
from harness.protocols import Notifier

WITHIN_S: Final = 60.0
"""A channel that has not taken a message by then is given up on, for this message."""
LAST_S: Final = 10.0
"""At the end of a run, what was not delivered by then is told and left."""
WAITING: Final = 1000
"""Messages that may wait for a channel; the oldest is given up for a newer one, and that is told."""
UNREAL: Final = "not sent: virtual time has no sockets (run with `--clock real`); of this channel no more is said"

Tell = Callable[[str, str, bool, str], object]
"""Told of each message and channel: (channel, text, delivered, detail)."""


@dataclass(slots=True, eq=False)
class _Channel:
    """One channel's messages, delivered one after the other."""

    name: str
    notifier: Notifier
    tell: Tell
    waiting: deque[Mapping[str, Any]] = field(default_factory=deque)
    bell: anyio.Event = field(default_factory=anyio.Event)
    lock: anyio.Lock = field(default_factory=anyio.Lock)
    silent: bool = False

    def put(self, message: Mapping[str, Any]) -> None:
        if self.silent:
            return
        if self.notifier.realtime and is_virtual():
            self.silent = True
            self.tell(self.name, message["text"], False, UNREAL)  # noqa: FBT003 - as events take it
            return
        if len(self.waiting) >= WAITING:
            self._give_up(self.waiting.popleft(), f"{WAITING} newer messages wait")
        self.waiting.append(message)
        self.bell.set()

    async def run(self) -> None:
        """Deliver, until cancelled."""
        while True:
            await self.bell.wait()
            self.bell = anyio.Event()
            await self.empty()

    async def empty(self) -> None:
        """Deliver what waits."""
        async with self.lock:
            while self.waiting:
                message = self.waiting[0]
                delivered, detail = await self._deliver(message)
                if self.waiting and self.waiting[0] is message:  # else it was given up meanwhile
                    self.waiting.popleft()
                    self.tell(self.name, message["text"], delivered, detail)

    def close(self) -> None:
        """Give up what is left."""
        self.silent = True
        while self.waiting:
            self._give_up(self.waiting.popleft(), "the run has ended")

    def _give_up(self, message: Mapping[str, Any], why: str) -> None:
        self.tell(self.name, message["text"], False, why)  # noqa: FBT003 - as events take it

    async def _deliver(self, message: Mapping[str, Any]) -> tuple[bool, str]:
        with anyio.move_on_after(WITHIN_S):
            try:
                await self.notifier.notify(message)
            except Exception as error:  # noqa: BLE001 - whatever a channel raises, the run goes on
                return False, str(error) or repr(error)
            return True, ""
        return False, f"not taken within {WITHIN_S:g} s"


class Herald:
    """Delivers messages to every channel.

    Args:
        about: what every message says beside its text and its number: the run, the scenario.
        channels: by name.
        tell: told of each message and channel: (channel, text, delivered, detail).
        masked: hides what no one must read, as the event log does: a reason may quote a backend, with its address.
    """

    def __init__(
        self,
        about: Mapping[str, Any],
        channels: Mapping[str, Notifier],
        tell: Tell,
        masked: Callable[[str], str] = str,
    ) -> None:
        self._about, self._masked = dict(about), masked
        self._channels = [_Channel(name, notifier, tell) for name, notifier in channels.items()]
        self._said = 0

    def say(self, text: str) -> None:
        """Have a message delivered; returns at once."""
        self._said += 1
        text = self._masked(text)
        for channel in self._channels:
            channel.put({"text": text, "number": self._said, **self._about})

    async def run(self) -> None:
        """Deliver, until cancelled."""
        async with anyio.create_task_group() as tasks:
            for channel in self._channels:
                tasks.start_soon(channel.run, name=f"herald of {channel.name}")

    async def finish(self) -> None:
        """Deliver what is left, within a bound; what is left then is told."""
        with anyio.move_on_after(LAST_S):
            async with anyio.create_task_group() as tasks:
                for channel in self._channels:
                    tasks.start_soon(channel.empty)
        for channel in self._channels:
            channel.close()
