"""A server from its first socket to its last answer: bind, say so, serve, and on a signal go down.

On SIGTERM it is not ready at once and ends each connection with its answer, but goes on listening for a while: a
balancer sends it requests until it has seen that. Then it listens no more, and finishes what is in flight. SIGINT, and
a second signal, end the while.
"""

import asyncio
import gc
import importlib.util
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import anyio
from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.http_exceptions import HttpProcessingError

from harness.clock import now_ns, utc_now
from harness.domain.units import SECOND
from harness.errors import InputError
from harness.serving.accepting import stop_accepting
from harness.serving.bodies import dumps
from harness.serving.logs import LineLog

FORMAT: Final = "%(levelname)s %(message)s"
BACKLOG: Final = 2048
KEEP_ALIVE_S: Final = 75.0
REFUSED_S: Final = 1.0
"""How long the rest of a body that was refused is still read, so that its sender sees the answer."""
SWITCH_S: Final = 0.001
"""How long the model's thread or the loop goes on before the other has its turn; Python's default is 5 ms."""
SETTLE_S: Final = 0.05
WRITE_S: Final = 1.0
"""What is left of the drain for answers that are being written."""


class Running(Protocol):
    """What a process needs to know of the server it runs."""

    in_flight: int
    access: LineLog | None

    def application(self) -> web.Application:
        """The application."""
        ...

    def drain(self) -> None:
        """Be ready no more, and end each connection with its answer."""
        ...


@dataclass(frozen=True, slots=True)
class Going:
    """How a server goes down."""

    linger_ns: int = 0
    """From SIGTERM: how long it still listens and answers, not ready any more."""
    drain_ns: int = 10 * SECOND
    """From then on: how long what is in flight may take."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server listens."""

    host: str = "127.0.0.1"
    port: int = 0
    """0: any that is free."""
    shared: bool = False
    """Other processes listen there too (SO_REUSEPORT)."""


def bound(place: Place, *, listening: bool = True) -> socket.socket:
    """A socket there.

    Raises:
        InputError: the address is none of this machine's, or is taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            place.host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, protocol)
    except OSError as error:
        raise InputError(f"--host {place.host}: no address of this machine: {error}") from error
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if place.shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(address)
        if listening:
            made.listen(BACKLOG)
    except OSError as error:
        made.close()
        raise InputError(
            f"{place.host}:{place.port} cannot be listened on: {error.strerror}; give another --port, or 0 for any"
        ) from error
    made.setblocking(False)  # noqa: FBT003 - its one argument
    return made


def url_of(listening: socket.socket) -> str:
    """The address that a socket is bound to, as a URL."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(make: Callable[[], Running], place: Place, going: Going, say: Callable[[str], None]) -> None:
    """Serve until a signal, or until the parent is gone where this is a worker.

    Args:
        make: makes the server; called where the loop runs.
        place: where it listens.
        going: how it goes down.
        say: told ``ready URL`` once it serves.

    Raises:
        InputError: it cannot listen there.
    """
    listening = bound(place)
    quick = importlib.util.find_spec("uvloop") is not None

    async def main() -> None:
        server = make()
        start_logging()
        sys.setswitchinterval(SWITCH_S)
        await _serve(server, listening, going, say)

    with listening:
        anyio.run(main, backend="asyncio", backend_options={"use_uvloop": quick})


async def _serve(server: Running, listening: socket.socket, going: Going, say: Callable[[str], None]) -> None:
    app = server.application()
    runner = web.AppRunner(
        app,
        access_log=logging.getLogger("harness.serving.access") if _logs_access(server) else None,
        access_log_class=_access_logger(server),
        keepalive_timeout=KEEP_ALIVE_S,
        lingering_time=REFUSED_S,
        handler_cancellation=False,
        shutdown_timeout=WRITE_S,
    )
    await runner.setup()
    stop, hurry = _on_signals()
    site = web.SockSite(runner, listening, backlog=BACKLOG)
    try:
        await site.start()
        gc.collect()
        gc.freeze()  # what is there now stays: no collection walks a model of many objects
        say(f"ready {url_of(listening)}")
        await stop.wait()
        server.drain()
        with anyio.move_on_after(going.linger_ns / SECOND):
            await hurry.wait()
        await stop_accepting([listening])
        await site.stop()
        deadline_ns = now_ns() + max(0, going.drain_ns - round(WRITE_S * SECOND))
        while server.in_flight and now_ns() < deadline_ns:  # noqa: ASYNC110 - a count, and twenty looks a second
            await asyncio.sleep(SETTLE_S)
    finally:
        await runner.cleanup()


def _on_signals() -> tuple[asyncio.Event, asyncio.Event]:
    """What is set when it is to end, and what when it is to end without lingering."""
    stop, hurry = asyncio.Event(), asyncio.Event()

    def heard(number: int) -> None:
        if number == signal.SIGINT or stop.is_set():
            hurry.set()
        stop.set()

    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):  # in that order: a parent in a hurry sends both
        loop.add_signal_handler(each, heard, each)
    return stop, hurry


def _logs_access(server: Running) -> bool:
    settings = getattr(server, "settings", None)
    return bool(getattr(settings, "access_log", None))


def _access_logger(server: Running) -> type[AbstractAccessLogger]:
    class Access(AbstractAccessLogger):
        """Writes each answer as a line of JSON."""

        def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
            """Note an answer, and how many seconds it took."""
            if server.access is None:
                return
            line = {
                "time": utc_now().isoformat(),
                "id": response.headers.get("X-Request-Id"),
                "remote": request.remote,
                "method": request.method,
                "path": request.path_qs,
                "status": response.status,
                "bytes": response.body_length,
                "took_ms": round(time * 1000, 3),
            }
            server.access.write(dumps(line).decode())

    return Access


def start_logging() -> None:
    """What a server has to say goes to standard error, warnings of Python's too."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format=FORMAT)
    logging.captureWarnings(capture=True)
    quiet_about_bad_requests()


def quiet_about_bad_requests() -> None:
    """What is no HTTP is answered 400, and is no error of ours: aiohttp would log a traceback for each."""

    def ours(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError | ConnectionError | ValueError)

    for name in ("aiohttp.server", "aiohttp.web"):
        logging.getLogger(name).addFilter(ours)


def stop_with(stream: Any) -> None:
    """End like on SIGINT once a stream ends: a worker's parent holds its other end for as long as it lives."""

    def watch() -> None:
        stream.read()
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=watch, name="parent", daemon=True).start()
