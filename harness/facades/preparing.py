"""What is to be deployed over what: a request as callers write it, and where its models come from."""

import difflib
import inspect
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from harness.app import Options, rehearsal
from harness.app.building import source_of
from harness.app.installed import made
from harness.clock import run_real
from harness.domain.model import GivenPlan, ModelSource, RegisteredPlan, Revision, Role
from harness.errors import InputError, NotRegistered
from harness.facades.thresholds import rules_of, usual

OWN: Final = ("strategy", "model_name", "model_version", "model", "stable", "thresholds", "rules", "endpoints")
"""What a request may say besides what `harness.rehearsal` takes."""
SETTINGS: Final = tuple(
    name
    for name, given in inspect.signature(rehearsal).parameters.items()
    if given.kind is given.KEYWORD_ONLY and name not in {"model", "stable", "candidate"}
)


@dataclass(frozen=True, slots=True)
class DeploymentPrep:
    """What is to be deployed, over what, and in which surroundings."""

    deployment_id: str
    model_name: str
    stable: ModelSource
    candidate: ModelSource
    rules: tuple[str, ...]
    """What must hold while the candidate has traffic."""
    addresses: tuple[str, ...] = ()
    """URLs at which users reach the model, for whoever sets its monitoring up; servers in a simulation have none."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What else `harness.rehearsal` is given: traffic, service, faults …"""


def kept(options: Options | None, config: Any = None) -> Options:
    """Options with a registry that outlives each run: the caller's, the one that a config names, or one in memory.

    Raises:
        BackendError: MLflow is named, and is not installed or cannot be asked.
    """
    options = options or Options()
    if options.registry is not None:
        return options
    uri = read(config, "mlflow_tracking_uri")
    if not uri:
        return replace(options, registry=made("registry", "memory"))
    named = f"mlflow+{uri}"
    return replace(options, registry=made("registry", named), tracker=options.tracker or made("tracker", named))


def read(config: Any, key: str, otherwise: Any = None) -> Any:
    """A value of a mapping, or an attribute of an object; both are usual for a config."""
    if isinstance(config, Mapping):
        return config.get(key, otherwise)
    return getattr(config, key, otherwise)


def request_of(given: Any) -> dict[str, Any]:
    """A request as a mapping, each of its keys known.

    Raises:
        InputError: with the nearest right key.
    """
    known = (*OWN, *SETTINGS)
    request = dict(given) if isinstance(given, Mapping) else {k: v for k, v in vars(given).items() if k[:1] != "_"}
    for key in request:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise InputError(f"a deployment has no {key!r}; {hint}")
    return request


def prepare(given: Any, options: Options) -> DeploymentPrep:
    """A request, with its models found.

    Without `stable`, it is what the registry names so; where it names nothing, nothing is known of it.

    Raises:
        InputError: the request cannot be used.
        BackendError: the registry cannot be asked.
    """
    request = request_of(given)
    name = request.get("model_name", "model")
    settings = {key: value for key, value in request.items() if key in SETTINGS}
    settings.setdefault("name", f"deploy-{name}")
    settings.setdefault("notify", tuple(options.notifiers))
    if "rules" in request:
        rules = tuple(request["rules"])
    elif "thresholds" in request:
        rules = rules_of(request["thresholds"])
    else:
        rules = usual(labelled=settings.get("labels") is not None and settings.get("data") is not None)
    return DeploymentPrep(
        deployment_id=uuid.uuid4().hex[:12],
        model_name=name,
        stable=source_of(_stable(request, name, options.registry)),
        candidate=source_of(_candidate(request, name, options.registry)),
        rules=rules,
        addresses=tuple(request.get("endpoints", ())),
        settings=settings,
    )


def _stable(request: Mapping[str, Any], name: str, registry: Any) -> Any:
    if "stable" in request:
        return request["stable"]
    return RegisteredPlan(Role.STABLE.value) if aliased(registry, name, Role.STABLE.value) else GivenPlan()


def _candidate(request: Mapping[str, Any], name: str, registry: Any) -> Any:
    version = request.get("model_version")
    if "model" in request:
        if version is not None:
            raise InputError("a deployment has a model or a model_version, not both: the registry counts versions")
        return request["model"]
    return GivenPlan() if version is None else at_version(registry, name, version)


def check_models(prep: DeploymentPrep) -> None:
    """See that what was handed over can be served.

    Raises:
        InputError: one is no fitted classifier or regressor.
    """
    from harness.training.brought import given

    for role, plan in ((Role.STABLE, prep.stable), (Role.CANDIDATE, prep.candidate)):
        if isinstance(plan, GivenPlan) and plan.model is not None:
            given(plan, prep.model_name, role, None)


# --- asking a registry ------------------------------------------------------------------------------------------------


def aliased(registry: Any, name: str, alias: str) -> Revision | None:
    """The version an alias names; None where it names none."""
    try:
        found: Revision = run_real(registry.resolve, name, alias)
    except NotRegistered:
        return None
    return found


def at_version(registry: Any, name: str, version: int | str | Revision) -> GivenPlan:
    """A version of the registry, as a model of a run.

    Raises:
        InputError: it is no version, or the registry holds none of that number.
        BackendError: the registry cannot be asked.
    """
    number = version.version if isinstance(version, Revision) else _number(name, version)
    try:
        listed = run_real(registry.versions, name)
    except NotRegistered as error:
        raise InputError(f"model_version is {version}: {error}") from None
    for each in listed:
        if each.revision.version == number:
            model = run_real(registry.load, each.revision)
            return GivenPlan(model, replace(each.revision, digest=model.artifact_digest))
    known = ", ".join(str(each.revision.version) for each in listed)
    raise InputError(f"the registry holds no version {number} of {name}; it holds {known}")


def _number(name: str, version: int | str) -> int:
    text = str(version).removeprefix(f"{name}:").removeprefix("v")
    if not (text.isascii() and text.isdigit()):
        raise InputError(f"model_version is {version!r}; it is a number, such as 2 or {name}:2")
    return int(text)
