"""Requests that are none, or that two servers in a row might read in two ways, before the router's own process.

None makes it fail (no traceback, no 5xx of its own), none is smuggled to a replica, and it serves on.
"""

import asyncio
import re
from pathlib import Path

from harness.backends.builtin import BuiltinRouter
from harness.domain.model import Role
from harness.realtime import Place
from harness.seeds import stream
from tests.build import scenario
from tests.faulty_servers import BODY, Server
from tests.routing.running import PATIENCE_S, ask

SILENT_S = 0.25
"""How long a connection is listened to on which nothing comes: what was sent may be the beginning of a request."""
HOST = b"Host: a\r\n"
POST, GET = b"POST /p HTTP/1.1\r\n" + HOST, b"GET /p HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n"
WEBSOCKET = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"

REFUSED = {
    # Two ways to say where the body ends (RFC 9112, section 6).
    "length and chunks": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + GET + b"\r\n",
    "chunks and length": CHUNKED + b"Content-Length: 4\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    "a list of lengths": POST + b"Content-Length: 4, 4\r\n\r\nabcd",
    "a length with a sign": POST + b"Content-Length: +4\r\n\r\nabcd",
    "a length below zero": POST + b"Content-Length: -4\r\n\r\nabcd",
    "a length in hex": POST + b"Content-Length: 0x4\r\n\r\nabcd",
    "a length beyond all": POST + b"Content-Length: 99999999999999999999999\r\n\r\nabcd",
    "no length in the length": POST + b"Content-Length: \r\n\r\nabcd",
    "a space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "another coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a coding inside": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a coding outside": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": CHUNKED + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks of HTTP/1.0": CHUNKED.replace(b"/1.1", b"/1.0") + b"\r\n0\r\n\r\n",
    "a chunk of no size": CHUNKED + b"\r\nzz\r\n\r\n",
    "a chunk beyond all": CHUNKED + b"\r\nfffffffffffffffffff\r\n\r\n",
    "a chunk below zero": CHUNKED + b"\r\n-1\r\n\r\n",
    "chunks without CR": CHUNKED + b"\r\n1\na\n0\n\n",
    # Whom it is for.
    "no host": b"GET /p HTTP/1.1\r\n\r\n",
    "two hosts": GET + b"Host: b\r\n\r\n",
    "a tunnel": b"CONNECT evil.example:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a mirror": b"TRACE /p HTTP/1.1\r\n" + HOST + b"\r\n",
    "no path": b"GET * HTTP/1.1\r\n" + HOST + b"\r\n",
    "the server itself": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    "another server's path": b"GET @evil.example/p HTTP/1.1\r\n" + HOST + b"\r\n",
    "a broken URL": b"GET http://[::1/p HTTP/1.1\r\n" + HOST + b"\r\n",
    "a port beyond all": b"GET http://a:99999999/p HTTP/1.1\r\n" + HOST + b"\r\n",
    # What it says.
    "a websocket": GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n" + WEBSOCKET + b"\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/3.7": b"GET /p HTTP/3.7\r\n" + HOST + b"\r\n",
    "HTTP/0.9": b"GET /p\r\n\r\n",
    "TLS": bytes.fromhex("16030100c8010000c403032a0b"),
    "noise": bytes(range(256)) * 4,
    "an unknown method": b"FROB /p HTTP/1.1\r\n" + HOST + b"\r\n",
    "a space in the path": b"GET /p q HTTP/1.1\r\n" + HOST + b"\r\n",
    "bytes in the path": b"GET /p\xff HTTP/1.1\r\n" + HOST + b"\r\n",
    "bytes that are no text": GET + b"X-A: a\xff\xfeb\r\n\r\n",
    "a zero byte": GET + b"X-A: a\x00b\r\n\r\n",
    "a folded line": GET + b"X-A: a\r\n b\r\n\r\n",
    "a line without a colon": GET + b"X-A\r\n\r\n",
    "a line without a name": GET + b": a\r\n\r\n",
    "lines without CR": b"GET /p HTTP/1.1\nHost: a\n\n",
    "a CR alone": GET + b"X-A: a\rX-B: b\r\n\r\n",
    "a long path": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "a long header": GET + b"X-A: " + b"a" * 100_000 + b"\r\n\r\n",
    "many headers": GET + b"".join(b"X-%d: a\r\n" % number for number in range(5000)) + b"\r\n",
}
UNFINISHED = {
    "a head": GET,
    "chunks": CHUNKED + b"\r\n5\r\nab",
    "a body": POST + b"Content-Length: 10\r\n\r\nabc",
    "empty lines": b"\r\n\r\n\r\n",
}
USUAL = (
    POST + b"Content-Length: 4\r\nContent-Type: application/json\r\nx-user-id: 7\r\n\r\n1234",
    CHUNKED + b"\r\n4\r\nabcd\r\n0\r\n\r\n" + GET + b"\r\n",
    GET + b"Connection: keep-alive, x-a\r\nx-a: 1\r\nExpect: 100-continue\r\n\r\n",
)
BITS = (
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b";", b"\xff", b"0", b"-1", b"chunked", b"Content-Length: 1\r\n",
)  # fmt: skip


async def test_whatever_is_sent_to_it_it_serves_on(tmp_path: Path) -> None:
    replica, router = Server(), BuiltinRouter(scenario())
    router.place(Place(tmp_path / "run", tmp_path / "state", "attacked", 1))
    async with replica as there:
        await router.start()
        try:
            await router.point({Role.STABLE: (f"http://127.0.0.1:{there}",)})
            port = int(router.url.rpartition(":")[2])
            found = await _all(port, [*REFUSED.values()], PATIENCE_S)
            first = {name: said[0] if said else None for name, said in zip(REFUSED, found, strict=True)}
            assert {name: status for name, status in first.items() if status not in (400, 405)} == {}
            assert not any(said[1:] and said[1:] != [400] for said in found)  # the rest of it is no request
            assert replica.requests == []  # nothing of it was passed on
            assert await _all(port, [*UNFINISHED.values()], SILENT_S) == [[]] * len(UNFINISHED)
            found = await _all(port, _mangled(150), SILENT_S)
            assert not [status for said in found for status in said if status >= 500]
            assert (await ask(port)).body == BODY
        finally:
            await router.stop()
    log = (tmp_path / "run" / "processes" / "router.log").read_text()
    assert log == f"ready {router.url}\n"


def _mangled(count: int) -> list[bytes]:
    """Usual requests with bits put in, taken out or changed at some places."""
    draws = stream(7, "tests/attacks").generator()
    made = []
    for number in range(count):
        text = bytearray(USUAL[number % len(USUAL)])
        for _ in range(int(draws.integers(1, 4))):
            at, length = int(draws.integers(len(text))), int(draws.integers(0, 6))
            text[at : at + length] = BITS[int(draws.integers(len(BITS)))] if draws.random() < 0.8 else b""
        made.append(bytes(text))
    return made


async def _all(port: int, texts: list[bytes], within_s: float) -> list[list[int]]:
    """What each is answered, over a connection of its own."""
    few = asyncio.Semaphore(50)

    async def one(text: bytes) -> list[int]:
        async with few:
            return await _statuses(port, text, within_s)

    return await asyncio.gather(*map(one, texts))


async def _statuses(port: int, text: bytes, within_s: float) -> list[int]:
    """Of the answers that come until the connection ends, or nothing more comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said = b""
    try:
        writer.write(text)
        while part := await asyncio.wait_for(reader.read(2**16), SILENT_S if said else within_s):
            said += part
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.transport.abort()
    return [int(each) for each in re.findall(rb"HTTP/\d\.\d (\d\d\d) ", said)]
