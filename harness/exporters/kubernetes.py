"""A scenario's model and rollout as manifests of Kubernetes: a folder for production, one for staging.

One object a file, and a `kustomization.yaml` in each folder: `kubectl apply -k DIR` takes them all. They show where a
rollout begins: both arms are there, and stable has all traffic. What follows is the harness's doing (`harness run` with
`serving: kubernetes`), for which its own account is there, with the verbs that it uses.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.domain.model import SERVING, Revision, Role
from harness.domain.rollout import Routing, SetMirror, SetRoute
from harness.domain.scenario import Scenario
from harness.domain.units import WHOLE
from harness.errors import InputError
from harness.exporters.text import Export, quoted, yaml_text
from harness.manifests import policies, rbac, routes, workloads
from harness.manifests.common import Manifest, secret_name

PRODUCTION: Final = "production"
STAGING: Final = "staging"
KUSTOMIZATION: Final = "kustomization.yaml"


@dataclass(frozen=True, slots=True)
class Versions:
    """Which versions of the model the arms run, where no run has registered them yet."""

    stable: int = 1
    candidate: int = 2


@dataclass(frozen=True, slots=True)
class Sizes:
    """What of the manifests is counted."""

    replicas: Mapping[Role, int]
    staging: int
    weights: Mapping[Role, int]


def arms_of(scenario: Scenario) -> tuple[Role, ...]:
    """The arms whose answers users may get."""
    return tuple(role for role in SERVING if role is not Role.BASELINE or scenario.rollout.baseline)


def sizes_of(scenario: Scenario) -> Sizes:
    """Where a rollout begins: each arm at its size, stable with all traffic."""
    arms = arms_of(scenario)
    return Sizes(
        {role: scenario.service[role if role in scenario.service else role.model].replicas for role in arms},
        scenario.staging.replicas if scenario.staging else 1,
        {role: WHOLE if role is Role.STABLE else 0 for role in arms},
    )


def objects(scenario: Scenario, versions: Versions, sizes: Sizes) -> dict[str, Manifest]:
    """Every object by the path of its file, without its ending: ``production/deployment-stable``.

    Raises:
        InputError: pods could not find the models, or there is one namespace for both places.
    """
    plan = scenario.real.kubernetes
    if plan.namespace == plan.staging_namespace:
        raise InputError(
            f"{scenario.path}: production and staging are both in the namespace {plan.namespace}; give staging one of "
            "its own under real.kubernetes.staging_namespace"
        )
    name = scenario.model.name
    revisions = {role: Revision(name, getattr(versions, role.value), "") for role in (Role.STABLE, Role.CANDIDATE)}
    made = {
        **{f"{PRODUCTION}/{file}": each for file, each in _production(scenario, revisions, sizes)},
        **{f"{STAGING}/{file}": each for file, each in _staging(scenario, revisions[Role.CANDIDATE], sizes)},
    }
    return {path: manifest for path, manifest in made.items() if manifest is not None}


FIRST: Final = Versions()


def manifests(scenario: Scenario, folder: Path, versions: Versions = FIRST) -> Export:
    """The files, by their path below a folder.

    Raises:
        InputError: pods could not find the models.
    """
    del folder  # nothing in the files depends on where they are
    head = f"# Written by `harness export kubernetes` from {Path(scenario.path).name}.\n"
    made = objects(scenario, versions, sizes_of(scenario))
    files = {f"{path}.yaml": head + yaml_text(quoted(each)) for path, each in made.items()}
    for place in (PRODUCTION, STAGING):
        inside = [f"{path.removeprefix(f'{place}/')}.yaml" for path in made if path.startswith(f"{place}/")]
        files[f"{place}/{KUSTOMIZATION}"] = head + _kustomization(inside)
    notes = notes_of(scenario, versions)
    told = "".join(f"# {note}\n" for note in notes)
    files[KUSTOMIZATION] = head + told + _kustomization([PRODUCTION, STAGING])
    return Export(files, notes)


def notes_of(scenario: Scenario, versions: Versions) -> tuple[str, ...]:
    """What of a scenario these objects do not say, a line each."""
    return tuple(_notes(scenario, versions))


def _production(
    scenario: Scenario, revisions: Mapping[Role, Revision], sizes: Sizes
) -> Iterator[tuple[str, Manifest | None]]:
    namespace = scenario.real.kubernetes.namespace
    yield "namespace", None if namespace == "default" else policies.namespace(namespace)
    yield from _around(scenario, namespace)
    yield "harness-account", rbac.harness_account(scenario)
    for role in arms_of(scenario):
        revision, count = revisions[role.model], sizes.replicas[role]
        scaled = workloads.autoscaler(scenario, role, revision, count)
        # An autoscaler owns the count: a manifest that names it would undo it each time it is applied.
        yield f"deployment-{role}", workloads.deployment(scenario, role, revision, None if scaled else count)
        yield f"service-{role}", workloads.service(scenario, role, revision)
        yield f"autoscaler-{role}", scaled
        yield f"disruption-budget-{role}", policies.disruption_budget(scenario, role, revision)
    yield "route", routes.http_route(scenario, Routing(sizes.weights))


def _staging(scenario: Scenario, candidate: Revision, sizes: Sizes) -> Iterator[tuple[str, Manifest | None]]:
    namespace = scenario.real.kubernetes.staging_namespace
    yield "namespace", None if namespace == "default" else policies.namespace(namespace)
    yield from _around(scenario, namespace)
    role = Role.CANDIDATE
    yield f"deployment-{role}", workloads.deployment(scenario, role, candidate, sizes.staging, namespace=namespace)
    yield f"service-{role}", workloads.service(scenario, role, candidate, namespace=namespace)


def _around(scenario: Scenario, namespace: str) -> Iterator[tuple[str, Manifest | None]]:
    """What each namespace has, whatever runs in it."""
    yield "pods-account", rbac.pods_account(scenario, namespace=namespace)
    yield "harness-role", rbac.harness_role(scenario, namespace=namespace)
    yield "harness-binding", rbac.harness_binding(scenario, namespace=namespace)
    yield "network-policy", policies.network_policy(scenario, namespace=namespace)
    yield "claim", workloads.claim(scenario, namespace=namespace)


def _kustomization(resources: list[str]) -> str:
    return yaml_text({"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": resources})


def _notes(scenario: Scenario, versions: Versions) -> Iterator[str]:
    plan, rollout = scenario.real.kubernetes, scenario.rollout
    yield (
        f"stable is version {versions.stable}, the candidate version {versions.candidate}: --stable-version and "
        "--candidate-version say others"
    )
    yield "the steps, the analysis and the way back are not in these objects: `harness run` drives them"
    yield f"the Gateway {plan.gateway} must be there, and serve HTTPRoutes (gateway.networking.k8s.io/v1)"
    if plan.claim:
        for role, version in (("stable", versions.stable), ("candidate", versions.candidate)):
            file = workloads.model_file(scenario, Revision(scenario.model.name, version, ""))
            yield f"the model of {role} must be on the volume {plan.claim} as {file}"
    elif names := workloads.credentials_of(scenario):
        secret = secret_name(scenario)
        yield f"the registry's credentials are read from the Secret {secret}, which is yours: {', '.join(names)}"
    if rollout.sticky:
        yield "users do not keep to their arm: an HTTPRoute has no standard field for that"
    if any(isinstance(step, SetMirror) and step.share for step in rollout.steps):
        yield "no requests are copied to the candidate: what copies meet is known to no client"
    if any(isinstance(step, SetRoute) for step in rollout.steps):
        yield "routes by header come with their steps, and are not in the HTTPRoute yet"
    if rollout.by_replicas:
        yield "shares of traffic are the HTTPRoute's weights, not counts of replicas"
    if scenario.faults:
        yield "faults are injected in rehearsals, and are not in these objects"
    yield "of `service`, only replicas are taken: how long answers take is the model's own affair there"
