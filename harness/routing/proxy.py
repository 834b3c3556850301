"""From a user's request to the answer: over a replica of the arm that the table says.

A request's body is gathered whole (up to ``max_body``), for it may be asked again and copied; an answer is passed on as
`asking` has it. A user who goes away takes the request along: the replica's connection is closed.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web
from multidict import CIMultiDict

from harness.domain.model import Role
from harness.domain.real import RouterPlan
from harness.domain.units import WHOLE
from harness.routing.asking import BAD_GATEWAY, BROKEN, Answer, Asker, Unanswered
from harness.routing.changes import Control
from harness.routing.copying import Copies
from harness.routing.headers import answer_head, request_head
from harness.routing.metrics import Metrics
from harness.routing.refusing import BAD_REQUEST, refuse_unfit
from harness.routing.table import Spread, point_of

TOO_SLOW, TOO_LARGE = 408, 413
GATHER_S: Final = 60.0
"""How long a request's body may take to arrive."""
LEFT_OVER: Final = frozenset({"bad_request", "method", "too_large", "too_slow", "upgrade"})
"""Reasons to refuse a request after which its connection ends: more of it may be on its way."""
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Proxy:
    """Handles users' requests.

    Args:
        plan: what users are told apart by, and how long a body may be.
        control: the table in force.
        asker: asks replicas.
        copies: takes copies.
        metrics: counts.
        now: the machine's monotonic clock, ns.
    """

    def __init__(
        self,
        plan: RouterPlan,
        control: Control,
        asker: Asker,
        copies: Copies,
        metrics: Metrics,
        now: Callable[[], int],
    ) -> None:
        self._plan, self._control, self._asker = plan, control, asker
        self._copies, self._metrics, self._now = copies, metrics, now
        self._spread, self._mirrored = Spread(), Spread()
        self.draining = False
        """Each connection ends with its answer."""

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request, whatever becomes of it."""
        began_ns, role = self._now(), None
        self._metrics.in_flight += 1
        try:
            refuse_unfit(request)
            body = await self._body(request)
            role = self._arm(request)
            answer = await self._asked(request, role, body)
            role = answer.arm
            response, status = await self._passed_on(request, answer)
        except Unanswered as error:
            self._metrics.refused(role, error.reason)
            response, status = _own(error), error.status
        except asyncio.CancelledError:
            self._metrics.gone += 1
            raise
        finally:
            self._metrics.in_flight -= 1
        if role is not None:
            self._metrics.answered(role, status, self._now() - began_ns)
        if self.draining:
            response.force_close()
        return response

    async def _asked(self, request: web.BaseRequest, role: Role, body: bytes) -> Answer:
        headers = request_head(request.headers.items(), request.remote)
        path = _path(request)
        mirrored = role is Role.STABLE and self._is_copied()
        arms = iter((role,))

        def arm() -> Role:
            return next(arms, None) or self._arm(request)

        answer = await self._asker.ask(arm, request.method, path, headers, body)
        if mirrored:
            self._copies.offer(request.method, path, headers, body, answer)
        return answer

    def _arm(self, request: web.BaseRequest) -> Role:
        """Header routes lead, then users keep to their point, and others are spread evenly."""
        table = self._control.table
        if table.routes and table.leads(request.headers):
            return Role.CANDIDATE
        if table.sticky:
            user = request.headers.get(self._plan.user_header)
            if user is not None:
                return table.at(point_of(user))
        if len(table.edges) == 1:
            return table.edges[0][1]
        return table.at(self._spread.next())

    def _is_copied(self) -> bool:
        share = self._control.table.mirror
        return share > 0 and (share == WHOLE or self._mirrored.next() < share)

    async def _passed_on(self, request: web.BaseRequest, answer: Answer) -> tuple[web.StreamResponse, int]:
        """The answer as the user gets it, and the status that it counts as: 502 where it was cut off."""
        if answer.rest is None:
            return _whole(answer, head_only=request.method == "HEAD"), answer.status
        try:
            return await self._streamed(request, answer)
        finally:
            self._asker.end(answer)

    async def _streamed(self, request: web.BaseRequest, answer: Answer) -> tuple[web.StreamResponse, int]:
        response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=_head(answer))
        response.content_length = answer.length
        if self.draining:
            response.force_close()
        await response.prepare(request)
        while answer.rest is not None:
            try:
                chunk = await self._asker.more(answer.rest)
            except BROKEN:  # the user has a part of it: the connection ends before the answer does
                self._metrics.refused(answer.arm, "cut")
                _cut(request)
                return response, BAD_GATEWAY
            if not chunk:
                break
            try:
                await response.write(chunk)
            except ConnectionError:
                raise asyncio.CancelledError from None  # the user is gone
        return response, answer.status

    async def _body(self, request: web.BaseRequest) -> bytes:
        if not request.body_exists:
            return b""
        if (request.content_length or 0) > self._plan.max_body:
            raise self._too_large()
        if request.headers.get("Expect", "").lower() == "100-continue" and request.transport:
            request.transport.write(CONTINUE)
        try:
            if request.content.is_eof():  # all of it is there already: no timer
                return await request.read()
            async with asyncio.timeout(GATHER_S):
                return await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise self._too_large() from None
        except TimeoutError:
            raise Unanswered(TOO_SLOW, "too_slow", f"the body did not arrive within {GATHER_S:g} s") from None
        except web.RequestPayloadError as error:
            raise Unanswered(BAD_REQUEST, "bad_request", f"the body is none: {error}") from None

    def _too_large(self) -> Unanswered:
        most = self._plan.max_body
        return Unanswered(TOO_LARGE, "too_large", f"the body is longer than {most} bytes, the most this router takes")


def _path(request: web.BaseRequest) -> str:
    """Path and query as the user wrote them; of a whole URL without its host."""
    written = request.raw_path
    return written if written.startswith("/") else request.rel_url.raw_path_qs


def _head(answer: Answer) -> CIMultiDict[str]:
    return answer_head(answer.headers.items(), answer.arm.value, answer.replica.url)


def _whole(answer: Answer, *, head_only: bool) -> web.Response:
    headers = _head(answer)
    if head_only and "Content-Length" in answer.headers:
        headers["Content-Length"] = answer.headers["Content-Length"]
    return web.Response(status=answer.status, reason=answer.reason, headers=headers, body=answer.body or None)


def _cut(request: web.BaseRequest) -> None:
    """End the connection so that nobody takes what came for all of it."""
    if request.transport is not None:
        request.transport.close()


def _own(error: Unanswered) -> web.Response:
    """The router's own answer: no arm gave it, so no header names one."""
    said: dict[str, Any] = {"error": str(error), "by": "router", "reason": error.reason}
    response = web.Response(status=error.status, text=json.dumps(said), content_type="application/json")
    if error.reason in LEFT_OVER:
        response.force_close()
    return response
