"""Servers with one fault each, for whatever speaks HTTP: raw sockets, so that nothing mends what is broken.

    async with ResetInBody() as port:
        ...                                   # http://127.0.0.1:{port}

Each keeps what it saw: `connections` (how many were made) and `requests` (each with its head and body). `in_thread`
runs one beside a blocking client, `refused` is a port that nobody listens on, `Server(tls)` speaks TLS with what
`tests.certificates` makes.
"""

import asyncio
import gzip
import socket
from typing import ClassVar

from tests.raw_server import BODY, Connection, Request, Server, answer, in_thread, refused

__all__ = ["BODY", "Connection", "Request", "Server", "answer", "in_thread", "refused"]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


class Scripted(Server):
    """Gives these answers in their order, and the last of them ever after."""

    def __init__(self, *answers: bytes) -> None:
        super().__init__()
        self.answers = answers

    async def reply(self, connection: Connection, request: Request) -> None:
        await connection.send(self.answers[min(len(self.requests), len(self.answers)) - 1])


# --- connections that end ---------------------------------------------------------------------------------------------


class ResetInHeaders(Server):
    """Sends half of its headers, then resets the connection."""

    async def reply(self, connection: Connection, request: Request) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Ty")
        await connection.reset()


class ResetInBody(Server):
    """Sends its headers and half of the body, then resets the connection."""

    async def reply(self, connection: Connection, request: Request) -> None:
        await connection.send(answer()[: -len(BODY) // 2])
        await connection.reset()


class ClosesAtOnce(Server):
    """Accepts each connection and closes it, without a word."""

    def met(self, connection: Connection) -> bool:
        connection.close()
        return False


class ClosesUnanswered(Server):
    """Takes a request and closes the connection without an answer."""

    async def reply(self, connection: Connection, request: Request) -> None:
        connection.close()


class ClosesAfterEach(Server):
    """Promises to keep the connection, and closes it after each answer."""

    async def reply(self, connection: Connection, request: Request) -> None:
        await connection.send(answer("200 OK", BODY, "Connection: keep-alive", "Keep-Alive: timeout=60"))
        connection.close()


class ClosesOnSecond(Server):
    """Answers the first request of a connection, and closes at the second without an answer."""

    async def reply(self, connection: Connection, request: Request) -> None:
        if connection.number > 1:
            connection.close()
        else:
            await connection.send(answer())


# --- no end -----------------------------------------------------------------------------------------------------------


class NeverAnswers(Server):
    """Takes requests and never answers."""

    async def reply(self, connection: Connection, request: Request) -> None:
        await asyncio.Event().wait()


class NeverReads(Server):
    """Accepts a connection and never reads from it: a long request stays half sent."""

    def met(self, connection: Connection) -> bool:
        connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        # Later: as it stands, the loop begins to read after this.
        asyncio.get_running_loop().call_soon(connection.transport.pause_reading)
        return False


class StopsInBody(Server):
    """Sends its headers and half of the body, and then nothing more; the connection stays."""

    async def reply(self, connection: Connection, request: Request) -> None:
        await connection.send(answer()[: -len(BODY) // 2])
        await asyncio.Event().wait()


class ByteByByte(Server):
    """Sends its body a byte at a time, with a pause after each: one a second, where nothing else is said."""

    def __init__(self, pause_s: float = 1.0) -> None:
        super().__init__()
        self.pause_s = pause_s

    async def reply(self, connection: Connection, request: Request) -> None:
        whole = answer()
        await connection.send(whole[: -len(BODY)])
        for byte in BODY:
            await asyncio.sleep(self.pause_s)
            await connection.send(bytes([byte]))


class EndlessHeaders(Server):
    """Sends header after header, as long as anybody listens."""

    async def reply(self, connection: Connection, request: Request) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\n")
        number = 0
        while not connection.transport.is_closing():
            await connection.send(b"".join(b"X-%d: %s\r\n" % (number + k, b"y" * 80) for k in range(50)))
            number += 50
            await asyncio.sleep(0)


class Stalls(Server):
    """Stands still for a while at the end of every period; what came meanwhile is answered when it goes on."""

    def __init__(self, every_s: float, for_s: float) -> None:
        super().__init__()
        self.every_s, self.for_s = every_s, for_s
        self.begun_s: float | None = None

    async def __aenter__(self) -> int:
        self.begun_s = asyncio.get_running_loop().time()
        return await super().__aenter__()

    async def reply(self, connection: Connection, request: Request) -> None:
        assert self.begun_s is not None
        into_s = (asyncio.get_running_loop().time() - self.begun_s) % self.every_s
        if into_s >= self.every_s - self.for_s:
            await asyncio.sleep(self.every_s - into_s)
        await connection.send(answer())


# --- answers that are wrong -------------------------------------------------------------------------------------------


class LengthTooLong(Server):
    """Promises ten bytes more than it sends, then closes."""

    async def reply(self, connection: Connection, request: Request) -> None:
        await connection.send(answer(length=len(BODY) + 10))
        connection.close()


class LengthTooShort(Server):
    """Sends ten bytes more than it promises; the connection stays."""

    async def reply(self, connection: Connection, request: Request) -> None:
        await connection.send(answer(length=len(BODY) - 10))


class LengthAndChunked(Server):
    """Says both Content-Length and chunked, which is how requests are smuggled (RFC 9112, 6.3)."""

    async def reply(self, connection: Connection, request: Request) -> None:
        head = (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"
        )
        await connection.send(head + b"\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY))


class BrokenChunks(Server):
    """Sends a chunk whose size is no number."""

    async def reply(self, connection: Connection, request: Request) -> None:
        await connection.send(HEAD + CHUNKED + b"4\r\n" + BODY[:4] + b"\r\nzz\r\n" + BODY[4:] + b"\r\n0\r\n\r\n")


class Garbage(Server):
    """Answers with what is no HTTP at all."""

    async def reply(self, connection: Connection, request: Request) -> None:
        await connection.send(b"\x00\xff\x13\x37 this is not HTTP \x80\r\n\r\n" + bytes(range(256)))
        connection.close()


class WrongContent(Server):
    """Answers 200 with a page of HTML."""

    async def reply(self, connection: Connection, request: Request) -> None:
        await connection.send(answer("200 OK", b"<html>It works!</html>", "Content-Type: text/html"))


class Redirects(Server):
    """Redirects every request (307); to itself, where no location is given: a loop."""

    def __init__(self, location: str | None = None) -> None:
        super().__init__()
        self.location = location

    async def reply(self, connection: Connection, request: Request) -> None:
        await connection.send(answer("307 Temporary Redirect", b"", f"Location: {self.location or request.target}"))


# --- answers that are right, and rare ---------------------------------------------------------------------------------


class BigBody(Server):
    """Answers with a JSON document of that many bytes."""

    def __init__(self, size: int = 10_000_000) -> None:
        super().__init__()
        self.body = BODY[:-1] + b', "padding": "' + b"x" * (size - len(BODY) - 15) + b'"}'

    async def reply(self, connection: Connection, request: Request) -> None:
        await connection.send(answer(body=self.body))


class Interim(Server):
    """Sends two interim answers (100, 103) before the real one."""

    async def reply(self, connection: Connection, request: Request) -> None:
        await connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
        await connection.send(answer())


class SingleBytes(Server):
    """Sends its whole answer in pieces of a byte, as fast as it can."""

    async def reply(self, connection: Connection, request: Request) -> None:
        for byte in answer():
            await connection.send(bytes([byte]))
            await asyncio.sleep(0)


class Chunked(Server):
    """Sends its body in chunks of seven bytes, with an extension and a trailer."""

    async def reply(self, connection: Connection, request: Request) -> None:
        await connection.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for start in range(0, len(BODY), 7):
            piece = BODY[start : start + 7]
            await connection.send(b"%x;part=%d\r\n%s\r\n" % (len(piece), start, piece))
        await connection.send(b"0\r\nX-Trailer: done\r\n\r\n")


class CloseDelimited(Server):
    """Gives no length: the body ends with the connection."""

    async def reply(self, connection: Connection, request: Request) -> None:
        await connection.send(HEAD + b"Connection: close\r\n\r\n" + BODY)
        connection.close()


class Http10(Server):
    """Speaks HTTP/1.0: each answer ends its connection."""

    async def reply(self, connection: Connection, request: Request) -> None:
        await connection.send(answer().replace(b"HTTP/1.1", b"HTTP/1.0"))
        connection.close()


class NoBody(Server):
    """Answers 204, or 304 with the length that the body would have, and no body."""

    STATUS: ClassVar = {204: b"204 No Content\r\n", 304: b"304 Not Modified\r\nContent-Length: 100\r\n"}

    def __init__(self, status: int = 204) -> None:
        super().__init__()
        self.status = status

    async def reply(self, connection: Connection, request: Request) -> None:
        await connection.send(b"HTTP/1.1 " + self.STATUS[self.status] + b"\r\n")


class Gzip(Server):
    """Compresses its body, asked or not."""

    async def reply(self, connection: Connection, request: Request) -> None:
        await connection.send(answer("200 OK", gzip.compress(BODY), "Content-Encoding: gzip"))
