"""An aiohttp application on a free port of loopback, ended so that no connection is left open."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from harness.serving.accepting import stop_accepting
from harness.serving.process import Place, bound, url_of


@asynccontextmanager
async def site(app: web.Application, shutdown_s: float = 0.1) -> AsyncIterator[str]:
    """The application as long as the block lasts; its URL."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=shutdown_s)
    await runner.setup()
    try:
        listening = bound(Place())
        await web.SockSite(runner, listening).start()
        try:
            yield url_of(listening)
        finally:
            await stop_accepting([listening])
    finally:
        await runner.cleanup()
