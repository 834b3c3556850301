"""Pods that are real servers at addresses of their own, as in a cluster: what a model server's pod shows to outside."""

import itertools
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from fakes.kube_script import Object
from harness.realtime import MODEL_HEADER
from harness.serving.accepting import stop_accepting
from harness.serving.process import Place, bound

_hosts = itertools.count(2)


def model_server(pod: Object) -> web.Application:
    """Always ready, and answers every row alike, in the name of the model that its container is to serve."""
    name, _, version = pod["spec"]["containers"][0]["args"][1].partition(":")
    said = {"prediction": "No", "confidence": 0.9, "model": name, "version": int(version)}

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.json_response(said, headers={MODEL_HEADER: f"{name}:{version}"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    return app


@dataclass
class AddressKubelet:
    """Runs each pod as a server with an IP address of its own (127.0.0.0/8), on its container's port.

    Args:
        build: makes the application of a pod.
    """

    build: Callable[[Object], web.Application]
    _addresses: dict[str, str] = field(default_factory=dict)
    _running: dict[str, tuple[web.AppRunner, socket.socket]] = field(default_factory=dict)

    async def start(self, pod: Object) -> str:
        """Listen; its URL."""
        uid, number = pod["metadata"]["uid"], next(_hosts)
        port = pod["spec"]["containers"][0]["ports"][0]["containerPort"]
        host = self._addresses.setdefault(uid, f"127.0.{number // 250}.{number % 250 + 2}")
        pod["status"]["podIP"] = host
        runner = web.AppRunner(self.build(pod), access_log=None, shutdown_timeout=5)
        await runner.setup()
        listening = bound(Place(host, port))
        await web.SockSite(runner, listening).start()
        self._running[uid] = (runner, listening)
        return f"http://{host}:{port}"

    async def stop(self, pod: Object) -> None:
        """Listen no more."""
        runner, listening = self._running.pop(pod["metadata"]["uid"], (None, None))
        if runner is not None and listening is not None:
            await stop_accepting([listening])
            await runner.cleanup()
