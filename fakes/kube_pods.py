"""Nodes: what becomes of pods once they are made, and real servers behind them where a kubelet is given."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import aiohttp
import anyio
from aiohttp import web

from fakes.kube_admission import timestamp
from fakes.kube_kinds import CLAIM, POD
from fakes.kube_podstatus import conditions, status_of, unschedulable
from fakes.kube_script import Ill, Kubelet, Object, PodScript, Scripts
from fakes.kube_store import Store
from fakes.kube_writes import Writer
from harness.serving.accepting import stop_accepting
from harness.serving.process import Place, bound, url_of

URL: Final = "stand-in/url"
"""The annotation with the address of a pod that is a real server."""
PROBE_S: Final = 0.05
"""How often a real server is asked for its readiness."""
PROBE_TIMEOUT_S: Final = 1.0


@dataclass(slots=True)
class AppKubelet:
    """Runs each pod as a server on loopback, inside this process.

    Args:
        build: makes the application of a pod; its container's arguments, labels and name say which one.
    """

    build: Callable[[Object], web.Application]
    _running: dict[str, tuple[web.AppRunner, Any]] = field(default_factory=dict)

    async def start(self, pod: Object) -> str:
        """Listen; the URL."""
        runner = web.AppRunner(self.build(pod), access_log=None, shutdown_timeout=_grace_s(pod))
        await runner.setup()
        try:
            listening = bound(Place())
            await web.SockSite(runner, listening).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._running[pod["metadata"]["uid"]] = (runner, listening)
        return url_of(listening)

    async def stop(self, pod: Object) -> None:
        """Listen no more, and finish what is in flight."""
        runner, listening = self._running.pop(pod["metadata"]["uid"], (None, None))
        if runner is not None:
            await stop_accepting([listening])
            await runner.cleanup()


@dataclass(slots=True)
class Nodes:
    """Lets each pod live as its script says, in a task of its own.

    Args:
        writer: writes the pods' statuses.
        scripts: which pod lives how.
        kubelet: makes pods real; None: they are states.
    """

    writer: Writer
    scripts: Scripts
    kubelet: Kubelet | None = None
    _lives: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _crashes: dict[str, asyncio.Event] = field(default_factory=dict)
    _ips: int = 0

    @property
    def store(self) -> Store:
        """What is written to."""
        return self.writer.store

    def sync(self) -> None:
        """Give every new pod a life."""
        for pod in self.store.all(POD):
            uid = pod["metadata"]["uid"]
            if uid not in self._lives and "deletionTimestamp" not in pod["metadata"]:
                self._crashes[uid] = asyncio.Event()
                task = asyncio.create_task(self._life(pod, self.scripts.of(pod)), name=f"pod {pod['metadata']['name']}")
                task.add_done_callback(partial(self._forget, uid))
                self._lives[uid] = task

    def crash(self, namespace: str, name: str) -> None:
        """End a pod's container; it is started anew."""
        self._crashes[self.store.get(POD, namespace, name)["metadata"]["uid"]].set()

    async def stop(self) -> None:
        """End all pods at once."""
        lives = list(self._lives.values())
        for task in lives:
            task.cancel()
        await asyncio.gather(*lives, return_exceptions=True)

    def _forget(self, uid: str, _: object) -> None:
        self._lives.pop(uid, None)
        self._crashes.pop(uid, None)

    async def _life(self, pod: Object, script: PodScript) -> None:
        gone = asyncio.create_task(self._deleted(pod), name="deletion")
        living = asyncio.create_task(self._live(pod, script), name="living")
        try:
            await asyncio.wait([gone, living], return_when=asyncio.FIRST_COMPLETED)
            await gone
            living.cancel()
            await asyncio.wait([living])
            await self._end(pod, script)
        finally:
            for task in (gone, living):
                task.cancel()
            await asyncio.gather(gone, living, return_exceptions=True)
            if self.kubelet is not None:
                with anyio.CancelScope(shield=True):
                    await self.kubelet.stop(pod)

    async def _deleted(self, pod: Object) -> None:
        """Until the pod is to go, or is gone."""
        with self.store.waker() as waker:
            while (now := self._now(pod)) is not None and "deletionTimestamp" not in now["metadata"]:
                await waker.wait(None)

    async def _end(self, pod: Object, script: PodScript) -> None:
        now = self._now(pod)
        if now is None:
            return
        self._say(pod, now.get("status", {}) | {"conditions": conditions(ready=False)}, keep_containers=True)
        await anyio.sleep(min(script.stops_after_s, now["metadata"].get("deletionGracePeriodSeconds", 0)))
        if self.kubelet is not None:
            await self.kubelet.stop(pod)
        if (last := self._now(pod)) is not None and not last["metadata"].get("finalizers"):
            self.writer.remove(POD, last)  # one with finalizers goes with the last of them

    async def _live(self, pod: Object, script: PodScript) -> None:
        restarts = 0
        if script.ill is Ill.UNSCHEDULABLE:
            self._say(pod, unschedulable())
            return
        await self._claimed(pod)
        self._schedule(pod)
        while True:
            self._say(pod, status_of(pod, restarts, waiting="ContainerCreating"))
            try:
                await self._run(pod, script, restarts)
            except Exception as error:  # noqa: BLE001 - whatever a pod dies of, its node tells it and goes on
                said = f"back-off restarting failed container: {error!r}"
                self._say(pod, status_of(pod, restarts, waiting="CrashLoopBackOff", said=said))
                await anyio.sleep(_back_off_s(restarts))
            restarts += 1

    async def _claimed(self, pod: Object) -> None:
        """Until the volume claims that a pod mounts are there."""
        volumes = pod["spec"].get("volumes") or []
        names = [each["persistentVolumeClaim"]["claimName"] for each in volumes if each.get("persistentVolumeClaim")]
        with self.store.waker() as waker:
            for name in names:
                while self.store.find(CLAIM, pod["metadata"]["namespace"], name) is None:
                    self._say(pod, unschedulable(f'persistentvolumeclaim "{name}" not found'))
                    await waker.wait(None)

    async def _run(self, pod: Object, script: PodScript, restarts: int) -> None:
        """One life of a pod's container, until it crashes."""
        crash = self._crashes[pod["metadata"]["uid"]]
        crash.clear()
        if script.ill is Ill.IMAGE:
            self._say(pod, status_of(pod, 0, waiting="ImagePullBackOff", said="Back-off pulling image"))
            await anyio.sleep_forever()
        if script.ill is Ill.CRASH:
            raise RuntimeError("exit code 1")
        url = None if self.kubelet is None else await self.kubelet.start(pod)
        if url is not None:
            self.writer.change(POD, pod, lambda body: body["metadata"].setdefault("annotations", {}).update({URL: url}))
        self._say(pod, status_of(pod, restarts))
        await anyio.sleep(script.ready_after_s or 0)
        probing = asyncio.create_task(self._probe(pod, script, restarts, url), name="probe")
        try:
            await crash.wait()
        finally:
            probing.cancel()
            await asyncio.gather(probing, return_exceptions=True)
        if self.kubelet is not None:
            await self.kubelet.stop(pod)
        raise RuntimeError("exit code 137")

    async def _probe(self, pod: Object, script: PodScript, restarts: int, url: str | None) -> None:
        """Say whether it is ready: what has no readiness probe, or is no server, always is."""
        if script.ready_after_s is None:
            return
        path = _probe_path(pod)
        if url is None or path is None:
            self._say(pod, status_of(pod, restarts, ready=True))
            return
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PROBE_TIMEOUT_S)) as session:
            while True:
                self._say(pod, status_of(pod, restarts, ready=await _answers(session, url + path)))
                await anyio.sleep(PROBE_S)

    def _now(self, pod: Object) -> Object | None:
        meta = pod["metadata"]
        now = self.store.find(POD, meta["namespace"], meta["name"])
        return now if now is not None and now["metadata"]["uid"] == meta["uid"] else None

    def _going(self, pod: Object) -> bool:
        now = self._now(pod)
        return now is not None and "deletionTimestamp" in now["metadata"]

    def _schedule(self, pod: Object) -> None:
        self._ips += 1
        number = self._ips
        pod["status"] = {"podIP": f"10.244.{number // 250}.{number % 250 + 1}"} if self.kubelet is None else {}

        def bind(body: Object) -> None:
            body["spec"]["nodeName"] = f"node-{number % 3 + 1}"

        self.writer.change(POD, pod, bind)

    def _say(self, pod: Object, status: Object, *, keep_containers: bool = False) -> None:
        now = self._now(pod)
        if now is None or (self._going(pod) and not keep_containers):
            return
        before = {each["type"]: each for each in now.get("status", {}).get("conditions", [])}
        for condition in status["conditions"]:
            was = before.get(condition["type"])
            same = was is not None and was["status"] == condition["status"]
            condition["lastTransitionTime"] = was["lastTransitionTime"] if was and same else timestamp()
        self.writer.set_status(POD, now, {"startTime": now["metadata"]["creationTimestamp"], **status})


def _back_off_s(restarts: int) -> float:
    """Before a container is started anew: doubles each time, from a fiftieth of what a real node waits."""
    return float(min(0.2 * 2**restarts, 6.0))


def _grace_s(pod: Object) -> float:
    return float(pod["spec"].get("terminationGracePeriodSeconds", 30))


def _probe_path(pod: Object) -> str | None:
    get = ((pod["spec"]["containers"][0].get("readinessProbe") or {}).get("httpGet")) or {}
    return get.get("path")


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as answer:
            return 200 <= answer.status < 400
    except (aiohttp.ClientError, TimeoutError):
        return False
