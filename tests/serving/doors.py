"""Both doors of the client, asked alike: tests hold each to the same."""

import asyncio
from typing import Any

from harness.serving.client import AsyncModelServingClient, ModelServingClient

DOORS = ("blocking", "awaited")


async def ask(door: str, port: int, what: str, *given: Any, scheme: str = "http", **settings: Any) -> Any:
    """What one method answers; the blocking client's in a thread, so that servers of this loop can answer."""
    endpoint = f"{scheme}://127.0.0.1:{port}"
    if door == "awaited":
        async with AsyncModelServingClient(endpoint, **settings) as client:
            return await getattr(client, what)(*given)

    def block() -> Any:
        with ModelServingClient(endpoint, **settings) as client:
            return getattr(client, what)(*given)

    return await asyncio.to_thread(block)
