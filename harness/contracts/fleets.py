"""What a fleet must keep: replicas that get ready and go, a router that is told in time, and no one left behind.

    @asynccontextmanager
    async def bench():
        fleet = MyFleet(scenario)
        fleet.place(Place(tmp, tmp / "state", "checked"))
        yield FleetBench(fleet, kill=my_way_to_kill_one)

    print(await check_fleet(bench))            # 8 of 8

The checks are one story of one fleet, in the order of `FLEET_CHECKS`: a replica may take long to start.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import anyio

from harness.contracts.checks import hold, refuses, sample_model
from harness.contracts.sources import Ran
from harness.domain.model import ARMS, Revision, Role, TrainedModel
from harness.errors import ServingError
from harness.protocols import Notice
from harness.realtime import Behind, Fleet, Placed

LOOK_S: Final = 0.02


async def _speaks(url: str) -> bool:
    """Whether somebody answers there, whatever the answer is."""
    import aiohttp

    try:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/ready") as response:
            await response.read()
            return True
    except (aiohttp.ClientError, OSError):
        return False


@dataclass(frozen=True)
class FleetBench:
    """A fleet that has been placed and not started, and what can be done to it."""

    fleet: Fleet
    kill: Callable[[str], Awaitable[None]] | None = None
    """Ends the replica of a URL behind the fleet's back; None: that cannot be done."""
    speaks: Callable[[str], Awaitable[bool]] = _speaks
    """Whether a replica's URL answers at all."""
    models: tuple[TrainedModel, TrainedModel, TrainedModel] | None = None
    """Three that it can run; None: small ones that were really fitted."""
    ready_within_s: float = 120.0
    """How long anything may take."""
    outlives: bool = False
    """What is stable is not this fleet's to end (a cluster's): it answers after `stop`, and the candidate does not."""
    not_ours: bool = False
    """No replica is this fleet's to start or to end (endpoints of the user's): it is checked for `NOT_OURS` alone."""


@dataclass
class Story:
    """A fleet's life so far, with a router that remembers what it was told."""

    bench: FleetBench
    models: dict[Role, TrainedModel]
    next: TrainedModel
    pointed: list[Behind] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    """Replicas that did not answer any more when the router was told to let go of them."""
    heard: list[Notice] = field(default_factory=list)
    ended: bool = False
    """There are no more notices."""

    @property
    def fleet(self) -> Fleet:
        """What is checked."""
        return self.bench.fleet

    def now(self, role: Role) -> tuple[str, ...]:
        """Where the router sends an arm's requests."""
        return tuple(self.pointed[-1].get(role, ())) if self.pointed else ()

    async def point(self, behind: Behind) -> None:
        """As a gateway: those that it is to let go of must still be there, for they may be answering."""
        before = {url for urls in (self.pointed[-1] if self.pointed else {}).values() for url in urls}
        self.pointed.append({role: tuple(urls) for role, urls in behind.items()})
        for url in sorted(before - {url for urls in behind.values() for url in urls}):
            if not await self.bench.speaks(url):
                self.silent.append(url)

    async def ready(self, role: Role, count: int) -> tuple[str, ...]:
        """Wait until so many are ready, and the router knows of exactly so many; their URLs."""

        async def so() -> bool:
            state = (await self.fleet.observe())[role]
            return state.wanted == state.ready == count == len(set(self.now(role)))

        await self.until(so, f"{count} replicas of {role} are ready in time, and the router knows of them alone")
        return self.now(role)

    async def until(self, so: Callable[[], Awaitable[bool]], sentence: str) -> None:
        """Hold that it comes to be so in time."""
        with anyio.move_on_after(self.bench.ready_within_s):
            while not await so():  # noqa: ASYNC110 - a fleet tells only who asks
                await anyio.sleep(LOOK_S)
            return
        hold(False, sentence)  # noqa: FBT003 - the promise, and what it says

    async def gone(self, url: str) -> None:
        """Hold that nobody answers there any more, soon."""

        async def so() -> bool:
            return not await self.bench.speaks(url)

        await self.until(so, f"a replica that is not wanted is gone: {url}")

    async def told(self, kind: str, role: Role, since: int) -> None:
        """Hold that a notice of the kind comes."""

        async def so() -> bool:
            return any(notice.kind == kind and role in notice.on for notice in self.heard[since:])

        await self.until(so, f"{kind} is told of {role}")

    async def listen(self) -> None:
        """Take notices, until there are no more."""
        async for notice in self.fleet.notices():
            self.heard.append(notice)
        self.ended = True


async def check_fleet(make: Callable[[], AbstractAsyncContextManager[FleetBench]]) -> Ran:
    """Run every check of a fleet that its bench allows.

    Args:
        make: gives a bench with a new fleet.

    Raises:
        AssertionError: a promise is broken; the message says which.
    """
    async with make() as bench, _told(bench) as story:
        checks = {
            name: check for name, check in FLEET_CHECKS.items()
            if (bench.kill is not None or check is not a_dead_replica_comes_back)
            and (check in NOT_OURS or not bench.not_ours)
        }  # fmt: skip
        await _put_to(story, checks.values())
    return Ran(tuple(checks), tuple(name for name in FLEET_CHECKS if name not in checks))


async def _put_to(story: Story, checks: Iterable["FleetCheck"]) -> None:
    broken: Exception | None = None
    async with anyio.create_task_group() as tasks:
        try:
            for number, check in enumerate(checks):
                await check(story)
                if not number:  # there are notices once it has started
                    tasks.start_soon(story.listen)
        except Exception as error:  # noqa: BLE001 - raised below as it is, and not in a group
            broken = error
        tasks.cancel_scope.cancel()
    if broken is not None:
        raise broken


@asynccontextmanager
async def _told(bench: FleetBench) -> AsyncIterator[Story]:
    stable, candidate, other = bench.models or (sample_model(1), sample_model(2), sample_model(3))
    story = Story(bench, {Role.STABLE: stable, Role.CANDIDATE: candidate}, other)
    _inform(story, 1)
    try:
        yield story
    finally:
        with anyio.CancelScope(shield=True):
            await bench.fleet.stop()


def _inform(story: Story, stable: int) -> None:
    if isinstance(story.fleet, Placed):
        story.fleet.inform({
            role: Revision(story.models[role].name, stable + number, story.models[role].artifact_digest)
            for number, role in enumerate(ARMS)
        })  # fmt: skip


# --- the story --------------------------------------------------------------------------------------------------------


async def stable_is_ready_once_started(story: Story) -> None:
    """`start` returns when stable is ready, answers a probe, and is known to the router."""
    await story.fleet.start(story.models, 1, story.point)
    state = (await story.fleet.observe())[Role.STABLE]
    hold(state.wanted == state.ready == 1, "stable is ready once the fleet has started")
    hold(len(story.now(Role.STABLE)) == 1, "the router has been pointed at stable once the fleet has started")
    hold(not story.now(Role.CANDIDATE), "no candidate gets traffic before one was wanted")
    hold(await story.fleet.probe(Role.STABLE), "stable answers a probe once the fleet has started")
    hold(not await story.fleet.probe(Role.CANDIDATE), "an arm without replicas answers no probe")


async def applying_twice_is_applying_once(story: Story) -> None:
    """What is wanted twice is wanted once, is told at once as wanted, and becomes ready; what others have stays."""
    stable = story.now(Role.STABLE)
    for _ in range(2):
        await story.fleet.apply({Role.STABLE: 1, Role.CANDIDATE: 1})
    hold((await story.fleet.observe())[Role.CANDIDATE].wanted == 1, "applying twice is applying once")
    candidate = await story.ready(Role.CANDIDATE, 1)
    hold(story.now(Role.STABLE) == stable, "stable's replica stays when the candidate gets one")
    hold(candidate[0] not in stable, "each replica has a URL of its own")
    hold(await story.fleet.probe(Role.CANDIDATE), "a candidate that is ready answers a probe")
    labels = [dict(each) for each in story.fleet.scraped().values()]
    hold(all("arm" in each and "revision" in each for each in labels), "metrics carry the labels arm and revision")


async def wrong_counts_are_refused(story: Story) -> None:
    """A count below 0 is a ServingError, and changes nothing."""
    await refuses(story.fleet.apply({Role.CANDIDATE: -1}), "a count below 0", ServingError)
    hold((await story.fleet.observe())[Role.CANDIDATE].wanted == 1, "a count that was refused changes nothing")


async def a_dead_replica_comes_back(story: Story) -> None:
    """A replica that dies is told, gets no traffic until it is ready again, and is told again."""
    assert story.bench.kill is not None
    before, heard = len(story.pointed), len(story.heard)
    await story.bench.kill(story.now(Role.CANDIDATE)[0])
    await story.told("replica_crashed", Role.CANDIDATE, heard)

    async def let_go() -> bool:
        return any(not behind.get(Role.CANDIDATE) for behind in story.pointed[before:])

    await story.until(let_go, "the router is pointed away from a replica that has died")
    await story.ready(Role.CANDIDATE, 1)
    await story.told("replica_ready", Role.CANDIDATE, heard)
    hold(await story.fleet.probe(Role.CANDIDATE), "a replica that came back answers a probe")
    story.silent.clear()  # it was dead, and no fleet could have kept it there


async def the_router_lets_go_first(story: Story) -> None:
    """A replica that is not wanted any more is there until the router has let go of it, and then is not."""
    goes = story.now(Role.CANDIDATE)[0]
    await story.fleet.apply({Role.STABLE: 1, Role.CANDIDATE: 0})
    state = (await story.fleet.observe())[Role.CANDIDATE]
    hold(state.wanted == state.ready == 0, "an arm of which none is wanted has none ready")
    await story.gone(goes)
    hold(not story.now(Role.CANDIDATE), "the router is pointed away from a replica before it goes")
    hold(not story.silent, "a replica is taken down only once the router has let go of it")


async def another_candidate_takes_its_place(story: Story) -> None:
    """Where a candidate is given up, its replicas are gone and stable's are as they were."""
    await story.fleet.apply({Role.CANDIDATE: 1})
    candidate, stable = (await story.ready(Role.CANDIDATE, 1))[0], story.now(Role.STABLE)
    story.models[Role.CANDIDATE] = story.next
    _inform(story, 1)
    await story.fleet.replace(story.models, adopt=False)
    hold((await story.fleet.observe())[Role.CANDIDATE].wanted == 0, "another candidate begins without a replica")
    hold(not await story.bench.speaks(candidate), "the replicas of a candidate that was given up are gone")
    hold(story.now(Role.STABLE) == stable, "stable's replicas stay when a candidate is given up")
    hold(not story.silent, "a replica is taken down only once the router has let go of it")


async def a_candidate_becomes_stable(story: Story) -> None:
    """Where a candidate is adopted, its replicas are stable's, and what was stable's is gone."""
    await story.fleet.apply({Role.CANDIDATE: 1})
    candidate, stable = await story.ready(Role.CANDIDATE, 1), story.now(Role.STABLE)[0]
    story.models = {Role.STABLE: story.models[Role.CANDIDATE], Role.CANDIDATE: story.models[Role.STABLE]}
    _inform(story, 2)
    await story.fleet.replace(story.models, adopt=True)
    hold(story.now(Role.STABLE) == candidate, "the replicas of an adopted candidate are stable's")
    hold(not story.now(Role.CANDIDATE), "once a candidate was adopted, its arm is empty")
    state = await story.fleet.observe()
    hold(state[Role.STABLE].wanted == state[Role.STABLE].ready == 1, "an adopted candidate is ready as stable")
    hold(state[Role.CANDIDATE].wanted == 0, "another candidate begins without a replica")
    hold(not await story.bench.speaks(stable), "what was stable is gone once a candidate was adopted")
    hold(await story.fleet.probe(Role.STABLE), "an adopted candidate answers a probe as stable")
    hold(not story.silent, "a replica is taken down only once the router has let go of it")


async def stopping_leaves_nothing(story: Story) -> None:
    """Once stopped, no replica answers and no notice comes; stopping again changes nothing.

    In a cluster the candidate's are gone, and stable's answer on.
    """
    if story.bench.outlives:
        await story.fleet.apply({Role.CANDIDATE: 1})
        await story.ready(Role.CANDIDATE, 1)
    stable, candidate = story.now(Role.STABLE), story.now(Role.CANDIDATE)
    for _ in range(2):
        await story.fleet.stop()
        for url in stable:
            left = await story.bench.speaks(url)
            hold(left or not story.bench.outlives, f"what is stable answers on once its fleet was stopped: {url}")
            hold(story.bench.outlives or not left, f"a fleet that was stopped leaves no replica: {url}")
    for url in candidate:
        await story.gone(url)
    hold(not story.fleet.scraped(), "a fleet that was stopped has no metrics")

    async def over() -> bool:
        return story.ended

    await story.until(over, "notices end where the fleet is stopped")


FleetCheck = Callable[[Story], Awaitable[None]]
FLEET_CHECKS: Final[Mapping[str, FleetCheck]] = {
    check.__name__: check
    for check in (
        stable_is_ready_once_started,
        applying_twice_is_applying_once,
        wrong_counts_are_refused,
        a_dead_replica_comes_back,
        the_router_lets_go_first,
        another_candidate_takes_its_place,
        a_candidate_becomes_stable,
        stopping_leaves_nothing,
    )
}
"""By name, in the order in which one fleet is put to them."""
NOT_OURS: Final = (stable_is_ready_once_started, applying_twice_is_applying_once, wrong_counts_are_refused)
"""What a fleet can keep that starts and ends no replica."""
