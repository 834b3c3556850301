"""What the fakes keep beyond the contract: metadata to look at, and errors that say what to do."""

import pytest

from fakes.registry import MemoryRegistry
from fakes.tracker import MemoryTracker
from harness.contracts import sample_model
from harness.errors import RegistryError


async def test_everything_known_of_a_version_can_be_looked_at():
    registry, model = MemoryRegistry(), sample_model(1)
    revision = await registry.register(model, "intent-1")
    await registry.set_alias(revision, "stable")
    await registry.set_alias(revision, "candidate")
    (version,) = registry.kept(model.name)
    assert version.revision == revision
    assert version.intent == "intent-1"
    assert version.aliases == ("candidate", "stable")
    assert (version.params, version.metrics, version.data_digest) == (model.params, model.metrics, model.data_digest)


def test_a_registry_knows_nothing_of_a_name_it_never_saw():
    assert MemoryRegistry().kept("nobody") == ()


async def test_errors_list_what_there_is():
    registry = MemoryRegistry()
    with pytest.raises(RegistryError, match=r"no model 'churn' \(models: none\).*train it in this run"):
        await registry.resolve("churn", "stable")
    revision = await registry.register(sample_model(1), "intent-1")
    await registry.set_alias(revision, "stable")
    with pytest.raises(RegistryError, match=r"called 'live' \(aliases: stable\); set the alias first"):
        await registry.resolve("checked-model", "live")


async def test_an_intent_is_of_one_model():
    registry, tracker = MemoryRegistry(), MemoryTracker()
    await registry.register(sample_model(1), "intent-1")
    with pytest.raises(RegistryError, match="another model; use a new intent"):
        await registry.register(sample_model(2), "intent-1")
    await tracker.record(sample_model(1), "intent-1")
    with pytest.raises(RegistryError, match="use a new intent for each run"):
        await tracker.record(sample_model(2), "intent-1")


async def test_a_revision_of_another_digest_is_not_ours():
    from dataclasses import replace

    registry = MemoryRegistry()
    revision = await registry.register(sample_model(1), "intent-1")
    with pytest.raises(RegistryError, match="resolve it anew"):
        await registry.load(replace(revision, digest="sha256:0"))


async def test_the_tracker_keeps_what_was_trained_with_what():
    tracker, model = MemoryTracker(), sample_model(1)
    await tracker.record(model, "intent-1")
    (run,) = tracker.runs
    assert (run.name, run.algorithm, run.params) == (model.name, model.algorithm, model.params)
    assert (run.metrics, run.artifact_digest, run.data_digest) == (
        model.metrics,
        model.artifact_digest,
        model.data_digest,
    )
