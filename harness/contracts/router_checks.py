"""The promises of a gateway, a check each; `harness.contracts.routers` runs them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import anyio

from harness.contracts.behind import Answer, Replica, Users
from harness.contracts.checks import hold, refuses
from harness.contracts.shares import SHARES, hold_share
from harness.domain.model import Role
from harness.domain.rollout import HeaderRoute, Routing
from harness.domain.units import WHOLE
from harness.errors import RoutingError
from harness.realtime import COPY_HEADER, Behind, Copies, Gateway, Placed

BOTH: Final = (Role.STABLE, Role.CANDIDATE)
CHANGES: Final = 50
"""Of weights, under load."""


class CannotError(Exception):
    """The gateway says that it cannot do what a check is about, which is no broken promise."""


@dataclass(frozen=True, slots=True)
class Bench:
    """A gateway that has started, two arms of two replicas each, users, and how many requests a check sends."""

    gateway: Gateway
    arms: Mapping[Role, tuple[Replica, ...]]
    users: Users
    again: Callable[[int], Gateway]
    """Another harness's gateway of the same place, which holds a token higher by so much."""
    requests: int
    user_header: str
    settle_s: float

    def behind(self, *roles: Role) -> Behind:
        """The replicas of these arms."""
        return {role: tuple(each.url for each in self.arms[role]) if role in roles else () for role in BOTH}

    async def routes(self, candidate: int, **more: Any) -> None:
        """Have the gateway do that; CannotError where it says that it cannot."""
        want = Routing({Role.STABLE: WHOLE - candidate, Role.CANDIDATE: candidate}, **more)
        try:
            found = await self.gateway.apply(want)
        except RoutingError as error:
            if not more:
                raise
            raise CannotError(str(error)) from error
        hold(_plain(found) == _plain(want.weights), f"the gateway answers with the weights in force, not {found}")
        await anyio.sleep(self.settle_s)


# --- the checks -------------------------------------------------------------------------------------------------------


async def it_answers_itself_where_there_is_no_replica(bench: Bench) -> None:
    """Before it knows any replica it answers 503 and names no arm; afterwards it passes on what they say."""
    await bench.routes(0)
    answer = await bench.users.ask()
    hold((answer.status, answer.arm) == (503, None), f"without a replica the gateway answers 503 itself, not {answer}")
    await bench.gateway.point(bench.behind(Role.STABLE))
    answer = await bench.users.ask()
    hold(answer.good and answer.said["arm"] == "stable", f"once there are replicas they answer, not {answer}")


async def a_request_arrives_as_it_was_sent(bench: Bench) -> None:
    """Method, path, query, headers and body of a request, and who asks; the answer names arm and replica."""
    await bench.routes(0)
    await bench.gateway.point(bench.behind(Role.STABLE))
    body = bytes(range(256)) * 1024
    headers = {"x-own": "kept", "content-type": "application/octet-stream", "x-forwarded-for": "192.0.2.7"}
    path = "/v2/models/a%2Fb/infer?x=%20y&x=2"
    answer = await bench.users.ask(path, body, headers={**headers, COPY_HEADER: "1"})
    said = (answer.said.get("method"), answer.said.get("path"), answer.said.get("size"))
    hold(said == ("POST", path, len(body)), f"a request arrives as it was sent, not as {said}")
    seen = [
        {name.lower(): value for name, value in head.items()} for each in bench.arms[Role.STABLE] for head in each.seen
    ]
    hold(len(seen) == 1, f"a request is asked once, not {len(seen)} times")
    users = [part.strip() for part in seen[0].pop("x-forwarded-for", "").split(",")]
    told = users[:1] == [headers.pop("x-forwarded-for")] and len(users) > 1
    hold(told, f"who asks is told, after those before (X-Forwarded-For): {users}")
    hold(headers.items() <= seen[0].items(), f"its headers are passed on: {headers}, not {seen}")
    hold(COPY_HEADER not in seen[0], "a user's request is never marked as a copy")
    urls = bench.behind(Role.STABLE)[Role.STABLE]
    hold(answer.replica in urls, f"an answer names its replica, one of {urls}: {answer.replica}")


async def traffic_is_split_as_asked(bench: Bench) -> None:
    """At 0, 1, 50, 99 and 100 % each arm gets its share, within what chance allows, and is named truly."""
    await bench.gateway.point(bench.behind(*BOTH))
    for candidate in SHARES:
        await bench.routes(candidate)
        answers = _all_good(await bench.users.many(bench.requests))
        hold_share(sum(answer.arm == "candidate" for answer in answers), len(answers), candidate)


async def replicas_of_an_arm_share_its_requests(bench: Bench) -> None:
    """None of an arm's replicas is left idle while others work."""
    await bench.gateway.point(bench.behind(*BOTH))
    await bench.routes(0)
    await bench.users.many(200)
    asked = [each.asked for each in bench.arms[Role.STABLE]]
    hold(min(asked) >= 50, f"of 200 requests each of two replicas gets a good part: {asked}")


async def wrong_weights_are_refused(bench: Bench) -> None:
    """Weights that are no shares of the whole are a RoutingError, and leave those in force."""
    await bench.gateway.point(bench.behind(*BOTH))
    await bench.routes(0)
    for stable, candidate in ((9000, 900), (11_000, -1000), (0, 0)):
        wrong = Routing({Role.STABLE: stable, Role.CANDIDATE: candidate})
        await refuses(bench.gateway.apply(wrong), f"asking for {stable} and {candidate}", RoutingError)
    shadow = Routing({Role.STABLE: 5000, Role.SHADOW: 5000})
    await refuses(bench.gateway.apply(shadow), "giving users to a shadow", RoutingError)
    arms = {answer.arm for answer in await bench.users.many(50)}
    hold(arms == {"stable"}, f"weights that were refused change nothing: {arms}")


async def nothing_is_lost_while_weights_change(bench: Bench) -> None:
    """Under load weights are changed 50 times; every request is answered by an arm that had a share."""
    await bench.gateway.point(bench.behind(*BOTH))
    await bench.routes(0)
    async with bench.users.busy() as answers:
        for step in range(CHANGES):
            before = len(answers)
            await bench.routes((step * 3700) % (WHOLE + 1))
            await _until(lambda before=before: len(answers) > before + 10, "requests are answered")  # type: ignore[misc]
        await bench.routes(0)
    _all_good(answers)
    hold(
        {answer.arm for answer in answers} == {"stable", "candidate"}, "weights that change send requests to both arms"
    )
    left = {answer.arm for answer in await bench.users.many(50)}
    hold(left == {"stable"}, f"an arm without weight gets nothing more: {left}")


async def nothing_is_lost_while_an_arm_is_let_go(bench: Bench) -> None:
    """`point` without an arm returns when its replicas have answered all that they had, and they get no more."""
    for each in bench.arms[Role.CANDIDATE]:
        each.takes_s = 0.05
    await bench.gateway.point(bench.behind(*BOTH))
    await bench.routes(5000)
    candidates = bench.arms[Role.CANDIDATE]
    async with bench.users.busy() as answers:
        await _until(lambda: sum(each.asked for each in candidates) > 20, "the candidate is asked")
        await bench.routes(0)
        await bench.gateway.point(bench.behind(Role.STABLE))
        busy, asked = sum(each.in_flight for each in candidates), sum(each.asked for each in candidates)
        hold(busy == 0, f"replicas that were let go of have nothing left to answer: {busy} requests")
        before = len(answers)
        await _until(lambda: len(answers) > before + 20, "stable answers")
        after = sum(each.asked for each in candidates)
        hold(after == asked, f"replicas that were let go of get no more: {after - asked} requests")
    _all_good(answers)


async def nothing_is_lost_while_a_replica_is_let_go_and_comes_back(bench: Bench) -> None:
    """One of two replicas is taken out and put back, over and over, under load."""
    both = bench.behind(Role.STABLE)
    one = {**both, Role.STABLE: both[Role.STABLE][:1]}
    await bench.gateway.point(both)
    await bench.routes(0)
    async with bench.users.busy() as answers:
        for behind in (one, both) * 5:
            await bench.gateway.point(behind)
            before = len(answers)
            await _until(lambda before=before: len(answers) > before + 10, "requests are answered")  # type: ignore[misc]
    _all_good(answers)


async def nothing_is_lost_while_a_replica_dies(bench: Bench) -> None:
    """One of two replicas breaks off what it answers, and refuses connections: the other answers for it."""
    dying, other = bench.arms[Role.STABLE]
    dying.takes_s = other.takes_s = 0.01
    await bench.gateway.point(bench.behind(Role.STABLE))
    await bench.routes(0)
    async with bench.users.busy() as answers:
        await _until(lambda: dying.asked > 20, "both replicas are asked")
        await dying.die()
        before = other.asked
        await _until(lambda: other.asked > before + 100, "the other replica answers")
    _all_good(answers)


async def copies_are_invisible(bench: Bench) -> None:
    """Users get stable's answers, as many as ever, while copies go to a candidate that fails, or does not answer.

    That nobody waits for a copy is seen by more of them under way than there are users.
    """
    candidates = bench.arms[Role.CANDIDATE]
    await bench.gateway.point(bench.behind(*BOTH))
    await bench.routes(0, mirror=WHOLE // 2)
    for each in candidates:
        each.says, each.status = "No", 500
    answers = _all_good(await bench.users.many(100))
    await _copies_have_ended(candidates)
    hold(any(each.copies for each in candidates), "half of all requests are copied, not none")
    for each in candidates:
        each.goes_on.clear()
    answers += _all_good(await bench.users.many(100, at_once=4))
    await _until(lambda: sum(each.in_flight for each in candidates) > 4, "nobody waits for copies: more are under way")
    for each in candidates:
        each.goes_on.set()
    hold({answer.arm for answer in answers} == {"stable"}, "a copy is answered to nobody")
    hold({answer.said["prediction"] for answer in answers} == {"Yes"}, "users get stable's answers")
    asked = sum(each.asked for each in bench.arms[Role.STABLE])
    hold(asked == 200, f"stable gets each request once while half are copied: {asked} of 200")
    await _copies_have_ended(candidates)
    copies = sum(each.copies for each in candidates)
    hold(70 <= copies <= 130, f"half of 200 requests are copied, marked as copies: {copies}")
    hold(copies == sum(each.asked for each in candidates), "whatever the candidate gets is a copy")
    await _hold_counted_apart(bench.gateway, copies)
    await _hold_bodies_copied(bench)
    copies = sum(each.copies for each in candidates)
    await bench.routes(0)
    await bench.users.many(50)
    hold(copies == sum(each.asked for each in candidates), "nothing is copied once mirroring is off")


async def _hold_bodies_copied(bench: Bench) -> None:
    """Where all are copied, each copy is asked what its original was."""
    await bench.routes(0, mirror=WHOLE)
    for role in BOTH:
        for each in bench.arms[role]:
            each.bodies.clear()
    for number in range(20):
        _all_good([await bench.users.ask("/v2/infer?x=%20", f'{{"row": {number}}}'.encode())])
    await _copies_have_ended(bench.arms[Role.CANDIDATE])
    sent, copied = (sorted(body for each in bench.arms[role] for body in each.bodies) for role in BOTH)
    hold(len(sent) == 20 and copied == sent, f"copies have the bodies of their originals: {copied}, not {sent}")


async def _copies_have_ended(replicas: Iterable[Replica]) -> None:
    """None is under way, and none has come for a while: when the last one comes is the gateway's affair."""
    seen = -1
    while seen != (now := sum(each.asked for each in replicas)) or any(each.in_flight for each in replicas):
        seen = now
        await anyio.sleep(0.2)


async def _hold_counted_apart(gateway: Gateway, copies: int) -> None:
    if not isinstance(gateway, Copies):
        return
    with anyio.move_on_after(10):
        while (totals := await gateway.copied()).in_flight:  # noqa: ASYNC110 - it is asked, and tells counts
            await anyio.sleep(0.02)
    found = (totals.arrived, totals.failed)
    hold(found == (copies, copies), f"the gateway counts {copies} copies, all failed, and no other: {found}")


async def users_keep_to_their_arm(bench: Bench) -> None:
    """A user meets one arm while shares stay; when they change only those move who must, and back again."""
    await bench.gateway.point(bench.behind(*BOTH))
    count = max(50, bench.requests // 5)
    met: dict[int, set[int]] = {}
    for candidate in (1000, 3000, 5000, 3000, 1000):
        await bench.routes(candidate, sticky=True)
        found = await _who_meet_the_candidate(bench, count)
        hold(found == met.setdefault(candidate, found), f"at {candidate} of {WHOLE} the same users meet the candidate")
        hold_share(len(found), count, candidate)
    again = await _who_meet_the_candidate(bench, count)
    hold(again == met[1000], "a user meets one arm while shares stay")
    hold(met[1000] <= met[3000] <= met[5000], "when shares change only those move who must")


async def _who_meet_the_candidate(bench: Bench, count: int) -> set[int]:
    async def meets(user: int) -> bool:
        (answer,) = _all_good([await bench.users.ask(headers={bench.user_header: f"user-{user}"})])
        return answer.arm == "candidate"

    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(meets(user)) for user in range(count)]
    return {user for user, task in enumerate(asked) if task.result()}


async def headers_lead_all_and_only_those(bench: Bench) -> None:
    """Requests with the header go to the candidate, whatever the weights; no others, and none once it is removed."""
    await bench.gateway.point(bench.behind(*BOTH))
    routes = (HeaderRoute("beta", "X-Beta", "yes"), HeaderRoute("own", "x-own", "a b;c"))
    await bench.routes(0, routes=routes)
    led = ({"x-beta": "yes"}, {"X-BETA": "yes", "x-other": "1"}, {"X-Own": "a b;c"})
    not_led: tuple[dict[str, str], ...] = (
        {},
        {"x-beta": "no"},
        {"x-beta": "Yes"},
        {"x-gamma": "yes"},
        {"x-beta": "yes1"},
    )
    for sent, arm in (*((each, "candidate") for each in led), *((each, "stable") for each in not_led)):
        met = {answer.arm for answer in await bench.users.many(20, headers=sent)}
        hold(met == {arm}, f"requests with {sent} go to {arm}, not to {met}")
    await bench.routes(0, routes=routes[1:])
    met = {answer.arm for answer in await bench.users.many(20, headers=led[0])}
    hold(met == {"stable"}, f"a route that was removed leads nobody: {met}")


async def what_is_adopted_is_stable(bench: Bench) -> None:
    """The candidate's replicas have all traffic as stable, and no request is lost of it; told again, it stays so."""
    await bench.gateway.point(bench.behind(*BOTH))
    await bench.routes(WHOLE)
    async with bench.users.busy() as answers:
        await _until(lambda: len(answers) > 20, "requests are answered")
        for _ in range(2):  # whoever got no answer asks again
            await bench.gateway.adopt()
        before = len(answers)
        await _until(lambda: len(answers) > before + 20, "requests are answered")
        urls = bench.behind(Role.CANDIDATE)[Role.CANDIDATE]
        await bench.gateway.point({Role.STABLE: urls, Role.CANDIDATE: ()})
    said = {answer.said["arm"] for answer in _all_good(answers, named_truly=False)}
    hold(said == {"candidate"}, f"the replicas that are adopted have all traffic before and after: {said}")
    answers = await bench.users.many(50)
    hold({answer.arm for answer in answers} == {"stable"}, "what was adopted answers as stable")
    hold({answer.said["arm"] for answer in answers} == {"candidate"}, "the candidate's replicas answer from now on")


async def stopping_twice_is_stopping_once(bench: Bench) -> None:
    """What is in flight is answered, nobody listens afterwards, and stopping again changes nothing."""
    for each in bench.arms[Role.STABLE]:
        each.goes_on.clear()
    await bench.gateway.point(bench.behind(Role.STABLE))
    await bench.routes(0)
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(bench.users.ask()) for _ in range(8)]
        await _until(lambda: sum(each.in_flight for each in bench.arms[Role.STABLE]) == 8, "requests are under way")
        stopping = tasks.create_task(bench.gateway.stop())
        await anyio.sleep(0.05)
        for each in bench.arms[Role.STABLE]:
            each.goes_on.set()
        await stopping
    _all_good([each.result() for each in asked])
    await bench.gateway.stop()
    answer = await bench.users.ask()
    hold(answer.status == 0, f"nobody listens once the gateway has stopped: {answer}")


async def another_harness_finds_what_is_in_force(bench: Bench) -> None:
    """One that attaches to the same place finds the router, its routing and its replicas; no request is lost of it."""
    if not isinstance(bench.gateway, Placed):
        raise CannotError("this gateway keeps nothing that outlives the harness")
    await bench.gateway.point(bench.behind(*BOTH))
    await bench.routes(2500)
    want = Routing({Role.STABLE: 7500, Role.CANDIDATE: 2500})
    other = bench.again(1)
    try:
        async with bench.users.busy() as answers:
            await _until(lambda: len(answers) > 20, "requests are answered")
            found = await other.attach()
        if found is None:
            raise CannotError("this gateway does not outlive the harness")
        hold(replace(found, weights=_plain(found.weights)) == want, f"the routing in force is found: {found}")
        hold(other.url == bench.gateway.url, "the router is found where it was")
        _all_good(answers)
        await refuses(
            bench.gateway.apply(Routing({Role.STABLE: 0, Role.CANDIDATE: WHOLE})), "a lower token", RoutingError
        )
        met = {answer.arm for answer in _all_good(await bench.users.many(100))}
        hold(met == {"stable", "candidate"}, f"what was refused to a lower token changes nothing: {met}")
        await bench.gateway.stop()
        hold((await bench.users.ask()).good, "who has lost its lease does not end the router of who has it")
    finally:
        await other.stop()


GatewayCheck = Callable[[Bench], Awaitable[None]]
GATEWAY_CHECKS: Final[Mapping[str, GatewayCheck]] = {
    check.__name__: check
    for check in (
        it_answers_itself_where_there_is_no_replica,
        a_request_arrives_as_it_was_sent,
        traffic_is_split_as_asked,
        replicas_of_an_arm_share_its_requests,
        wrong_weights_are_refused,
        nothing_is_lost_while_weights_change,
        nothing_is_lost_while_an_arm_is_let_go,
        nothing_is_lost_while_a_replica_is_let_go_and_comes_back,
        nothing_is_lost_while_a_replica_dies,
        copies_are_invisible,
        users_keep_to_their_arm,
        headers_lead_all_and_only_those,
        what_is_adopted_is_stable,
        stopping_twice_is_stopping_once,
        another_harness_finds_what_is_in_force,
    )
}
"""By name; each gets a gateway that has just been started, and that knows no replica yet."""


def _all_good(answers: list[Answer], *, named_truly: bool = True) -> list[Answer]:
    """Hold that none was lost, and that each was answered by the arm that the gateway names."""
    lost = [answer for answer in answers if not answer.good]
    hold(not lost, f"no request is lost: {len(lost)} of {len(answers)} were, such as {lost[:1]}")
    false = [answer for answer in answers if named_truly and answer.arm != answer.said["arm"]]
    hold(not false, f"an answer names the arm that gave it, not as {false[:1]}")
    return answers


def _plain(weights: Mapping[Role, int]) -> dict[Role, int]:
    """Without arms that have nothing."""
    return {role: weight for role, weight in weights.items() if weight}


async def _until(true: Callable[[], bool], sentence: str, within_s: float = 30.0) -> None:
    with anyio.move_on_after(within_s):
        while not true():  # noqa: ASYNC110 - what is looked at are counts
            await anyio.sleep(0.002)
    hold(true(), f"{sentence} within {within_s:g} s")
