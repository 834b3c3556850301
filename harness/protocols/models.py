"""What keeps models, and what is said of them: registries, trackers, notifiers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from harness.domain.lineage import Deployment, Lineage
from harness.domain.model import Revision, TrainedModel

IntentId = str
"""Names one intended effect; a second try with the same id finds what the first one did."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version as a registry lists it."""

    revision: Revision
    """Its digest is empty where nobody knows it before the model is loaded: others registered it."""
    aliases: tuple[str, ...]
    """Those that name it now, sorted."""
    status: str = ""
    """verified, bad or archived; empty where nothing was said."""
    data_digest: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


class Registry(Protocol):
    """Versions of models, and aliases that name them."""

    async def register(self, model: TrainedModel, intent: IntentId) -> Revision:
        """Add a version; the same intent twice is one version."""
        ...

    async def resolve(self, name: str, alias: str) -> Revision:
        """The version an alias names; NotRegistered where there is none."""
        ...

    async def set_alias(self, revision: Revision, alias: str) -> None:
        """Let the alias name this version."""
        ...

    async def load(self, revision: Revision) -> TrainedModel:
        """The model of a version."""
        ...

    async def remove_alias(self, name: str, alias: str) -> None:
        """Let the alias name nothing; one that names nothing already is left so."""
        ...

    async def mark(self, revision: Revision, status: str) -> None:
        """Say how a version stands: ``verified``, ``bad`` or ``archived``; a second mark replaces the first."""
        ...

    async def versions(self, name: str) -> tuple[Version, ...]:
        """All versions of a model, oldest first; NotRegistered where the name is not known."""
        ...

    async def names(self) -> tuple[str, ...]:
        """The names of all models, sorted."""
        ...


class Tracker(Protocol):
    """Keeps what was trained with what, and how good it was."""

    async def record(self, model: TrainedModel, intent: IntentId) -> None:
        """Keep parameters, metrics and digests of a training run; the same intent twice is one run."""
        ...


class Notifier(Protocol):
    """Tells people."""

    realtime: bool
    """Reaches into the outside world, and so is not used on virtual time."""

    async def notify(self, message: Mapping[str, Any]) -> None:
        """Deliver a message; any exception means that it was not delivered.

        Args:
            message: ``text``, ``number`` (counted from 1 in each run) and what it is about; not to be changed.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Fetched:
    """A model that was asked for by URI, and the registered version that it is, if it is one."""

    model: TrainedModel
    revision: Revision | None = None


@runtime_checkable
class ModelStore(Protocol):
    """What a registry or a tracker may promise besides: models by URI, those too that others saved.

    Optional: a backend without it is asked for no URI.
    """

    async def fetch(self, uri: str) -> Fetched:
        """The model that a URI names; NotRegistered where there is none. Reading makes nothing."""
        ...


@runtime_checkable
class LineageKeeper(Protocol):
    """What a registry may promise besides: where a version comes from, and what became of it.

    Optional: a registry without it is told of no deployment.
    """

    async def record_deployment(self, revision: Revision, deployment: Deployment) -> None:
        """Keep what became of a version in a rollout; the same one twice is one. NotRegistered: no such version."""
        ...

    async def lineage(self, revision: Revision) -> Lineage:
        """All that is known of where a version comes from, and where it went. NotRegistered: no such version."""
        ...


@runtime_checkable
class PickleLoader(Protocol):
    """What a registry or a tracker may promise besides: to load pickles, but only once it is told to.

    Optional: a backend without it never loads any, or has a setting of its own.
    """

    def trust_pickles(self) -> None:
        """The user trusts models that are pickles (``--trust-pickle``); until this is called they are refused."""
        ...


@runtime_checkable
class ManyClassLoader(Protocol):
    """What a registry may promise besides: to load classifiers of more than two classes, but only once it is told to.

    Optional: all but a server compares models by two classes, and is better refused the others when they are loaded.
    """

    def allow_many_classes(self) -> None:
        """The models are served and no more; until this is called only binary classifiers are loaded."""
        ...
