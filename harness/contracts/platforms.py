"""What a platform must keep: its serving side, its router and its metrics."""

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from harness.clock import now_ns, sleep_until
from harness.contracts.checks import hold, refuses, sample_model
from harness.contracts.shares import SHARES, hold_share
from harness.domain.event import ArmTotals
from harness.domain.model import ARMS, Role
from harness.domain.rollout import HeaderRoute, Routing, Weights
from harness.domain.units import SECOND, WHOLE
from harness.errors import BackendError, RoutingError
from harness.protocols import ArmSample, Platform, Sample

CHANGES: Final = 20
"""Of weights, while traffic flows."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the checks of a platform wait for what."""

    ready_within_s: float = 120.0
    serve_s: float = 60.0
    settle_s: float = 0.0
    header: tuple[str, str] | None = None
    """What some requests carry: (name, value)."""


async def check_platform(
    make: Callable[[], Platform],
    ready_within_s: float = 120.0,
    serve_s: float = 60.0,
    settle_s: float = 0.0,
    header: tuple[str, str] | None = None,
) -> None:
    """Run every check of a platform: its serving side, its router and its metrics.

    Args:
        make: gives a new platform each time, not started, under steady traffic of at least 50 requests a second. That
            users keep to an arm is checked where each asks some ten times in ``serve_s``.
        ready_within_s: how long replicas may take to be ready.
        serve_s: how long each check lets traffic flow.
        settle_s: how long a change may take until metrics show nothing of before it (a scrape's interval, say).
        header: what some of the requests carry, but not all, as (name, value); None: nothing that is known.

    Raises:
        AssertionError: a promise is broken; the message says which.
    """
    for check in PLATFORM_CHECKS.values():
        platform = make()
        await platform.start({role: sample_model(number) for number, role in enumerate(ARMS, start=1)}, None)
        try:
            await check(platform, Patience(ready_within_s, serve_s, settle_s, header))
        finally:
            await platform.stop()
            await platform.stop()  # stopping what is stopped changes nothing


async def stable_serves_from_the_start(platform: Platform, patience: Patience) -> None:
    """Once started, stable has replicas ready, answers a probe, and has all traffic."""
    state = (await platform.serving.observe())[Role.STABLE]
    hold(0 < state.wanted == state.ready, "stable is ready once the platform has started")
    hold(await platform.serving.probe(Role.STABLE), "stable answers a probe once the platform has started")
    arms = await _serve(platform, patience.serve_s)
    hold(arms[Role.STABLE].arrivals > 0, "stable gets requests from the start")
    hold(arms[Role.CANDIDATE].arrivals == 0, "the candidate gets none before it has a weight")


async def replicas_become_ready_and_go(platform: Platform, patience: Patience) -> None:
    """What is wanted becomes ready; wanting it twice is wanting it once; none wanted leaves none."""
    for _ in range(2):
        await platform.serving.apply({Role.STABLE: 2, Role.CANDIDATE: 2})
    hold((await platform.serving.observe())[Role.CANDIDATE].wanted == 2, "applying twice is applying once")
    await _ready(platform, patience.ready_within_s)
    await platform.serving.apply({Role.STABLE: 2, Role.CANDIDATE: 0})
    state = (await platform.serving.observe())[Role.CANDIDATE]
    hold(state.wanted == state.ready == 0, "an arm of which none is wanted has none ready")
    hold(not await platform.serving.probe(Role.CANDIDATE), "an arm without replicas answers no probe")


async def weights_are_kept(platform: Platform, patience: Patience) -> None:
    """Traffic is split as asked, within what chance allows, at both ends exactly; none is left to who has no weight."""
    await platform.serving.apply({Role.STABLE: 2, Role.CANDIDATE: 2})
    await _ready(platform, patience.ready_within_s)
    for candidate in SHARES:
        want = _split(candidate)
        hold(await platform.router.apply(Routing(want)) == want, "the router answers with the weights in force")
        await sleep_until(now_ns() + round(patience.settle_s * SECOND))
        arms = await _serve(platform, patience.serve_s)
        hold_share(arms[Role.CANDIDATE].arrivals, sum(arms[role].arrivals for role in ARMS), candidate)


async def nothing_is_lost_while_weights_change(platform: Platform, patience: Patience) -> None:
    """Weights change over and over, and then the candidate retires: users fare no worse, and all are accounted for."""
    await _two_arms(platform, patience)
    before = (await _serve(platform, patience.serve_s))[Role.STABLE]
    first, start = await platform.metrics.totals(), now_ns()
    for step in range(CHANGES):
        await platform.router.apply(Routing(_split(step * 3700 % (WHOLE + 1))))
        await sleep_until(start + round((step + 1) * patience.serve_s / CHANGES * SECOND))
    await platform.router.apply(Routing(_split(0)))
    await platform.serving.apply({Role.STABLE: 2, Role.CANDIDATE: 0})
    await _serve(platform, patience.serve_s / 2)
    arms = await platform.metrics.sample(start, now_ns())
    hold(all(arms[role].requests for role in ARMS), "weights that change send requests to both arms")
    for role in ARMS:
        _hold_as_good(before, arms[role], f"users of {role} fare no worse while weights change, and when it retires")
    for role, arm in (await platform.metrics.totals()).items():
        hold(arm.arrived == arm.succeeded + arm.failed + arm.in_flight, f"requests to {role} are all accounted for")
        lost = set(arm.errors) - set(first[role].errors)
        hold(not lost, f"no request is lost while weights change: of {role} there are {sorted(lost)} now")


async def wrong_weights_are_refused(platform: Platform, patience: Patience) -> None:
    """Weights that are not shares of the whole are a RoutingError, and leave those in force."""
    for wrong in ({Role.STABLE: 9000, Role.CANDIDATE: 900}, {Role.STABLE: 11_000, Role.CANDIDATE: -1000}):
        await refuses(platform.router.apply(Routing(wrong)), f"asking for {wrong}", RoutingError)
    arms = await _serve(platform, patience.serve_s)
    hold(arms[Role.CANDIDATE].arrivals == 0, "weights that were refused change nothing")


async def windows_add_up(platform: Platform, patience: Patience) -> None:
    """Two neighbouring windows hold what the one over both holds, and the totals hold it all, conserved."""
    start = now_ns()
    first = await _serve(platform, patience.serve_s / 2)
    middle = now_ns()
    second = await _serve(platform, patience.serve_s / 2)
    whole = await platform.metrics.sample(start, now_ns())
    hold(middle < now_ns(), "time goes on")
    for role in ARMS:
        parts = first[role].requests + second[role].requests
        hold(parts == whole[role].requests, f"windows of {role} add up: {parts}, {whole[role].requests} over both")
        latency = first[role].latency + second[role].latency
        hold(latency == whole[role].latency, f"latencies of {role} add up")
    for role, arm in (await platform.metrics.totals()).items():
        hold(arm.arrived == arm.succeeded + arm.failed + arm.in_flight, f"requests to {role} are all accounted for")
        hold(arm.succeeded + arm.failed >= whole[role].requests, f"the totals of {role} hold every window")


async def the_future_is_not_measured(platform: Platform, patience: Patience) -> None:
    """A window that ends in the future is a BackendError."""
    del patience
    ahead = now_ns() + 60 * SECOND
    await refuses(platform.metrics.sample(now_ns(), ahead), "a window that ends in the future", BackendError)


async def features_are_told_in_shares(platform: Platform, patience: Patience) -> None:
    """What was asked is told as shares over the same bins for both arms and the reference; or not at all.

    So is what each arm's model answered, for that arm alone.
    """
    start = now_ns()
    await _serve(platform, patience.serve_s)
    predictions = await platform.metrics.predictions(start, now_ns())
    for role, answers in predictions.items():
        hold(set(answers.shares) == {role}, f"the predictions of {role} are its own")
    for column in (*await platform.metrics.inputs(start, now_ns()), *predictions.values()):
        for shares in (column.reference, *column.shares.values()):
            hold(len(shares) == len(column.bins), f"{column.name} has a share for each of its bins")
            hold(abs(sum(shares) - 1) < 1e-9, f"the shares of {column.name} add up to one")
        hold(set(column.drift) == set(column.shares), f"{column.name} has a drift for each arm that was asked")


async def copies_are_invisible(platform: Platform, patience: Patience) -> None:
    """Copies of requests go to nobody, and are counted for no arm that users are answered by."""
    await _two_arms(platform, patience)
    first = await _arrived(platform)
    without = (await _serve(platform, patience.serve_s))[Role.STABLE]
    usual = await _arrived(platform) - first
    if not await _routes(platform, Routing(_split(0), mirror=WHOLE // 2), patience):
        return
    first = await _arrived(platform)
    arms = await _serve(platform, patience.serve_s)
    stable, came = arms[Role.STABLE], await _arrived(platform) - first
    hold(arms[Role.CANDIDATE].arrivals == 0, "a copy is no request of a user: the candidate gets none")
    slack = 5 * math.sqrt(usual + came)
    hold(abs(came - usual) <= slack, f"stable gets as many requests while half are copied: {came}, {usual} before")
    _hold_as_good(without, stable, "users fare no worse while requests are copied")
    if Role.SHADOW in arms:
        slack = 5 * math.sqrt(stable.arrivals) / 2
        off = abs(arms[Role.SHADOW].arrivals - stable.arrivals / 2)
        hold(off <= slack, f"half of the requests are copied, not {off:.0f} more or less")
    await _routes(platform, Routing(_split(0)), patience)
    after = await _serve(platform, patience.serve_s)
    hold(Role.SHADOW not in after or after[Role.SHADOW].arrivals == 0, "nothing is copied once mirroring is off")


async def users_keep_to_their_arm(platform: Platform, patience: Patience) -> None:
    """While shares stay, a user meets one arm; when they change, only those move who must."""
    await _two_arms(platform, patience)
    asked = (await _serve(platform, patience.serve_s))[Role.STABLE]
    if not await _routes(platform, Routing(_split(1000), sticky=True), patience):
        return
    if asked.users is None or asked.requests < 10 * asked.users:
        return  # users are not told, or ask too seldom to tell
    for candidate in (1000, 3000, 5000, 3000, 1000):
        await _routes(platform, Routing(_split(candidate), sticky=True), patience)
        arms = await _serve(platform, patience.serve_s)
        met = sum(arms[role].users or 0 for role in ARMS)
        everyone = (await platform.metrics.totals())[Role.STABLE].users or 0
        hold(met <= 1.05 * everyone, f"a user meets one arm: {met} were met by either, and there are {everyone}")
    met = (await platform.metrics.totals())[Role.CANDIDATE].users or 0
    most = everyone / 2 + 2.5 * math.sqrt(everyone)
    hold(met <= most, f"only those change arm who must: of {everyone} users {met} met a candidate of at most half")


async def headers_lead_to_the_candidate(platform: Platform, patience: Patience) -> None:
    """Requests that carry a header go to the candidate, all of them and no others, whatever the weights."""
    await _two_arms(platform, patience)
    name, value = patience.header or ("x-harness-contract", "nobody sends this")
    route = HeaderRoute("contract", name, value)
    if not await _routes(platform, Routing(_split(0), (route,)), patience):
        return
    before = await platform.metrics.totals()
    arms = await _serve(platform, patience.serve_s)
    after = await platform.metrics.totals()
    led = arms[Role.CANDIDATE].arrivals
    if patience.header is None:
        hold(led == 0, "a header that no request carries leads none to the candidate")
        return
    hold(led > 0, f"requests with {route} go to the candidate, which has no weight")
    hold(arms[Role.STABLE].arrivals > 0, f"requests without {route} do not go to the candidate")
    for kind in after[Role.STABLE].classes:
        came = [_came(after[role], kind) - _came(before[role], kind) for role in ARMS]
        hold(0 in came, f"a class of requests goes one way: of {kind} stable and the candidate got {came}")
    await _routes(platform, Routing(_split(0)), patience)
    arms = await _serve(platform, patience.serve_s)
    hold(arms[Role.CANDIDATE].arrivals == 0, "once the route is removed, the candidate gets nothing more")


async def another_candidate_finds_users_served(platform: Platform, patience: Patience) -> None:
    """A candidate that is adopted, or given up, makes room for another; users are served all the while."""
    for adopt in (True, False):
        await _two_arms(platform, patience)
        await _routes(platform, Routing(_split(WHOLE if adopt else 0)), patience)
        before = (await _serve(platform, patience.serve_s))[Role.CANDIDATE if adopt else Role.STABLE]
        models = {Role.STABLE: sample_model(2 if adopt else 1), Role.CANDIDATE: sample_model(3)}
        await platform.replace(models, None, adopt=adopt)
        state = await platform.serving.observe()
        hold(state[Role.STABLE].ready > 0, "stable has replicas ready when there is another candidate")
        hold(state[Role.CANDIDATE].wanted == 0, "another candidate begins without a replica")
        await sleep_until(now_ns() + round(patience.settle_s * SECOND))
        arms = await _serve(platform, patience.serve_s)
        hold(arms[Role.STABLE].arrivals > 0, "stable gets requests when there is another candidate")
        hold(arms[Role.CANDIDATE].arrivals == 0, "another candidate gets none before it has a weight")
        _hold_as_good(before, arms[Role.STABLE], "users fare no worse when there is another candidate")
        for role, arm in (await platform.metrics.totals()).items():
            hold(arm.arrived == arm.succeeded + arm.failed + arm.in_flight, f"requests to {role} are accounted for")


PlatformCheck = Callable[[Platform, Patience], Awaitable[None]]
PLATFORM_CHECKS: Final[Mapping[str, PlatformCheck]] = {
    check.__name__: check
    for check in (
        stable_serves_from_the_start,
        replicas_become_ready_and_go,
        weights_are_kept,
        nothing_is_lost_while_weights_change,
        wrong_weights_are_refused,
        windows_add_up,
        the_future_is_not_measured,
        features_are_told_in_shares,
        copies_are_invisible,
        users_keep_to_their_arm,
        headers_lead_to_the_candidate,
        another_candidate_finds_users_served,
    )
}
"""By name; each gets a platform that has just been started."""


async def _serve(platform: Platform, for_s: float) -> Sample:
    """Let traffic flow; what each arm did in that time."""
    start = now_ns()
    await sleep_until(start + round(for_s * SECOND))
    return await platform.metrics.sample(start, now_ns())


async def _ready(platform: Platform, within_s: float) -> None:
    deadline = now_ns() + round(within_s * SECOND)
    while True:
        state = (await platform.serving.observe())[Role.CANDIDATE]
        if state.ready == state.wanted:
            return
        hold(now_ns() < deadline, f"replicas are ready within {within_s:g} s")
        await sleep_until(now_ns() + SECOND // 10)


async def _two_arms(platform: Platform, patience: Patience) -> None:
    """The candidate stands ready beside stable, without traffic."""
    await platform.serving.apply({Role.STABLE: 2, Role.CANDIDATE: 2})
    await _ready(platform, patience.ready_within_s)


async def _routes(platform: Platform, want: Routing, patience: Patience) -> bool:
    """Whether the router does what is wanted; one that cannot says RoutingError, and nothing else."""
    try:
        found = await platform.router.apply(want)
    except RoutingError:
        return False
    hold(dict(found) == dict(want.weights), "the router answers with the weights in force")
    await sleep_until(now_ns() + round(patience.settle_s * SECOND))
    return True


async def _arrived(platform: Platform) -> int:
    """Requests that came to stable so far."""
    return (await platform.metrics.totals())[Role.STABLE].arrived


def _split(candidate: int) -> Weights:
    return {Role.STABLE: WHOLE - candidate, Role.CANDIDATE: candidate}


def _came(arm: ArmTotals, kind: str) -> int:
    return arm.classes[kind].arrived if kind in arm.classes else 0


def _hold_as_good(before: ArmSample, after: ArmSample, sentence: str) -> None:
    """Failures are no more than they were, within what chance allows."""
    share = (before.failed + 1) / (before.requests + 2)
    most = share * after.requests + 5 * math.sqrt(after.requests * share) + 1
    hold(after.failed <= most, f"{sentence}: {after.failed} of {after.requests} fail, {share:.2%} did before")
