"""HAProxy as a gateway: the real program on loopback, driven over its runtime socket, before real servers."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from harness.backends import haproxy, haproxy_process, processes
from harness.backends import haproxy_socket as runtime
from harness.backends.haproxy import FencedError, HaproxyRouter
from harness.backends.haproxy_config import InForce, configuration, in_force, value_of
from harness.backends.haproxy_replicas import changes
from harness.clock import run_virtual
from harness.domain.model import SERVING, Role
from harness.domain.real import LocalPlan, RealPlan, RouterPlan
from harness.domain.rollout import HeaderRoute, Routing
from harness.domain.units import MILLISECOND, SECOND, WHOLE
from harness.errors import BackendError, RoutingError
from harness.realtime import ARM_HEADER, REPLICA_HEADER, Place
from tests.backends.xxh32 import xxh32
from tests.build import scenario
from tests.faulty_servers import NeverAnswers
from tests.requires import program
from tests.routing.running import talk
from tests.sites import site

Make = Callable[..., HaproxyRouter]
Answer = tuple[int, str | None, str | None, str]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Makes routers of one place; whatever they started is ended."""
    program("haproxy")
    made: list[HaproxyRouter] = []

    def another(token: int = 1, drain_ns: int = 10 * SECOND, **plan: Any) -> HaproxyRouter:
        of = replace(scenario(), real=RealPlan(local=LocalPlan(drain_ns=drain_ns), router=RouterPlan(**plan)))
        gateway = HaproxyRouter(of)
        gateway.place(Place(tmp_path / "run", tmp_path / "state", "run-1", token))
        made.append(gateway)
        return gateway

    yield another
    for each in made:
        await each.stop()
    for note in processes.notes(tmp_path / "state"):
        await processes.stop(note, grace_s=0)


def replica(**answers: Callable[[], Any]) -> web.Application:
    """Answers each request with its own address; what ``/NAME`` is to do besides is given."""
    app = web.Application(client_max_size=2**23)

    async def handle(request: web.Request) -> web.Response:
        await request.read()
        if (extra := answers.get(request.path.strip("/"))) and (found := await extra()) is not None:
            return web.Response(status=found)
        return web.Response(text=f"http://{request.transport.get_extra_info('sockname')[0]}:{_port(request)}")

    app.router.add_route("*", "/{path:.*}", handle)
    return app


def _port(request: web.Request) -> int:
    assert request.transport is not None
    return int(request.transport.get_extra_info("sockname")[1])


@asynccontextmanager
async def replicas(count: int, **answers: Callable[[], Any]) -> AsyncIterator[tuple[str, ...]]:
    async with AsyncExitStack() as stack:
        yield tuple([await stack.enter_async_context(site(replica(**answers))) for _ in range(count)])


async def ask(url: str, path: str = "/predict", body: bytes = b"{}", **headers: str) -> Answer:
    """Status, arm, replica and text."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}{path}", data=body, headers=named) as answer,
    ):
        return answer.status, answer.headers.get(ARM_HEADER), answer.headers.get(REPLICA_HEADER), await answer.text()


def split(candidate: int, baseline: int = 0, **more: Any) -> Routing:
    weights = {Role.STABLE: WHOLE - candidate - baseline, Role.CANDIDATE: candidate}
    return Routing({**weights, Role.BASELINE: baseline} if baseline else weights, **more)


# --- what it is told --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "plan",
    [RouterPlan(), RouterPlan(retries=0, timeout_ns=1, max_body=1), RouterPlan(user_header="X_User.Id", retries=9)],
    ids=["usual", "least", "names"],
)
def test_haproxy_itself_finds_its_configuration_valid(plan: RouterPlan, tmp_path: Path) -> None:
    haproxy = program("haproxy")
    users, metrics = haproxy_process.listening("127.0.0.1", 0), haproxy_process.listening("127.0.0.1", 0)
    with users, metrics:
        given = configuration(RealPlan(router=plan), users.fileno(), metrics.fileno())
        haproxy_process.lay_out(tmp_path, given, InForce())
        said = subprocess.run(
            [haproxy, "-c", "-C", str(tmp_path), "-f", "haproxy.cfg"],
            pass_fds=(users.fileno(), metrics.fileno()), capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert "WARNING" not in said.stderr


@st.composite
def _routings(draw: st.DrawFn) -> Routing:
    edges = sorted(draw(st.tuples(st.integers(0, WHOLE), st.integers(0, WHOLE))))
    weights = {Role.CANDIDATE: edges[0], Role.STABLE: edges[1] - edges[0], Role.BASELINE: WHOLE - edges[1]}
    header = st.from_regex(r"[a-zA-Z0-9-]{1,12}", fullmatch=True)
    routes = draw(st.lists(st.builds(HeaderRoute, st.text(), header, st.text()), max_size=3))
    return Routing(weights, tuple(routes), sticky=draw(st.booleans()))


@given(_routings(), st.permutations("abc"), st.integers(0, 2**31))
def test_a_routing_is_read_back_as_it_was_told(want: Routing, pools: list[str], token: int) -> None:
    now = InForce(want, dict(zip(SERVING, pools, strict=True)), token)
    told = value_of(now)
    assert in_force(told) == now
    assert not set(told) & set(" ;\\\n#\"'")  # the runtime socket takes each of these for its own


@given(
    st.lists(st.sampled_from("uvwxyz"), unique=True), st.lists(st.sampled_from("uvwxyz"), unique=True), st.booleans()
)
def test_what_is_wanted_is_there_afterwards_and_new_ones_come_before_others_go(
    before: list[str], after: list[str], drained: bool
) -> None:
    slots = [
        runtime.Slot(f"a{n}", n <= len(before), drains=drained and n == 1 <= len(before), sessions=0)
        for n in range(1, 13)
    ]
    holds = {slot.name: before[n] if n < len(before) else "-" for n, slot in enumerate(slots)}
    pools = {Role.STABLE: "a"}
    told, left = changes(tuple(slots), holds, pools, {Role.STABLE: tuple(after)}, dict.fromkeys(after, ("::1", 1)))
    state = {slot.name: "drain" if slot.drains else "ready" if slot.taken else "maint" for slot in slots}
    for command in told:
        match command.split():
            case ["set", "map", _, name, url]:
                assert state[name] == "maint"
                holds[name] = url
            case ["set", "server", name, "state", to]:
                state[name.partition("/")[2]] = to
    assert {holds[name] for name, now in state.items() if now == "ready"} == set(after)
    assert {name for name, now in state.items() if now == "drain"} == left
    drains = [n for n, command in enumerate(told) if command.endswith("drain")]
    assert drains == list(range(len(told) - len(drains), len(told)))


@pytest.mark.parametrize("value", ["", "1:2", "0:10000:0:0:a:b:c:1:bm9uZQ=="])
def test_a_map_that_is_none_of_ours_is_told(value: str) -> None:
    with pytest.raises(RoutingError, match="none of ours"):
        in_force(value)


# --- where requests go ------------------------------------------------------------------------------------------------


async def test_a_users_point_on_the_line_is_exact_whatever_the_number_of_replicas(make: Make) -> None:
    gateway = make()
    await gateway.start()
    users = {f"user-{number}, of {number}": None for number in range(6)}
    points = {user: xxh32(user.encode()) % WHOLE for user in users}
    async with replicas(4) as urls:
        await gateway.point({Role.STABLE: urls[:1], Role.CANDIDATE: urls[1:2], Role.BASELINE: urls[2:]})
        for user, point in points.items():
            for candidate, arm in ((point, "stable"), (point + 1, "candidate")):
                assert await gateway.apply(split(candidate, sticky=True)) == split(candidate).weights
                assert (await ask(gateway.url, x_user_id=user))[1] == arm
            for baseline, arm in ((WHOLE - 1 - point, "stable"), (WHOLE - point, "baseline")):
                await gateway.apply(split(0, baseline, sticky=True))
                assert (await ask(gateway.url, x_user_id=user))[1] == arm


async def test_shares_are_kept_by_chance_where_nobody_is_told_apart(make: Make) -> None:
    gateway = make()
    await gateway.start()
    async with replicas(4) as urls, aiohttp.ClientSession() as session:
        await gateway.point({Role.STABLE: urls[:1], Role.CANDIDATE: urls[1:]})
        await gateway.apply(split(2000, sticky=True))  # no request says whose it is
        met = {"stable": 0, "candidate": 0}
        for _ in range(1000):
            async with session.post(f"{gateway.url}/predict") as answer:
                met[answer.headers[ARM_HEADER]] += 1
                assert answer.headers[REPLICA_HEADER] == await answer.text()
    assert abs(met["candidate"] - 200) <= 5 * (1000 * 0.2 * 0.8) ** 0.5


@pytest.mark.parametrize("value", ["yes", "a b;c\\d<<#\"'", "é*.(x|y)$"])
async def test_a_header_leads_to_the_candidate_and_nothing_like_it_does(value: str, make: Make) -> None:
    gateway = make()
    await gateway.start()
    async with replicas(2) as urls:
        await gateway.point({Role.STABLE: urls[:1], Role.CANDIDATE: urls[1:]})
        await gateway.apply(split(0, routes=(HeaderRoute("one", "X-Beta", value), HeaderRoute("two", "x-b", "1"))))
        for header in ({"x_beta": value}, {"X_BETA": value}, {"x_b": "1"}):
            assert (await ask(gateway.url, **header))[1] == "candidate"
        for header in ({"x_beta": f"{value}x"}, {"x_beta": value[:-1]}, {"x_gamma": value}, {"ax_beta": value}, {}):
            assert (await ask(gateway.url, **header))[1] == "stable"
        await gateway.apply(split(0))
        assert (await ask(gateway.url, x_beta=value))[1] == "stable"


async def test_an_arm_without_replicas_is_answered_503_by_the_router_itself(make: Make) -> None:
    gateway = make(max_body=1000)
    await gateway.start()
    assert (await ask(gateway.url))[:3] == (503, None, None)
    async with replicas(1) as urls:
        await gateway.point({Role.STABLE: urls})
        assert await ask(gateway.url) == (200, "stable", urls[0], urls[0])
        assert (await ask(gateway.url, body=b"x" * 1001))[:2] == (413, None)
        await gateway.apply(split(WHOLE))
        assert (await ask(gateway.url))[:2] == (503, None)


async def test_a_replica_that_takes_too_long_is_given_up_and_not_asked_twice(make: Make) -> None:
    gateway = make(timeout_ns=300 * MILLISECOND)
    await gateway.start()
    asked = []

    async def slow() -> None:
        asked.append(1)
        await asyncio.sleep(60)

    async with replicas(1, slow=slow) as first, replicas(1, slow=slow) as second:
        await gateway.point({Role.STABLE: (*first, *second)})
        assert (await ask(gateway.url, "/slow"))[:2] == (504, None)
    assert len(asked) == 1


async def test_a_user_who_goes_away_takes_the_request_along(make: Make) -> None:
    gateway, server = make(), NeverAnswers()
    await gateway.start()
    async with server as there:
        await gateway.point({Role.STABLE: (f"http://127.0.0.1:{there}",)})
        async with talk(int(gateway.url.rpartition(":")[2])) as user:
            user.send("GET /predict")
            while not server.requests:  # noqa: ASYNC110 - a count
                await asyncio.sleep(0.01)
        async with asyncio.timeout(30):
            while server.open:  # noqa: ASYNC110 - a count
                await asyncio.sleep(0.01)
        assert len(server.requests) == 1


# --- nothing is lost --------------------------------------------------------------------------------------------------


async def test_replicas_that_are_gone_or_drop_a_request_lose_none_while_one_is_there(make: Make) -> None:
    gateway = make()
    await gateway.start()
    async with replicas(1) as (gone,):
        await gateway.point({Role.STABLE: (gone,)})
    dropping = web.Application()

    async def drop(request: web.Request) -> web.Response:
        await request.read()
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    dropping.router.add_route("*", "/{path:.*}", drop)
    async with site(dropping) as dropped, replicas(1) as there:
        await gateway.point({Role.STABLE: (gone, dropped, *there)})
        for _ in range(30):
            assert (await ask(gateway.url, body=b"x" * 60_000))[:3] == (200, "stable", there[0])


async def test_what_is_left_out_answers_what_it_has_before_point_returns(make: Make, tmp_path: Path) -> None:
    gateway = make()
    await gateway.start()
    came, go = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        came.set()
        await go.wait()

    async with replicas(1, wait=wait) as old, replicas(1) as new:
        await gateway.point({Role.STABLE: old})
        waiting = asyncio.create_task(ask(gateway.url, "/wait"))
        await came.wait()
        pointing = asyncio.create_task(gateway.point({Role.STABLE: new}))
        while (await ask(gateway.url))[2] != new[0]:  # noqa: ASYNC110 - the router tells only who asks
            await asyncio.sleep(0)
        await asyncio.sleep(0.2)
        assert not pointing.done()
        go.set()
        assert (await waiting)[:3] == (200, "stable", old[0])
        await pointing
        slots = await runtime.slots(tmp_path / "run" / "haproxy")
        assert [slot.name for slot in slots if slot.taken] == ["a2"]


async def test_draining_has_an_end_and_who_comes_back_meanwhile_is_kept(make: Make) -> None:
    gateway = make(drain_ns=SECOND // 5)
    await gateway.start()
    came, go = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        came.set()
        await go.wait()

    async with replicas(1, wait=wait) as urls:
        await gateway.point({Role.STABLE: urls})
        waiting = asyncio.create_task(ask(gateway.url, "/wait"))
        await came.wait()
        await gateway.point({})
        assert (await ask(gateway.url))[0] == 503
        await gateway.point({Role.STABLE: urls})
        assert (await ask(gateway.url))[0] == 200
        go.set()
        assert (await waiting)[0] == 200


# --- its life ---------------------------------------------------------------------------------------------------------


async def test_another_harness_takes_it_up_as_it_is_and_the_first_changes_nothing_more(make: Make) -> None:
    first, second = make(1), make(2)
    await first.start()
    want = split(3000, routes=(HeaderRoute("beta", "X-Beta", "yes"),), sticky=True)
    async with replicas(3) as urls:
        behind = {Role.STABLE: urls[:2], Role.CANDIDATE: urls[2:]}
        await first.point(behind)
        await first.apply(want)
        assert await second.attach() == want
        assert second.url == first.url
        for change in (first.apply(split(0)), first.point({}), first.adopt()):
            with pytest.raises(FencedError, match="token 2, and this one has 1: its lease is lost"):
                await change
        await first.stop()
        assert (await ask(second.url, x_beta="yes"))[1:3] == ("candidate", urls[2])
        with pytest.raises(FencedError):
            await make(1).attach()
        await second.point(behind)  # what is there already is not moved
        assert await second.apply(split(0)) == split(0).weights


async def test_the_candidate_is_adopted_with_its_replicas_and_all_traffic(make: Make) -> None:
    gateway = make()
    await gateway.start()
    async with replicas(2) as (old, new):
        await gateway.point({Role.STABLE: (old,), Role.CANDIDATE: (new,)})
        await gateway.apply(split(5000, routes=(HeaderRoute("beta", "X-Beta", "yes"),)))
        for another in (gateway, gateway, make(1)):  # asked again, and by a harness that has taken it up
            if another is not gateway:
                await gateway.leave()
                assert await another.attach() == split(0)
            await another.adopt()
            assert (await ask(gateway.url, x_beta="yes"))[1:3] == ("stable", new)
        gateway = another
        await gateway.point({Role.STABLE: (new,)})
        await gateway.apply(split(WHOLE))
        assert (await ask(gateway.url))[0] == 503
        assert await make(2).attach() == split(WHOLE)


async def test_one_that_dies_is_started_anew_at_its_place_with_what_it_had(make: Make, tmp_path: Path) -> None:
    gateway = make()
    await gateway.start()
    async with replicas(1) as urls:
        await gateway.point({Role.CANDIDATE: urls})
        await gateway.apply(split(WHOLE))
        note = processes.notes(tmp_path / "state")[0]
        assert note.pid
        assert os.getsid(note.pid) == note.pid  # no signal to our terminal or group reaches it
        os.kill(note.pid, signal.SIGKILL)
        while (now := processes.notes(tmp_path / "state")) and now[0].pid in (None, note.pid):  # noqa: ASYNC110 - a file
            await asyncio.sleep(0.01)
        for _ in range(500):
            try:
                if (await ask(gateway.url))[0] == 200:
                    break
            except aiohttp.ClientError:
                await asyncio.sleep(0.01)
        assert (await ask(gateway.url))[1:3] == ("candidate", urls[0])


async def test_one_that_is_back_has_what_others_told_it_meanwhile(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway, late, lock = make(), asyncio.Event(), haproxy._lock
    await gateway.start()

    def locked(descriptor: int) -> bool:
        """Whoever brings it back waits for its turn until the fleet has had its own."""
        task = asyncio.current_task()
        return (late.is_set() or task is None or task.get_name() != "anew") and lock(descriptor)

    async with replicas(2) as (old, new):
        await gateway.point({Role.CANDIDATE: (old,)})
        await gateway.apply(split(WHOLE))
        monkeypatch.setattr(haproxy, "_lock", locked)
        assert gateway._note
        anew = asyncio.create_task(gateway._started_anew(gateway._note), name="anew")
        await asyncio.sleep(0.05)
        await gateway.point({Role.CANDIDATE: (new,)})
        late.set()
        assert await anew
        assert {(await ask(gateway.url))[2] for _ in range(4)} == {new}


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP], ids=["dead", "deaf"])
async def test_one_that_cannot_be_taken_up_is_replaced_at_its_port(
    sent: signal.Signals, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "CALL_S", 1.0)
    first, second = make(1), make(2)
    await first.start()
    note = processes.notes(tmp_path / "state")[0]
    assert note.pid
    (guard,) = (task for task in asyncio.all_tasks() if task.get_name() == "haproxy/guard")
    guard.cancel()  # as when its harness has been killed
    os.kill(note.pid, sent)
    assert await second.attach() is None
    assert second.url == first.url
    assert (await ask(second.url))[0] == 503
    assert not processes.alive(note)


async def test_its_own_metrics_are_there_for_prometheus(make: Make) -> None:
    gateway = make()
    assert gateway.scraped() == {}
    await gateway.start()
    await ask(gateway.url)
    ((url, labels),) = gateway.scraped().items()
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert 'haproxy_frontend_http_responses_total{proxy="users",code="5xx"} 1' in await answer.text()
    assert labels == {"component": "router"}


async def test_it_ends_softly_and_leaves_nothing(make: Make, tmp_path: Path) -> None:
    gateway = make()
    await gateway.start()
    came, go = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        came.set()
        await go.wait()

    async with replicas(1, wait=wait) as urls:
        await gateway.point({Role.STABLE: urls})
        waiting = asyncio.create_task(ask(gateway.url, "/wait"))
        await came.wait()
        note = processes.notes(tmp_path / "state")[0]
        stopping = asyncio.create_task(gateway.stop())
        await asyncio.sleep(0.1)
        go.set()
        assert (await waiting)[0] == 200
        await stopping
    assert not processes.alive(note)
    assert processes.notes(tmp_path / "state") == ()
    await gateway.stop()
    with pytest.raises(RoutingError, match="does not answer on its runtime socket"):
        await gateway.apply(split(0))


# --- what it refuses --------------------------------------------------------------------------------------------------


async def test_what_haproxy_cannot_do_is_told_with_who_can(make: Make) -> None:
    gateway = make()
    await gateway.start()
    before = split(1000)
    await gateway.apply(before)
    refused = {
        "copies no requests .*router: builtin": gateway.apply(split(0, mirror=1)),
        "weights sum to 9000": gateway.apply(Routing({Role.STABLE: 9000})),
        "not https://127.0.0.1:1; `router: builtin` takes it": gateway.point({Role.STABLE: ("https://127.0.0.1:1",)}),
        "not http://127.0.0.1:1/x": gateway.point({Role.STABLE: ("http://127.0.0.1:1/x",)}),
        "65 replicas of one arm are too many": gateway.point(
            {Role.STABLE: tuple(f"http://127.0.0.1:{1000 + n}" for n in range(65))}
        ),
        "no address is known of http://nobody.invalid": gateway.point({Role.STABLE: ("http://nobody.invalid",)}),
    }
    for told, attempt in refused.items():
        with pytest.raises(RoutingError, match=told):
            await attempt
    assert await make(1).attach() == before


async def test_a_command_that_haproxy_does_not_know_is_told_in_its_words(make: Make, tmp_path: Path) -> None:
    gateway = make()
    with pytest.raises(RoutingError, match="it was not started"):
        await gateway.apply(split(0))
    await gateway.start()
    folder = tmp_path / "run" / "haproxy"
    for command, said in {
        "frobnicate": "Unknown command",
        "set server a/none state ready": "No such server",
        "set map none.map now 1": "Unknown map identifier",
    }.items():
        with pytest.raises(RoutingError, match=f"refused a change: {said}"):
            await runtime.do(folder, command)
    with pytest.raises(RoutingError, match="refused to change none"):
        await runtime.exchange(folder, "none.map", {})
    with pytest.raises(RoutingError, match="refused to show none"):
        await runtime.entries(folder, "none.map")


async def test_a_port_that_is_taken_is_told_and_nothing_is_left(make: Make, tmp_path: Path) -> None:
    async with replicas(1) as urls:
        gateway = make(port=int(urls[0].rpartition(":")[2]))
        with pytest.raises(BackendError, match=r"cannot listen on 127\.0\.0\.1:.*Address already in use; give another"):
            await gateway.start()
    assert processes.notes(tmp_path / "state") == ()


async def test_a_configuration_that_haproxy_refuses_is_told_in_its_words(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(haproxy_process, "configuration", lambda *_: "global\n    nonsense\n")
    gateway = make()
    with pytest.raises(BackendError, match=r"ended as it was started; .*haproxy.log ends: .*"):
        await gateway.start()
    assert processes.notes(tmp_path / "state") == ()


async def test_a_machine_without_it_and_virtual_time_are_told(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackendError, match="takes letters, digits"):
        await make(user_header="x-#user").start()
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(haproxy_process, "ELSEWHERE", "/nowhere")
    with pytest.raises(BackendError, match="haproxy is not installed: `apt install haproxy`"):
        await make().start()


def test_it_does_not_run_on_virtual_time(tmp_path: Path) -> None:
    gateway = HaproxyRouter(scenario())
    with pytest.raises(BackendError, match="call place"):
        run_virtual(gateway.start)
    gateway.place(Place(tmp_path, tmp_path, "r"))
    with pytest.raises(BackendError, match="--clock real"):
        run_virtual(gateway.start)
