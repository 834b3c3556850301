"""A router in a process of its own: ``python -m harness.routing.process --settings FILE``.

It writes ``ready URL`` once it listens. On SIGTERM, SIGINT or `POST /stop` it lets nobody else in, answers what is in
flight, and ends. Its socket stands in its folder, for its owner alone.
"""

import argparse
import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from harness import clock
from harness.domain.units import SECOND
from harness.errors import HarnessError, InputError
from harness.routing.admin import Admin
from harness.routing.asking import Asker
from harness.routing.changes import Control
from harness.routing.copying import Copies
from harness.routing.metrics import Metrics
from harness.routing.proxy import Proxy
from harness.routing.replicas import Replicas
from harness.routing.settings import Settings, read
from harness.serving.accepting import stop_accepting
from harness.serving.process import BACKLOG, KEEP_ALIVE_S, REFUSED_S, Place, bound, start_logging, url_of

SOCKET: Final = "router.sock"
LONGEST: Final = 100
"""Bytes of a socket's path; the kernel takes 108."""
NO_METHOD: Final = "UNKNOWN"
"""What aiohttp says of a request that it could not read, and has answered with 400 already."""
LOOK_S: Final = 0.02
WRITE_S: Final = 1.0
"""For answers that are being written when the router ends."""


@contextmanager
def reachable(file: Path) -> Iterator[str]:
    """A path by which a socket can be bound or reached, however deep its folder lies.

    Raises:
        InputError: its path is too long, and this system has no way round that.
    """
    if len(os.fsencode(file)) <= LONGEST:
        yield str(file)
        return
    if not Path("/proc/self/fd").exists():
        raise InputError(f"{file}: a socket's path has {LONGEST} bytes at most; run in a folder with a shorter one")
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{file.name}"
    finally:
        os.close(folder)


def private_socket(file: Path) -> socket.socket:
    """A socket in the file system, for its owner alone; one that a dead router left there is replaced."""
    made = socket.socket(socket.AF_UNIX)
    try:
        file.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            with reachable(file) as path:
                made.bind(path)
        finally:
            os.umask(before)
        made.listen(BACKLOG)
    except BaseException:
        made.close()
        raise
    made.setblocking(False)  # noqa: FBT003 - its one argument
    return made


class Router:
    """One router, from its sockets to its end.

    Args:
        settings: what it is told.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.control = Control(Path(settings.folder), Replicas(), clock.reader())
        self.metrics = Metrics(self.control)
        self._stop = asyncio.Event()
        self._listening: list[socket.socket] = []
        self._runners: list[Any] = []

    def stop(self) -> None:
        """Have it let nobody else in, and end once it has answered what is in flight."""
        self._stop.set()

    async def run(self, ready: Callable[[str], None]) -> None:
        """Serve until it is told to stop.

        Args:
            ready: told where users ask, once it listens.

        Raises:
            InputError: it cannot listen there.
        """
        plan, now = self.settings.plan, clock.reader()
        async with AsyncExitStack() as stack:
            asker = Asker(plan, self.control.replicas, now, self.metrics.retried)
            stack.push_async_callback(asker.close)
            copies = Copies(asker, self.metrics, now)
            stack.push_async_callback(copies.close)
            proxy = Proxy(plan, self.control, asker, copies, self.metrics, now)
            stack.push_async_callback(self._close)
            about = {"pid": os.getpid()}
            admin = Admin(self.control, copies, self.metrics, self.settings.drain_ns, about, self.stop)
            await self._open(proxy, admin, about)
            ready(str(about["url"]))
            await self._stop.wait()
            await self._drain(proxy)

    async def _open(self, proxy: Proxy, admin: Admin, about: dict[str, Any]) -> None:
        plan, folder = self.settings.plan, Path(self.settings.folder)
        users = bound(Place(plan.host, plan.port))
        self._listening.append(users)
        figures = bound(Place(plan.host, self.settings.metrics_port))
        self._listening.append(figures)
        private = private_socket(folder / SOCKET)
        self._listening.append(private)
        about |= {"url": url_of(users), "metrics": url_of(figures)}
        await self._serve(
            web.ServerRunner(_server(proxy, plan.max_body, self.metrics), shutdown_timeout=WRITE_S), users
        )
        for app, listening in ((admin.figures(), figures), (admin.application(), private)):
            await self._serve(web.AppRunner(app, access_log=None, shutdown_timeout=WRITE_S), listening)

    async def _serve(self, runner: Any, listening: socket.socket) -> None:
        await runner.setup()
        self._runners.append(runner)
        await web.SockSite(runner, listening, backlog=BACKLOG).start()

    async def _drain(self, proxy: Proxy) -> None:
        """Let nobody else in, and answer what is in flight."""
        proxy.draining = True
        await stop_accepting(self._listening)
        for site in list(self._runners[0].sites):
            await site.stop()
        plan = self.settings.plan
        most_s = plan.timeout_ns * (plan.retries + 1) / SECOND
        try:
            async with asyncio.timeout(most_s):
                while self.metrics.in_flight:  # noqa: ASYNC110 - a count, and fifty looks a second
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            pass  # told to users as connections that end

    async def _close(self) -> None:
        await stop_accepting([each for each in self._listening if each.fileno() >= 0])
        for runner in self._runners:
            await runner.cleanup()
        for each in self._listening:
            each.close()
        (Path(self.settings.folder) / SOCKET).unlink(missing_ok=True)


def _server(proxy: Proxy, max_body: int, metrics: Metrics) -> web.Server:
    """The server of users: without routes, middlewares and an access log, which cost more than all that we do."""
    loop = asyncio.get_running_loop()

    def request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        if message.method == NO_METHOD:
            metrics.refused(None, "bad_request")
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=max_body)

    return web.Server(
        proxy,
        request_factory=request,
        access_log=None,
        auto_decompress=False,
        handler_cancellation=True,  # a user who has gone keeps no replica busy
        keepalive_timeout=KEEP_ALIVE_S,
        lingering_time=REFUSED_S,
    )


def main(arguments: list[str] | None = None) -> int:
    """Run a router; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m harness.routing.process", description="Run a router.")
    parser.add_argument("--settings", required=True, type=Path, metavar="FILE", help="what the router is told, as JSON")
    given = parser.parse_args(arguments)
    start_logging()
    try:
        settings = read(given.settings)
        clock.run_fast(_run, settings)
    except HarnessError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


async def _run(settings: Settings) -> None:
    router = Router(settings)
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, router.stop)

    def ready(url: str) -> None:
        gc.collect()
        gc.freeze()  # what is there now stays: no collection walks it again
        sys.stdout.write(f"ready {url}\n")
        sys.stdout.flush()

    await router.run(ready)


if __name__ == "__main__":
    sys.exit(main())
