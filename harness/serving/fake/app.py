"""The stand-in's application: three protocols, all faults, and its settings."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import IO, Any, Final

from aiohttp import web

from harness.clock import wall_ns
from harness.errors import InputError
from harness.serving.fake import bodies
from harness.serving.fake.alarm import Alarm
from harness.serving.fake.fate import Fate, Fates, Fault
from harness.serving.fake.metrics import CONTENT_TYPE, Metrics
from harness.serving.fake.pieces import cut_off, stream, trickle
from harness.serving.fake.settings import FakeSettings, read, shown
from harness.serving.fake.still import Stillness
from harness.serving.fake.workers import Full, Turn, Workers
from harness.serving.faults import Faults
from harness.serving.logs import LineLog

ID: Final = "X-Request-Id"
LARGEST: Final = 64 << 20
"""Bytes of a request that are taken."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(settings: FakeSettings | None = None, *, service_log: Path | None = None) -> web.Application:
    """The stand-in, ready to be served.

    Args:
        settings: how it behaves at first; `POST /settings` changes it.
        service_log: gets a JSON line for each prediction that a worker took: its ``id`` (of the request's header
            X-Request-Id, or its number), and ``arrived_ns`` (when it was here as a whole), ``start_ns`` and ``end_ns``
            of `harness.clock.wall_ns`.

    Raises:
        OSError: the log cannot be written.
    """
    return FakeServer(settings or FakeSettings(), service_log).application()


class FakeServer:
    """What the handlers share. Its workers and alarm belong to the loop, and are made when that runs.

    Args:
        settings: how it behaves at first.
        service_log: as `application` says.

    Raises:
        OSError: the log cannot be written.
    """

    alarm: Alarm
    workers: Workers
    access: LineLog | None = None
    faults: Faults | None = None
    """To be given before `application`, where answers are to be spoilt as any server's (``--faults``)."""

    def __init__(self, settings: FakeSettings, service_log: Path | None) -> None:
        self.in_flight = 0
        self.draining = False
        self.settings = settings
        self.fates = Fates(settings)
        # By the line, so that it can be read while the server runs; a write is some microseconds.
        self.log: IO[str] | None = service_log.open("w", buffering=1, encoding="utf-8") if service_log else None
        self.number = 0
        self.warm_ns = 0
        self.still = Stillness()
        self.counted = Metrics(lambda: self.workers.waiting, lambda: self.workers.busy)

    def application(self) -> web.Application:
        """The application, ready to be run."""
        app = web.Application(client_max_size=LARGEST)
        app.cleanup_ctx.append(self.running)
        self.add_routes(app.router)
        return app

    def drain(self) -> None:
        """From now on it is not ready, whatever it was told to say, and each connection ends with its answer."""
        self.draining = True

    async def running(self, _: web.Application) -> AsyncIterator[None]:
        """What lasts as long as the server runs."""
        self.alarm = Alarm()
        self.workers = Workers(self.alarm)
        self.take(FakeSettings(warmup_ns=-1), self.settings)
        yield
        self.alarm.close()
        if self.log is not None:
            self.log.close()

    def take(self, before: FakeSettings, settings: FakeSettings) -> None:
        """Behave like that from now on."""
        now_ns = wall_ns()
        self.settings = settings
        self.fates = Fates(settings)
        self.workers.resize(settings.workers)
        if settings.warmup_ns != before.warmup_ns:
            self.warm_ns = now_ns + settings.warmup_ns
        stall = settings.stall_every_ns, settings.stall_for_ns
        if stall != (before.stall_every_ns, before.stall_for_ns):
            self.still = self.workers.still = Stillness(*stall, origin_ns=now_ns)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """The three protocols, and the settings."""
        for path in ("/health", "/ping", "/v2/health/live"):
            router.add_get(path, self.standing(self.alive))
        for path in ("/ready", "/v2/health/ready"):
            router.add_get(path, self.standing(self.ready))
        router.add_get("/version", self.standing(self.version))
        router.add_get("/v2", self.standing(self.server))
        router.add_get("/metrics", self.standing(self.metrics))
        router.add_get("/openapi.json", self.standing(self.openapi))
        router.add_post("/predict", self.standing(self.predicting("json", bodies.predict)))
        router.add_post("/invocations", self.standing(self.predicting("mlflow", bodies.invocations)))
        for path in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
            router.add_post(f"{path}/infer", self.standing(self.named(self.predicting("v2", bodies.infer))))
            router.add_get(f"{path}/ready", self.standing(self.named(self.ready)))
            router.add_get(path, self.standing(self.named(self.metadata)))
        router.add_get("/settings", self.show)  # the way out of a stall never stands still
        router.add_post("/settings", self.change)
        if self.faults is not None:
            self.faults.add_routes(router)

    # --- around handlers ----------------------------------------------------------------------------------------------

    def standing(self, handler: Handler) -> Handler:
        """A handler that is counted, and waits while the server stands still."""

        async def handle(request: web.Request) -> web.StreamResponse:
            self.in_flight += 1
            try:
                if self.still.every_ns:
                    await self.alarm.until(self.still.advance(wall_ns()))
                response = await handler(request)
            finally:
                self.in_flight -= 1
            if self.draining:
                response.force_close()
            return response

        return handle

    def named(self, handler: Handler) -> Handler:
        """A handler of this model and version alone."""

        async def handle(request: web.Request) -> web.StreamResponse:
            model, version = request.match_info["model"], request.match_info.get("version", self.settings.version)
            if (model, version) != (self.settings.model, self.settings.version):
                return _refused(
                    404, f"there is no model {model!r} in version {version}; "
                    f"{self.settings.model!r} in version {self.settings.version} is here"
                )  # fmt: skip
            return await handler(request)

        return handle

    # --- predictions --------------------------------------------------------------------------------------------------

    def predicting(self, protocol: str, answerer: bodies.Answerer) -> Handler:
        """A handler that predicts in one protocol."""

        async def handle(request: web.Request) -> web.StreamResponse:
            came_ns = wall_ns()
            response = await self.predicted(request, answerer)
            if self.faults is not None:
                response = await self.faults.befall(response, wall_ns() - came_ns)
            self.counted.answered(protocol, response.status, wall_ns() - came_ns)
            return response

        return handle

    async def predicted(self, request: web.Request, answerer: bodies.Answerer) -> web.StreamResponse:
        """One prediction, with whatever befalls it."""
        settings = self.settings
        body = await request.read()
        arrived_ns = wall_ns()
        fate = self.fates(self.number)
        self.number += 1
        if settings.redirect:
            return web.Response(status=307, headers={"Location": settings.redirect})
        if arrived_ns < self.warm_ns:
            return _refused(503, "the model is warming up; ask again later", {"Retry-After": "1"})
        try:
            answer = answerer(json.loads(body), fate, settings)
        except ValueError as error:
            return _refused(400, f"the body cannot be used: {error}")
        try:
            if settings.chunks and fate.fault is None:
                return await self.streamed(request, fate, settings, arrived_ns)
            turn = await self.workers.turn(fate.service_ns, settings.queue)
        except Full:
            return _refused(503, f"{settings.queue} requests wait for a worker, and no more may", {"Retry-After": "1"})
        self.served(request, fate, turn, arrived_ns)
        if fate.fault is not None:
            return await self.spoilt(request, fate.fault, answer, settings)
        if settings.body_rate:
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            return await trickle(request, response, answer, settings.body_rate, self.alarm, self.still)
        return web.Response(body=answer, content_type="application/json", headers=_id(request))

    async def streamed(
        self, request: web.Request, fate: Fate, settings: FakeSettings, arrived_ns: int
    ) -> web.StreamResponse:
        """An answer in chunks; it keeps its worker to the last."""
        gaps_ns = self.fates.gaps_ns(fate.number)
        turn = await self.workers.turn(None, settings.queue)
        try:
            due_ns = self.still.advance(turn.start_ns, fate.service_ns)
            pieces = [(due_ns, bodies.event(0, fate, settings))]
            for index, gap_ns in enumerate(gaps_ns, 1):
                due_ns = self.still.advance(due_ns, gap_ns)
                pieces.append((due_ns, bodies.event(index, fate, settings)))
            pieces.append((due_ns, bodies.DONE))
            response = web.StreamResponse(
                headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", **(_id(request) or {})}
            )
            return await stream(request, response, pieces, self.alarm)
        finally:
            self.workers.leave(turn)
            self.served(request, fate, turn, arrived_ns)

    async def spoilt(
        self, request: web.Request, fault: Fault, answer: bytes, settings: FakeSettings
    ) -> web.StreamResponse:
        """What is answered instead."""
        self.counted.spoilt(fault)
        match fault:
            case Fault.ERROR:
                return _refused(settings.error_status, "the model failed, as it was told to")
            case Fault.WRONG_CONTENT:
                return web.Response(body=bodies.PAGE, content_type="text/html")
        await cut_off(request, answer, headers_only=fault is Fault.RESET_HEADERS)
        return web.Response(status=500)  # to nobody: the connection is gone

    def served(self, request: web.Request, fate: Fate, turn: Turn, arrived_ns: int) -> None:
        """Note a turn that is over."""
        self.counted.served(turn.end_ns - turn.start_ns)
        if self.log is not None:
            said = {
                "id": request.headers.get(ID, str(fate.number)),
                "arrived_ns": arrived_ns,
                "start_ns": turn.start_ns,
                "end_ns": turn.end_ns,
            }
            self.log.write(json.dumps(said) + "\n")

    # --- the rest -----------------------------------------------------------------------------------------------------

    async def alive(self, _: web.Request) -> web.Response:
        """It runs."""
        return web.json_response(
            {"status": "healthy", "live": True, "model": self.settings.model, "version": self.settings.version}
        )

    async def ready(self, _: web.Request) -> web.Response:
        """Whether it may get traffic, or what it was told to say."""
        said = self.settings.readiness
        if said == "fails":
            return _refused(500, "readiness failed, as it was told to")
        is_ready = not self.draining and said in {"lies", "honest"} and (said == "lies" or wall_ns() >= self.warm_ns)
        return web.json_response(
            {"status": "ready" if is_ready else "not ready", "ready": is_ready, "name": self.settings.model},
            status=200 if is_ready else 503,
        )

    async def version(self, _: web.Request) -> web.Response:
        """MLflow's version, as text."""
        return web.Response(text=bodies.mlflow_version())

    async def server(self, _: web.Request) -> web.Response:
        """What the Open Inference Protocol says of a server."""
        return web.json_response({"name": "harness-fake", "version": self.settings.version, "extensions": []})

    async def metadata(self, _: web.Request) -> web.Response:
        """What it says of a model."""
        return web.json_response(bodies.metadata(self.settings))

    async def metrics(self, _: web.Request) -> web.Response:
        """Counts and times, as Prometheus reads them."""
        return web.Response(body=self.counted.text(), headers={"Content-Type": CONTENT_TYPE})

    async def openapi(self, _: web.Request) -> web.Response:
        """What can be asked."""
        return web.json_response(bodies.openapi(self.settings))

    async def show(self, _: web.Request) -> web.Response:
        """How it behaves."""
        return web.json_response(shown(self.settings))

    async def change(self, request: web.Request) -> web.Response:
        """Behave otherwise from now on; where anything is wrong with what was said, nothing changes."""
        try:
            said = json.loads(await request.read())
        except ValueError as error:
            return web.json_response({"error": f"settings are a JSON object: {error}", "errors": []}, status=400)
        try:
            settings = _read(said, self.settings)
        except InputError as error:
            return web.json_response({"error": str(error), "errors": str(error).splitlines()}, status=400)
        if "seed" in said:
            self.number = 0  # the same seed, the same sequence
        self.take(self.settings, settings)
        return web.json_response(shown(settings))


def _read(said: Any, base: FakeSettings) -> FakeSettings:
    if not isinstance(said, dict):
        raise InputError('settings are a JSON object: {"latency": {"constant": "30ms"}}')
    return read(said, base)


def _refused(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": message, "message": message}, status=status, headers=headers)


def _id(request: web.Request) -> dict[str, str] | None:
    given = request.headers.get(ID)
    return None if given is None else {ID: given}
