"""Requests of our own to replicas of this machine: a row that their model takes, as it says itself."""

from collections.abc import Sequence
from typing import Any

import aiohttp

from harness.backends.local_replica import Replica
from harness.realtime import COPY_HEADER

FAILED = (aiohttp.ClientError, TimeoutError, OSError, LookupError, ValueError)


class Probes:
    """Asks each replica in its turn."""

    def __init__(self) -> None:
        self._examples: dict[str, Any] = {}
        self._number = 0

    async def probe(self, session: aiohttp.ClientSession, there: Sequence[Replica], within_s: float) -> bool:
        """Whether the next of these answers a row in time."""
        if not there:
            return False
        self._number += 1
        replica = there[self._number % len(there)]
        try:
            row = await self._example(session, replica)
            url, headers, within = f"{replica.url}/predict", {COPY_HEADER: "probe"}, aiohttp.ClientTimeout(within_s)
            async with session.post(url, json=row, headers=headers, timeout=within) as response:
                await response.read()
                return response.status == 200
        except FAILED:
            return False

    async def example(self, session: aiohttp.ClientSession, there: Sequence[Replica]) -> Any:
        """A row that their model takes; None: none of them says so."""
        for replica in there:
            try:
                return await self._example(session, replica)
            except FAILED:
                continue
        return None

    async def _example(self, session: aiohttp.ClientSession, replica: Replica) -> Any:
        digest = replica.loaded.digest
        if digest not in self._examples:
            async with session.get(f"{replica.url}/openapi.json") as response:
                asked = (await response.json())["paths"]["/predict"]["post"]["requestBody"]
            self._examples[digest] = asked["content"]["application/json"]["example"]
        return self._examples[digest]
