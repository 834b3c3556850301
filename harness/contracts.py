"""What any backend must keep, as checks that its author can run.

    async def test_my_registry():
        await check_registry(lambda: MyRegistry(fresh_database()))

Each check gets a backend of its own, new and empty, and raises AssertionError with the promise that was broken. A check
asks only through the protocol, so it holds for a fake in memory and for a server far away alike.
"""

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Any, Final

import anyio

from harness.clock import now_ns, sleep_until
from harness.domain.event import ArmTotals
from harness.domain.model import ARMS, Revision, Role, Source, Task, TrainedModel
from harness.domain.rollout import HeaderRoute, Routing, Weights
from harness.domain.units import SECOND, WHOLE
from harness.errors import BackendError, NotRegistered, RegistryError, RoutingError
from harness.protocols import ArmSample, Notifier, Platform, Population, Registry, Sample, StagingPlatform, Tracker

RegistryCheck = Callable[[Registry], Awaitable[None]]


async def check_registry(make: Callable[[], Registry]) -> None:
    """Run every check of a model registry.

    Args:
        make: gives a new, empty registry each time.

    Raises:
        AssertionError: a promise is broken; the message says which.
    """
    for check in REGISTRY_CHECKS.values():
        await check(make())


async def check_tracker(make: Callable[[], Tracker], count: Callable[[Tracker], int]) -> None:
    """Check that a tracker keeps each training run once.

    Args:
        make: gives a new, empty tracker each time.
        count: how many runs a tracker has kept.

    Raises:
        AssertionError: a promise is broken; the message says which.
    """
    tracker = make()
    await tracker.record(sample_model(1), "intent-1")
    _hold(count(tracker) == 1, "a training run that was recorded is kept")
    await tracker.record(sample_model(1), "intent-1")
    _hold(count(tracker) == 1, "recording the same intent twice is one training run")
    await tracker.record(sample_model(2), "intent-2")
    _hold(count(tracker) == 2, "another intent is another training run")
    await tracker.record(sample_model(1), "intent-3")
    _hold(count(tracker) == 3, "the same model trained again is another training run")


# --- registries -------------------------------------------------------------------------------------------------------


async def versions_count_from_one(registry: Registry) -> None:
    """The first version of each name is 1, and each next one is one more."""
    first = await registry.register(sample_model(1), "intent-1")
    second = await registry.register(sample_model(2), "intent-2")
    other = await registry.register(sample_model(1, name="another-model"), "intent-3")
    _hold(first.version == 1, f"the first version of a model is 1, not {first.version}")
    _hold(second.version == 2, f"the second version of a model is 2, not {second.version}")
    _hold(other.version == 1, f"each name counts its own versions: the first of another is 1, not {other.version}")


async def revisions_say_what_was_registered(registry: Registry) -> None:
    """A revision carries the model's name and the digest of its artifact."""
    model = sample_model(1)
    revision = await registry.register(model, "intent-1")
    _hold(revision.name == model.name, f"a revision has the model's name, not {revision.name!r}")
    _hold(revision.digest == model.artifact_digest, f"a revision has the artifact's digest, not {revision.digest!r}")


async def an_intent_registers_once(registry: Registry) -> None:
    """A second try after a crash finds what the first did."""
    first = await registry.register(sample_model(1), "intent-1")
    again = await registry.register(sample_model(1), "intent-1")
    _hold(again == first, f"the same intent is the same version: {first} became {again}")
    await registry.register(sample_model(2), "intent-2")
    late = await registry.register(sample_model(1), "intent-1")
    _hold(late == first, f"an intent is remembered after others came: {first} became {late}")
    fresh = await registry.register(sample_model(1), "intent-3")
    _hold(fresh.version == 3, f"a new intent is a new version, also of a known model: expected 3, got {fresh.version}")


async def an_alias_names_one_version(registry: Registry) -> None:
    """An alias is found again, can move, and moving it leaves others alone."""
    first = await registry.register(sample_model(1), "intent-1")
    second = await registry.register(sample_model(2), "intent-2")
    await registry.set_alias(first, "stable")
    await registry.set_alias(second, "candidate")
    _hold(await registry.resolve(first.name, "stable") == first, "an alias names the version it was set to")
    _hold(await registry.resolve(first.name, "candidate") == second, "two aliases name two versions")
    await registry.set_alias(second, "stable")
    _hold(await registry.resolve(first.name, "stable") == second, "an alias that is set again names the new version")
    _hold(await registry.resolve(first.name, "candidate") == second, "moving an alias leaves the others as they were")
    await registry.set_alias(second, "stable")
    _hold(await registry.resolve(first.name, "stable") == second, "setting an alias twice changes nothing")


async def aliases_belong_to_a_name(registry: Registry) -> None:
    """The same alias of two models names two versions."""
    mine = await registry.register(sample_model(1), "intent-1")
    theirs = await registry.register(sample_model(2, name="another-model"), "intent-2")
    await registry.set_alias(mine, "stable")
    await registry.set_alias(theirs, "stable")
    _hold(await registry.resolve(mine.name, "stable") == mine, "an alias of one model is not moved by another model's")


async def what_is_not_there_is_an_error(registry: Registry) -> None:
    """NotRegistered, and nothing else, tells that a name, an alias or a version does not exist."""
    await _refuses(registry.resolve("nobody", "stable"), "an unknown name", NotRegistered)
    revision = await registry.register(sample_model(1), "intent-1")
    await _refuses(registry.resolve(revision.name, "stable"), "an alias that was never set", NotRegistered)
    absent = replace(revision, version=99)
    await _refuses(registry.load(absent), "loading a version that does not exist", NotRegistered)
    await _refuses(registry.set_alias(absent, "stable"), "an alias for a version that does not exist", NotRegistered)
    nobody = Revision("nobody", 1, revision.digest)
    await _refuses(registry.load(nobody), "loading a model that does not exist", NotRegistered)


async def a_loaded_model_answers_as_the_one_registered(registry: Registry) -> None:
    """What comes out is what went in: the same answers, features, classes and digest."""
    model = sample_model(1)
    revision = await registry.register(model, "intent-1")
    await registry.register(sample_model(2), "intent-2")
    loaded = await registry.load(revision)
    _hold(loaded.artifact_digest == model.artifact_digest, "a loaded model has the digest it was registered with")
    for what in ("features", "classes", "task", "name"):
        found, expected = getattr(loaded, what), getattr(model, what)
        _hold(found == expected, f"a loaded model keeps its {what}: {expected!r} became {found!r}")
    rows = _rows(1)[list(model.features)]
    same = (loaded.estimator.predict_proba(rows) == model.estimator.predict_proba(rows)).all()
    _hold(bool(same), "a loaded model answers exactly as the registered one")


async def a_removed_alias_names_nothing(registry: Registry) -> None:
    """An alias that is removed is gone, alone; removing it again changes nothing, and it can be set anew."""
    first = await registry.register(sample_model(1), "intent-1")
    second = await registry.register(sample_model(2), "intent-2")
    await registry.set_alias(second, "stable")
    await registry.set_alias(first, "previous")
    for _ in range(2):
        await _allows(registry.remove_alias(first.name, "previous"), "removing an alias, also when it is gone,")
        await _refuses(registry.resolve(first.name, "previous"), "an alias that was removed", NotRegistered)
    left = [alias for each in await registry.versions(first.name) for alias in each.aliases]
    _hold(left == ["stable"], f"removing an alias leaves the others as they were: of stable is left {left}")
    await _allows(registry.remove_alias(first.name, "never-set"), "removing an alias that was never set")
    _hold((await registry.load(first)).name == first.name, "a version outlives its alias")
    await registry.set_alias(second, "previous")
    _hold(await registry.resolve(first.name, "previous") == second, "an alias that was removed can be set again")
    await _refuses(registry.remove_alias("nobody", "stable"), "removing an alias of an unknown name", NotRegistered)


async def a_mark_stays_with_its_version(registry: Registry) -> None:
    """A mark is found again, is replaced by the next one, and is of one version alone."""
    first = await registry.register(sample_model(1), "intent-1")
    second = await registry.register(sample_model(2), "intent-2")
    theirs = await registry.register(sample_model(1, name="another-model"), "intent-3")
    _hold(await _statuses(registry, first.name) == ["", ""], "a version that nobody has marked has no mark")
    await registry.mark(first, "verified")
    _hold(await _statuses(registry, first.name) == ["verified", ""], "a mark stands at its version, and at no other")
    _hold(await _statuses(registry, theirs.name) == [""], "a mark is not of another model's version")
    for _ in range(2):
        await registry.mark(first, "bad")
    await registry.mark(second, "archived")
    _hold(await _statuses(registry, first.name) == ["bad", "archived"], "a second mark replaces the first")
    await _refuses(
        registry.mark(replace(first, version=99), "bad"), "marking a version that is not there", NotRegistered
    )


async def versions_are_listed_whole(registry: Registry) -> None:
    """Every version of a name and no other, oldest first, with what was registered and the aliases it has now."""
    _hold(await registry.names() == (), "a new registry has no models")
    await _refuses(registry.versions("nobody"), "listing an unknown name", NotRegistered)
    numbers = (2, 1, 3)
    made = [await registry.register(sample_model(number), f"intent-{number}") for number in numbers]
    await registry.register(sample_model(1, name="another-model"), "intent-4")
    await registry.set_alias(made[0], "stable")
    await registry.set_alias(made[2], "candidate")
    await registry.set_alias(made[2], "stable")
    await registry.set_alias(made[2], "best")
    found = await registry.versions(made[0].name)
    _hold([each.revision for each in found] == made, "versions are listed as they were registered, oldest first")
    _hold(
        [each.aliases for each in found] == [(), (), ("best", "candidate", "stable")],
        "a version has the aliases it has now",
    )
    for number, each in zip(numbers, found, strict=True):
        model = sample_model(number)
        _hold(
            each.data_digest == model.data_digest, f"a version keeps the digest of its data, not {each.data_digest!r}"
        )
        _hold(dict(each.metrics) == dict(model.metrics), f"a version keeps its metrics, not {dict(each.metrics)!r}")
    _hold(await registry.names() == ("another-model", "checked-model"), "every model is listed, by its name, sorted")


async def _statuses(registry: Registry, name: str) -> list[str]:
    return [each.status for each in await registry.versions(name)]


REGISTRY_CHECKS: Final[Mapping[str, RegistryCheck]] = {
    check.__name__: check
    for check in (
        versions_count_from_one,
        revisions_say_what_was_registered,
        an_intent_registers_once,
        an_alias_names_one_version,
        aliases_belong_to_a_name,
        what_is_not_there_is_an_error,
        a_loaded_model_answers_as_the_one_registered,
        a_removed_alias_names_nothing,
        a_mark_stays_with_its_version,
        versions_are_listed_whole,
    )
}
"""By name, for a test that runs them one by one."""


# --- notifiers --------------------------------------------------------------------------------------------------------


Heard = Callable[[], Sequence[str]]
"""The texts that have arrived where a notifier delivers to, in order."""


async def check_notifier(make: Callable[[], tuple[Notifier, Heard]]) -> None:
    """Run every check of a notifier, on a loop in which it works.

    Args:
        make: gives a new notifier each time, and what tells which texts have arrived at the other end since.

    Raises:
        AssertionError: a promise is broken; the message says which.
    """
    for check in NOTIFIER_CHECKS.values():
        await check(*make())


async def what_is_told_arrives_in_order(notifier: Notifier, heard: Heard) -> None:
    """A message has arrived when `notify` returns; the same text told twice arrives twice."""
    _hold(isinstance(notifier.realtime, bool), "a notifier says whether it reaches into the outside world")
    told: list[str] = []
    for text in ("one", "two", "two", "three"):
        await notifier.notify(_message(text))
        told.append(text)
        _hold(list(heard()) == told, f"what was told has arrived, in order: {told} became {list(heard())}")


async def a_text_arrives_whole(notifier: Notifier, heard: Heard) -> None:
    """Whatever letters it has, and however long it is."""
    texts = ['p95 <= stable * 1.5 & "f1" > 0.5', "zurück auf Version 1 · ✓ 🙂", "two\nlines\t_and_ `marks`", "a" * 3000]
    for text in texts:
        await notifier.notify(_message(text))
    for text, arrived in zip(texts, heard(), strict=True):
        _hold(arrived == text, f"a text arrives whole: {text[:40]!r} became {arrived[:40]!r}")


async def a_message_is_left_as_it_was(notifier: Notifier, heard: Heard) -> None:
    """It is the caller's: the notifier does not change it, and what the caller does to it later changes nothing."""
    message = _message("as it was")
    before = dict(message)
    await notifier.notify(MappingProxyType(message))
    _hold(message == before, "a message is not changed by the notifier")
    message["text"] = "changed since"
    _hold(list(heard()) == ["as it was"], "what was told stays as it was told")


async def several_at_once_all_arrive(notifier: Notifier, heard: Heard) -> None:
    """Told at the same time, each arrives once."""
    texts = [f"number {number}" for number in range(8)]
    async with anyio.create_task_group() as tasks:
        for text in texts:
            tasks.start_soon(notifier.notify, _message(text))
    _hold(sorted(heard()) == texts, f"of {len(texts)} told at once each arrives once: {sorted(heard())}")


NotifierCheck = Callable[[Notifier, Heard], Awaitable[None]]
NOTIFIER_CHECKS: Final[Mapping[str, NotifierCheck]] = {
    check.__name__: check
    for check in (
        what_is_told_arrives_in_order,
        a_text_arrives_whole,
        a_message_is_left_as_it_was,
        several_at_once_all_arrive,
    )
}
"""By name; each gets a notifier that nobody has told anything."""


def _message(text: str) -> dict[str, Any]:
    return {"text": text, "number": 1, "scenario": "checked", "model": "checked-model", "run": "checked-run"}


# --- platforms --------------------------------------------------------------------------------------------------------


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
    _hold(0 < state.wanted == state.ready, "stable is ready once the platform has started")
    _hold(await platform.serving.probe(Role.STABLE), "stable answers a probe once the platform has started")
    arms = await _serve(platform, patience.serve_s)
    _hold(arms[Role.STABLE].arrivals > 0, "stable gets requests from the start")
    _hold(arms[Role.CANDIDATE].arrivals == 0, "the candidate gets none before it has a weight")


async def replicas_become_ready_and_go(platform: Platform, patience: Patience) -> None:
    """What is wanted becomes ready; wanting it twice is wanting it once; none wanted leaves none."""
    for _ in range(2):
        await platform.serving.apply({Role.STABLE: 2, Role.CANDIDATE: 2})
    _hold((await platform.serving.observe())[Role.CANDIDATE].wanted == 2, "applying twice is applying once")
    await _ready(platform, patience.ready_within_s)
    await platform.serving.apply({Role.STABLE: 2, Role.CANDIDATE: 0})
    state = (await platform.serving.observe())[Role.CANDIDATE]
    _hold(state.wanted == state.ready == 0, "an arm of which none is wanted has none ready")
    _hold(not await platform.serving.probe(Role.CANDIDATE), "an arm without replicas answers no probe")


async def weights_are_kept(platform: Platform, patience: Patience) -> None:
    """Traffic is split as asked, within what chance allows, and an arm without weight gets nothing more."""
    await platform.serving.apply({Role.STABLE: 2, Role.CANDIDATE: 2})
    await _ready(platform, patience.ready_within_s)
    for candidate in (1000, 5000, WHOLE, 0):
        want = {Role.STABLE: WHOLE - candidate, Role.CANDIDATE: candidate}
        _hold(await platform.router.apply(Routing(want)) == want, "the router answers with the weights in force")
        await sleep_until(now_ns() + round(patience.settle_s * SECOND))
        arms = await _serve(platform, patience.serve_s)
        total = sum(arm.arrivals for arm in arms.values())
        share = candidate / WHOLE
        slack = 5 * math.sqrt(total * share * (1 - share))
        found = abs(arms[Role.CANDIDATE].arrivals - share * total)
        _hold(found <= slack, f"at {share:.0%} the candidate gets its share, not {found:.0f} requests more or less")


async def wrong_weights_are_refused(platform: Platform, patience: Patience) -> None:
    """Weights that are not shares of the whole are a RoutingError, and leave those in force."""
    for wrong in ({Role.STABLE: 9000, Role.CANDIDATE: 900}, {Role.STABLE: 11_000, Role.CANDIDATE: -1000}):
        await _refuses(platform.router.apply(Routing(wrong)), f"asking for {wrong}", RoutingError)
    arms = await _serve(platform, patience.serve_s)
    _hold(arms[Role.CANDIDATE].arrivals == 0, "weights that were refused change nothing")


async def windows_add_up(platform: Platform, patience: Patience) -> None:
    """Two neighbouring windows hold what the one over both holds, and the totals hold it all, conserved."""
    start = now_ns()
    first = await _serve(platform, patience.serve_s / 2)
    middle = now_ns()
    second = await _serve(platform, patience.serve_s / 2)
    whole = await platform.metrics.sample(start, now_ns())
    _hold(middle < now_ns(), "time goes on")
    for role in ARMS:
        parts = first[role].requests + second[role].requests
        _hold(parts == whole[role].requests, f"windows of {role} add up: {parts}, {whole[role].requests} over both")
        latency = first[role].latency + second[role].latency
        _hold(latency == whole[role].latency, f"latencies of {role} add up")
    for role, arm in (await platform.metrics.totals()).items():
        _hold(arm.arrived == arm.succeeded + arm.failed + arm.in_flight, f"requests to {role} are all accounted for")
        _hold(arm.succeeded + arm.failed >= whole[role].requests, f"the totals of {role} hold every window")


async def the_future_is_not_measured(platform: Platform, patience: Patience) -> None:
    """A window that ends in the future is a BackendError."""
    del patience
    ahead = now_ns() + 60 * SECOND
    await _refuses(platform.metrics.sample(now_ns(), ahead), "a window that ends in the future", BackendError)


async def features_are_told_in_shares(platform: Platform, patience: Patience) -> None:
    """What was asked is told as shares over the same bins for both arms and the reference; or not at all.

    So is what each arm's model answered, for that arm alone.
    """
    start = now_ns()
    await _serve(platform, patience.serve_s)
    predictions = await platform.metrics.predictions(start, now_ns())
    for role, answers in predictions.items():
        _hold(set(answers.shares) == {role}, f"the predictions of {role} are its own")
    for column in (*await platform.metrics.inputs(start, now_ns()), *predictions.values()):
        for shares in (column.reference, *column.shares.values()):
            _hold(len(shares) == len(column.bins), f"{column.name} has a share for each of its bins")
            _hold(abs(sum(shares) - 1) < 1e-9, f"the shares of {column.name} add up to one")
        _hold(set(column.drift) == set(column.shares), f"{column.name} has a drift for each arm that was asked")


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
    _hold(arms[Role.CANDIDATE].arrivals == 0, "a copy is no request of a user: the candidate gets none")
    slack = 5 * math.sqrt(usual + came)
    _hold(abs(came - usual) <= slack, f"stable gets as many requests while half are copied: {came}, {usual} before")
    _hold_as_good(without, stable, "users fare no worse while requests are copied")
    if Role.SHADOW in arms:
        slack = 5 * math.sqrt(stable.arrivals) / 2
        off = abs(arms[Role.SHADOW].arrivals - stable.arrivals / 2)
        _hold(off <= slack, f"half of the requests are copied, not {off:.0f} more or less")
    await _routes(platform, Routing(_split(0)), patience)
    after = await _serve(platform, patience.serve_s)
    _hold(Role.SHADOW not in after or after[Role.SHADOW].arrivals == 0, "nothing is copied once mirroring is off")


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
        _hold(met <= 1.05 * everyone, f"a user meets one arm: {met} were met by either, and there are {everyone}")
    met = (await platform.metrics.totals())[Role.CANDIDATE].users or 0
    most = everyone / 2 + 2.5 * math.sqrt(everyone)
    _hold(met <= most, f"only those change arm who must: of {everyone} users {met} met a candidate of at most half")


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
        _hold(led == 0, "a header that no request carries leads none to the candidate")
        return
    _hold(led > 0, f"requests with {route} go to the candidate, which has no weight")
    _hold(arms[Role.STABLE].arrivals > 0, f"requests without {route} do not go to the candidate")
    for kind in after[Role.STABLE].classes:
        came = [_came(after[role], kind) - _came(before[role], kind) for role in ARMS]
        _hold(0 in came, f"a class of requests goes one way: of {kind} stable and the candidate got {came}")
    await _routes(platform, Routing(_split(0)), patience)
    arms = await _serve(platform, patience.serve_s)
    _hold(arms[Role.CANDIDATE].arrivals == 0, "once the route is removed, the candidate gets nothing more")


async def another_candidate_finds_users_served(platform: Platform, patience: Patience) -> None:
    """A candidate that is adopted, or given up, makes room for another; users are served all the while."""
    for adopt in (True, False):
        await _two_arms(platform, patience)
        await _routes(platform, Routing(_split(WHOLE if adopt else 0)), patience)
        before = (await _serve(platform, patience.serve_s))[Role.CANDIDATE if adopt else Role.STABLE]
        models = {Role.STABLE: sample_model(2 if adopt else 1), Role.CANDIDATE: sample_model(3)}
        await platform.replace(models, None, adopt=adopt)
        state = await platform.serving.observe()
        _hold(state[Role.STABLE].ready > 0, "stable has replicas ready when there is another candidate")
        _hold(state[Role.CANDIDATE].wanted == 0, "another candidate begins without a replica")
        await sleep_until(now_ns() + round(patience.settle_s * SECOND))
        arms = await _serve(platform, patience.serve_s)
        _hold(arms[Role.STABLE].arrivals > 0, "stable gets requests when there is another candidate")
        _hold(arms[Role.CANDIDATE].arrivals == 0, "another candidate gets none before it has a weight")
        _hold_as_good(before, arms[Role.STABLE], "users fare no worse when there is another candidate")
        for role, arm in (await platform.metrics.totals()).items():
            _hold(arm.arrived == arm.succeeded + arm.failed + arm.in_flight, f"requests to {role} are accounted for")


PlatformCheck = Callable[[Platform, Patience], Awaitable[None]]
PLATFORM_CHECKS: Final[Mapping[str, PlatformCheck]] = {
    check.__name__: check
    for check in (
        stable_serves_from_the_start,
        replicas_become_ready_and_go,
        weights_are_kept,
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
        _hold(now_ns() < deadline, f"replicas are ready within {within_s:g} s")
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
    _hold(dict(found) == dict(want.weights), "the router answers with the weights in force")
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
    _hold(after.failed <= most, f"{sentence}: {after.failed} of {after.requests} fail, {share:.2%} did before")


# --- what checks are made of ------------------------------------------------------------------------------------------


def _hold(promise: bool, sentence: str) -> None:
    """Not ``assert``: checks hold under ``python -O`` too."""
    if not promise:
        raise AssertionError(f"broken promise: {sentence}")


async def _allows(attempt: Awaitable[Any], what: str) -> None:
    try:
        await attempt
    except BackendError as error:
        raise AssertionError(f"broken promise: {what} is no error, but it was told: {error}") from error


async def _refuses(attempt: Awaitable[Any], what: str, kind: type[BackendError] = RegistryError) -> None:
    try:
        found = await attempt
    except kind:
        return
    except (BackendError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise AssertionError(f"broken promise: {what} is a {kind.__name__}, not {type(error).__name__}") from error
    raise AssertionError(f"broken promise: {what} is a {kind.__name__}, but the answer was {found!r}")


def sample_model(number: int, name: str = "checked-model") -> TrainedModel:
    """A small model that was really fitted; another number is another model."""
    return replace(_fitted(number), name=name)


def _rows(number: int) -> Any:
    import pandas as pd

    size = 20
    return pd.DataFrame(
        {"amount": [float((row * 7 + number) % size) for row in range(size)], "kind": ["new", "old"] * (size // 2)}
    )


@cache
def _fitted(number: int) -> TrainedModel:
    import numpy as np

    from harness.data.split import Rows
    from harness.training.algorithms import effective
    from harness.training.fit import fit, unfitted

    frame = _rows(number)
    target = (frame["amount"].to_numpy() > 8).astype(np.int64)
    params = effective("logistic_regression", {"C": float(number)}, random_state=number)
    rows = Rows(frame, target, ("No", "Yes"))
    fitted = fit("logistic_regression", unfitted("logistic_regression", params, rows), rows)
    return TrainedModel(
        name="checked-model",
        role=Role.CANDIDATE,
        source=Source.TRAINED,
        algorithm="logistic_regression",
        params=params,
        estimator=fitted.estimator,
        task=Task.CLASSIFICATION,
        features=("amount", "kind"),
        classes=("No", "Yes"),
        artifact_digest=fitted.digest,
        data_digest=f"sha256:{number:064x}",
        metrics={"accuracy": 0.9},
    )


# --- staging ----------------------------------------------------------------------------------------------------------


async def check_staging(
    make: Callable[[], StagingPlatform], model: TrainedModel, revision: Revision, population: Population
) -> None:
    """Check that a staging environment keeps what the stage relies on.

    Args:
        make: gives a new environment, in which nothing runs.
        model: a fitted model; it is deployed.
        revision: which version it is said to be.
        population: rows that it can answer.

    Raises:
        AssertionError: a promise is broken; the message says which.
    """
    from harness.staging.contract import contract, golden

    platform = make()
    await platform.stop()  # nothing is there to be stopped
    rows = golden(model, population, 3)
    for _ in range(2):  # what was stopped can be started again
        endpoint = await platform.start(model, revision, population, 1)
        try:
            until_ns = now_ns() + int(Patience().ready_within_s * SECOND)
            while not await endpoint.ready():
                _hold(now_ns() < until_ns, "an endpoint becomes ready in time")
                await sleep_until(now_ns() + SECOND // 10)
            for found in await contract(endpoint, model, revision, rows):
                _hold(found.passed, f"{found.text}: {found.detail}")
            met = await platform.load(10.0, 2 * SECOND)
            _hold(19 <= met.sent <= 21, f"ten requests a second for two seconds are 20, not {met.sent}")
            _hold(met.failed == sum(met.errors.values()), "each failure is of a kind")
            _hold(met.latency.count <= met.sent, "no more latencies than requests")
        finally:
            await platform.stop()
        await platform.stop()
        try:
            reply = await endpoint.predict(rows[0].row)
        except BackendError:
            continue
        _hold(not reply.answered, "what was stopped answers nothing")
