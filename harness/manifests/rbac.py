"""Who may do what: pods nothing at all, the harness what it does and no more."""

from typing import Any, Final

from harness.domain.scenario import Scenario
from harness.manifests.common import MANAGER, SHARED_LABELS, Manifest, thing

RULES: Final = (
    ("apps", "deployments", ("get", "list", "watch", "create", "patch")),
    ("", "services", ("get", "create", "patch")),
    ("", "pods", ("list", "watch")),
    ("discovery.k8s.io", "endpointslices", ("list",)),
    ("gateway.networking.k8s.io", "httproutes", ("get", "create", "patch")),
)
"""API group, resource, verbs: all that the harness does. It reads no Secret, and deletes nothing."""
SCALED: Final = (("autoscaling", "horizontalpodautoscalers", ("get", "create", "patch")),)
"""With ``autoscale_max`` also."""
CLAIMED: Final = (("", "persistentvolumeclaims", ("get", "create")),)
"""With ``claim`` also."""


def pods_account(scenario: Scenario, *, namespace: str | None = None) -> Manifest:
    """What pods run as; it may do nothing, and gets no token."""
    plan = scenario.real.kubernetes
    return thing(
        "v1", "ServiceAccount", plan.service_account,
        namespace=namespace or plan.namespace, labels=SHARED_LABELS, automountServiceAccountToken=False,
    )  # fmt: skip


def harness_account(scenario: Scenario) -> Manifest:
    """What the harness runs as, in production's namespace."""
    namespace = scenario.real.kubernetes.namespace
    return thing("v1", "ServiceAccount", MANAGER, namespace=namespace, labels=SHARED_LABELS)


def harness_role(scenario: Scenario, *, namespace: str | None = None) -> Manifest:
    """What the harness may do in one namespace."""
    plan = scenario.real.kubernetes
    more = (*(SCALED if plan.autoscale_max is not None else ()), *(CLAIMED if plan.claim else ()))
    rules: list[dict[str, Any]] = [
        {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}
        for group, resource, verbs in (*RULES, *more)
    ]
    return thing(
        "rbac.authorization.k8s.io/v1", "Role", MANAGER,
        namespace=namespace or plan.namespace, labels=SHARED_LABELS, rules=rules,
    )  # fmt: skip


def harness_binding(scenario: Scenario, *, namespace: str | None = None) -> Manifest:
    """Lets the harness do that there."""
    production = scenario.real.kubernetes.namespace
    return thing(
        "rbac.authorization.k8s.io/v1", "RoleBinding", MANAGER,
        namespace=namespace or production, labels=SHARED_LABELS,
        roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": MANAGER},
        subjects=[{"kind": "ServiceAccount", "name": MANAGER, "namespace": production}],
    )  # fmt: skip
