"""HAProxy as the router before real replicas (``router: haproxy``): Debian's 2.6, driven over its runtime socket.

It runs as a process of its own, outlives a killed harness, and is never reloaded: weights, routes by header and
replicas are changed while it runs, and no request is lost of it. What is in force is held by HAProxy itself (in maps,
see `haproxy_config`), so another harness that takes it up again finds all of it there.

A HAProxy that dies is started anew at once, on the same port and with the routing that was in force; the next change is
refused all the same, for requests were lost and somebody should look.

HAProxy knows no fencing token. The highest that was seen stands beside the routing, and is looked at before each
change, under a lock of the run's folder: a harness that has lost its lease changes nothing more. Who uses the socket
without us is not held up by that.
"""

import asyncio
import fcntl
import ipaddress
import os
import shutil
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import anyio

from harness.backends import haproxy_socket as runtime
from harness.backends import processes
from harness.backends.haproxy_config import (
    KEY,
    NOBODY,
    REPLICAS_MAP,
    ROUTES_MAP,
    ROUTING_MAP,
    SLOTS,
    InForce,
    check,
    configuration,
    in_force,
    pattern_of,
    slots,
    value_of,
)
from harness.backends.haproxy_socket import Slot
from harness.backends.processes import Note
from harness.clock import is_virtual
from harness.domain.model import SERVING, Revision, Role
from harness.domain.rollout import Routing, Weights
from harness.domain.scenario import Scenario
from harness.domain.units import SECOND
from harness.errors import BackendError, RoutingError
from harness.realtime import Behind, Place

NAME: Final = "haproxy"
BACKLOG: Final = 2048
START_S: Final = 20.0
LOCK_S: Final = 5.0
LOOK_S: Final = 0.02
REVIVALS: Final = 5
"""A HAProxy that has died so often is left down."""


class HaproxyRouter:
    """A gateway over HAProxy 2.6 or later.

    Args:
        scenario: what it says of the router (``real.router``) and of draining (``real.local.drain``).
    """

    def __init__(self, scenario: Scenario) -> None:
        self.url = ""
        self._plan = scenario.real
        self._place: Place | None = None
        self._note: Note | None = None
        self._now = InForce()
        self._behind: Behind = {}
        self._watching: asyncio.Task[None] | None = None
        self._died = ""

    def place(self, where: Place) -> None:
        """Where its configuration, its socket and its log are."""
        self._place = where
        self._now = replace(self._now, token=where.token)

    def inform(self, revisions: Mapping[Role, Revision]) -> None:
        """What the models are called is nothing to it."""

    @property
    def folder(self) -> Path:
        """Of its configuration, its maps and its socket."""
        return self._where.folder / NAME

    @property
    def _where(self) -> Place:
        if self._place is None:
            raise BackendError("a router is told its place before it is used")
        return self._place

    # --- its process --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen; answers once it does.

        Raises:
            BackendError: HAProxy is not installed, or cannot listen there.
        """
        await self._launch(self._plan.router.port)
        self._watching = asyncio.create_task(self._watch())

    async def attach(self) -> Routing | None:
        """Take up the HAProxy that a killed run of this place left; None: there was none, and one was started.

        Raises:
            BackendError: it could not be started.
            RoutingError: a harness with a higher token drives it.
        """
        note = next((each for each in processes.notes(self._where.state, self._where.run) if each.name == NAME), None)
        if note is None:
            await self.start()
            return None
        if processes.alive(note):
            try:
                return await self._take_up(note)
            except RoutingError as error:
                if isinstance(error, _Fenced):
                    raise
        await processes.stop(note, grace_s=1)  # dead, or deaf
        await self._launch(_port_of(note) or self._plan.router.port)
        self._watching = asyncio.create_task(self._watch())
        return None

    async def _take_up(self, note: Note) -> Routing:
        async with self._locked():
            now = await self._read()
            await self._set(now)
        self._note, self._now, self.url = processes.take_over(note), now, note.url or ""
        self._behind = await self._standing()
        self._watching = asyncio.create_task(self._watch())
        return now.routing

    async def _launch(self, port: int) -> None:
        if is_virtual():
            raise BackendError("HAProxy is a real process, and does not run on virtual time; run with `--clock real`")
        program = shutil.which("haproxy", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
        if program is None:
            raise BackendError("haproxy is not installed: `apt install haproxy` (2.6 or later), or `router: builtin`")
        with _listening(self._plan.router.host, port) as users, _listening("127.0.0.1", 0) as metrics:
            self._lay_out(users.fileno(), metrics.fileno())
            for each in (users, metrics):
                each.set_inheritable(True)
            self.url = _url_of(users)
            self._note = processes.start(
                self._where,
                NAME,
                kind="router",
                command=(program, "-db", "-C", str(self.folder), "-f", "haproxy.cfg"),
                url=self.url,
                extra={"metrics": f"{_url_of(metrics)}/metrics"},
            )
        await self._answering(self._note)

    def _lay_out(self, users: int, metrics: int) -> None:
        """Write its configuration, and maps that hold what is in force and no replica."""
        self.folder.mkdir(parents=True, exist_ok=True)
        files = {
            "haproxy.cfg": configuration(self._plan, users, metrics),
            ROUTING_MAP: f"{KEY} {value_of(self._now)}\n",
            ROUTES_MAP: "".join(f"{pattern_of(route)} {Role.CANDIDATE}\n" for route in self._now.routing.routes),
            REPLICAS_MAP: "".join(f"{slot} {NOBODY}\n" for slot in slots()),
        }
        for name, text in files.items():
            (self.folder / name).write_text(text)

    async def _answering(self, note: Note) -> None:
        with anyio.move_on_after(START_S):
            while processes.alive(note):
                with suppress(RoutingError):
                    if await runtime.ask(self.folder, "show version"):
                        return
                await anyio.sleep(LOOK_S)
            raise BackendError(f"HAProxy ended as it was started; {processes.told(note)}")
        raise BackendError(f"HAProxy did not answer within {START_S:g} s; {processes.told(note)}")

    async def _watch(self) -> None:
        """Start it anew whenever it dies, until it has died too often."""
        for _ in range(REVIVALS):
            note = self._note
            if note is None:
                return
            await processes.ended(note)
            self._died = f"HAProxy (pid {note.pid}) ended by itself; {processes.told(note)}"
            try:
                await self._launch(_port_of(note))
                await self._set_replicas(self._behind)
            except BackendError as error:
                self._died = f"{self._died}; and it could not be started anew: {error}"
                return
            self._died += "; it was started anew with the routing that was in force"

    async def stop(self) -> None:
        """Listen no more; what is in flight is answered first, for as long as draining may take."""
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
        note, self._note = self._note, None
        if note is None:
            return
        if note.process is not None and processes.alive(note):
            processes.procfs.send(note.process, processes.signal.SIGUSR1)  # its soft stop; SIGTERM cuts off
            with anyio.move_on_after(self._plan.local.drain_ns / SECOND):
                await processes.ended(note)
        await processes.stop(note, grace_s=1)
        (self.folder / "admin.sock").unlink(missing_ok=True)

    # --- routing ------------------------------------------------------------------------------------------------------

    async def apply(self, want: Routing) -> Weights:
        """Put it in force for all requests from now on; answers with the weights that HAProxy then holds.

        Raises:
            RoutingError: weights are no shares of the whole, mirroring is asked for, HAProxy refused it or is gone, or
                a harness with a higher token drives it.
        """
        check(want)
        self._check_alive()
        async with self._locked():
            now = replace(await self._read(), routing=want)
            await self._set(now)
            held = await self._read()
        self._now = held
        return dict(held.routing.weights)

    async def adopt(self) -> None:
        """The candidate's pool is stable's from now on, with all traffic: one change, and no replica is touched."""
        async with self._locked():
            now = (await self._read()).adopted()
            await self._set(now)
        self._now = now
        moved = {Role.STABLE: self._behind.get(Role.CANDIDATE, ()), Role.CANDIDATE: self._behind.get(Role.STABLE, ())}
        self._behind = {**self._behind, **moved}

    async def _read(self) -> InForce:
        """What HAProxy goes by; refused where another has a higher token."""
        held = await runtime.entries(self.folder, ROUTING_MAP)
        now = in_force(held.get(KEY, ""))
        if now.token > self._where.token:
            raise _Fenced(
                f"HAProxy is driven by a harness with the token {now.token}; this one has {self._where.token}: its "
                f"lease is lost, and it changes nothing more"
            )
        return replace(now, token=self._where.token)

    async def _set(self, now: InForce) -> None:
        """Routes first: until the count of them is set none is looked at, and afterwards all are there."""
        patterns = {pattern_of(route) for route in now.routing.routes}
        if patterns != set(await runtime.entries(self.folder, ROUTES_MAP)):
            made = await runtime.ask(self.folder, f"prepare map {ROUTES_MAP}")
            version = made.strip().rpartition(" ")[2]
            lines = "".join(f"{pattern} {Role.CANDIDATE}\n" for pattern in sorted(patterns))
            if lines:
                said = (await runtime.ask(self.folder, f"add map @{version} {ROUTES_MAP} <<\n{lines}")).strip()
                if said:
                    raise RoutingError(f"HAProxy refused a route: {said.splitlines()[0]}")
            await runtime.do(self.folder, f"commit map @{version} {ROUTES_MAP}")
        await runtime.do(self.folder, f"set map {ROUTING_MAP} {KEY} {value_of(now)}")

    # --- replicas -----------------------------------------------------------------------------------------------------

    async def point(self, behind: Behind) -> None:
        """Send requests to these replicas only; returns when the others have none left, or had their time to drain.

        Raises:
            RoutingError: a replica's URL is nothing that HAProxy reaches, there are too many, or HAProxy is gone.
        """
        self._check_alive(told=False)
        left = await self._set_replicas(behind)
        with anyio.move_on_after(self._plan.local.drain_ns / SECOND):
            while await self._busy(left):  # noqa: ASYNC110 - HAProxy tells only who asks
                await anyio.sleep(LOOK_S)
        async with self._locked():
            await self._read()
            drained = [slot for slot in await runtime.slots(self.folder) if slot.name in left and slot.drains]
            if drained:
                await runtime.do(self.folder, *(_state(slot.name, "maint") for slot in drained))

    async def _set_replicas(self, behind: Behind) -> set[str]:
        """Put new ones in first, then drain those that are not wanted any more; answers with their slots."""
        urls = {role: behind.get(role, ()) for role in SERVING}
        addresses = {url: await _address(url) for each in urls.values() for url in each}
        async with self._locked():
            now = await self._read()
            standing = await runtime.slots(self.folder)
            holds = await runtime.entries(self.folder, REPLICAS_MAP)
            come: list[str] = []
            go: list[str] = []
            for role, pool in now.pools.items():
                mine = [slot for slot in standing if slot.name.startswith(pool)]
                come += _coming(mine, holds, urls[role], addresses)
                go += [slot.name for slot in mine if slot.taken and holds[slot.name] not in urls[role]]
            leaving = {slot.name for slot in standing if slot.name in go and not slot.drains}
            await self._told_all([*come, *(_state(name, "drain") for name in sorted(leaving))])
        self._behind = urls
        return set(go)

    async def _told_all(self, commands: list[str]) -> None:
        if commands:
            await runtime.do(self.folder, *commands)

    async def _busy(self, left: set[str]) -> bool:
        return any(slot.sessions and slot.drains for slot in await runtime.slots(self.folder) if slot.name in left)

    async def _standing(self) -> Behind:
        """The replicas that it sends requests to."""
        holds = await runtime.entries(self.folder, REPLICAS_MAP)
        used = [slot.name for slot in await runtime.slots(self.folder) if slot.taken and not slot.drains]
        return {role: tuple(holds[name] for name in used if name[0] == pool) for role, pool in self._now.pools.items()}

    # --- its surroundings ---------------------------------------------------------------------------------------------

    def scraped(self) -> Mapping[str, Mapping[str, str]]:
        """HAProxy's own exporter."""
        return {str(self._note.extra["metrics"]): {"router": NAME}} if self._note else {}

    def _check_alive(self, *, told: bool = True) -> None:
        if told and self._died:
            died, self._died = self._died, ""
            raise RoutingError(died)
        if self._note is None:
            raise RoutingError("HAProxy is not running: it was not started, or is stopped already")

    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[None]:
        """One change at a time, of this process and of any other."""
        with (self.folder / "lock").open("a") as file:
            try:
                with anyio.fail_after(LOCK_S):
                    while not _lock(file.fileno()):  # noqa: ASYNC110 - flock(2) tells only who asks
                        await anyio.sleep(LOOK_S)
            except TimeoutError:
                raise RoutingError(f"somebody else has been changing HAProxy for {LOCK_S:g} s") from None
            yield  # closing the file gives the lock back


class _Fenced(RoutingError):
    """A harness with a higher token drives it."""


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _state(name: str, state: str) -> str:
    return f"set server {name[0]}/{name} state {state}"


def _coming(
    mine: list[Slot], holds: Mapping[str, str], urls: tuple[str, ...], addresses: Mapping[str, tuple[str, int]]
) -> list[str]:
    """What puts replicas into a pool's slots that are not there, or were being drained."""
    there = {holds[slot.name]: slot for slot in mine if slot.taken}
    free = [slot.name for slot in mine if not slot.taken and not slot.sessions]
    missing = [url for url in urls if url not in there]
    if len(missing) > len(free):
        raise RoutingError(f"{len(urls)} replicas of one arm are too many: HAProxy has {SLOTS} places for each here")
    commands = [_state(there[url].name, "ready") for url in urls if url in there and there[url].drains]
    for url, name in zip(missing, free, strict=False):
        host, port = addresses[url]
        commands += [f"set map {REPLICAS_MAP} {name} {url}", f"set server {name[0]}/{name} addr {host} port {port}"]
        commands.append(_state(name, "ready"))
    return commands


async def _address(url: str) -> tuple[str, int]:
    """The address of a replica, as HAProxy takes it: no name.

    Raises:
        RoutingError: it is not plain HTTP, has a path, or its name is not known.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.path.strip("/") or not parts.hostname:
        raise RoutingError(f"HAProxy is set up for replicas at http://HOST:PORT, not {url}; `router: builtin` takes it")
    port = parts.port or 80
    try:
        return str(ipaddress.ip_address(parts.hostname)), port
    except ValueError:
        pass
    try:
        found = await anyio.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise RoutingError(f"no address is known of {url}: {error.strerror}") from error
    return str(found[0][4][0]), port


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        told = f"HAProxy cannot listen on {host}:{port}: {error.strerror}; give another real.router.port, or 0 for any"
        raise BackendError(told) from error


def _url_of(listening: socket.socket) -> str:
    """Where it is reached from this machine."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - asked for by the user
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _port_of(note: Note) -> int:
    return urlsplit(note.url or "").port or 0
