"""Faults on order: answers come later by what was ordered, a drawn share are errors, and strangers order none."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.app import serving as app_serving
from harness.app.serving import Options
from harness.clock import run_real
from harness.errors import InputError
from harness.serving.fake import FakeSettings
from harness.serving.fake.app import FakeServer
from harness.serving.faults import PATH, Faults, Strength
from tests.serving.trained import pipeline, post, rows_of, running, serving
from tests.sites import site


def spoilt(server: Any) -> None:
    server.faults = Faults()


@asynccontextmanager
async def stand_in() -> AsyncIterator[tuple[FakeServer, aiohttp.ClientSession]]:
    server = FakeServer(FakeSettings(), None)
    spoilt(server)
    async with site(server.application(), 1) as url, aiohttp.ClientSession(url) as session:
        yield server, session


async def order(session: aiohttp.ClientSession, headers: dict[str, str] | None = None, **said: Any) -> tuple[int, Any]:
    async with session.put(PATH, json=said, headers=headers) as response:
        return response.status, await response.json()


def test_a_share_of_the_answers_are_errors_and_the_others_are_what_they_were() -> None:
    async def main() -> None:
        one = serving(pipeline("logistic_regression"))
        row = rows_of(one, 1)[0]
        async with running(one, change=spoilt) as (server, session):
            plain = (await post(session, "/predict", row))[1]["prediction"]
            assert await order(session, errors=0.3, seed=7) == (200, Strength(errors=0.3, seed=7).told())
            answers = [await post(session, "/predict", row) for _ in range(200)]
            failed = sum(status == 500 for status, _ in answers)
            assert stats.binomtest(failed, 200, 0.3).pvalue > 1e-4
            assert {status for status, _ in answers} == {200, 500}
            assert {body["prediction"] for status, body in answers if status == 200} == {plain}
            async with session.get("/metrics") as response:  # the server's own figures show what its clients met
                said = await response.text()
            assert (
                sum(
                    _count(line)
                    for line in said.splitlines()
                    if 'code="500"' in line and line.startswith("model_requests_total")
                )
                == failed
            )
            assert server.in_flight == 0
            await order(session)  # nothing is in force any more
            assert {(await post(session, "/predict", row))[0] for _ in range(20)} == {200}

    run_real(main)


def _count(line: str) -> float:
    return float(line.rsplit(" ", 1)[1])


def test_the_same_seed_fails_the_same_requests() -> None:
    async def main() -> None:
        async with stand_in() as (_, session):

            async def failures(seed: int) -> list[int]:
                await order(session, seed=seed + 1)  # another seed in between: the stream begins anew
                await order(session, errors=0.5, seed=seed)
                first = [(await post(session, "/predict", {}))[0] for _ in range(20)]
                await order(session, errors=0.5, latency_add_s=0.0001, seed=seed)  # strengths change: it goes on
                return first + [(await post(session, "/predict", {}))[0] for _ in range(20)]

            assert await failures(7) == await failures(7) != await failures(9)

    run_real(main)


@given(st.floats(1, 50), st.floats(0, 0.02), st.integers(0, 3_000_000))
@settings(max_examples=40, deadline=None)
def test_an_answer_waits_for_what_was_ordered(factor: float, added: float, took_ns: int) -> None:
    """At least so long, as measured by another clock; how much longer is the machine's."""

    async def main() -> None:
        from time import monotonic_ns

        faults, answer = Faults(), web.Response()
        faults.put(Strength(factor, added))
        began_ns = monotonic_ns()
        assert await faults.befall(answer, took_ns) is answer
        waited_s = (monotonic_ns() - began_ns) / 1e9
        assert waited_s >= took_ns / 1e9 * (factor - 1) + added - 0.002  # a loop's timers are that coarse

    run_real(main)


def test_what_waits_is_in_flight_so_that_a_drain_waits_for_it() -> None:
    async def main() -> None:
        import anyio

        async with stand_in() as (server, session), anyio.create_task_group() as tasks:
            await order(session, latency_add_s=0.5)
            found: list[int] = []

            async def ask() -> None:
                async with session.post("/predict", json={}) as response:
                    found.append(response.status)
                    assert response.headers["Connection"] == "close"

            tasks.start_soon(ask)
            while not server.in_flight:  # noqa: ASYNC110 - the server's own count
                await anyio.sleep(0.005)
            server.drain()
            await anyio.sleep(0.05)
            assert (server.in_flight, found) == (1, [])

    run_real(main)


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via"])
def test_what_came_through_a_proxy_orders_nothing(header: str) -> None:
    async def main() -> None:
        async with stand_in() as (server, session):
            status, _ = await order(session, {header: "127.0.0.1"}, errors=1.0)
            assert (status, server.faults.strength if server.faults else None) == (403, Strength())

    run_real(main)


@pytest.mark.parametrize(
    "wrong",
    [{"errors": 1.1}, {"errors": -0.1}, {"latency_factor": "2"}, {"latency_add_s": math.inf}, {"seed": 1.5}, {"x": 1},
     {"errors": True}],
)  # fmt: skip
def test_what_is_no_strength_is_refused_and_changes_nothing(wrong: dict[str, Any]) -> None:
    async def main() -> None:
        import json

        async with stand_in() as (server, session):
            await order(session, errors=0.25)
            async with session.put(PATH, data=json.dumps(wrong)) as response:
                assert response.status == 400
                assert (
                    next(iter(wrong)) in (await response.json())["error"] or "latency_factor" in await response.text()
                )
            assert server.faults is not None
            assert server.faults.strength == Strength(errors=0.25)

    run_real(main)


def test_a_server_that_was_not_started_so_knows_no_such_path() -> None:
    async def main() -> None:
        one = serving(pipeline("logistic_regression"))
        async with running(one) as (_, session), session.put(PATH, json={"errors": 1.0}) as response:
            assert response.status == 404

    run_real(main)


def test_several_processes_cannot_be_told() -> None:
    with pytest.raises(InputError, match="leave out --workers"):
        app_serving.serve(Options("model.skops", workers=2, faults=True))
