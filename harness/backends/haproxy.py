"""HAProxy as the router before real replicas (``router: haproxy``): Debian's 2.6, driven over its runtime socket.

It runs as a process of its own, outlives a killed harness, and is never reloaded: weights, routes by header and
replicas are changed while it runs, and no request is lost of it. What is in force is held by HAProxy itself (in maps,
see `haproxy_config`), so another harness that takes it up again finds all of it there. If it dies by itself it is
started anew at the same port, with the routing and the replicas that it had.

HAProxy knows no fencing token. The highest that was seen stands beside the routing, and is looked at before each
change, under a lock of the run's folder: a harness that has lost its lease changes nothing more. Who uses the socket
without us is not held up by that.
"""

import asyncio
import fcntl
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import anyio

from harness.backends import haproxy_socket as runtime
from harness.backends import processes, procfs
from harness.backends.haproxy_config import (
    KEY,
    REPLICAS_MAP,
    ROUTES_MAP,
    ROUTING_MAP,
    InForce,
    check,
    in_force,
    pattern_of,
    value_of,
)
from harness.backends.haproxy_process import LOOK_S, NAME, end, launch, launch_near
from harness.backends.haproxy_replicas import MAINTENANCE, addresses_of, changes, standing_of, told
from harness.backends.noticing import Notices
from harness.backends.processes import Note
from harness.domain.model import Revision, Role
from harness.domain.rollout import Routing, Weights
from harness.domain.scenario import Scenario
from harness.domain.units import SECOND
from harness.errors import BackendError, RoutingError
from harness.protocols import Notice
from harness.realtime import Behind, Place

log = logging.getLogger("harness.backends.haproxy")
LOCK_S: Final = 5.0
AGAIN_S: Final = 1.0
"""From one try to start a HAProxy that has died to the next."""


class FencedError(RoutingError):
    """A harness with a higher token drives it."""


class HaproxyRouter:
    """A gateway over HAProxy 2.6 or later.

    Args:
        scenario: what it says of the router (``real.router``) and of draining (``real.local.drain``).
    """

    realtime = True

    def __init__(self, scenario: Scenario) -> None:
        self.url = ""
        self._plan = scenario.real
        self._at: Place | None = None
        self._note: Note | None = None
        self._now = InForce()
        self._behind: Behind = {}
        self._guard: asyncio.Task[None] | None = None
        self._notices = Notices()

    def place(self, where: Place) -> None:
        """Where its configuration, its socket and its log are."""
        self._at = where
        self._now = replace(self._now, token=where.token)

    def inform(self, revisions: Mapping[Role, Revision]) -> None:
        """What models are called is nothing to this router."""

    @property
    def _place(self) -> Place:
        if self._at is None:
            raise BackendError("the router has not been told where to keep things: call place() first")
        return self._at

    @property
    def _folder(self) -> Path:
        return self._place.folder / NAME

    # --- its life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen; answers once it does.

        Raises:
            BackendError: HAProxy is not installed, or cannot listen there.
        """
        self._taken(await launch(self._place, self._plan, self._now, self._plan.router.port))
        self._watch()

    async def attach(self) -> Routing | None:
        """Take up the HAProxy that a killed run of this place left; None: there was none, and one was started.

        Raises:
            BackendError: it could not be started.
            FencedError: a harness with a higher token drives it.
        """
        note = self._noted()
        if note is not None and processes.alive(note):
            try:
                return await self._take_up(note)
            except FencedError:
                raise
            except RoutingError as error:
                log.warning("the HAProxy that was left cannot be used, and another is started: %s", error)
        if note is None:
            await self.start()
            return None
        await processes.stop(note, grace_s=1)
        self._taken(await launch_near(self._place, self._plan, self._now, note))
        self._watch()
        return None

    async def stop(self) -> None:
        """Listen no more; what is in flight is answered first. One that another harness drives now is left to it."""
        note = self._note
        await self.leave()
        if note is None:
            return
        try:
            await self._read()
        except FencedError:
            log.warning("HAProxy at %s is driven by another harness now, and is left to it", self.url)
            return
        except RoutingError as error:
            log.info("HAProxy is ended by a signal: %s", error)
        await end(note, self._plan.local.drain_ns)

    async def leave(self) -> None:
        """Watch over it no more; it goes on as it was told last."""
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.cancel()
            with suppress(asyncio.CancelledError):
                await guard
        self._note = None

    def _noted(self) -> Note | None:
        found = processes.notes(self._place.state, self._place.run)
        return next((note for note in found if note.name == NAME), None)

    def _is_mine(self) -> bool:
        """Whether no other harness has taken it up, or ended it, since."""
        noted = self._noted()
        return noted is not None and (noted.owner, noted.extra["token"]) == (procfs.myself(), self._place.token)

    def _taken(self, note: Note) -> None:
        self._note, self.url = note, note.url or ""

    async def _take_up(self, note: Note) -> Routing:
        async with self._locked():
            self._now = await self._read()
            await self._set(self._now)
            holds = await runtime.entries(self._folder, REPLICAS_MAP)
            self._behind = standing_of(await runtime.slots(self._folder), holds, self._now.pools)
        extra = {**note.extra, "token": self._place.token}
        self._taken(processes.amend(processes.take_over(note), extra=extra))
        self._watch()
        return self._now.routing

    def _watch(self) -> None:
        self._guard = asyncio.get_running_loop().create_task(self._revive(), name="haproxy/guard")

    async def _revive(self) -> None:
        """Start it anew whenever it dies, with what it had; not where another harness has taken it up since."""
        while (note := self._note) is not None:
            await processes.ended(note)
            if not self._is_mine():
                return
            log.warning("HAProxy has died and is started anew; %s", processes.told(note))
            self._notices.say("router_died", f"HAProxy at {self.url} has died, and is started anew")
            while not await self._started_anew(self._note or note):  # noqa: ASYNC110 - each look is a try
                await anyio.sleep(AGAIN_S)
            self._notices.say("router_back", f"HAProxy is back at {self.url}, with the routing that it had")

    async def _started_anew(self, last: Note) -> bool:
        try:
            if not processes.alive(last):
                self._taken(await launch_near(self._place, self._plan, self._now, last))
            await self._exchange()
        except BackendError as error:
            log.warning("HAProxy could not be started anew: %s", error)
            return False
        return True

    def notices(self) -> AsyncIterator[Notice]:
        """That it died, and that it is back."""
        return self._notices.stream()

    # --- routing ------------------------------------------------------------------------------------------------------

    async def apply(self, want: Routing) -> Weights:
        """Put it in force for all requests from now on; answers with the weights that HAProxy then holds.

        Raises:
            RoutingError: weights are no shares of the whole, mirroring is asked for, HAProxy refused it or is gone, or
                a harness with a higher token drives it.
        """
        check(want)
        async with self._locked():
            await self._set(replace(await self._read(), routing=want))
            self._now = await self._read()
        return dict(self._now.routing.weights)

    async def adopt(self) -> None:
        """The candidate's pool is stable's from now on, with all traffic: one change, and no replica is touched.

        Asked again before replicas are pointed at anew, it has been done already.
        """
        async with self._locked():
            before = await self._read()
            now = before.adopted()
            await self._set(now)
            self._now = now
        if before.has_adopted:
            return
        moved = {Role.STABLE: self._behind.get(Role.CANDIDATE, ()), Role.CANDIDATE: self._behind.get(Role.STABLE, ())}
        self._behind = {**self._behind, **moved}

    async def _read(self) -> InForce:
        """What HAProxy goes by, to be changed by us; refused where another has a higher token."""
        held = await runtime.entries(self._folder, ROUTING_MAP)
        now, mine = in_force(held.get(KEY, "")), self._place.token
        if now.token > mine:
            raise FencedError(
                f"HAProxy is driven by a harness with the token {now.token}, and this one has {mine}: its lease is "
                f"lost, and it changes nothing more"
            )
        return replace(now, token=mine)

    async def _set(self, now: InForce) -> None:
        """Routes first: as long as none are counted they are not looked at, and then all of them are there."""
        patterns = {pattern_of(route) for route in now.routing.routes}
        if patterns != set(await runtime.entries(self._folder, ROUTES_MAP)):
            await runtime.exchange(self._folder, ROUTES_MAP, dict.fromkeys(sorted(patterns), Role.CANDIDATE.value))
        await runtime.do(self._folder, f"set map {ROUTING_MAP} {KEY} {value_of(now)}")

    # --- replicas -----------------------------------------------------------------------------------------------------

    async def point(self, behind: Behind) -> None:
        """Send requests to these replicas only; returns when the others have none left, or had their time to drain.

        Raises:
            RoutingError: a replica's URL is nothing that HAProxy reaches, there are too many, HAProxy is gone, or a
                harness with a higher token drives it.
        """
        left = await self._exchange(behind)
        with anyio.move_on_after(self._plan.local.drain_ns / SECOND):
            while await self._busy(left):  # noqa: ASYNC110 - HAProxy tells only who asks
                await anyio.sleep(LOOK_S)
        async with self._locked():
            await self._read()
            over = [slot for slot in await runtime.slots(self._folder) if slot.name in left and slot.drains]
            await runtime.do(self._folder, *(told(slot.name, MAINTENANCE) for slot in over))

    async def _exchange(self, behind: Behind | None = None) -> set[str]:
        """Put new ones in first, then drain those that are not wanted any more; answers with their slots.

        Args:
            behind: all that are wanted, said by who runs the replicas, so that another candidate may be adopted from
                now on; None: those that were wanted last, of which others may tell until it is our turn.
        """
        async with self._locked():
            urls, addresses = await addresses_of(self._behind if behind is None else behind)
            now = await self._read()
            holds = await runtime.entries(self._folder, REPLICAS_MAP)
            commands, left = changes(await runtime.slots(self._folder), holds, now.pools, urls, addresses)
            await runtime.do(self._folder, *commands)
            if now.has_adopted and behind is not None:
                self._now = replace(now, has_adopted=False)
                await self._set(self._now)
            self._behind = urls
        return left

    async def _busy(self, left: set[str]) -> bool:
        return any(each.name in left and each.drains and each.sessions for each in await runtime.slots(self._folder))

    # --- its surroundings ---------------------------------------------------------------------------------------------

    def scraped(self) -> Mapping[str, Mapping[str, str]]:
        """Where Prometheus finds what HAProxy counts, by its own exporter."""
        return {str(self._note.extra["metrics"]): {"component": "router"}} if self._note else {}

    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[None]:
        """One change at a time, of this process and of any other."""
        if self._note is None and not self._folder.exists():
            raise RoutingError("HAProxy is not running: it was not started")
        with (self._folder / "lock").open("a") as file:
            try:
                with anyio.fail_after(LOCK_S):
                    while not _lock(file.fileno()):  # noqa: ASYNC110 - flock(2) tells only who asks
                        await anyio.sleep(LOOK_S)
            except TimeoutError:
                raise RoutingError(f"somebody else has been changing HAProxy for {LOCK_S:g} s") from None
            yield  # closing the file gives the lock back


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
