"""Real servers on loopback for runs that are to lose them, in a loop of their own: a run has the main thread.

Stage       the loop, and the servers in it, which can be taken away and put back on the same port
Service     model servers of both arms and the user's own router before them, in one application
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from aiohttp import web

from harness.clock import wall_ns
from harness.domain.units import SECOND
from harness.serving.accepting import stop_accepting
from harness.serving.process import Place, bound, url_of

T = TypeVar("T")
ARMS = ("stable", "candidate")


class Site:
    """An application on a port of loopback, which can be gone for a while.

    Args:
        app: makes the application anew.
    """

    def __init__(self, app: Callable[[], web.Application]) -> None:
        self._app, self._port = app, 0
        self._runner: web.AppRunner | None = None
        self._listening: Any = None
        self.url = ""

    async def up(self) -> None:
        """Listen; always at the same port."""
        self._runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        self._listening = bound(Place(port=self._port))
        self.url, self._port = url_of(self._listening), self._listening.getsockname()[1]
        await web.SockSite(self._runner, self._listening).start()

    async def down(self) -> None:
        """Gone: connections are closed, and nobody listens."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await stop_accepting([self._listening])
            await runner.cleanup()
            self._listening.close()


class Stage:
    """A loop in a thread, and the sites in it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stage")
        self._sites: list[Site] = []

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Have something done in the loop, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def site(self, app: Callable[[], web.Application]) -> Site:
        """An application that is served until it is taken away, or all ends."""
        made = Site(app)
        self._sites.append(made)
        self.do(made.up())
        return made

    def down(self, site: Site) -> None:
        """Take it away."""
        self.do(site.down())

    @contextmanager
    def open(self) -> Iterator["Stage"]:
        """While it lasts, all of it is there."""
        self._thread.start()
        try:
            yield self
        finally:
            for site in self._sites:
                self.do(site.down())
            self.do(_ended())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


async def _ended() -> None:
    """Nothing is left under way."""
    rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


class Service:
    """Model servers of both arms behind a router of the user's own, which is told the weights by a webhook.

    Requests are dealt out by weight one after the other, so that shares are exact. What every change asked for and when
    each request came is kept: that is the router's word on where traffic stood.
    """

    def __init__(self) -> None:
        self.weights: dict[str, float] = {"stable": 1.0, "candidate": 0.0}
        self.told: list[dict[str, float]] = []
        """Weights of each change that was put in force."""
        self.asked: list[tuple[int, str]] = []
        """When each request came (`wall_ns`), and the arm that answered."""
        self.refuses: Callable[[dict[str, float]], int] = lambda _: 0
        """The status that a change of weights is answered with; 0: it is put in force."""
        self._due = dict.fromkeys(ARMS, 0.0)
        self.began: Callable[[], None] | None = None
        """Called once, with the first request of a user that the router gets."""
        self.at_20: Callable[[], None] | None = None
        """Called once, when the router is told to send a fifth to the candidate."""
        self.met: Callable[[], None] | None = None
        """Called once, with the first request that a model server gets."""

    def app(self) -> web.Application:
        """Both arms at /stable and /candidate, the router at the root."""
        app = web.Application()
        app.router.add_post("/weights", self._weights)
        app.router.add_post("/predict", self._routed)
        for arm in ARMS:
            app.router.add_get(f"/{arm}/ready", self._ready)
            app.router.add_post(f"/{arm}/predict", self._predict)
        return app

    def replica(self) -> web.Application:
        """A model server alone, for a router of the program's."""
        app = web.Application()
        app.router.add_get("/ready", self._ready)
        app.router.add_post("/predict", self._predict)
        return app

    async def _ready(self, _: web.Request) -> web.Response:
        return web.json_response({"ready": True})

    async def _predict(self, _: web.Request) -> web.Response:
        met, self.met = self.met, None
        if met:
            met()
        return web.json_response({"prediction": 1, "confidence": 0.9})

    async def _weights(self, request: web.Request) -> web.Response:
        wanted = (await request.json())["weights"]
        if status := self.refuses(wanted):
            return web.Response(status=status, text="not today")
        self.weights = wanted
        self.told.append(wanted)
        if self.at_20 and wanted["candidate"] == 0.2:
            at_20, self.at_20 = self.at_20, None
            at_20()
        return web.json_response({"weights": wanted})

    async def _routed(self, request: web.Request) -> web.Response:
        began, self.began = self.began, None
        if began:
            began()
        await request.read()
        for arm in ARMS:
            self._due[arm] += self.weights.get(arm, 0.0)
        arm = max(ARMS, key=lambda each: self._due[each])
        self._due[arm] -= 1.0
        self.asked.append((wall_ns(), arm))
        return web.json_response({"prediction": 1, "confidence": 0.9}, headers={"x-harness-arm": arm})

    def count(self, arm: str, window_s: float) -> int:
        """Requests that an arm answered in the last while."""
        since = wall_ns() - round(window_s * SECOND)
        return sum(1 for at_ns, whose in self.asked if whose == arm and at_ns >= since)
