"""The fakes keep the promises, and each check notices a backend that breaks its own."""

from dataclasses import replace

import anyio
import anyio.lowlevel
import pytest

from fakes.registry import MemoryRegistry
from fakes.tracker import MemoryTracker
from harness.contracts import REGISTRY_CHECKS, check_registry, check_tracker
from harness.domain.model import Revision, TrainedModel
from harness.protocols import Registry, Tracker


@pytest.mark.parametrize("name", REGISTRY_CHECKS)
async def test_the_registry_in_memory_keeps_every_promise(name):
    await REGISTRY_CHECKS[name](MemoryRegistry())


async def test_all_checks_run_on_registries_of_their_own():
    made: list[Registry] = []

    def make() -> Registry:
        made.append(MemoryRegistry())
        return made[-1]

    await check_registry(make)
    assert len(made) == len(REGISTRY_CHECKS)


class CountsFromZero(MemoryRegistry):
    async def register(self, model, intent):
        revision = await super().register(model, intent)
        return replace(revision, version=revision.version - 1)


class SharesVersions(MemoryRegistry):
    """One count for all names."""

    def __init__(self):
        super().__init__()
        self.count = 0

    async def register(self, model, intent):
        revision = await super().register(model, intent)
        self.count += 1
        return replace(revision, version=self.count)


class WrongDigest(MemoryRegistry):
    async def register(self, model, intent):
        return replace(await super().register(model, intent), digest="sha256:0")


class Forgetful(MemoryRegistry):
    """Remembers no intent."""

    def __init__(self):
        super().__init__()
        self.count = 0

    async def register(self, model, intent):
        self.count += 1
        return await super().register(model, f"{intent}/{self.count}")


class OneAlias(MemoryRegistry):
    """Only the last alias set is known."""

    async def resolve(self, name, alias):
        return await super().resolve(name, "any")

    async def set_alias(self, revision, alias):
        await super().set_alias(revision, "any")


class AliasesForAll(MemoryRegistry):
    """An alias is moved whatever model it is set for."""

    def __init__(self):
        super().__init__()
        self.named: dict[str, Revision] = {}

    async def set_alias(self, revision, alias):
        await super().set_alias(revision, alias)
        self.named[alias] = revision

    async def resolve(self, name, alias):
        return self.named[alias]


class AnswersAnyway(MemoryRegistry):
    """Has a version for everybody."""

    async def resolve(self, name, alias):
        return Revision(name, 1, "sha256:0")


class BareErrors(MemoryRegistry):
    """Lets its own look-up errors out."""

    async def resolve(self, name, alias):
        return {}[name]


class LoadsTheNewest(MemoryRegistry):
    async def load(self, revision):
        newest = self.kept(revision.name)[-1].revision
        return await super().load(newest)


class LosesClasses(MemoryRegistry):
    async def load(self, revision) -> TrainedModel:
        return replace(await super().load(revision), classes=())


class RemovesAll(MemoryRegistry):
    """Removing one alias removes those of the version."""

    async def remove_alias(self, name, alias):
        for each in ("stable", "previous", "candidate"):
            await super().remove_alias(name, each)


class RemovesOnce(MemoryRegistry):
    """An alias that is gone already is an error."""

    async def remove_alias(self, name, alias):
        await self.resolve(name, alias)
        await super().remove_alias(name, alias)


class KeepsAliases(MemoryRegistry):
    async def remove_alias(self, name, alias):
        self._shelf(name)


class FirstMark(MemoryRegistry):
    """What was marked once stays so."""

    async def mark(self, revision, status):
        if not self._entry(revision).status:
            await super().mark(revision, status)


class MarksTheName(MemoryRegistry):
    """A mark is of all versions."""

    async def mark(self, revision, status):
        for kept in self.kept(revision.name):
            await super().mark(kept.revision, status)


class NewestFirst(MemoryRegistry):
    async def versions(self, name):
        return tuple(reversed(await super().versions(name)))


class LosesData(MemoryRegistry):
    async def versions(self, name):
        return tuple(replace(each, data_digest=None) for each in await super().versions(name))


class LosesMetrics(MemoryRegistry):
    async def versions(self, name):
        return tuple(replace(each, metrics={}) for each in await super().versions(name))


class RemembersAliases(MemoryRegistry):
    """A version that had an alias has it for ever."""

    def __init__(self):
        super().__init__()
        self.had: set[tuple[Revision, str]] = set()

    async def set_alias(self, revision, alias):
        await super().set_alias(revision, alias)
        self.had.add((revision, alias))

    async def versions(self, name):
        return tuple(
            replace(each, aliases=tuple(sorted(alias for revision, alias in self.had if revision == each.revision)))
            for each in await super().versions(name)
        )


class EmptyForNobody(MemoryRegistry):
    async def versions(self, name):
        return await super().versions(name) if self.kept(name) else ()


class MovesIntents(MemoryRegistry):
    """An intent is of whoever says it last."""

    async def register(self, model, intent):
        return await super().register(model, f"{intent}/{model.name}/{model.artifact_digest}")


class ReadsThenWrites(MemoryRegistry):
    """Takes a number, waits, and registers under it."""

    async def register(self, model, intent):
        number = len(self.kept(model.name)) + 1
        await anyio.lowlevel.checkpoint()
        return replace(await super().register(model, intent), version=number)


class LooksThenRegisters(MemoryRegistry):
    """Looks for an intent, waits, and registers as if nobody had come meanwhile."""

    async def register(self, model, intent):
        known = [kept.revision for kept in self.kept(model.name) if kept.intent.partition("+")[0] == intent]
        await anyio.lowlevel.checkpoint()
        return known[0] if known else await super().register(model, f"{intent}+{len(self.kept(model.name))}")


class LosesFeatures(MemoryRegistry):
    async def lineage(self, revision):
        return replace(await super().lineage(revision), features=None)


class LastDeployment(MemoryRegistry):
    async def lineage(self, revision):
        found = await super().lineage(revision)
        return replace(found, deployments=found.deployments[-1:])


class OneName(MemoryRegistry):
    async def names(self):
        return (await super().names())[:1]


@pytest.mark.parametrize(
    ("broken", "name", "sentence"),
    [
        (CountsFromZero, "versions_count_from_one", "the first version of a model is 1, not 0"),
        (SharesVersions, "versions_count_from_one", "each name counts its own versions"),
        (WrongDigest, "revisions_say_what_was_registered", "the artifact's digest"),
        (Forgetful, "an_intent_registers_once", "the same intent is the same version"),
        (OneAlias, "an_alias_names_one_version", "an alias names the version it was set to"),
        (AliasesForAll, "aliases_belong_to_a_name", "not moved by another model's"),
        (AnswersAnyway, "what_is_not_there_is_an_error", "an unknown name is a NotRegistered, but the answer was"),
        (BareErrors, "what_is_not_there_is_an_error", "an unknown name is a NotRegistered, not KeyError"),
        (LoadsTheNewest, "a_loaded_model_answers_as_the_one_registered", "the digest it was registered with"),
        (LosesClasses, "a_loaded_model_answers_as_the_one_registered", "keeps its classes"),
        (RemovesAll, "a_removed_alias_names_nothing", r"of stable is left \[\]"),
        (RemovesOnce, "a_removed_alias_names_nothing", "also when it is gone, is no error"),
        (KeepsAliases, "a_removed_alias_names_nothing", "an alias that was removed is a NotRegistered"),
        (FirstMark, "a_mark_stays_with_its_version", "a second mark replaces the first"),
        (MarksTheName, "a_mark_stays_with_its_version", "at its version, and at no other"),
        (NewestFirst, "versions_are_listed_whole", "oldest first"),
        (LosesData, "versions_are_listed_whole", "the digest of its data, not None"),
        (LosesMetrics, "versions_are_listed_whole", "keeps its metrics, not {}"),
        (RemembersAliases, "versions_are_listed_whole", "the aliases it has now"),
        (EmptyForNobody, "versions_are_listed_whole", "an unknown name is a NotRegistered, but the answer was"),
        (OneName, "versions_are_listed_whole", "every model is listed"),
        (MovesIntents, "an_intent_belongs_to_one_model", "one intent for two models is a RegistryError"),
        (ReadsThenWrites, "registrations_at_once_lose_nothing", "versions registered at once are 1 to 6"),
        (LooksThenRegisters, "an_intent_at_once_registers_once", "tried 6 times at once, is one version, not 6"),
        (LosesFeatures, "lineage_says_what_a_version_is_made_of", "lineage keeps the features"),
        (LastDeployment, "deployments_stay_with_their_version", "deployments are kept, each once"),
    ],
)
async def test_a_broken_registry_is_told_which_promise_it_breaks(broken, name, sentence):
    with pytest.raises(AssertionError, match=sentence):
        await REGISTRY_CHECKS[name](broken())


def test_every_check_has_been_seen_to_fail():
    seen = {mark.args[1][place][1] for mark in _marks() for place in range(len(mark.args[1]))}
    assert seen == set(REGISTRY_CHECKS)


def _marks():
    return [
        mark for mark in test_a_broken_registry_is_told_which_promise_it_breaks.pytestmark if mark.name == "parametrize"
    ]


class CountsEveryCall(MemoryTracker):
    def __init__(self):
        super().__init__()
        self.calls = 0

    async def record(self, model, intent):
        self.calls += 1
        await super().record(model, f"{intent}/{self.calls}")


class KeepsNothing(MemoryTracker):
    async def record(self, model, intent):
        pass


def _runs(tracker: Tracker) -> int:
    assert isinstance(tracker, MemoryTracker)
    return len(tracker.runs)


async def test_the_tracker_in_memory_keeps_its_promises():
    await check_tracker(MemoryTracker, _runs)


@pytest.mark.parametrize(
    ("broken", "sentence"), [(KeepsNothing, "is kept"), (CountsEveryCall, "the same intent twice is one training run")]
)
async def test_a_broken_tracker_is_told_which_promise_it_breaks(broken, sentence):
    with pytest.raises(AssertionError, match=sentence):
        await check_tracker(broken, _runs)
