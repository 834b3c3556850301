"""The herald: tells people what matters, beside everything else; nobody waits for it, least of all a rollback."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

import anyio

from harness.protocols import Notifier

WITHIN_S: Final = 60.0
"""A channel that has not taken a message by then is given up on, for this message."""
LAST_S: Final = 10.0
"""At the end of a run, what was not delivered by then is told and left."""
WAITING: Final = 1000
"""Messages that may wait; the oldest go first."""


class Herald:
    """Delivers messages to every channel, one after the other.

    Args:
        about: what every message says beside its text: the run, the scenario.
        channels: by name.
        tell: told of each message and channel: (channel, text, delivered, detail).
    """

    def __init__(
        self,
        about: Mapping[str, Any],
        channels: Mapping[str, Notifier],
        tell: Callable[[str, str, bool, str], object],
    ) -> None:
        self._about = dict(about)
        self._channels = dict(channels)
        self._tell = tell
        self._waiting: deque[tuple[str, str]] = deque(maxlen=WAITING)
        self._under_way: tuple[str, str] | None = None
        self._bell = anyio.Event()
        self._lock = anyio.Lock()

    def say(self, text: str) -> None:
        """Have a message delivered; returns at once."""
        for channel in self._channels:
            if len(self._waiting) == WAITING:
                self._tell(*self._waiting.popleft(), False, "too many messages were waiting")  # noqa: FBT003 - as below
            self._waiting.append((channel, text))
            self._bell.set()

    async def run(self) -> None:
        """Deliver, until cancelled."""
        while True:
            await self._bell.wait()
            self._bell = anyio.Event()
            await self._empty()

    async def finish(self) -> None:
        """Deliver what is left, within a bound; what is left then is told."""
        with anyio.move_on_after(LAST_S):
            await self._empty()
        left = [*([self._under_way] if self._under_way else []), *self._waiting]
        self._under_way = None
        self._waiting.clear()
        for channel, text in left:
            self._tell(channel, text, False, "the run has ended")  # noqa: FBT003 - as events take it

    async def _empty(self) -> None:
        async with self._lock:
            while self._waiting:
                self._under_way = self._waiting.popleft()
                delivered, detail = await self._delivered(*self._under_way)
                channel, text = self._under_way
                self._under_way = None
                self._tell(channel, text, delivered, detail)

    async def _delivered(self, channel: str, text: str) -> tuple[bool, str]:
        with anyio.move_on_after(WITHIN_S):
            try:
                await self._channels[channel].notify({"text": text, **self._about})
            except Exception as error:  # noqa: BLE001 - whatever a channel raises, the run goes on
                return False, str(error) or repr(error)
            return True, ""
        return False, f"not taken within {WITHIN_S:g} s"
