"""The built-in router as a gateway whose process dies, and whose successor gives no answer at first."""

import os
import signal
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from aiohttp import web

from harness.backends import processes
from harness.backends.builtin import BuiltinRouter
from harness.clock import run_real
from harness.domain.model import Role
from harness.domain.rollout import Routing
from harness.domain.units import WHOLE
from harness.errors import BackendError
from harness.realtime import ARM_HEADER, Place
from tests.build import scenario
from tests.sites import site


def test_one_that_is_back_and_gives_no_answer_at_first_is_told_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    original = BuiltinRouter._ask

    async def held_up(self: BuiltinRouter, method: str, path: str, *more: Any, **named: Any) -> Any:
        asked.append(path)
        if path == "/routing" and asked.count(path) == 2:  # the first one after it has died
            asked.append("held up")
            raise BackendError("the router gives no answer: TimeoutError")
        return await original(self, method, path, *more, **named)

    monkeypatch.setattr(BuiltinRouter, "_ask", held_up)
    run_real(dies, tmp_path)
    assert asked.count("held up") == 1
    assert asked.count("/routing") == 3


async def dies(folder: Path) -> None:
    """Killed with all traffic on the candidate; users meet the candidate afterwards, at the same address."""
    router = BuiltinRouter(scenario())
    router.place(Place(folder / "run", folder / "state", "killed", 1))
    async with site(answering()) as url:
        await router.start()
        try:
            await router.point({Role.CANDIDATE: (url,)})
            await router.apply(Routing({Role.STABLE: 0, Role.CANDIDATE: WHOLE}))
            (note,) = processes.notes(folder / "state")
            assert note.pid
            os.kill(note.pid, signal.SIGKILL)
            with anyio.fail_after(60):
                async for notice in router.notices():
                    if notice.kind == "router_back":
                        break
            async with aiohttp.ClientSession() as session, session.post(f"{router.url}/predict") as answer:
                assert (answer.status, answer.headers[ARM_HEADER]) == (200, Role.CANDIDATE)
            (after,) = processes.notes(folder / "state")
            assert (after.url, after.pid != note.pid) == (note.url, True)
        finally:
            await router.stop()


def answering() -> web.Application:
    """A replica."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    return app
