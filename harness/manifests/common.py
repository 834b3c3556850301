"""What the manifests of one model share: where its models come from, its labels, and an object's head."""

from collections.abc import Mapping
from typing import Any, Final

from harness.domain.model import Revision, Role
from harness.domain.scenario import Scenario
from harness.errors import InputError
from harness.manifests.naming import dns_name, label

Manifest = dict[str, Any]
"""An object of Kubernetes, as JSON would hold it."""

MANAGER: Final = "rollout-harness"
"""Who applies these objects: ``app.kubernetes.io/managed-by``, and the field manager of what is applied."""
SHARED_LABELS: Final = {"app.kubernetes.io/managed-by": MANAGER}
"""On what the models of one namespace share."""
DIGEST_ANNOTATION: Final = "rollout-harness/model-digest"
MODELS_AT: Final = "/models"
"""Where the volume claim with models is mounted."""
SEEN_BY_PODS: Final = ("postgresql://", "postgres://", "mlflow+http://", "mlflow+https://")
"""What a registry's URI begins with when pods can reach it; a file of this machine is none."""


def model_name(scenario: Scenario) -> str:
    """What everything of a model is called after; also the HTTPRoute's name."""
    return dns_name(scenario.model.name)


def deployment_name(scenario: Scenario, role: Role, revision: Revision) -> str:
    """Of a revision, not of an arm: what becomes stable keeps its pods. A baseline is a second copy, and says so."""
    ends = (f"v{revision.version}", *([role.value] if role is Role.BASELINE else []))
    return dns_name(scenario.model.name, *ends)


def service_name(scenario: Scenario, role: Role) -> str:
    """Of an arm: the HTTPRoute names it, whatever revision stands behind it."""
    return dns_name(scenario.model.name, role.value)


def secret_name(scenario: Scenario) -> str:
    """The Secret with the registry's credentials, which is the cluster's own: none is ever written."""
    return dns_name(scenario.model.name, "registry")


def selector(deployment: str) -> dict[str, str]:
    """What tells the pods of one deployment."""
    return {"app.kubernetes.io/instance": deployment}


def labels(scenario: Scenario) -> dict[str, str]:
    """On every object of a model."""
    return {"app.kubernetes.io/name": label(scenario.model.name), **SHARED_LABELS}


def pod_labels(scenario: Scenario, deployment: str, revision: Revision) -> dict[str, str]:
    """On every pod; none says which arm it is in, for that may change while it runs."""
    return {
        **labels(scenario),
        **selector(deployment),
        "app.kubernetes.io/component": "model-server",
        "app.kubernetes.io/version": label(str(revision.version)),
    }


def thing(api: str, kind: str, name: str, *, namespace: str | None, labels: Mapping[str, str], **body: Any) -> Manifest:
    """An object: its head, and what follows."""
    where = {"namespace": namespace} if namespace else {}
    return {
        "apiVersion": api,
        "kind": kind,
        "metadata": {"name": name, **where, "labels": dict(labels)},
        **body,
    }


def registry_uri(scenario: Scenario) -> str:
    """The registry as pods see it.

    Raises:
        InputError: the scenario names none that a pod could reach.
    """
    plan, named = scenario.real.kubernetes, scenario.backends.registry
    uri = plan.registry or named
    if plan.registry or uri.startswith(SEEN_BY_PODS):
        return uri
    raise InputError(
        f"{scenario.path}: pods cannot read models from the registry {named!r} of this machine; name one they reach "
        f"under real.kubernetes.registry ({', '.join(f'{each}…' for each in SEEN_BY_PODS[::2])}), or a volume claim "
        "with the models under real.kubernetes.claim"
    )
