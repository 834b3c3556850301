"""What a model registry and a tracker must keep."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import anyio

from harness.contracts.checks import allows, hold, refuses, sample_model, sample_rows
from harness.contracts.lineages import deployments_stay_with_their_version, lineage_says_what_a_version_is_made_of
from harness.domain.model import Revision
from harness.errors import BackendError, NotRegistered
from harness.protocols import Registry, Tracker

RegistryCheck = Callable[[Registry], Awaitable[None]]
TOGETHER: Final = 6
"""Registrations at the same time."""


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
    hold(count(tracker) == 1, "a training run that was recorded is kept")
    await tracker.record(sample_model(1), "intent-1")
    hold(count(tracker) == 1, "recording the same intent twice is one training run")
    await tracker.record(sample_model(2), "intent-2")
    hold(count(tracker) == 2, "another intent is another training run")
    await tracker.record(sample_model(1), "intent-3")
    hold(count(tracker) == 3, "the same model trained again is another training run")


async def versions_count_from_one(registry: Registry) -> None:
    """The first version of each name is 1, and each next one is one more."""
    first = await registry.register(sample_model(1), "intent-1")
    second = await registry.register(sample_model(2), "intent-2")
    other = await registry.register(sample_model(1, name="another-model"), "intent-3")
    hold(first.version == 1, f"the first version of a model is 1, not {first.version}")
    hold(second.version == 2, f"the second version of a model is 2, not {second.version}")
    hold(other.version == 1, f"each name counts its own versions: the first of another is 1, not {other.version}")


async def revisions_say_what_was_registered(registry: Registry) -> None:
    """A revision carries the model's name and the digest of its artifact."""
    model = sample_model(1)
    revision = await registry.register(model, "intent-1")
    hold(revision.name == model.name, f"a revision has the model's name, not {revision.name!r}")
    hold(revision.digest == model.artifact_digest, f"a revision has the artifact's digest, not {revision.digest!r}")


async def an_intent_registers_once(registry: Registry) -> None:
    """A second try after a crash finds what the first did."""
    first = await registry.register(sample_model(1), "intent-1")
    again = await registry.register(sample_model(1), "intent-1")
    hold(again == first, f"the same intent is the same version: {first} became {again}")
    await registry.register(sample_model(2), "intent-2")
    late = await registry.register(sample_model(1), "intent-1")
    hold(late == first, f"an intent is remembered after others came: {first} became {late}")
    fresh = await registry.register(sample_model(1), "intent-3")
    hold(fresh.version == 3, f"a new intent is a new version, also of a known model: expected 3, got {fresh.version}")


async def an_alias_names_one_version(registry: Registry) -> None:
    """An alias is found again, can move, and moving it leaves others alone."""
    first = await registry.register(sample_model(1), "intent-1")
    second = await registry.register(sample_model(2), "intent-2")
    await registry.set_alias(first, "stable")
    await registry.set_alias(second, "candidate")
    hold(await registry.resolve(first.name, "stable") == first, "an alias names the version it was set to")
    hold(await registry.resolve(first.name, "candidate") == second, "two aliases name two versions")
    await registry.set_alias(second, "stable")
    hold(await registry.resolve(first.name, "stable") == second, "an alias that is set again names the new version")
    hold(await registry.resolve(first.name, "candidate") == second, "moving an alias leaves the others as they were")
    await registry.set_alias(second, "stable")
    hold(await registry.resolve(first.name, "stable") == second, "setting an alias twice changes nothing")


async def aliases_belong_to_a_name(registry: Registry) -> None:
    """The same alias of two models names two versions."""
    mine = await registry.register(sample_model(1), "intent-1")
    theirs = await registry.register(sample_model(2, name="another-model"), "intent-2")
    await registry.set_alias(mine, "stable")
    await registry.set_alias(theirs, "stable")
    hold(await registry.resolve(mine.name, "stable") == mine, "an alias of one model is not moved by another model's")


async def what_is_not_there_is_an_error(registry: Registry) -> None:
    """NotRegistered, and nothing else, tells that a name, an alias or a version does not exist."""
    await refuses(registry.resolve("nobody", "stable"), "an unknown name", NotRegistered)
    revision = await registry.register(sample_model(1), "intent-1")
    await refuses(registry.resolve(revision.name, "stable"), "an alias that was never set", NotRegistered)
    absent = replace(revision, version=99)
    await refuses(registry.load(absent), "loading a version that does not exist", NotRegistered)
    await refuses(registry.set_alias(absent, "stable"), "an alias for a version that does not exist", NotRegistered)
    nobody = Revision("nobody", 1, revision.digest)
    await refuses(registry.load(nobody), "loading a model that does not exist", NotRegistered)


async def a_loaded_model_answers_as_the_one_registered(registry: Registry) -> None:
    """What comes out is what went in: the same answers, features, classes and digest."""
    model = sample_model(1)
    revision = await registry.register(model, "intent-1")
    await registry.register(sample_model(2), "intent-2")
    loaded = await registry.load(revision)
    hold(loaded.artifact_digest == model.artifact_digest, "a loaded model has the digest it was registered with")
    for what in ("features", "classes", "task", "name"):
        found, expected = getattr(loaded, what), getattr(model, what)
        hold(found == expected, f"a loaded model keeps its {what}: {expected!r} became {found!r}")
    rows = sample_rows(1)[list(model.features)]
    same = (loaded.estimator.predict_proba(rows) == model.estimator.predict_proba(rows)).all()
    hold(bool(same), "a loaded model answers exactly as the registered one")


async def a_removed_alias_names_nothing(registry: Registry) -> None:
    """An alias that is removed is gone, alone; removing it again changes nothing, and it can be set anew."""
    first = await registry.register(sample_model(1), "intent-1")
    second = await registry.register(sample_model(2), "intent-2")
    await registry.set_alias(second, "stable")
    await registry.set_alias(first, "previous")
    for _ in range(2):
        await allows(registry.remove_alias(first.name, "previous"), "removing an alias, also when it is gone,")
        await refuses(registry.resolve(first.name, "previous"), "an alias that was removed", NotRegistered)
    left = [alias for each in await registry.versions(first.name) for alias in each.aliases]
    hold(left == ["stable"], f"removing an alias leaves the others as they were: of stable is left {left}")
    await allows(registry.remove_alias(first.name, "never-set"), "removing an alias that was never set")
    hold((await registry.load(first)).name == first.name, "a version outlives its alias")
    await registry.set_alias(second, "previous")
    hold(await registry.resolve(first.name, "previous") == second, "an alias that was removed can be set again")
    await refuses(registry.remove_alias("nobody", "stable"), "removing an alias of an unknown name", NotRegistered)


async def a_mark_stays_with_its_version(registry: Registry) -> None:
    """A mark is found again, is replaced by the next one, and is of one version alone."""
    first = await registry.register(sample_model(1), "intent-1")
    second = await registry.register(sample_model(2), "intent-2")
    theirs = await registry.register(sample_model(1, name="another-model"), "intent-3")
    hold(await _statuses(registry, first.name) == ["", ""], "a version that nobody has marked has no mark")
    await registry.mark(first, "verified")
    hold(await _statuses(registry, first.name) == ["verified", ""], "a mark stands at its version, and at no other")
    hold(await _statuses(registry, theirs.name) == [""], "a mark is not of another model's version")
    for _ in range(2):
        await registry.mark(first, "bad")
    await registry.mark(second, "archived")
    hold(await _statuses(registry, first.name) == ["bad", "archived"], "a second mark replaces the first")
    await refuses(
        registry.mark(replace(first, version=99), "bad"), "marking a version that is not there", NotRegistered
    )


async def versions_are_listed_whole(registry: Registry) -> None:
    """Every version of a name and no other, oldest first, with what was registered and the aliases it has now."""
    hold(await registry.names() == (), "a new registry has no models")
    await refuses(registry.versions("nobody"), "listing an unknown name", NotRegistered)
    numbers = (2, 1, 3)
    made = [await registry.register(sample_model(number), f"intent-{number}") for number in numbers]
    await registry.register(sample_model(1, name="another-model"), "intent-4")
    await registry.set_alias(made[0], "stable")
    await registry.set_alias(made[2], "candidate")
    await registry.set_alias(made[2], "stable")
    await registry.set_alias(made[2], "best")
    found = await registry.versions(made[0].name)
    hold([each.revision for each in found] == made, "versions are listed as they were registered, oldest first")
    hold(
        [each.aliases for each in found] == [(), (), ("best", "candidate", "stable")],
        "a version has the aliases it has now",
    )
    for number, each in zip(numbers, found, strict=True):
        model = sample_model(number)
        hold(each.data_digest == model.data_digest, f"a version keeps the digest of its data, not {each.data_digest!r}")
        hold(dict(each.metrics) == dict(model.metrics), f"a version keeps its metrics, not {dict(each.metrics)!r}")
    hold(await registry.names() == ("another-model", "checked-model"), "every model is listed, by its name, sorted")


async def registrations_at_once_lose_nothing(registry: Registry) -> None:
    """Registered at the same time, every model has a version of its own, and numbers have no gaps."""
    numbers = range(1, TOGETHER + 1)
    made = await _at_once(registry, [(f"intent-{number}", number) for number in numbers])
    hold(
        sorted(each.version for each in made.values()) == list(numbers),
        f"versions registered at once are 1 to {TOGETHER}, not {sorted(each.version for each in made.values())}",
    )
    for place, revision in made.items():
        model = sample_model(place + 1)
        hold(revision.digest == model.artifact_digest, "a version registered beside others is the model it was for")
    listed = [each.revision for each in await registry.versions(sample_model(1).name)]
    hold(
        listed == sorted(made.values(), key=lambda each: each.version),
        "what was registered at once is listed, each once",
    )


async def an_intent_at_once_registers_once(registry: Registry) -> None:
    """Several tries of one intent at the same time are one version."""
    made = list((await _at_once(registry, [("intent-1", 1)] * TOGETHER)).values())
    hold(len(set(made)) == 1, f"one intent, tried {TOGETHER} times at once, is one version, not {len(set(made))}")
    listed = await registry.versions(sample_model(1).name)
    hold(len(listed) == 1, f"one intent, tried {TOGETHER} times at once, is listed once, not {len(listed)} times")


async def an_intent_belongs_to_one_model(registry: Registry) -> None:
    """The same intent with another model, or another name, is refused, and registers nothing."""
    first = await registry.register(sample_model(1), "intent-1")
    await refuses(registry.register(sample_model(2), "intent-1"), "one intent for two models")
    await refuses(registry.register(sample_model(1, name="another-model"), "intent-1"), "one intent for two names")
    listed = [each.revision for each in await registry.versions(first.name)]
    hold(listed == [first], f"what was refused is not registered: {listed}")


async def _at_once(registry: Registry, wanted: Sequence[tuple[str, int]]) -> dict[int, Revision]:
    """What each of several registrations at the same time gave, by its place."""
    made: dict[int, Revision] = {}
    refused: list[str] = []

    async def one(place: int, intent: str, number: int) -> None:
        try:
            made[place] = await registry.register(sample_model(number), intent)
        except BackendError as error:
            refused.append(str(error))

    async with anyio.create_task_group() as tasks:
        for place, (intent, number) in enumerate(wanted):
            tasks.start_soon(one, place, intent, number)
    hold(not refused, f"registering at the same time is no error, but it was told: {'; '.join(refused[:1])}")
    return made


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
        an_intent_belongs_to_one_model,
        registrations_at_once_lose_nothing,
        an_intent_at_once_registers_once,
        lineage_says_what_a_version_is_made_of,
        deployments_stay_with_their_version,
    )
}
"""By name, for a test that runs them one by one."""
