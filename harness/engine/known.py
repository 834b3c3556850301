"""Versions that a run had registered before it was cut off, looked up by the process that takes it up."""

from collections.abc import Mapping

from harness.domain.event import Noticed
from harness.domain.model import Revision, TrainedModel
from harness.engine.calls import answered
from harness.engine.executor import Executor
from harness.engine.stood import Stood
from harness.errors import NotRegistered, RegistryError


async def again_in_memory(executor: Executor, stood: Stood, models: Mapping[str, TrainedModel]) -> None:
    """Register what a registry has forgotten that lives in memory, as it was: the same intents, numbers and aliases.

    Args:
        executor: of the run.
        stood: where the run stood.
        models: by digest.

    Raises:
        RegistryError: a version is missing that cannot be registered as it was.
    """
    missing = [stood.known[text] for text in stood.registered if not await _there(executor, stood.known[text])]
    for revision in sorted(missing, key=lambda each: each.version):
        model = models.get(revision.digest)
        if model is None:
            raise RegistryError(f"the registry holds no {revision} any more, and there is no model to register it with")
        intent = executor.intent_id(stood.registered[str(revision)])
        found = await answered("the registry", executor.parts.registry.register(model, intent))
        if found != revision:
            raise RegistryError(f"the registry held no {revision} any more; registered again it is {found}")
    if not missing:
        return
    name = missing[0].name
    by_number = {revision.version: revision for revision in stood.known.values() if revision.name == name}
    for alias, version in stood.aliases.items():
        await answered("the registry", executor.parts.registry.set_alias(by_number[version], alias))
    told = f"the registry had forgotten {', '.join(map(str, missing))}: registered again, aliases too"
    executor.tell(Noticed, "registered_again", (), told)


async def _there(executor: Executor, revision: Revision) -> bool:
    try:
        listed = await answered("the registry", executor.parts.registry.versions(revision.name))
    except NotRegistered:
        return False
    return any(
        each.revision.version == revision.version and each.revision.digest in {"", revision.digest} for each in listed
    )


def same(model: TrainedModel | None, revision: Revision) -> bool:
    """Whether a model is that of a version; a digest that nobody knows is not held against it."""
    return model is not None and revision.digest in {"", model.artifact_digest}
