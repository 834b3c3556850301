"""A model registry looked after: where versions come from, whether they are whole, and what nobody names any more."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.app.registry import Named, shown
from harness.backends.upkeep import Sweeper, Swept, Verifier
from harness.domain.lineage import Lineage
from harness.errors import InputError, NotRegistered, RegistryError, Unreachable
from harness.protocols import LineageKeeper, Registry, Version


@dataclass(frozen=True, slots=True)
class Verified:
    """Whether a version is what was registered."""

    version: Version
    problems: tuple[str, ...]
    signed_by: str = ""
    """The id of the key; empty where nobody signed it, or the registry has no signatures."""
    recorded: bool = True
    """Whether it was kept what had been registered; else all that is known is that the version loads."""


async def traced(registry: Registry, wanted: Named) -> tuple[Version, Lineage]:
    """A version, and where it comes from.

    Raises:
        NotRegistered: there is no such model.
        InputError: it has no such version or alias, or the registry keeps no lineage.
    """
    if not isinstance(registry, LineageKeeper):
        raise InputError("this registry keeps no lineage (it has no record_deployment and lineage)")
    version = await shown(registry, wanted)
    return version, await registry.lineage(version.revision)


async def verified(registry: Registry, wanted: Named, *, every: bool) -> Sequence[Verified]:
    """Whether versions are what was registered; of a registry that cannot tell, each is loaded.

    Args:
        registry: that holds them.
        wanted: which.
        every: all versions of that name.

    Raises:
        NotRegistered: there is no such model.
        InputError: it has no such version or alias, or the trusted keys cannot be read.
    """
    versions = await registry.versions(wanted.name) if every else (await shown(registry, wanted),)
    return [await _verified(registry, each) for each in versions]


async def _verified(registry: Registry, version: Version) -> Verified:
    if isinstance(registry, Verifier):
        problems = await registry.verify(version.revision)
        return Verified(version, problems, await registry.signed_by(version.revision))
    recorded = bool(version.revision.digest)
    try:
        await registry.load(version.revision)
    except (NotRegistered, Unreachable):
        raise
    except RegistryError as error:
        return Verified(version, (str(error),), recorded=recorded)
    return Verified(version, (), recorded=recorded)


async def swept(registry: Registry, older_than_s: int, *, only_look: bool) -> Swept:
    """Files that no version names are taken away.

    Raises:
        InputError: the registry has none.
    """
    if not isinstance(registry, Sweeper):
        raise InputError("this registry keeps no files that could be left over; see `mlflow gc` for MLflow's")
    return await registry.sweep(older_than_s, only_look=only_look)
