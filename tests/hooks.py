"""A real server that takes what a webhook is told; `tests.conftest` makes its fixture known."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

SECRET = "services/T0/B0/s3cr3t-of-the-hook"


@dataclass
class Hook:
    """Answers by script, then well; remembers every attempt."""

    url: str = ""
    script: list[Any] = field(default_factory=list)
    """For each attempt: (status, headers, text); ``"hang"`` never answers; ``"drop"`` closes the connection."""
    attempts: list[dict[str, Any]] = field(default_factory=list)
    taken: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: Any) -> Any:
        from aiohttp import web

        body = await request.json()
        self.attempts.append(body)
        self.headers.append(dict(request.headers))
        step = self.script.pop(0) if self.script else (200, {}, "ok")
        if step == "hang":
            await self.released.wait()
            step = (200, {}, "late")
        if step == "drop":
            request.transport.close()
            step = (0, {}, "")
        status, headers, text = step
        if status == 200:
            self.taken.append(body)
        return web.Response(status=status or 500, headers=headers, text=text)


@pytest.fixture
async def hook(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hook]:
    """A server on loopback, on the test's own loop."""
    from aiohttp import web

    from tests.sites import site

    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    made = Hook()
    application = web.Application()
    application.router.add_post(f"/{SECRET}", made.answer)
    async with site(application) as url:
        made.url = f"{url}/{SECRET}"
        try:
            yield made
        finally:
            made.released.set()
