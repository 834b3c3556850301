"""The REST interface over HTTP: paths, verbs, bodies and answers."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import anyio
from aiohttp import web

from fakes.kube_admission import APPLY, Write
from fakes.kube_answers import (
    JSON,
    REFUSALS,
    RESET,
    an_object,
    body_of,
    deleted,
    how_of,
    options_of,
    ordered,
    refusal,
    sent,
)
from fakes.kube_discovery import discovered
from fakes.kube_errors import Refused, bad_request, no_path
from fakes.kube_faults import Fault, Faults, Wrong
from fakes.kube_kinds import NAMESPACE, SERVED
from fakes.kube_rbac import Asked, Audit, Entry, authorize, user_of
from fakes.kube_reads import Watched, listed
from fakes.kube_scale import scale_of, scaled
from fakes.kube_script import Object
from fakes.kube_writes import Writer

VERBS: Final = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get"}


def read_path(method: str, path: str, *, watch: bool) -> Asked:
    """What a request is about.

    Raises:
        Refused: 404 there is no such resource; 405 it cannot be asked so.

    >>> asked = read_path("GET", "/apis/apps/v1/namespaces/ml/deployments/churn-v1/scale", watch=False)
    >>> asked.verb, asked.resource, asked.namespace, asked.name
    ('get', 'deployments/scale', 'ml', 'churn-v1')
    """
    parts = path.strip("/").split("/")
    group, rest = ("", parts[1:]) if parts[0] == "api" else (parts[1] if len(parts) > 1 else "", parts[2:])
    version, rest = (rest[0], rest[1:]) if rest else ("", [])
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces" and rest[2] not in NAMESPACE.subresources:
        namespace, rest = rest[1], rest[2:]
    kind = SERVED.get((group, version, rest[0])) if rest else None
    name, subresource = [*rest[1:3], "", ""][:2]
    if kind is None or len(rest) > 3 or (subresource and subresource not in kind.subresources):
        raise no_path()
    if bool(namespace) != kind.namespaced and (namespace or name or method == "POST"):
        raise no_path()
    return Asked(_verb(method, name, watch=watch), kind, namespace, name, subresource)


def _verb(method: str, name: str, *, watch: bool) -> str:
    if method not in VERBS or (method == "POST" and name) or (method in {"PUT", "PATCH"} and not name):
        raise Refused(405, "the server does not allow this method on the requested resource")
    if name:
        return VERBS[method]
    return {"GET": "watch" if watch else "list", "DELETE": "deletecollection"}.get(method, VERBS[method])


@dataclass(slots=True)
class Rest:
    """Answers requests.

    Args:
        writer: admits writes.
        faults: what requests meet.
        audit: where they are noted.
        rbac: whether Roles are enforced, and tokens asked for.
        bookmark_s: how often watches that want bookmarks get one.
        gone_by_http: a watch from a forgotten resource version is answered 410, not told in its stream.
    """

    writer: Writer
    faults: Faults
    audit: Audit
    rbac: bool = False
    bookmark_s: float = 60.0
    gone_by_http: bool = False
    over: bool = False

    def application(self) -> web.Application:
        """As an application of aiohttp."""
        app = web.Application(client_max_size=3 * 1024 * 1024)
        for path, page in discovered().items():
            app.router.add_get(path, partial(self._discovered, page))
        for probe in ("/healthz", "/readyz", "/livez"):
            app.router.add_get(probe, self._healthy)
        app.router.add_route("*", "/{path:.*}", self.answer)
        return app

    async def _discovered(self, page: Callable[[], Object], request: web.Request) -> web.StreamResponse:
        return self._reset(request) if self.faults.is_down else sent(page(), 200)

    async def _healthy(self, request: web.Request) -> web.StreamResponse:
        return self._reset(request) if self.faults.is_down else web.Response(text="ok")

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Any request to a resource."""
        if self.faults.is_down:
            return self._reset(request)
        user, asked = user_of(request.headers.get("Authorization", "")), None
        try:
            watch = request.query.get("watch") in {"true", "1"}
            asked = read_path(request.method, request.path, watch=watch)
            known = self._let_in(user, asked)
            fault = self.faults.meets(asked.verb, asked.resource, asked.name, known)
            answer = await self._met(request, asked, known, fault)
        except Refused as refused:
            answer = refusal(refused)
        if asked is not None and not (asked.verb == "watch" and answer.prepared):
            code = 0 if answer.status == RESET else answer.status
            self.audit.entries.append(Entry(user or "", asked, code))
        return answer

    def _let_in(self, user: str | None, asked: Asked) -> str:
        if user is None:
            raise Refused(401, "Unauthorized")
        if self.rbac:
            authorize(self.writer.store, user, asked)
        return user

    async def _met(self, request: web.Request, asked: Asked, user: str, fault: Fault | None) -> web.StreamResponse:
        wrong = fault.wrong if fault else None
        if fault is not None and wrong is Wrong.RESET:
            return self._reset(request)
        if fault is not None and wrong is Wrong.BUSY:
            told = {"Retry-After": str(fault.retry_after_s)}
            return web.Response(status=429, text="Too many requests, please try again later.\n", headers=told)
        if fault is not None and wrong in REFUSALS and not (asked.verb == "watch" and wrong is Wrong.GONE):
            raise ordered(fault, asked)
        if fault is not None and wrong is Wrong.SLOW and asked.verb == "watch":
            await anyio.sleep(fault.delay_s)
        answer = await self._served(request, asked, user, fault)
        if fault is not None and wrong is Wrong.SLOW and asked.verb != "watch":
            await anyio.sleep(fault.delay_s)
        return self._reset(request) if wrong is Wrong.LOST else answer

    def _reset(self, request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=RESET)

    async def _served(self, request: web.Request, asked: Asked, user: str, fault: Fault | None) -> web.StreamResponse:
        store = self.writer.store
        if asked.verb == "watch":
            return await self._watch(request, asked, user, fault)
        if asked.verb == "list":
            return sent(listed(store, asked.kind, asked.namespace, request.query), 200)
        if asked.verb == "get":
            found = store.get(asked.kind, asked.namespace, asked.name)
            return sent(scale_of(found) if asked.subresource == "scale" else found, 200)
        body = await body_of(request)
        how = how_of(request, asked)
        if asked.verb == "create":
            return sent(self.writer.create(asked.kind, asked.namespace, an_object(body), how), 201)
        if asked.verb in {"update", "patch"}:
            return self._change(request, asked, user, body, how)
        return self._delete(request, asked, {**options_of(request), **(body or {})}, how)

    def _change(self, request: web.Request, asked: Asked, user: str, body: Any, how: Write) -> web.Response:
        kind, namespace, name = asked.kind, asked.namespace, asked.name
        if asked.subresource == "scale":
            scale = scaled(self.writer, asked, None if asked.verb == "update" else request.content_type, body, how)
            return sent(scale, 200)
        if asked.verb == "update":
            return sent(self.writer.update(kind, namespace, name, an_object(body), how), 200)
        applies = request.content_type == APPLY
        if applies and not request.query.get("fieldManager"):
            raise bad_request(
                "PatchOptions.meta.k8s.io is invalid: fieldManager: Required value: is required for apply patch"
            )
        if applies and self.rbac and self.writer.store.find(kind, namespace, name) is None:
            authorize(self.writer.store, user, Asked("create", kind, namespace, name))
        done, made = self.writer.patch(kind, namespace, name, body, request.content_type, how)
        return sent(done, 201 if made else 200)

    def _delete(self, request: web.Request, asked: Asked, options: Object, how: Write) -> web.Response:
        kind, store = asked.kind, self.writer.store
        if asked.verb == "delete":
            done = self.writer.delete(kind, asked.namespace, asked.name, options, dry=how.dry)
            stays = store.find(kind, asked.namespace, asked.name) is not None
            return sent(done if stays else deleted(kind, done), 200)
        found = listed(store, kind, asked.namespace, request.query)
        for obj in found["items"]:
            self.writer.delete(
                kind, obj["metadata"].get("namespace", ""), obj["metadata"]["name"], options, dry=how.dry
            )
        return sent(found, 200)

    async def _watch(self, request: web.Request, asked: Asked, user: str, fault: Fault | None) -> web.StreamResponse:
        watched = Watched(
            self.writer.store, asked.kind, asked.namespace, request.query, self.bookmark_s, fault,
            lambda: self.over or self.faults.is_down,
        )  # fmt: skip
        if self.gone_by_http:
            watched.begin()
        answer = web.StreamResponse(headers={"Content-Type": JSON, "Cache-Control": "no-cache, private"})
        answer.enable_chunked_encoding()
        await answer.prepare(request)
        self.audit.entries.append(Entry(user, asked, 200))  # now, not when it is over

        async def send(type_of_event: str, obj: Object) -> None:
            await answer.write(json.dumps({"type": type_of_event, "object": obj}).encode() + b"\n")

        await watched.tell(send)
        if self.faults.is_down:
            self._reset(request)
        return answer
