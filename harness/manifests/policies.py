"""What surrounds a model's pods: namespaces, how many may be missing at a time, and who may reach them."""

from harness.domain.model import Revision, Role
from harness.domain.scenario import Scenario
from harness.manifests.common import (
    SHARED_LABELS,
    Manifest,
    deployment_name,
    labels,
    model_name,
    selector,
    thing,
)
from harness.manifests.workloads import PORT_NAME

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
"""Kubernetes' own strictest standard: what runs as root or may gain rights is not let in."""


def namespaces(scenario: Scenario) -> tuple[Manifest, ...]:
    """Of production and of staging; ``default`` is there always, and is left as it is."""
    plan = scenario.real.kubernetes
    names = dict.fromkeys((plan.namespace, plan.staging_namespace))
    return tuple(namespace(name) for name in names if name != "default")


def namespace(name: str) -> Manifest:
    """A namespace that lets in only pods with a tight security context."""
    return thing("v1", "Namespace", name, namespace=None, labels={**SHARED_LABELS, **RESTRICTED})


def disruption_budget(
    scenario: Scenario,
    role: Role,
    revision: Revision,
    *,
    namespace: str | None = None,
    deployment: str | None = None,
) -> Manifest:
    """At most one pod of a deployment is taken away at a time when nodes are drained."""
    name = deployment or deployment_name(scenario, role, revision)
    return thing(
        "policy/v1", "PodDisruptionBudget", name,
        namespace=namespace or scenario.real.kubernetes.namespace,
        labels={**labels(scenario), **selector(name)},
        spec={"maxUnavailable": 1, "selector": {"matchLabels": selector(name)}},
    )  # fmt: skip


def network_policy(scenario: Scenario, *, namespace: str | None = None) -> Manifest:
    """Nothing reaches the pods but by their port; where they may go is the cluster's affair (they ask a registry)."""
    return thing(
        "networking.k8s.io/v1", "NetworkPolicy", model_name(scenario),
        namespace=namespace or scenario.real.kubernetes.namespace,
        labels=labels(scenario),
        spec={
            "podSelector": {"matchLabels": labels(scenario)},
            "policyTypes": ["Ingress"],
            "ingress": [{"ports": [{"protocol": "TCP", "port": PORT_NAME}]}],
        },
    )  # fmt: skip
