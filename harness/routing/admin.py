"""The router's own doors: changes over a socket of the file system, figures for Prometheus over TCP.

    GET  /routing            what is in force            PUT  /routing    weights, routes, mirror, stickiness
    PUT  /behind             replicas by arm             POST /drained    waits until those let go of are idle
    POST /adopt              the candidate is stable     GET  /copies     ?start=NS&stop=NS
    POST /hold               changes nothing but whose token is the highest
    GET  /health             where it listens            POST /stop       ends it; what is in flight is answered
    GET  /-/metrics

Each change carries `x-harness-token` and `x-harness-number` (see `changes`): 409 where another has overtaken it, 400
where it is wrong. Whoever may open the socket may change the routing, so it is the owner's alone.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from harness.domain.model import Role
from harness.domain.units import SECOND
from harness.errors import RoutingError
from harness.routing.changes import Control, Mark, Stale
from harness.routing.copying import Copies
from harness.routing.metrics import CONTENT_TYPE, Metrics
from harness.routing.words import behind_of, routing_of

TOKEN: Final = "x-harness-token"  # noqa: S105 - a header's name
NUMBER: Final = "x-harness-number"
METRICS: Final = "/-/metrics"
MOST_BODY: Final = 16 * 1024 * 1024
Handler = Callable[[web.Request], Awaitable[web.Response]]


class Admin:
    """Handles changes.

    Args:
        control: takes them.
        copies: what became of copies.
        metrics: for Prometheus.
        drain_ns: how long replicas that were let go of may take.
        about: where the router listens, for `GET /health`.
        stop: called to end the router.
    """

    def __init__(
        self,
        control: Control,
        copies: Copies,
        metrics: Metrics,
        drain_ns: int,
        about: dict[str, Any],
        stop: Callable[[], None],
    ) -> None:
        self._control, self._copies, self._metrics = control, copies, metrics
        self._drain_ns, self._about, self._stop = drain_ns, about, stop

    def application(self) -> web.Application:
        """For the socket of the file system."""
        app = web.Application(client_max_size=MOST_BODY)
        app.add_routes(
            [
                web.get("/routing", self._told),
                web.put("/routing", _change(self._route)),
                web.put("/behind", _change(self._point)),
                web.post("/adopt", _change(self._adopt)),
                web.post("/hold", _change(self._hold)),
                web.post("/drained", self._drained),
                web.get("/copies", _change(self._copied)),
                web.get("/health", self._health),
                web.post("/stop", _change(self._end)),
                web.get(METRICS, self._counts),
            ]
        )
        return app

    def figures(self) -> web.Application:
        """For Prometheus, which can change nothing."""
        app = web.Application()
        app.add_routes([web.get(METRICS, self._counts), web.get("/health", self._health)])
        return app

    async def _told(self, _: web.Request) -> web.Response:
        return web.json_response(self._control.told())

    async def _route(self, request: web.Request) -> web.Response:
        self._control.route(routing_of(await request.json()), _mark(request))
        return web.json_response(self._control.told())

    async def _point(self, request: web.Request) -> web.Response:
        self._control.point(behind_of(await request.json()), _mark(request))
        return web.json_response(self._control.told())

    async def _adopt(self, request: web.Request) -> web.Response:
        self._control.adopt(_mark(request))
        return web.json_response(self._control.told())

    async def _hold(self, request: web.Request) -> web.Response:
        self._control.hold(_mark(request))
        return web.json_response(self._control.told())

    async def _drained(self, _: web.Request) -> web.Response:
        done = await self._control.replicas.drained(self._drain_ns / SECOND)
        return web.json_response({"drained": done, "leaving": list(self._control.replicas.leaving())})

    async def _copied(self, request: web.Request) -> web.Response:
        try:
            start_ns, stop_ns = int(request.query["start"]), int(request.query["stop"])
        except (KeyError, ValueError):
            raise RoutingError("copies are told of a window: ?start=NS&stop=NS") from None
        span_ns = self._control.exposure.span_ns((Role.SHADOW,), start_ns, stop_ns)
        return web.json_response({**self._copies.told(start_ns, stop_ns), "span_ns": span_ns})

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"alive": True, **self._about})

    async def _end(self, request: web.Request) -> web.Response:
        self._control.hold(_mark(request))
        self._stop()
        return web.json_response({"stopping": True})

    async def _counts(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE})


def _change(handler: Handler) -> Handler:
    """A handler whose refusals have a status."""

    async def handle(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except Stale as error:
            return web.json_response({"error": str(error)}, status=409)
        except (RoutingError, json.JSONDecodeError, UnicodeDecodeError) as error:
            return web.json_response({"error": str(error)}, status=400)

    return handle


def _mark(request: web.Request) -> Mark:
    try:
        return Mark(int(request.headers[TOKEN]), int(request.headers[NUMBER]))
    except (KeyError, ValueError):
        raise RoutingError(f"a change carries {TOKEN} and {NUMBER}, whole numbers") from None
