"""The built-in router between users and servers of every kind, on raw sockets: nothing mends what is broken."""

import asyncio
import stat
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from harness.domain.model import Role
from harness.domain.rollout import Routing
from harness.domain.units import MILLISECOND, SECOND
from harness.realtime import ARM_HEADER
from harness.routing.asking import WHOLE_BYTES
from harness.routing.changes import Mark
from harness.routing.process import SOCKET
from tests import faulty_servers as servers
from tests.faulty_servers import BODY, Connection, Request, Server, answer
from tests.routing.running import ask, routing, talk

# --- answers of every kind --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "status", "asked"),
    [
        (servers.Server(), 200, 1),
        (servers.Interim(), 200, 1),
        (servers.SingleBytes(), 200, 1),
        (servers.Http10(), 200, 1),
        (servers.Chunked(), 200, 1),
        (servers.CloseDelimited(), 200, 1),
        (servers.Redirects(), 307, 1),
        # None has begun to answer: asked again, as often as the plan has it.
        (servers.ClosesUnanswered(), 502, 3),
        (servers.ResetInHeaders(), 502, 3),
        # An answer has begun: not asked again.
        (servers.ResetInBody(), 502, 1),
        (servers.LengthTooLong(), 502, 1),
        (servers.LengthTooShort(), 502, 1),
        (servers.Garbage(), 502, 1),
        (servers.LengthAndChunked(), 502, 1),
        (servers.EndlessHeaders(), 502, 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Server) else str(value),
)
async def test_each_server_is_passed_on_or_told_as_broken(
    server: Server, status: int, asked: int, tmp_path: Path
) -> None:
    async with server as there, routing(tmp_path, f"http://127.0.0.1:{there}") as (router, port):
        got = await ask(port)
        assert (got.status, got.whole, len(server.requests)) == (status, True, asked)
        assert (ARM_HEADER in got.headers) == (status != 502)
        if status == 200:
            assert got.body == BODY
        if status == 502:
            assert got.said["by"] == "router"
        assert router.control.replicas.choose(Role.STABLE, 0).outstanding == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("server", [servers.NeverAnswers(), servers.StopsInBody(), servers.ByteByByte(0.02)])
async def test_who_is_late_is_given_up_and_not_asked_again(server: Server, tmp_path: Path) -> None:
    async with (
        server as there, Server() as other,
        routing(tmp_path, f"http://127.0.0.1:{there}", f"http://127.0.0.1:{other}", timeout_ns=200 * MILLISECOND)
        as (_, port),
    ):  # fmt: skip
        got = await ask(port)
        assert (got.status, got.said["reason"], len(server.requests)) == (504, "timeout", 1)


async def test_a_replica_that_never_answers_at_all_is_passed_over(tmp_path: Path) -> None:
    broken = (servers.ClosesUnanswered(), servers.ClosesAtOnce(), servers.ClosesOnSecond())
    async with AsyncExitStack() as stack:
        urls = [f"http://127.0.0.1:{await stack.enter_async_context(each)}" for each in (*broken, Server())]
        _, port = await stack.enter_async_context(routing(tmp_path, *urls, retries=3))
        for _ in range(12):
            assert (await ask(port)).body == BODY


async def test_a_head_is_answered_with_the_length_and_no_body(tmp_path: Path) -> None:
    class Heads(Server):
        async def reply(self, connection: Connection, request: Request) -> None:
            whole = answer()
            await connection.send(whole[: -len(BODY)] if request.head.startswith(b"HEAD") else whole)

    async with Heads() as there, routing(tmp_path, f"http://127.0.0.1:{there}") as (_, port), talk(port) as user:
        user.send("HEAD /predict")
        got = await user.got(bodiless=True)
        assert (got.status, got.headers["content-length"]) == (200, str(len(BODY)))
        user.send("GET /predict")  # the connection is in step, and kept
        assert (await user.got()).body == BODY


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body_has_none(status: int, tmp_path: Path) -> None:
    async with (
        servers.NoBody(status) as there, routing(tmp_path, f"http://127.0.0.1:{there}") as (_, port), talk(port) as user
    ):  # fmt: skip
        for _ in range(2):
            user.send("GET /predict")
            assert (await user.got(bodiless=True)).status == status


# --- long answers -----------------------------------------------------------------------------------------------------


class Speaks(Server):
    """Sends a chunk whenever it is let."""

    def __init__(self, *, ends: bool) -> None:
        super().__init__()
        self.ends, self.goes_on = ends, asyncio.Event()
        self.talking: Connection | None = None

    async def reply(self, connection: Connection, request: Request) -> None:
        self.talking = connection
        await connection.send(servers.HEAD + servers.CHUNKED + b"3\r\none\r\n")
        await self.goes_on.wait()
        if self.ends:
            await connection.send(b"3\r\ntwo\r\n0\r\n\r\n")
        else:
            await connection.reset()


async def test_an_answer_of_unknown_length_is_passed_on_as_it_comes(tmp_path: Path) -> None:
    server = Speaks(ends=True)
    async with server as there, routing(tmp_path, f"http://127.0.0.1:{there}") as (router, port), talk(port) as user:
        user.send("GET /stream")
        status, headers = await user.head()
        assert (status, headers[ARM_HEADER]) == (200, "stable")
        assert await user.chunk() == b"one"
        drained = asyncio.create_task(router.control.replicas.drained(30))
        router.control.point({}, Mark(1, 2))
        await asyncio.sleep(0.05)
        server.goes_on.set()  # who is still speaking is let go of once it has ended
        assert await user.chunk() == b"two"
        assert await user.chunk() == b""
        assert await drained


async def test_an_answer_that_breaks_off_is_cut_and_not_asked_for_again(tmp_path: Path) -> None:
    server = Speaks(ends=False)
    async with server as there, routing(tmp_path, f"http://127.0.0.1:{there}") as (router, port), talk(port) as user:
        user.send("GET /stream")
        await user.head()
        assert await user.chunk() == b"one"
        server.goes_on.set()
        assert await user.ended()  # without the chunk that says: this is all
        assert len(server.requests) == 1
        assert router.metrics.own == {("stable", "cut"): 1}
        assert router.metrics.requests == {(Role.STABLE, 502): 1}


@pytest.mark.parametrize("size", [WHOLE_BYTES, 3 * WHOLE_BYTES])
async def test_a_long_answer_arrives_whole(size: int, tmp_path: Path) -> None:
    server = servers.BigBody(size)
    async with server as there, routing(tmp_path, f"http://127.0.0.1:{there}") as (_, port):
        got = await ask(port)
        assert (got.status, got.body == server.body, got.whole) == (200, True, True)


# --- long requests ----------------------------------------------------------------------------------------------------


async def test_a_body_that_is_too_long_is_refused_however_it_comes(tmp_path: Path) -> None:
    server = Server()
    async with server as there, routing(tmp_path, f"http://127.0.0.1:{there}", max_body=1000) as (router, port):
        assert (await ask(port, body=b"x" * 1000)).status == 200
        assert (await ask(port, body=b"x" * 1001)).said["reason"] == "too_large"
        async with talk(port) as user:
            user.send("POST /predict", "Transfer-Encoding: chunked", body=b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n")
            assert (await user.got()).status == 413
        async with talk(port) as user:  # before any of it is sent
            user.send("POST /predict", "Content-Length: 1001", "Expect: 100-continue")
            assert (await user.got()).status == 413
            assert await user.ended()
        assert len(server.requests) == 1
        assert router.metrics.own == {("", "too_large"): 3}


async def test_who_waits_to_be_asked_for_the_body_is_asked(tmp_path: Path) -> None:
    server = Server()
    async with server as there, routing(tmp_path, f"http://127.0.0.1:{there}") as (_, port), talk(port) as user:
        user.send("POST /predict", "Content-Length: 4", "Expect: 100-continue")
        assert await user.head() == (100, {})
        user.writer.write(b"abcd")
        assert (await user.got()).status == 200
        assert (server.requests[0].body, server.requests[0].header("expect")) == (b"abcd", None)


async def test_a_request_arrives_with_whom_it_is_from(tmp_path: Path) -> None:
    server = Server()
    async with server as there, routing(tmp_path, f"http://127.0.0.1:{there}") as (_, port):
        await ask(port, "POST /a%2Fb?x=%20y", "X-Forwarded-For: 10.0.0.1", "Connection: X-Mine", "X-Mine: 1")
        (seen,) = server.requests
        assert seen.target == "/a%2Fb?x=%20y"
        told = ("Host", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Mine", "Connection")
        found = [seen.header(name) for name in told]
        assert found == ["models.example", "10.0.0.1, 127.0.0.1", "models.example", "http", None, None]


# --- users who go away ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", [servers.NeverAnswers(), Speaks(ends=True)])
async def test_a_user_who_goes_away_takes_the_request_along(server: Server, tmp_path: Path) -> None:
    async with server as there, routing(tmp_path, f"http://127.0.0.1:{there}") as (router, port):
        async with talk(port) as user:
            user.send("GET /stream")
            await _until(lambda: len(server.requests) == 1)
        await _until(lambda: not server.open)  # its connection ended, with nobody to answer
        await _until(lambda: router.metrics.gone == 1)
        assert router.metrics.in_flight == 0
        assert router.control.replicas.choose(Role.STABLE, 0).outstanding == 0  # type: ignore[union-attr]


async def _until(true: Any) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 - what is looked at are counts
            await asyncio.sleep(0.005)


# --- its own doors ----------------------------------------------------------------------------------------------------


async def test_only_its_owner_may_change_it_and_prometheus_reads_it(tmp_path: Path) -> None:
    server = Server()
    async with server as there, routing(tmp_path, f"http://127.0.0.1:{there}", retries=0) as (router, port):
        assert stat.S_IMODE((tmp_path / SOCKET).stat().st_mode) == 0o600
        assert (await ask(port, "PUT /routing")).body == BODY  # the replica's: users have no such door
        assert [request.target for request in server.requests] == ["/routing"]
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(tmp_path / SOCKET))) as owner:
            about = await (await owner.get("http://router/health")).json()
            for path in ("/adopt", "/hold", "/stop"):
                assert (await owner.post(f"http://router{path}")).status == 400  # without a token
            for body in (b"", b"{", b"[]", b"\xff", b'{"weights": {"stable": 10000}}'):
                marked = {"x-harness-token": "1", "x-harness-number": "9"}
                assert (await owner.put("http://router/routing", data=body, headers=marked)).status == 400
        figures = int(about["metrics"].rpartition(":")[2])
        for head in ("PUT /routing", "POST /adopt", "POST /stop", "GET /routing"):
            assert (await ask(figures, head)).status == 404
        text = (await ask(figures, "GET /-/metrics")).body.decode()
        families = {family.name: family for family in text_string_to_metric_families(text)}
        (answered,) = families["harness_router_requests"].samples
        assert (answered.labels, answered.value) == ({"arm": "stable", "code": "2xx"}, 1)
        assert router.control.mark == Mark(1, 1)
        assert all(family.documentation and family.type != "unknown" for family in families.values())


async def test_copies_of_long_answers_are_not_read_to_their_end(tmp_path: Path) -> None:
    stable, candidate = servers.Chunked(), Speaks(ends=True)
    async with stable as one, candidate as other, routing(tmp_path) as (router, port):
        behind = {Role.STABLE: (f"http://127.0.0.1:{one}",), Role.CANDIDATE: (f"http://127.0.0.1:{other}",)}
        router.control.point(behind, Mark(1, 2))
        router.control.route(Routing({Role.STABLE: 10_000}, mirror=10_000), Mark(1, 3))
        assert (await ask(port)).body == BODY
        await _until(lambda: router.metrics.copies["answered"] == 1)
        await _until(lambda: not candidate.open)
        assert router.metrics.agreed == {True: 0, False: 0}
        assert await router.control.replicas.drained(30 * SECOND)
