"""A model registry in memory that keeps every promise of a real one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.domain.lineage import Deployment, Lineage, lineage_of, with_deployment
from harness.domain.model import Revision, TrainedModel
from harness.errors import NotRegistered, RegistryError
from harness.protocols import IntentId, Version


@dataclass(frozen=True, slots=True)
class Kept:
    """One version of a model and what is kept of it."""

    revision: Revision
    intent: IntentId
    """What it was registered for."""
    algorithm: str
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    data_digest: str | None
    aliases: tuple[str, ...]
    """Aliases that name it now, sorted."""
    status: str = ""


@dataclass(slots=True, eq=False)
class _Entry:
    revision: Revision
    intent: IntentId
    model: TrainedModel
    status: str = ""
    deployments: tuple[Deployment, ...] = ()


@dataclass(slots=True, eq=False)
class _Shelf:
    """The versions of one name."""

    entries: list[_Entry] = field(default_factory=list)
    aliases: dict[str, int] = field(default_factory=dict)


class MemoryRegistry:
    """Versions of models and their aliases, for as long as the process lives."""

    def __init__(self) -> None:
        self._shelves: dict[str, _Shelf] = {}

    async def register(self, model: TrainedModel, intent: IntentId) -> Revision:
        """Add a version; the same intent twice is one version.

        Raises:
            RegistryError: the intent has registered another model.
        """
        for shelf in self._shelves.values():
            for entry in shelf.entries:
                if entry.intent != intent:
                    continue
                if (entry.revision.name, entry.revision.digest) != (model.name, model.artifact_digest):
                    raise RegistryError(
                        f"intent {intent!r} has registered {entry.revision} already, which is another model; "
                        "use a new intent for each model"
                    )
                return entry.revision
        shelf = self._shelves.setdefault(model.name, _Shelf())
        revision = Revision(model.name, len(shelf.entries) + 1, model.artifact_digest)
        shelf.entries.append(_Entry(revision, intent, model))
        return revision

    async def resolve(self, name: str, alias: str) -> Revision:
        """The version an alias names.

        Raises:
            NotRegistered: no such model or alias.
        """
        shelf = self._shelf(name)
        if alias not in shelf.aliases:
            known = ", ".join(sorted(shelf.aliases)) or "none"
            raise NotRegistered(f"no version of {name} is called {alias!r} (aliases: {known}); set the alias first")
        return shelf.entries[shelf.aliases[alias] - 1].revision

    async def set_alias(self, revision: Revision, alias: str) -> None:
        """Let the alias name this version; it then names no other.

        Raises:
            RegistryError: there is no such version.
        """
        self._entry(revision)
        self._shelves[revision.name].aliases[alias] = revision.version

    async def load(self, revision: Revision) -> TrainedModel:
        """The model of a version.

        Raises:
            RegistryError: there is no such version.
        """
        return self._entry(revision).model

    async def remove_alias(self, name: str, alias: str) -> None:
        """Let the alias name nothing.

        Raises:
            NotRegistered: no such model.
        """
        self._shelf(name).aliases.pop(alias, None)

    async def mark(self, revision: Revision, status: str) -> None:
        """Say how a version stands.

        Raises:
            RegistryError: there is no such version.
        """
        self._entry(revision).status = status

    async def record_deployment(self, revision: Revision, deployment: Deployment) -> None:
        """Keep what became of a version in a rollout; the same one twice is one.

        Raises:
            RegistryError: there is no such version.
        """
        entry = self._entry(revision)
        entry.deployments = with_deployment(entry.deployments, deployment)

    async def lineage(self, revision: Revision) -> Lineage:
        """Where a version comes from, and what became of it.

        Raises:
            RegistryError: there is no such version.
        """
        entry = self._entry(revision)
        run = entry.intent.rpartition("/")[0] or entry.intent
        return lineage_of(entry.revision, entry.model, entry.deployments, run=run)

    async def versions(self, name: str) -> tuple[Version, ...]:
        """All versions of a model, oldest first.

        Raises:
            NotRegistered: no such model.
        """
        self._shelf(name)
        return tuple(
            Version(kept.revision, kept.aliases, kept.status, kept.data_digest, kept.metrics)
            for kept in self.kept(name)
        )

    async def names(self) -> tuple[str, ...]:
        """The names of all models, sorted."""
        return tuple(sorted(self._shelves))

    def kept(self, name: str) -> tuple[Kept, ...]:
        """Everything kept of a model's versions, oldest first; for tests and for looking around."""
        shelf = self._shelves.get(name, _Shelf())
        return tuple(
            Kept(
                revision=entry.revision,
                intent=entry.intent,
                algorithm=entry.model.algorithm,
                params=dict(entry.model.params),
                metrics=dict(entry.model.metrics),
                data_digest=entry.model.data_digest,
                aliases=tuple(sorted(a for a, number in shelf.aliases.items() if number == entry.revision.version)),
                status=entry.status,
            )
            for entry in shelf.entries
        )

    def _shelf(self, name: str) -> _Shelf:
        if name not in self._shelves:
            known = ", ".join(sorted(self._shelves)) or "none"
            raise NotRegistered(
                f"the registry holds no model {name!r} (models: {known}); it lives in memory, so a new run begins "
                "empty: register a model first, or train it in this run"
            )
        return self._shelves[name]

    def _entry(self, revision: Revision) -> _Entry:
        shelf = self._shelf(revision.name)
        if not 1 <= revision.version <= len(shelf.entries):
            raise NotRegistered(f"there is no {revision}; {revision.name} has versions 1 to {len(shelf.entries)}")
        entry = shelf.entries[revision.version - 1]
        if entry.revision.digest != revision.digest:
            raise RegistryError(f"{revision} is {entry.revision.digest}, not {revision.digest}; resolve it anew")
        return entry
