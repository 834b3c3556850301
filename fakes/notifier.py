"""A notifier in memory: what people were told, for tests to look at."""

from collections.abc import Mapping
from copy import deepcopy
from types import MappingProxyType
from typing import Any


class MemoryNotifier:
    """Keeps every message as it was when it was told, oldest first, for as long as the process lives."""

    realtime = False

    def __init__(self) -> None:
        self.told: list[Mapping[str, Any]] = []

    async def notify(self, message: Mapping[str, Any]) -> None:
        """Keep a message."""
        self.told.append(MappingProxyType(deepcopy(dict(message))))

    @property
    def texts(self) -> tuple[str, ...]:
        """What was told, in words."""
        return tuple(str(message["text"]) for message in self.told)
