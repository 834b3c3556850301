"""What a part of a platform has to tell that nobody asked for: remembered until it is read."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from harness.protocols import Notice

REMEMBERED: Final = 1000
"""Notices that nobody has read; the oldest is dropped for one more."""


class Notices:
    """Told now, read when there is a reader; one at a time."""

    def __init__(self) -> None:
        self._told: asyncio.Queue[Notice] = asyncio.Queue(REMEMBERED)

    def say(self, kind: str, text: str) -> None:
        """Something happened that befalls all arms."""
        if self._told.full():
            self._told.get_nowait()
        self._told.put_nowait(Notice(kind, (), text))

    async def stream(self) -> AsyncIterator[Notice]:
        """As they come, until the reader is cancelled."""
        while True:
            yield await self._told.get()
