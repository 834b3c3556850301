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
        self._waiting: deque[str] = deque(maxlen=WAITING)
        self._bell = anyio.Event()
        self._lock = anyio.Lock()

    def say(self, text: str) -> None:
        """Have a message delivered; returns at once."""
        if self._channels:
            self._waiting.append(text)
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
        for text in self._waiting:
            for channel in self._channels:
                self._tell(channel, text, False, "the run has ended")  # noqa: FBT003 - as events take it
        self._waiting.clear()

    async def _empty(self) -> None:
        async with self._lock:
            while self._waiting:
                await self._deliver(self._waiting[0])
                self._waiting.popleft()

    async def _deliver(self, text: str) -> None:
        for channel, notifier in self._channels.items():
            detail = f"not taken within {WITHIN_S:g} s"
            delivered = False
            with anyio.move_on_after(WITHIN_S):
                try:
                    await notifier.notify({"text": text, **self._about})
                    delivered, detail = True, ""
                except Exception as error:  # noqa: BLE001 - whatever a channel raises, the run goes on
                    detail = str(error) or repr(error)
            self._tell(channel, text, delivered, detail)
