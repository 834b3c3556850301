"""Where a version comes from and what became of it: data → features → training → model → deployments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

from harness.domain.model import Revision, TrainedModel

WARM_START: Final = "warm_start"
"""The version that training began from."""
REPLACED: Final = "replaced"
"""The version whose place it took in production."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Something that a model was made of, by its content."""

    digest: str
    """``sha256:…``"""
    name: str = ""
    """Of the file or the feature set; empty where it is not known."""


@dataclass(frozen=True, slots=True)
class Parent:
    """Another version that this one comes from, or took the place of."""

    kind: str
    """warm_start, replaced, or a word of whoever recorded it."""
    what: str
    """``name:version``, or any other name that whoever recorded it gave."""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Deployment:
    """What became of a version in one rollout."""

    run: str
    """The run that deployed it."""
    number: int
    """Of the rollout within that run, counted from 1."""
    outcome: str
    """As in the event log: promoted, rolled_back, rejected …"""
    scenario: str
    reason: str = ""
    strategy: str = ""
    at: str = ""
    """When it was recorded, UTC, ISO 8601."""
    stable: str = ""
    """``name:version`` of what it was to replace."""
    stable_digest: str = ""
    data: str = ""
    """The file that the run's data came from."""

    @property
    def key(self) -> tuple[str, int, str]:
        """Recorded again, it is the same one."""
        return (self.run, self.number, self.outcome)


@dataclass(frozen=True, slots=True)
class Lineage:
    """All that a registry knows of where a version comes from, and where it went."""

    revision: Revision
    data: Origin | None = None
    features: Origin | None = None
    """None: it was trained with the columns of its data, and with no feature set."""
    run: str = ""
    """The training run, as the tracker has it or as the rehearsal that trained it is called."""
    algorithm: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    parents: tuple[Parent, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    """In the order in which they were recorded."""
    created_at: str = ""
    created_by: str = ""


def lineage_of(
    revision: Revision,
    model: TrainedModel,
    deployments: Sequence[Deployment],
    *,
    run: str = "",
    parents: Sequence[Parent] = (),
    created_at: str = "",
    created_by: str = "",
) -> Lineage:
    """What is known of a version, put together from the model and its deployments.

    The data's name is that of the last run that says what file it used; the versions whose place it took are those
    that were stable before its promotions.
    """
    named = next((each.data for each in reversed(deployments) if each.data), "")
    return Lineage(
        revision=revision,
        data=Origin(model.data_digest, named) if model.data_digest else None,
        features=Origin(model.features_digest) if model.features_digest else None,
        run=run,
        algorithm=model.algorithm,
        params=dict(model.params),
        metrics=dict(model.metrics),
        parents=with_replaced(parents, deployments),
        deployments=tuple(deployments),
        created_at=created_at,
        created_by=created_by,
    )


def with_replaced(parents: Sequence[Parent], deployments: Sequence[Deployment]) -> tuple[Parent, ...]:
    """Parents, and the versions that promotions put this one in the place of; each once.

    >>> promoted = Deployment("run", 1, "promoted", "canary", stable="churn:1")
    >>> with_replaced((), (promoted, promoted))
    (Parent(kind='replaced', what='churn:1', digest=''),)
    """
    replaced = [
        Parent(REPLACED, each.stable, each.stable_digest)
        for each in deployments
        if each.outcome == "promoted" and each.stable
    ]
    return tuple(dict.fromkeys((*parents, *replaced)))


def deployment_of(told: Mapping[str, Any]) -> Deployment:
    """A deployment as it was written down; what a newer program told besides is left out.

    >>> deployment_of({"run": "r", "number": 1, "outcome": "promoted", "scenario": "s", "mood": "good"}).outcome
    'promoted'
    """
    known = {each.name for each in fields(Deployment)}
    return Deployment(**{key: value for key, value in told.items() if key in known})


def with_deployment(known: Sequence[Deployment], new: Deployment) -> tuple[Deployment, ...]:
    """Deployments and one more; the same one recorded again stays where it was first told.

    >>> one = Deployment("run", 1, "promoted", "canary")
    >>> len(with_deployment((one,), one)), len(with_deployment((one,), Deployment("run", 1, "rolled_back", "canary")))
    (1, 2)
    """
    return tuple(known) if any(each.key == new.key for each in known) else (*known, new)
