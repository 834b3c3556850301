"""Users against a server that counts by itself: what is asked, what is counted, and that nothing is left behind."""

import asyncio
import json
from collections import Counter
from dataclasses import replace

import anyio
import numpy as np
import pytest

from harness.arrivals import Reader
from harness.arrivals import of as arrivals_of
from harness.clock import now_ns
from harness.domain.event import ArmTotals
from harness.domain.fault import Errors, Fault, Lost, Scale, Shift
from harness.domain.lost import PRESUMED
from harness.domain.model import ARMS, Revision, Role
from harness.domain.rollout import HeaderRoute, Routing, SetMirror
from harness.domain.service import Service
from harness.domain.traffic import RequestClass
from harness.domain.units import HOUR, SECOND, WHOLE
from harness.errors import BackendError, InputError
from harness.protocols import ArmSample
from harness.seeds import stream
from harness.stats.histogram import Histogram
from harness.users import Users, Watched
from harness.users.draws import Draws
from tests.build import policy
from tests.faulty_servers import ClosesUnanswered, Garbage, NeverAnswers, ResetInBody, ResetInHeaders, Server, refused
from tests.users.asked import ROWS, TIMEOUT_NS, Servers, asked, asks, models, population, rows, until

BOTH = frozenset(ARMS)
SPLIT = Routing({Role.STABLE: WHOLE // 2, Role.CANDIDATE: WHOLE // 2})
QUICK = dict.fromkeys(ARMS, Service(timeout_ns=TIMEOUT_NS))


def by_turns(number: int) -> Role:
    return ARMS[number % 2]


def conserved(totals: dict[Role, ArmTotals]) -> bool:
    return all(arm.arrived == arm.succeeded + arm.failed + arm.in_flight for arm in totals.values())


async def test_counts_are_the_servers_own():
    servers = Servers(by_turns, fail=lambda told: 500 if told.body["number"] % 5 == 0 else 200)
    begun = now_ns()  # a request may be due long before it is sent, on a machine that is held up
    async with asked(servers, asks(), population()) as users:
        users.routed(SPLIT)
        start = now_ns()
        await until(lambda: len(servers.told) >= 120)
        middle = now_ns()
        await until(lambda: len(servers.told) >= 200)
        assert conserved(await users.totals())
    stop = now_ns()
    whole, totals = await users.sample(begun, stop), await users.totals()
    parts = [await users.sample(begun, middle), await users.sample(middle, stop)]
    for role in ARMS:
        told = servers.of(role)
        failed = sum(each.body["number"] % 5 == 0 for each in told)
        assert (totals[role].arrived, totals[role].failed, totals[role].in_flight) == (len(told), failed, 0)
        assert totals[role].errors == whole[role].errors == {"error": failed}
        assert whole[role].requests == whole[role].arrivals == len(told)
        assert whole[role].requests == sum(part[role].requests for part in parts)
        assert whole[role].latency == parts[0][role].latency + parts[1][role].latency
        assert middle - start < whole[role].span_ns < stop - start  # nobody asked any more in the end
        assert totals[role].users == len({each.headers["x-user-id"] for each in told})
    assert users.lost() == {}


async def test_the_rows_and_users_of_a_rehearsal_are_asked_in_its_order():
    scenario, servers = asks(), Servers()
    async with asked(servers, scenario, population()):
        await until(lambda: len(servers.told) >= 100)
    times = Reader(arrivals_of(scenario.traffic), stream(scenario.seed, "arrivals")).until(HOUR // 60)
    drawn = Draws(scenario.seed, scenario.traffic, ROWS).of(0, times[: len(servers.told)])
    # Each request goes its own way: the order in which they get there may differ a little from that of asking.
    wanted = Counter(zip(drawn.row.tolist(), map(str, drawn.user.tolist()), strict=True))
    assert Counter((each.body["number"], each.headers["x-user-id"]) for each in servers.told) == wanted
    frame = rows().astype(object)
    for each in servers.told:
        row = frame.loc[each.body["number"]]
        assert each.body == {name: None if value != value else value for name, value in row.items()}


async def test_without_a_population_an_empty_object_is_asked():
    servers = Servers(answer=lambda role, body: {"hello": "world"})
    async with asked(servers, asks()) as users:
        await until(lambda: len(servers.told) >= 20)
    totals = await users.totals()
    assert all(each.body == {} for each in servers.told)
    assert totals[Role.STABLE].succeeded == len(servers.told)
    assert totals[Role.CANDIDATE].bad is None
    assert await users.inputs(0, now_ns()) == ()
    assert await users.predictions(0, now_ns()) == {}


async def test_classes_carry_their_headers_and_ask_their_rows():
    kinds = (
        RequestClass("beta", 0.4, column="word", values=("a",), headers=(("X-Beta", "yes"),)),
        RequestClass("plain", 0.6),
    )
    scenario = asks()
    scenario = replace(scenario, traffic=replace(scenario.traffic, classes=kinds))
    servers = Servers(lambda _: Role.CANDIDATE, headers=lambda role: {})
    async with asked(servers, scenario, population()) as users:
        users.routed(Routing({Role.STABLE: WHOLE}, (HeaderRoute("b", "x-beta", "yes"),)))
        await until(lambda: len(servers.told) >= 100)
    totals = await users.totals()
    beta = [each for each in servers.told if each.headers.get("X-Beta") == "yes"]
    assert all(each.body["word"] == "a" for each in beta)
    # No answer says which arm gave it, but the route does.
    assert totals[Role.CANDIDATE].classes["beta"].succeeded == len(beta) == totals[Role.CANDIDATE].arrived
    assert totals[Role.STABLE].classes["plain"].succeeded == len(servers.told) - len(beta)


async def test_the_arm_is_told_by_header_else_by_version():
    scenario = asks()
    scenario = replace(scenario, real=replace(scenario.real, http=replace(scenario.real.http, arm_header="X-Track")))
    ways = [
        ({"x-track": "candidate"}, {}), ({"x-track": "m:2"}, {}), ({}, {"version": 2}),
        ({}, {"model": "m", "version": "2"}), ({}, {"version": 7}), ({}, {}),
    ]  # fmt: skip
    for headers, answer in ways:
        servers = Servers(headers=lambda role, said=headers: said, answer=lambda role, body, said=answer: said)
        users = Users(scenario)
        users.inform({role: Revision("m", number, "") for number, role in enumerate(ARMS, start=1)})
        async with servers.running() as url:
            await users.start(url, {}, None)
            await until(lambda servers=servers: len(servers.told) >= 5)
            await users.stop()
        named = Role.STABLE if answer.get("version") == 7 or not {**headers, **answer} else Role.CANDIDATE
        assert (await users.totals())[named].arrived == len(servers.told)


@pytest.mark.parametrize(
    ("server", "kind"),
    [
        (ResetInHeaders, "reset"), (ResetInBody, "closed"), (ClosesUnanswered, "closed"), (Garbage, "bad_answer"),
        (NeverAnswers, "timeout"),
    ],
)  # fmt: skip
async def test_failures_by_kind(server: type[Server], kind: str):
    users, made = Users(asks(service=QUICK)), server()
    async with made as port:
        await users.start(f"http://127.0.0.1:{port}", {}, None)
        await until(lambda: len(made.requests) >= 10)
        await users.stop()
    stable = (await users.totals())[Role.STABLE]
    assert stable.errors == {kind: len(made.requests)}
    assert users.lost() == ({kind: len(made.requests)} if kind in {"reset", "closed"} else {})
    if kind == "timeout":
        assert stable.figures["mean"] >= TIMEOUT_NS / SECOND


async def test_nobody_who_listens_is_a_refusal():
    users = Users(asks())
    with refused() as port:
        await users.start(f"http://127.0.0.1:{port}", {}, None)
        await anyio.sleep(0.1)
        await users.stop()
    stable = (await users.totals())[Role.STABLE]
    assert users.lost() == {"refused": stable.failed}
    assert stable.arrived == stable.failed > 0
    assert stable.figures["p99"] is None  # a refusal takes no time


@pytest.mark.parametrize(("status", "kind"), [(502, "router_502"), (503, "no_replica"), (504, "router_504")])
async def test_a_router_that_answers_by_itself_has_lost_a_request(status: int, kind: str):
    alone = Servers(fail=lambda told: status, headers=lambda role: {})
    async with asked(alone, asks()) as users:
        await until(lambda: len(alone.told) >= 10)
    assert users.lost() == {kind: len(alone.told)}
    replica = Servers(fail=lambda told: status)  # the same word of a replica's is an answer
    async with asked(replica, asks()) as users:
        await until(lambda: len(replica.told) >= 10)
    assert users.lost() == {}
    assert (await users.totals())[Role.STABLE].errors == {"rejected" if status == 503 else "error": len(replica.told)}


async def test_time_outs_of_a_candidate_that_hangs_are_its_own():
    servers = Servers(by_turns, hang=lambda told: told.arm is Role.CANDIDATE)
    async with asked(servers, asks(service=QUICK), population()) as users:
        users.routed(SPLIT)
        await until(lambda: len(servers.told) >= 120)
    totals = await users.totals()
    assert totals[Role.CANDIDATE].failed >= 0.8 * servers.counts()[Role.CANDIDATE]
    assert set(totals[Role.CANDIDATE].errors) <= {"timeout", PRESUMED + "timeout"}
    assert sum(arm.arrived for arm in totals.values()) == len(servers.told)
    assert totals[Role.CANDIDATE].bad == totals[Role.CANDIDATE].failed


async def test_too_many_under_way_are_not_sent_and_counted():
    servers = Servers(hang=lambda told: True)
    async with asked(servers, asks(service=QUICK), most_in_flight=5) as users:
        await until(lambda: len(servers.told) >= 10)
        assert (await users.totals())[Role.STABLE].in_flight <= 5
    stable = (await users.totals())[Role.STABLE]
    assert stable.errors["timeout"] == len(servers.told)
    assert stable.errors["not_sent"] > 0
    assert stable.arrived == stable.failed == sum(stable.errors.values())
    assert users.lost() == {}


async def test_asking_does_not_wait_for_answers():
    servers = Servers(hang=lambda told: True)
    async with asked(servers, asks(service=dict.fromkeys(ARMS, Service(timeout_ns=SECOND)))) as users:
        await until(lambda: len(servers.told) >= 30)
    # Each took its time-out, and yet they did not come one after the other.
    assert (await users.totals())[Role.STABLE].errors == {"timeout": len(servers.told)}


async def test_latency_counts_from_when_a_request_was_due():
    servers = Servers()
    async with asked(servers, asks()) as users:
        await until(lambda: len(servers.told) >= 10)
        asyncio.get_running_loop().call_soon(hold_up)
        await until(lambda: len(servers.told) >= 80)
    found = (await users.totals())[Role.STABLE].figures
    assert found["p999"] >= 0.25  # what fell due while the loop stood still has waited for it


def hold_up() -> None:
    """Stand still for three tenths of a second."""
    import subprocess

    subprocess.run(["sleep", "0.3"], check=True)


async def test_drift_acts_on_what_is_asked():
    faults = (
        Fault("x by 2 sd", BOTH, Shift("x", 2.0)), Fault("errors", frozenset({Role.STABLE}), Errors(0.5)),
    )  # fmt: skip
    servers = Servers()
    async with asked(servers, asks(faults=faults), population()) as users:
        start = now_ns()
        await until(lambda: len(servers.told) >= 100)
    frame = rows()
    for each in servers.told:
        x = frame.x[each.body["number"]]
        assert each.body["x"] == (None if x != x else pytest.approx(x + 2 * frame.x.std(ddof=0)))
    stable = (await users.sample(start, now_ns()))[Role.STABLE]
    column = (await users.inputs(start, now_ns()))[0]
    assert column.name == "x"
    assert stable.gauges["drift_score"] == pytest.approx(column.drift[Role.STABLE])
    assert stable.gauges["drift_score"] > 0.3
    answered = (await users.predictions(start, now_ns()))[Role.STABLE]
    assert answered.drift[Role.STABLE] == pytest.approx(stable.gauges["prediction_drift"])
    assert stable.failed == 0  # faults of servers are the servers'


def test_rows_of_one_arm_alone_cannot_drift():
    with pytest.raises(InputError, match="say on: all"):
        Users(asks(faults=(Fault("x times 2", frozenset({Role.CANDIDATE}), Scale("x", 2.0)),)))


async def test_users_who_are_lost_are_never_seen():
    faults = (Fault("lost", BOTH, Lost(0.5)),)
    servers = Servers()
    async with asked(servers, asks(faults=faults), population()) as users:
        await until(lambda: len(servers.told) >= 60)
    assert (await users.totals())[Role.STABLE].arrived == len(servers.told)
    assert len({each.headers["x-user-id"] for each in servers.told}) <= 18  # of 25, half of them lost for good


async def test_users_whom_one_arm_loses_are_unknown_there_alone():
    faults = (Fault("lost", frozenset({Role.CANDIDATE}), Lost(0.5)),)
    servers = Servers(by_turns)
    async with asked(servers, asks(faults=faults), population()) as users:
        users.routed(SPLIT)
        await until(lambda: len(servers.told) >= 150)
    totals, counts = await users.totals(), servers.counts()
    assert totals[Role.STABLE].arrived == counts[Role.STABLE]
    assert totals[Role.CANDIDATE].arrived < 0.8 * counts[Role.CANDIDATE]
    assert conserved(totals)


async def test_another_candidate_begins_with_empty_windows():
    servers = Servers(by_turns)
    async with asked(servers, asks(), population()) as users:
        users.routed(SPLIT)
        await until(lambda: len(servers.told) >= 40)
        start = now_ns()
        before = await users.totals()
        servers.arm = lambda _: Role.STABLE
        await users.replace(models(), population(), adopt=True)
        replaced = now_ns()
        await until(lambda: len(servers.told) >= 100)
        after = await users.sample(replaced, now_ns())
        for _ in range(1000):  # what was due before is sent first, on a machine that is held up
            if after[Role.STABLE].arrivals:
                break
            await anyio.sleep(0.01)
            after = await users.sample(replaced, now_ns())
        assert after[Role.STABLE].arrivals > 0
        assert after[Role.CANDIDATE].arrivals == after[Role.CANDIDATE].span_ns == 0
    totals = await users.totals()
    assert conserved(totals)
    assert totals[Role.CANDIDATE].arrived >= before[Role.CANDIDATE].succeeded > 0
    assert totals[Role.CANDIDATE].first_ns is None or totals[Role.CANDIDATE].first_ns < replaced
    assert sum(arm.arrived for arm in totals.values()) == len(servers.told)
    assert start < replaced


async def test_a_watched_router_tells_where_it_sends():
    class Router:
        async def apply(self, want: Routing):
            return want.weights

    servers = Servers()
    async with asked(servers, asks()) as users:
        router = Watched(Router(), users)
        start = now_ns()
        await until(lambda: len(servers.told) >= 10)
        servers.arm = lambda _: Role.CANDIDATE
        assert await router.apply(Routing({Role.STABLE: 0, Role.CANDIDATE: WHOLE})) == {
            Role.STABLE: 0, Role.CANDIDATE: WHOLE
        }  # fmt: skip
        changed = now_ns()
        await until(lambda: len(servers.told) >= 40)
        stop = now_ns()
        found = await users.sample(start, stop)
    assert found[Role.STABLE].span_ns + found[Role.CANDIDATE].span_ns == stop - start
    assert abs(found[Role.CANDIDATE].span_ns - (stop - changed)) < SECOND
    everyone = len({each.headers["x-user-id"] for each in servers.told})
    assert found[Role.STABLE].users < everyone  # those whom it met since shares changed: nobody, or who was under way


async def test_the_future_and_a_server_that_ends_asking_are_told():
    servers = Servers()
    async with asked(servers, asks()) as users:
        with pytest.raises(BackendError, match="in the future"):
            await users.sample(now_ns(), now_ns() + HOUR)
    broken = Users(asks())
    await broken.start("nowhere at all", {}, None)
    await anyio.sleep(0.1)
    await broken.stop()
    with pytest.raises(BackendError, match="cannot ask any more: <InvalidUrl"):
        await broken.totals()


async def test_copies_are_the_gateways():
    shadow = ArmSample(3, 0, {}, Histogram(), 3, 0, {}, 0, {"agreement": 0.5})

    class Mirror:
        async def copies(self, start_ns: int, stop_ns: int) -> ArmSample:
            return shadow

        async def copied(self) -> ArmTotals:
            return ArmTotals(3, 3, 0, 0, {}, None, {})

    plain = asks()
    for scenario, seen in ((plain, False), (policy(plain, steps=(SetMirror(5000),)), True)):
        users = Users(scenario, Mirror())
        assert ((await users.sample(0, 1)).get(Role.SHADOW) is shadow) is seen
        assert (Role.SHADOW in await users.totals()) is seen


async def test_nothing_is_left_behind():
    servers = Servers(hang=lambda told: len(servers.told) > 20)
    async with asked(servers, asks(service=QUICK), population()):
        await until(lambda: len(servers.told) >= 30)
        assert any(map(users_own, asyncio.all_tasks()))
    assert not any(map(users_own, asyncio.all_tasks()))


def users_own(task: asyncio.Task) -> bool:
    return "harness/users" in task.get_coro().cr_code.co_filename


def test_bodies_are_json():
    import pandas as pd

    from harness.users.bodies import Bodies

    frame = pd.DataFrame({
        "n": [1, 2], "x": [np.nan, np.inf], "t": pd.to_datetime(["2024-01-02", None]),
        "s": pd.Series(["é", None]), "b": [True, False], "c": pd.Categorical(["u", "v"]),
    })  # fmt: skip
    bodies = Bodies(lambda level: frame)
    assert json.loads(bodies.of(0, 0)) == {
        "n": 1, "x": None, "t": "2024-01-02T00:00:00", "s": "é", "b": True, "c": "u",
    }  # fmt: skip
    assert json.loads(bodies.of(0, 1)) == {"n": 2, "x": None, "t": None, "s": None, "b": False, "c": "v"}
