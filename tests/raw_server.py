"""A raw HTTP server for tests: it cuts requests and sends whatever bytes it is told to.

`tests.faulty_servers` has one class for each fault.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from harness.serving.accepting import stop_accepting

BODY = b'{"prediction": 1, "confidence": 0.9, "model": "m", "version": "1"}'
TICK_S = 0.001


@dataclass(frozen=True)
class Request:
    head: bytes
    body: bytes

    @property
    def target(self) -> str:
        """The path, as it was asked for."""
        return self.head.split(b" ")[1].decode()

    def header(self, name: str) -> str | None:
        """A header's value; None where there is none."""
        for line in self.head.split(b"\r\n")[1:]:
            said, _, value = line.partition(b":")
            if said.strip().lower() == name.lower().encode():
                return value.strip().decode()
        return None


def answer(status: str = "200 OK", body: bytes = BODY, *headers: str, length: int | None = None) -> bytes:
    """A whole answer with its length."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body) if length is None else length}", "", ""]
    if not any(header.lower().startswith("content-type") for header in headers):
        lines.insert(1, "Content-Type: application/json")
    return "\r\n".join(lines).encode() + body


class Connection(asyncio.Protocol):
    """Cuts what comes into requests, and lets its server answer them one after the other."""

    def __init__(self, server: "Server") -> None:
        self.server = server
        self.transport: asyncio.Transport
        self.gathered = b""
        self.asked: asyncio.Queue[Request] = asyncio.Queue()
        self.number = 0
        self.task: asyncio.Task[None] | None = None
        self.lost = asyncio.Event()
        self.room = asyncio.Event()
        self.room.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(0)
        if self.server.closing:  # accepted while the server closed: nobody would end it
            transport.abort()
            return
        self.server.connections += 1
        self.server.open.add(self)
        if self.server.met(self):
            self.task = asyncio.get_running_loop().create_task(self._converse())

    def data_received(self, data: bytes) -> None:
        self.gathered += data
        while b"\r\n\r\n" in self.gathered:
            head, _, rest = self.gathered.partition(b"\r\n\r\n")
            length = int(Request(head, b"").header("content-length") or 0)
            if len(rest) < length:
                return
            request = Request(head, rest[:length])
            self.gathered = rest[length:]
            self.server.requests.append(request)
            self.asked.put_nowait(request)

    def pause_writing(self) -> None:
        self.room.clear()

    def resume_writing(self) -> None:
        self.room.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        self.room.set()
        self.server.open.discard(self)
        if self.task is not None and self.task is not asyncio.current_task():
            self.task.cancel()

    async def _converse(self) -> None:
        while not self.transport.is_closing():
            request = await self.asked.get()
            self.number += 1
            await self.server.reply(self, request)

    async def send(self, data: bytes) -> None:
        """Send it, and wait until the kernel has all of it."""
        if self.transport.is_closing():
            return
        self.transport.write(data)
        await self.room.wait()

    async def reset(self) -> None:
        """Close with RST: by no means a regular end."""
        await asyncio.sleep(TICK_S)
        connection = self.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def close(self) -> None:
        """Close regularly, with FIN."""
        self.transport.close()


class Server:
    """Answers as it should, and keeps the connection: what every other here does but for its fault."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.tls = tls
        self.port = 0
        """To listen on; 0: a free one."""
        self.connections = 0
        self.requests: list[Request] = []
        self.open: set[Connection] = set()
        self.listening: asyncio.Server | None = None
        self.closing = False

    def met(self, connection: Connection) -> bool:
        """Called with each new connection; whether its requests are answered."""
        return True

    async def reply(self, connection: Connection, request: Request) -> None:
        """Answer one request."""
        await connection.send(answer())

    async def __aenter__(self) -> int:
        self.connections, self.requests, self.closing = 0, [], False
        loop = asyncio.get_running_loop()
        self.listening = await loop.create_server(lambda: Connection(self), "127.0.0.1", self.port, ssl=self.tls)
        port: int = self.listening.sockets[0].getsockname()[1]
        return port

    async def __aexit__(self, *_: object) -> None:
        assert self.listening is not None
        await stop_accepting(self.listening.sockets)
        self.listening.close()
        self.closing = True
        await settle()
        opened = list(self.open)
        for connection in opened:
            if connection.task is not None:
                connection.task.cancel()
            connection.transport.abort()
        for connection in opened:
            await connection.lost.wait()
        tasks = [connection.task for connection in opened if connection.task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)


async def settle() -> None:
    """Let the loop finish with connections that it is just accepting; each takes it a few turns."""
    for _ in range(5):
        await asyncio.sleep(0)


@contextmanager
def refused() -> Iterator[int]:
    """A port that nobody listens on, and that nobody else gets meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@contextmanager
def in_thread(server: Server, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None) -> Iterator[int]:
    """The server on a loop of its own in a thread, beside a blocking client."""
    started: list[int] = []
    ready = threading.Event()
    stopping: list[Callable[[], object]] = []

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        stopping.append(lambda: loop.call_soon_threadsafe(stop.set))
        async with server as port:
            started.append(port)
            ready.set()
            await stop.wait()

    def run() -> None:
        with contextlib.closing(asyncio.Runner(loop_factory=loop_factory)) as runner:
            runner.run(main())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        assert ready.wait(10), "the server did not start"
        yield started[0]
    finally:
        stopping[0]()
        thread.join(10)
