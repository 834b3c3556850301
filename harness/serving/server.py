"""The application: a model behind three protocols on one port, its health, its metrics and its logs."""

import asyncio
import logging
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, PayloadEncodingError

from harness.clock import utc_now, wall_ns
from harness.domain.units import SECOND
from harness.realtime import MODEL_HEADER
from harness.serving import openapi
from harness.serving.answering import Answerer, Served
from harness.serving.batching import Answered, Batcher, Limits
from harness.serving.bodies import BAD_REQUEST, JSON, check_type, dumps, loads
from harness.serving.checking import Checker, Refused
from harness.serving.faults import Faults
from harness.serving.labels import Labels, plain_row
from harness.serving.logs import LineLog, PredictionLog
from harness.serving.metrics import CONTENT_TYPE, Metrics
from harness.serving.protocols import Asked, Spoken, row_key
from harness.serving.protocols.mlflow import MLflow, mlflow_version
from harness.serving.protocols.plain import Plain
from harness.serving.protocols.v2 import BINARY, V2, metadata, outputs_of

log = logging.getLogger("harness.serving")

ID: Final = "X-Request-Id"
_ID: Final = re.compile(r"[!-~]{1,128}", re.ASCII)
NOT_FOUND, NOT_ALLOWED, LATE, TOO_LARGE, NOT_READY = 404, 405, 408, 413, 503
BODY_ERRORS: Final = (
    aiohttp.ClientPayloadError, PayloadEncodingError, HttpProcessingError, web.RequestPayloadError,
)  # fmt: skip
"""What aiohttp raises over a body that ends too early, or is not encoded as it says."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Settings:
    """How a server behaves."""

    limits: Limits = field(default_factory=Limits)
    max_body: int = 4 << 20
    """Bytes of a request's body."""
    prediction_log: str | None = None
    rotate_bytes: int = 256 << 20
    """A prediction log of that size is put aside."""
    access_log: str | None = None
    service_log: str | None = None


class ModelServer:
    """What the handlers share.

    Args:
        served: the model.
        settings: how to behave.

    Raises:
        InputError: a log cannot be written.
    """

    batcher: Batcher
    predictions: PredictionLog | None = None
    access: LineLog | None = None
    service: LineLog | None = None
    labels: Labels
    faults: Faults | None = None
    """To be given before `application`, where answers are to be spoilt on order."""

    def __init__(self, served: Served, settings: Settings | None = None) -> None:
        self.served = served
        self.settings = settings or Settings()
        self.metrics = Metrics(served)
        self.answerer = Answerer(served.model.estimator, served.features, served.task)
        self.checker = Checker(self.answerer.features)
        self.in_flight = 0
        self.draining = False
        self._prefix = os.urandom(6).hex()
        self._number = 0
        self._signature = signature(served.name, served.version)
        self._document = dumps(openapi.document(served, labels=self.settings.prediction_log is not None))

    def application(self) -> web.Application:
        """The application, ready to be run."""
        app = web.Application(client_max_size=self.settings.max_body)
        app.cleanup_ctx.append(self._running)
        app.on_response_prepare.append(self._signed)
        self._routes(app.router)
        return app

    async def _signed(self, _: web.Request, response: web.StreamResponse) -> None:
        """Whatever is answered says which model did, failures too: routers that are not ours name no arm."""
        response.headers[MODEL_HEADER] = self._signature

    def drain(self) -> None:
        """From now on it is not ready, and each connection ends with its answer."""
        self.draining = True

    # --- life ---------------------------------------------------------------------------------------------------------

    async def _running(self, _: web.Application) -> AsyncIterator[None]:
        wanted = self.settings
        lost = self.metrics.lost
        if wanted.prediction_log:
            self.predictions = PredictionLog(wanted.prediction_log, lost, rotate_bytes=wanted.rotate_bytes)
        if wanted.access_log:
            self.access = LineLog(wanted.access_log, "access-log", lost)
        if wanted.service_log:
            self.service = LineLog(wanted.service_log, "service-log", lost)
        self.labels = Labels(self.served, self.predictions, self.metrics)
        for note in self.served.notes:
            log.warning("%s", note)
        self.batcher = Batcher(
            self.answerer.answer, wanted.limits, together=self.answerer.together, observe=self.metrics.batch
        )
        logs = [each for each in (self.predictions, self.access, self.service) if each]
        flushing = [asyncio.create_task(each.keep_flushing()) for each in logs]
        yield
        self.batcher.stop()
        for task in flushing:
            task.cancel()
        await asyncio.gather(*flushing, return_exceptions=True)
        for each in logs:
            await each.close()

    def _routes(self, router: web.UrlDispatcher) -> None:
        self._get(router, "/health", self._alive)
        self._get(router, "/ready", self._ready)
        self._get(router, "/metrics", self._metrics)
        self._get(router, "/ping", self._ping)
        self._get(router, "/version", self._version)
        self._get(router, "/openapi.json", self._openapi)
        self._get(router, "/v2", self._about)
        self._get(router, "/v2/health/live", self._alive)
        self._get(router, "/v2/health/ready", self._ready)
        self._post(router, "/predict", self._predicting(Plain()))
        self._post(router, "/invocations", self._predicting(MLflow()))
        infer = self._predicting(V2(outputs_of(self.served)))
        for path in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
            self._get(router, path, self._named(self._metadata))
            self._get(router, f"{path}/ready", self._named(self._ready))
            self._post(router, f"{path}/infer", self._named(infer))
        self._post(router, "/labels", self._label)
        if self.faults is not None:
            self.faults.add_routes(router)
        router.add_route("*", "/{rest:.*}", self._standing(_nowhere))

    def _get(self, router: web.UrlDispatcher, path: str, handler: Handler) -> None:
        router.add_get(path, self._standing(handler))
        router.add_route("*", path, self._standing(_other_method("GET, HEAD")))

    def _post(self, router: web.UrlDispatcher, path: str, handler: Handler) -> None:
        router.add_post(path, self._standing(handler))
        router.add_route("*", path, self._standing(_other_method("POST")))

    def _standing(self, handler: Handler) -> Handler:
        """A handler that is counted, and whose connection ends with it once the server drains."""

        async def handle(request: web.Request) -> web.StreamResponse:
            self.in_flight += 1
            try:
                response = await handler(request)
            except Refused as refused:
                status, body = Plain().refusal(refused)
                response = _answer(body, status, self._key(request))
            finally:
                self.in_flight -= 1
            if self.draining:
                response.force_close()
            return response

        return handle

    # --- predictions --------------------------------------------------------------------------------------------------

    def _predicting(self, spoken: Spoken) -> Handler:
        """A handler that predicts in one protocol."""

        async def handle(request: web.Request) -> web.StreamResponse:
            arrived_ns = wall_ns()
            key = self._key(request)
            response: web.StreamResponse
            try:
                response = await self._predicted(request, spoken, key, arrived_ns)
            except Refused as refused:
                status, body = spoken.refusal(refused)
                response = _answer(body, status, key)
                if refused.retry_after_s:
                    response.headers["Retry-After"] = str(refused.retry_after_s)
                if refused.status in (TOO_LARGE, LATE):
                    response.force_close()
            if self.faults is not None:
                response = await self.faults.befall(response, wall_ns() - arrived_ns)
            self.metrics.answered(spoken.name, response.status, wall_ns() - arrived_ns)
            return response

        return handle

    async def _predicted(self, request: web.Request, spoken: Spoken, key: str, arrived_ns: int) -> web.Response:
        media = check_type(request.headers.get("Content-Type"), spoken.media)
        if "Inference-Header-Content-Length" in request.headers and spoken.name == "v2":
            raise Refused(BAD_REQUEST, BINARY)
        body = await self._body(request)
        asked = await asyncio.to_thread(spoken.asked, body, media, self.checker) if media != JSON else None
        asked = asked or spoken.asked(body, media, self.checker)
        answered = await self.batcher.ask(asked.rows, arrived_ns)
        said = spoken.answer(self.served, asked, answered.answers, asked.key or key)
        self._note(asked, answered, key if request.headers.get(ID) == key else asked.key or key, arrived_ns)
        return _answer(said, 200, key)

    def _note(self, asked: Asked, answered: Answered, key: str, arrived_ns: int) -> None:
        answers = answered.answers
        self.metrics.predicted(answers.values, labels=bool(self.served.labels))
        if self.service is not None:
            said = {"id": key, "arrived_ns": arrived_ns, "start_ns": answered.start_ns, "end_ns": answered.end_ns}
            self.service.write(dumps(said).decode())
        if self.predictions is not None:
            time = utc_now().isoformat()
            sure: Sequence[float | None] = answers.confidences or [None] * len(answers.values)
            for number, (row, value, confidence) in enumerate(zip(asked.rows, answers.values, sure, strict=True)):
                each = row_key(key, number, len(asked.rows))
                line = {
                    "id": each,
                    "time": time,
                    "features": plain_row(self.checker.names, row),
                    "prediction": str(value) if self.served.labels else value,
                    "confidence": confidence,
                    "model": self.served.name,
                    "version": self.served.shown_version,
                }
                self.predictions.predicted(each, line)

    async def _body(self, request: web.Request) -> bytes:
        try:
            if request.content.is_eof():
                return await request.read()
            async with asyncio.timeout(self.settings.limits.timeout_ns / SECOND):
                return await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise Refused(
                TOO_LARGE, f"the body is larger than {self.settings.max_body:,} bytes; send fewer rows at a time"
            ) from None
        except TimeoutError:
            raise Refused(LATE, "the body did not arrive in time") from None
        except BODY_ERRORS:
            raise Refused(BAD_REQUEST, "the body is cut off, or not encoded as its headers say") from None

    def _key(self, request: web.Request) -> str:
        """The request's id: the client's own, or a new one."""
        given = request.headers.get(ID)
        if given is not None and _ID.fullmatch(given):
            return given
        self._number += 1
        return f"{self._prefix}-{self._number:x}"

    async def _label(self, request: web.Request) -> web.StreamResponse:
        check_type(request.headers.get("Content-Type"), {JSON})
        taken = await self.labels.take(loads(await self._body(request)))
        return _answer({"labels": taken}, 200, self._key(request))

    # --- the rest -----------------------------------------------------------------------------------------------------

    def _named(self, handler: Handler) -> Handler:
        """A handler of this model and version alone."""

        async def handle(request: web.Request) -> web.StreamResponse:
            model = request.match_info["model"]
            version = request.match_info.get("version", self.served.version)
            if (model, version) == (self.served.name, self.served.version):
                return await handler(request)
            here = f"{self.served.name} in version {self.served.version} is served here"
            return _answer({"error": f"there is no such model; {here}"}, NOT_FOUND, self._key(request))

        return handle

    async def _alive(self, _: web.Request) -> web.Response:
        """It runs."""
        return web.json_response({"status": "healthy", "live": True, **self._who()})

    async def _ready(self, _: web.Request) -> web.Response:
        """Whether it may get traffic."""
        state = "draining" if self.draining else "stuck" if self.batcher.stuck else "ready"
        ready = state == "ready"
        headers = {} if ready else {"Retry-After": "1"}
        body = {"status": state, "ready": ready, **self._who()}
        return web.json_response(body, status=200 if ready else NOT_READY, headers=headers)

    def _who(self) -> dict[str, Any]:
        return {"name": self.served.name, "model": self.served.name, "version": self.served.shown_version}

    async def _ping(self, _: web.Request) -> web.Response:
        """It runs, as MLflow says so."""
        return web.Response(body=b"\n", content_type=JSON)

    async def _version(self, _: web.Request) -> web.Response:
        """MLflow's version, by which its clients tell the protocol."""
        return web.Response(text=mlflow_version())

    async def _about(self, _: web.Request) -> web.Response:
        return web.json_response({"name": "harness", "version": self.served.version, "extensions": []})

    async def _metadata(self, _: web.Request) -> web.Response:
        return web.json_response(metadata(self.served))

    async def _metrics(self, _: web.Request) -> web.Response:
        text = self.metrics.text(self.in_flight - 1, self.batcher.waiting)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})

    async def _openapi(self, _: web.Request) -> web.Response:
        return web.Response(body=self._document, content_type=JSON)


def signature(name: str, version: str) -> str:
    """The model and version as a header may hold them: a name with letters that none may have is left out.

    >>> signature("churn", "3"), signature("Kündigung", "3")
    ('churn:3', '3')
    """
    text = f"{name}:{version}"
    return text if _ID.fullmatch(text) else version


def _answer(body: Any, status: int, key: str) -> web.Response:
    return web.Response(body=dumps(body), status=status, headers={"Content-Type": JSON, ID: key})


async def _nowhere(request: web.Request) -> web.Response:
    del request
    message = "there is nothing here; GET /openapi.json tells what there is"
    return web.json_response({"error": message, "errors": []}, status=NOT_FOUND)


def _other_method(allowed: str) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        del request
        return web.json_response(
            {"error": f"this takes {allowed}", "errors": []}, status=NOT_ALLOWED, headers={"Allow": allowed}
        )

    return handle
