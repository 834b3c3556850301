"""A router of the user's own, told by a real server or a real command what is wanted."""

import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web

from harness.backends import outside
from harness.backends.outside import CommandRouter, WebhookRouter, weights_said
from harness.backends.webhook import Patience
from harness.clock import run_virtual
from harness.domain.model import Revision, Role
from harness.domain.real import EndpointsPlan, RealPlan, RouterPlan
from harness.domain.rollout import HeaderRoute, Routing
from harness.domain.scenario import Scenario
from harness.domain.units import WHOLE
from harness.errors import BackendError, LeaseLost, RoutingError
from harness.realtime import Place
from tests.build import scenario
from tests.sites import site

FRONT = "http://127.0.0.1:9"
PLACE = Place(Path(), Path(), "run-1", token=3)
QUICK = Patience(attempts=3, attempt_s=5, within_s=30, base_s=0.01)
TENTH = Routing({Role.STABLE: 9000, Role.CANDIDATE: 1000})
SECRET = "hooks/s3cr3t-of-the-hook"


@dataclass
class Hook:
    """Answers by script, then well, with nothing; remembers what it was told."""

    url: str = ""
    script: list[Any] = field(default_factory=list)
    """For each attempt: (status, headers, text), or the seconds after which it answers."""
    told: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.told.append(await request.json())
        self.headers.append(dict(request.headers))
        step = self.script.pop(0) if self.script else (200, {}, "")
        if isinstance(step, float):
            await anyio.sleep(step)
            step = (200, {}, "late")
        status, headers, text = step
        return web.Response(status=status, headers=headers, text=text)


@pytest.fixture
async def hook(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hook]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", outside.VARIABLE):
        monkeypatch.delenv(name, raising=False)
    made, app = Hook(), web.Application()
    app.router.add_post(f"/{SECRET}", made.answer)
    async with site(app) as url:
        made.url = f"{url}/{SECRET}"
        yield made


def told_by(front: str | None = FRONT, **router: Any) -> Scenario:
    return replace(scenario(), real=RealPlan(http=EndpointsPlan(front=front), router=RouterPlan(**router)))


def webhook(hook: Hook, patience: Patience = QUICK) -> WebhookRouter:
    made = WebhookRouter(told_by(webhook=hook.url), patience)
    made.place(PLACE)
    return made


def command(*words: str, within_s: float = 60.0) -> CommandRouter:
    made = CommandRouter(told_by(command=words), within_s)
    made.place(PLACE)
    return made


def script(text: str, *words: str) -> CommandRouter:
    return command(sys.executable, "-c", text, *words)


# --- by a webhook -----------------------------------------------------------------------------------------------------


async def test_all_that_is_wanted_is_told_and_the_same_way_users_ask_the_front(hook: Hook) -> None:
    gateway = webhook(hook)
    await gateway.start()
    want = replace(TENTH, routes=(HeaderRoute("beta", "X-Beta", "yes"),), mirror=500, sticky=True)
    assert await gateway.apply(want) == TENTH.weights
    (told,) = hook.told
    intent = told.pop("intent")
    assert intent.startswith("run-1/")
    assert told == {
        "version": 1, "run": "run-1", "token": 3, "weights": {"stable": 0.9, "candidate": 0.1},
        "routes": [{"name": "beta", "header": "X-Beta", "value": "yes"}], "mirror": 0.05, "sticky": True,
        "adopt": False, "revisions": {},
    }  # fmt: skip
    assert hook.headers[0]["Idempotency-Key"] == intent
    assert "Authorization" not in hook.headers[0]
    assert gateway.url == FRONT
    assert gateway.scraped() == {}


async def test_what_is_in_force_is_what_the_router_says_it_is(hook: Hook) -> None:
    hook.script = [(200, {}, json.dumps({"weights": {"stable": 0.95, "candidate": 0.05}}))]
    assert await webhook(hook).apply(TENTH) == {Role.STABLE: 9500, Role.CANDIDATE: 500}


async def test_another_adoption_is_told_as_one(hook: Hook) -> None:
    gateway = webhook(hook)
    gateway.inform({Role.STABLE: Revision("churn", 4, "sha256:4"), Role.CANDIDATE: Revision("churn", 5, "sha256:5")})
    for _ in range(2):
        await gateway.adopt()
    await gateway.apply(TENTH)
    await gateway.adopt()
    assert [told["adopt"] for told in hook.told] == [True, True, False, True]
    assert hook.told[0] == hook.told[1]  # the same change, told again
    assert len({told["intent"] for told in hook.told}) == 3
    assert hook.told[0]["weights"] == {"stable": 1.0, "candidate": 0.0}
    assert hook.told[0]["revisions"] == {"stable": "churn:4", "candidate": "churn:5"}


async def test_what_fails_for_a_while_is_tried_again_under_the_same_key(hook: Hook) -> None:
    hook.script = [(503, {}, "busy"), (429, {"Retry-After": "0"}, "")]
    gateway = webhook(hook)
    await gateway.apply(TENTH)
    await gateway.apply(TENTH)
    keys = [headers["Idempotency-Key"] for headers in hook.headers]
    assert len(keys) == 4
    assert len(set(keys[:3])) == 1
    assert keys[3] != keys[0]
    another = webhook(hook)  # a resumed run: no key of before stands for what it wants now
    await another.apply(TENTH)
    assert hook.headers[-1]["Idempotency-Key"] not in keys


async def test_what_waited_to_be_tried_again_is_not_once_another_has_the_rollout(hook: Hook, tmp_path: Path) -> None:
    looks: list[int] = []

    @contextmanager
    def taken_over() -> Iterator[None]:
        looks.append(len(hook.told))
        if hook.told:
            raise LeaseLost("another harness drives it now")
        yield

    hook.script = [(503, {}, "restarting")]
    router = webhook(hook)
    router.place(replace(PLACE, ours=taken_over))
    with pytest.raises(LeaseLost):
        await router.apply(TENTH)
    assert (looks, len(hook.told)) == ([0, 1], 1)

    ran = command("touch", str(tmp_path / "ran"))
    ran.place(replace(PLACE, ours=taken_over))
    with pytest.raises(LeaseLost):
        await ran.apply(TENTH)
    assert not (tmp_path / "ran").exists()


async def test_one_that_fails_for_good_is_given_up_on(hook: Hook) -> None:
    hook.script = [(500, {}, "out of order")] * 9
    with pytest.raises(RoutingError, match="did not take the routing in 3 attempts: HTTP 500, out of order"):
        await webhook(hook).apply(TENTH)
    assert len(hook.told) == 3
    hook.script = [60.0]
    with pytest.raises(RoutingError, match=r"in 1 attempts: no answer within 0\.1 s"):
        await webhook(hook, Patience(attempts=1, attempt_s=0.1)).apply(TENTH)


@pytest.mark.parametrize("status", [302, 400, 401, 404, 409])
async def test_a_refusal_is_told_at_once_and_shows_no_secret(
    status: int, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(outside.VARIABLE, "tok3n-of-mine")
    hook.script = [(status, {}, f"no token tok3n-of-mine at {SECRET}")]
    with pytest.raises(RoutingError, match=rf"refused the routing: HTTP {status}, no token \*\*\* at \*\*\*"):
        await webhook(hook).apply(TENTH)
    assert len(hook.told) == 1
    assert hook.headers[0]["Authorization"] == "Bearer tok3n-of-mine"


async def test_nobody_there_is_told() -> None:
    with pytest.raises(RoutingError, match=r"http://127\.0\.0\.1:1/\*\*\* did not take the routing in 3 attempts"):
        await webhook(Hook("http://127.0.0.1:1/hook")).apply(TENTH)


async def test_what_is_in_force_before_is_not_known_and_replicas_and_stopping_are_not_its_affair(hook: Hook) -> None:
    gateway = webhook(hook)
    assert await gateway.attach() is None
    await gateway.point({Role.STABLE: ("http://127.0.0.1:1",)})
    await gateway.stop()
    assert hook.told == []
    with pytest.raises(RoutingError, match="weights sum to 9000"):
        await gateway.apply(Routing({Role.STABLE: 9000}))
    assert hook.told == []


# --- by a command -----------------------------------------------------------------------------------------------------


async def test_a_command_reads_what_is_wanted_and_may_say_what_is_in_force(tmp_path: Path) -> None:
    text = "import json,pathlib,sys; t=json.load(sys.stdin); pathlib.Path(sys.argv[1]).write_text(json.dumps(t))"
    file = tmp_path / "told"
    assert await script(text, str(file)).apply(TENTH) == TENTH.weights
    assert json.loads(file.read_text())["weights"] == {"stable": 0.9, "candidate": 0.1}
    says = 'print(\'{"weights": {"stable": 1}}\')'
    assert await script(says).apply(TENTH) == {Role.STABLE: WHOLE, Role.CANDIDATE: 0}


async def test_a_shell_script_does_as_well(tmp_path: Path) -> None:
    file = tmp_path / "told"
    await command("sh", "-c", f"cat > {file}").adopt()
    assert json.loads(file.read_text())["adopt"] is True


async def test_one_that_fails_is_a_refusal_in_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LB_PASSWORD", "hunter22")
    with pytest.raises(RoutingError, match=r"sh refused the routing \(exit code 3\): wrong password \*\*\*"):
        await command("sh", "-c", "echo trying >&2; echo wrong password $LB_PASSWORD >&2; exit 3").apply(TENTH)
    with pytest.raises(RoutingError, match="said nothing on standard error"):
        await command("sh", "-c", "exit 1").apply(TENTH)
    with pytest.raises(RoutingError, match="cannot be run: No such file"):
        await command("/nowhere/set-weights").apply(TENTH)


async def test_one_that_does_not_end_is_given_up_on() -> None:
    with pytest.raises(RoutingError, match=r"sleep did not end within 0\.1 s, and was killed"):
        await command("sleep", "60", within_s=0.1).apply(TENTH)


async def test_one_that_is_cut_off_is_killed_with_what_it_started(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    gateway = command("sh", "-c", f"sleep 60 & echo $! $$ > {file}.new; mv {file}.new {file}; wait")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(gateway.apply, TENTH)
        while not file.exists():  # noqa: ASYNC110 - another process makes it
            await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    for pid in file.read_text().split():
        while _runs(int(pid)):  # noqa: ASYNC110 - a process of somebody else's
            await anyio.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


# --- what is wrong with it --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["", "ok", "[]", "null", "{}", '{"weights": null}', '"weights"'])
def test_an_answer_that_says_nothing_of_weights_is_a_plain_yes(answer: str) -> None:
    assert weights_said(answer, TENTH.weights) == TENTH.weights


@pytest.mark.parametrize(
    "weights",
    ['{"stable": 0.9}', '{"stable": 1, "nobody": 0}', "[1]", '{"stable": "all"}', '{"stable": Infinity}', "7"],
)
def test_weights_that_are_none_are_no_answer(weights: str) -> None:
    with pytest.raises(RoutingError, match=r"the router says that .* are the weights in force"):
        weights_said(f'{{"weights": {weights}}}', TENTH.weights)


def test_what_the_scenario_lacks_is_told() -> None:
    with pytest.raises(BackendError, match="front says where users ask"):
        WebhookRouter(told_by(front=None, webhook="http://127.0.0.1:1/hook"))
    with pytest.raises(BackendError, match=r"needs real\.router\.webhook"):
        WebhookRouter(told_by())
    with pytest.raises(BackendError, match=r"needs real\.router\.command"):
        CommandRouter(told_by())


def test_it_is_told_nothing_on_virtual_time_or_before_its_place() -> None:
    with pytest.raises(BackendError, match="--clock real"):
        run_virtual(command("true").start)
    with pytest.raises(BackendError, match="call place"):
        run_virtual(CommandRouter(told_by(command=("true",))).apply, TENTH)
