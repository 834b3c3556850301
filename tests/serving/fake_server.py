"""The stand-in on a real socket, for tests."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from harness.serving.fake import FakeSettings, application, read
from tests.sites import site


@asynccontextmanager
async def running(settings: FakeSettings | None = None, service_log: Path | None = None) -> AsyncIterator[int]:
    """The stand-in with these settings; its port."""
    async with site(application(settings, service_log=service_log), 60) as url:
        yield int(url.rpartition(":")[2])


@asynccontextmanager
async def asking(service_log: Path | None = None, **said: Any) -> AsyncIterator[aiohttp.ClientSession]:
    """A session with the stand-in, its settings in their words."""
    async with running(read(said), service_log) as port:
        limit = aiohttp.ClientTimeout(total=20)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", timeout=limit, connector=connector) as session:
            yield session


async def predict(session: aiohttp.ClientSession, **headers: str) -> tuple[int, Any]:
    """Status and JSON of a prediction."""
    async with session.post("/predict", json={"feature1": 1.5}, headers=headers) as response:
        return response.status, await response.json(content_type=None)


async def change(session: aiohttp.ClientSession, **said: Any) -> None:
    """Change the settings."""
    async with session.post("/settings", json=said) as response:
        assert response.status == 200, await response.text()


def turns(service_log: Path) -> list[dict[str, Any]]:
    """The log's lines."""
    return [json.loads(line) for line in service_log.read_text().splitlines()]


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    """Ask again and again, for ten seconds at most."""
    for _ in range(2000):
        if await check():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come to that")


async def measured(session: aiohttp.ClientSession, name: str) -> float:
    """What the metrics say of one."""
    async with session.get("/metrics") as response:
        lines = (await response.text()).splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))
