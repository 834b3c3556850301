"""The faulty servers have their faults: asked with plain sockets, which mend nothing."""

import asyncio
import gzip
import socket
import ssl
from collections.abc import Awaitable

import pytest

from tests import certificates
from tests import faulty_servers as faulty
from tests.faulty_servers import BODY, Server

ASK = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
WITHIN_S = 5.0
SILENCE_S = 0.05


async def within(what: Awaitable[bytes]) -> bytes:
    async with asyncio.timeout(WITHIN_S):
        return await what


async def ask(port: int, times: int = 1, context: ssl.SSLContext | None = None) -> bytes:
    """All that one connection answers, up to its end or to the length of so many answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    heard = b""
    try:
        for _ in range(times):
            writer.write(ASK)
            heard += await within(reader.readuntil(b"\r\n\r\n"))
            length = int(heard.rpartition(b"Content-Length: ")[2].split(b"\r\n")[0])
            heard += await within(reader.readexactly(length))
    finally:
        writer.close()
    return heard


async def everything(port: int) -> tuple[bytes, type[Exception] | None]:
    """What comes until the connection ends, and how that was if it was no regular end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    heard = b""
    try:
        writer.write(ASK)
        while piece := await within(reader.read(65536)):
            heard += piece
    except ConnectionError as error:
        return heard, type(error)
    finally:
        writer.close()
    return heard, None


async def silence_after(port: int) -> bytes:
    """What comes until nothing more does; that the connection has not ended by then."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(ASK)
    heard = b""
    try:
        while True:
            async with asyncio.timeout(SILENCE_S):
                piece = await reader.read(65536)
            assert piece, f"it has ended after {heard!r}"
            heard += piece
    except TimeoutError:
        return heard
    finally:
        writer.close()


def body_of(heard: bytes) -> bytes:
    return heard.partition(b"\r\n\r\n")[2]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> certificates.Certificates:
    return certificates.make(tmp_path_factory.mktemp("certificates"))


async def test_a_server_without_fault_keeps_the_connection() -> None:
    server = Server()
    async with server as port:
        assert (await ask(port, times=3)).count(BODY) == 3
    assert (server.connections, len(server.requests)) == (1, 3)
    assert server.requests[0].target == "/predict"
    assert server.requests[0].header("host") == "x"
    assert server.requests[0].body == b"{}"


async def test_answers_follow_their_script() -> None:
    async with faulty.Scripted(faulty.answer("503 Gone", b""), faulty.answer()) as port:
        assert (await ask(port, times=3)).count(b" 200 OK") == 2


@pytest.mark.parametrize(
    ("server", "heard"),
    [(faulty.ResetInHeaders(), b"HTTP/1.1 200 OK\r\nContent-Ty"), (faulty.ResetInBody(), BODY[: len(BODY) // 2])],
)
async def test_resets(server: Server, heard: bytes) -> None:
    async with server as port:
        said, end = await everything(port)
    assert said.endswith(heard)
    assert end is ConnectionResetError


async def test_closes_without_a_word() -> None:
    async with faulty.ClosesAtOnce() as port, faulty.ClosesUnanswered() as other:
        for each in (port, other):
            said, end = await everything(each)
            assert (said, end) in ((b"", None), (b"", ConnectionResetError))  # the latter where ours came too late


async def test_keep_alive_that_is_not_kept() -> None:
    async with faulty.ClosesAfterEach() as port:
        said, end = await everything(port)
        assert (said.count(BODY), b"Connection: keep-alive" in said, end) == (1, True, None)
    async with faulty.ClosesOnSecond() as port:
        assert BODY in await ask(port)
        with pytest.raises(asyncio.IncompleteReadError):
            await ask(port, times=2)


async def test_no_answer_and_half_an_answer() -> None:
    async with faulty.NeverAnswers() as port:
        assert await silence_after(port) == b""
    async with faulty.StopsInBody() as port:
        assert body_of(await silence_after(port)) == BODY[: len(BODY) // 2]


async def test_never_reads() -> None:
    async with faulty.NeverReads() as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x" * 50_000_000)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SILENCE_S):
                await writer.drain()
        writer.transport.abort()


async def test_byte_by_byte() -> None:
    async with faulty.ByteByByte(pause_s=0.001) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(ASK)
        await within(reader.readuntil(b"\r\n\r\n"))
        pieces = []
        while sum(map(len, pieces)) < len(BODY):
            pieces.append(await within(reader.read(100)))
        writer.close()
    assert b"".join(pieces) == BODY
    assert len(pieces) > 5
    assert faulty.ByteByByte().pause_s == 1


async def test_single_bytes() -> None:
    async with faulty.SingleBytes() as port:
        assert body_of(await ask(port)) == BODY


async def test_headers_without_end() -> None:
    async with faulty.EndlessHeaders() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
        writer.write(ASK)
        heard = await within(reader.readexactly(1_000_000))
        writer.transport.abort()
    assert heard.startswith(b"HTTP/1.1 200 OK\r\nX-0: ")
    assert b"\r\n\r\n" not in heard


async def test_what_comes_in_a_stall_is_answered_when_it_is_over() -> None:
    server = faulty.Stalls(every_s=0.1, for_s=0.05)
    async with server as port:
        assert server.begun_s is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        loop = asyncio.get_running_loop()
        stalled = 0
        while stalled < 3:
            period, into_s = divmod(loop.time() - server.begun_s, 0.1)
            writer.write(ASK)
            assert await within(reader.readuntil(BODY))
            if into_s > 0.05:
                assert loop.time() - server.begun_s >= (period + 1) * 0.1 - 0.001
                stalled += 1
            await asyncio.sleep(0.007)
        writer.close()


@pytest.mark.parametrize(("server", "off"), [(faulty.LengthTooLong(), 10), (faulty.LengthTooShort(), -10)])
async def test_wrong_lengths(server: Server, off: int) -> None:
    async with server as port:
        heard = (await everything(port))[0] if off > 0 else await silence_after(port)
    assert body_of(heard) == BODY
    assert f"Content-Length: {len(BODY) + off}\r\n".encode() in heard


async def test_chunks() -> None:
    async with faulty.Chunked() as port:
        heard = await silence_after(port)
        assert heard.endswith(b"\r\n0\r\nX-Trailer: done\r\n\r\n")
        assert b"7;part=0\r\n" + BODY[:7] + b"\r\n" in heard
    async with faulty.BrokenChunks() as port:
        assert b"\r\nzz\r\n" in await silence_after(port)
    async with faulty.LengthAndChunked() as port:
        heard = await silence_after(port)
        assert b"Content-Length: 5\r\n" in heard
        assert b"Transfer-Encoding: chunked\r\n" in heard


async def test_no_http() -> None:
    async with faulty.Garbage() as port:
        said, end = await everything(port)
    assert not said.startswith(b"HTTP")
    assert (len(said) > 256, end) == (True, None)


async def test_the_whole_of_a_big_body() -> None:
    async with faulty.BigBody() as port:
        assert len(body_of(await ask(port))) == 10_000_000


async def test_interim_answers() -> None:
    async with faulty.Interim() as port:
        heard = await silence_after(port)
    assert [line[9:12] for line in heard.split(b"\r\n") if line.startswith(b"HTTP")] == [b"100", b"103", b"200"]


@pytest.mark.parametrize(("server", "version"), [(faulty.CloseDelimited(), b"1.1"), (faulty.Http10(), b"1.0")])
async def test_the_connection_ends_with_the_answer(server: Server, version: bytes) -> None:
    async with server as port:
        said, end = await everything(port)
    assert said.startswith(b"HTTP/" + version)
    assert (b"Content-Length" in said) == (version == b"1.0")
    assert (body_of(said), end) == (BODY, None)


@pytest.mark.parametrize("status", [204, 304])
async def test_no_body(status: int) -> None:
    async with faulty.NoBody(status) as port:
        heard = await silence_after(port)
    assert heard.startswith(f"HTTP/1.1 {status} ".encode())
    assert heard.endswith(b"\r\n\r\n")


async def test_redirects() -> None:
    async with faulty.Redirects() as port, faulty.Redirects("/there") as other:
        assert b" 307 Temporary Redirect\r\n" in await ask(port)
        assert b"\r\nLocation: /predict\r\n" in await ask(port)
        assert b"\r\nLocation: /there\r\n" in await ask(other)


async def test_compressed_and_of_another_kind() -> None:
    async with faulty.Gzip() as port:
        assert gzip.decompress(body_of(await ask(port))) == BODY
    async with faulty.WrongContent() as port:
        assert b"Content-Type: text/html" in await ask(port)


def test_refused() -> None:
    with faulty.refused() as port, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 1)


def test_beside_a_blocking_client() -> None:
    with faulty.in_thread(Server()) as port, socket.create_connection(("127.0.0.1", port), WITHIN_S) as asking:
        asking.sendall(ASK)
        assert asking.recv(65536).endswith(BODY)


async def test_certificates(made: certificates.Certificates) -> None:
    trusting = ssl.create_default_context(cafile=str(made.authority))
    async with Server(made.good) as port:
        assert BODY in await ask(port, context=trusting)
    reasons = {"self_signed": "self-signed", "expired": "expired", "elsewhere": "IP address mismatch"}
    for name, reason in reasons.items():
        async with Server(getattr(made, name)) as port:
            with pytest.raises(ssl.SSLCertVerificationError, match=reason):
                await ask(port, context=trusting)
