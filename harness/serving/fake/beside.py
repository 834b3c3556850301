"""The stand-in beside a program: on a loop of its own in a thread, for examples and tests of what blocks."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from harness.serving.accepting import stop_accepting
from harness.serving.fake.app import application
from harness.serving.fake.settings import read
from harness.serving.process import Place, bound


@contextmanager
def stand_in(said: Mapping[str, Any] | None = None, *, service_log: Path | None = None) -> Iterator[str]:
    """Run the stand-in as long as the block lasts.

    Args:
        said: its settings, in their words.
        service_log: see `application`.

    Yields:
        Its URL, on loopback, with a port that was free.

    Raises:
        InputError: a setting cannot be used.

    >>> import urllib.request
    >>> with stand_in({"version": 3}) as url, urllib.request.urlopen(f"{url}/health") as answer:
    ...     answer.status
    200
    """
    app = application(read(said or {}), service_log=service_log)
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, str]] = Future()
    thread = threading.Thread(target=lambda: asyncio.run(_run(app, started)), name="stand-in", daemon=True)
    thread.start()
    loop, stop, url = started.result()
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


async def _run(app: web.Application, started: "Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, str]]") -> None:
    # What is unanswered when the block ends is nobody's any more: it is not waited for.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    stop = asyncio.Event()
    try:
        await runner.setup()
        made = bound(Place())
        site = web.SockSite(runner, made)
        await site.start()
    except Exception as error:  # noqa: BLE001 - it is raised where the block is opened
        await runner.cleanup()
        started.set_exception(error)
        return
    started.set_result((asyncio.get_running_loop(), stop, f"http://127.0.0.1:{runner.addresses[0][1]}"))
    try:
        await stop.wait()
    finally:
        await stop_accepting([made])
        await site.stop()
        await runner.cleanup()
