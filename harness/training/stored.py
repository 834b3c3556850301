"""Models that a registry or a tracker holds, as a rehearsal takes them: under the scenario's name, in their role."""

from dataclasses import replace

from harness.domain.model import Role, Source, TrainedModel
from harness.errors import InputError
from harness.protocols import Fetched, ModelStore, Population, Registry
from harness.training.brought import check_fits


def model_store(registry: object, tracker: object) -> ModelStore | None:
    """Which of a run's backends is asked for models by URI: the registry if it can be, else the tracker."""
    return next((each for each in (registry, tracker) if isinstance(each, ModelStore)), None)


async def named(
    registry: Registry | None, name: str, role: Role, alias: str, population: Population | None
) -> TrainedModel:
    """The model that an alias of the registry names.

    Raises:
        InputError: there is no registry, or the model does not fit the data.
        RegistryError: the registry lacks it, or cannot load it.
    """
    if registry is None:
        raise InputError(f"model.{role} is to come from the registry, but there is none")
    revision = await registry.resolve(name, alias)
    model = replace(await registry.load(revision), name=name, role=role, source=Source.REGISTERED)
    return check_fits(model, population, str(revision)) if population else model


async def fetched(
    store: ModelStore | None, registry: object, name: str, role: Role, uri: str, population: Population | None
) -> Fetched:
    """The model that a URI names.

    It comes with its revision where it is a version of the scenario's own model in the run's own registry, and need not
    be registered again; any other is a model that was brought, as from a file.

    Raises:
        InputError: no backend can be asked, or the model does not fit the data.
        RegistryError: the store lacks it, or cannot load it.
    """
    if store is None:
        raise InputError(f"model.{role} is {uri}, and neither registry nor tracker can be asked for a model by URI")
    found = await store.fetch(uri)
    own = found.revision if store is registry and found.revision and found.revision.name == name else None
    model = replace(found.model, name=name, role=role, source=Source.REGISTERED if own else Source.ARTIFACT)
    return Fetched(check_fits(model, population, uri) if population else model, own)
