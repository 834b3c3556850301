"""The kinds that the stand-in knows: their groups, paths, subresources, and how their lists are merged."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object, and the resource that it is served as."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    subresources: frozenset[str] = frozenset()
    counted: bool = True
    """Its generation grows with what is not metadata or status."""
    custom: bool = False
    """From a CRD: patched without strategic merge."""

    @property
    def api_version(self) -> str:
        """As in ``apiVersion``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """As in messages: ``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


STATUS: Final = frozenset({"status"})
RBAC: Final = "rbac.authorization.k8s.io"
GATEWAY: Final = "gateway.networking.k8s.io"

NAMESPACE: Final = Kind("", "v1", "Namespace", "namespaces", namespaced=False, subresources=STATUS, counted=False)
POD: Final = Kind("", "v1", "Pod", "pods", subresources=STATUS, counted=False)
SERVICE: Final = Kind("", "v1", "Service", "services", subresources=STATUS, counted=False)
CLAIM: Final = Kind(
    "", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", subresources=STATUS, counted=False
)  # fmt: skip
ACCOUNT: Final = Kind("", "v1", "ServiceAccount", "serviceaccounts", counted=False)
CONFIG_MAP: Final = Kind("", "v1", "ConfigMap", "configmaps", counted=False)
EVENT: Final = Kind("", "v1", "Event", "events", counted=False)
DEPLOYMENT: Final = Kind("apps", "v1", "Deployment", "deployments", subresources=frozenset({"status", "scale"}))
REPLICA_SET: Final = Kind("apps", "v1", "ReplicaSet", "replicasets", subresources=frozenset({"status", "scale"}))
AUTOSCALER: Final = Kind(
    "autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", subresources=STATUS, counted=False
)  # fmt: skip
SLICE: Final = Kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")
BUDGET: Final = Kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", subresources=STATUS)
POLICY: Final = Kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies")
LEASE: Final = Kind("coordination.k8s.io", "v1", "Lease", "leases", counted=False)
ROLE: Final = Kind(RBAC, "v1", "Role", "roles", counted=False)
BINDING: Final = Kind(RBAC, "v1", "RoleBinding", "rolebindings", counted=False)
CLUSTER_ROLE: Final = Kind(RBAC, "v1", "ClusterRole", "clusterroles", namespaced=False, counted=False)
CLUSTER_BINDING: Final = Kind(
    RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False, counted=False
)  # fmt: skip
GATEWAYS: Final = Kind(GATEWAY, "v1", "Gateway", "gateways", subresources=STATUS, custom=True)
ROUTE: Final = Kind(GATEWAY, "v1", "HTTPRoute", "httproutes", subresources=STATUS, custom=True)

KINDS: Final = (
    NAMESPACE, POD, SERVICE, CLAIM, ACCOUNT, CONFIG_MAP, EVENT, DEPLOYMENT, REPLICA_SET, AUTOSCALER, SLICE, BUDGET,
    POLICY, LEASE, ROLE, BINDING, CLUSTER_ROLE, CLUSTER_BINDING, GATEWAYS, ROUTE,
)  # fmt: skip
"""All of them, in the order in which a namespace is emptied from the end."""
SERVED: Final = {(kind.group, kind.version, kind.plural): kind for kind in KINDS}
"""By path."""

KEYS: Final[dict[str, tuple[str, ...]]] = {
    "containers": ("name",), "initContainers": ("name",), "ephemeralContainers": ("name",), "env": ("name",),
    "volumes": ("name",), "volumeMounts": ("mountPath",), "volumeDevices": ("devicePath",),
    "imagePullSecrets": ("name",), "hostAliases": ("ip",), "conditions": ("type",), "ownerReferences": ("uid",),
    "listeners": ("name",), "secrets": ("name",), "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}  # fmt: skip
"""Lists whose items have an identity (listType=map), by field, and the fields that are it."""
SETS: Final = frozenset({"finalizers"})
"""Lists that are sets (listType=set)."""
WHOLE: Final = frozenset({"selector", "matchLabels", "nodeSelector", "scaleTargetRef", "podSelector"})
"""Objects that are owned and replaced as one (structType=atomic)."""
DEFAULTS: Final = {"protocol": "TCP"}
"""What a key field is where it is left out."""


def keys_of(field: str, item: object, kind: Kind) -> tuple[str, ...]:
    """The identity of a list's items; empty where the list is one value.

    Ports are told by number and protocol: a container's by ``containerPort``, a service's by ``port``. In a CRD's
    schema only what it says itself has an identity: a Gateway's listeners and conditions.
    """
    if kind.custom:
        return KEYS[field] if field in {"listeners", "conditions", "ownerReferences"} else ()
    if field == "ports" and isinstance(item, dict) and kind is not POLICY and kind is not SLICE:
        return ("containerPort", "protocol") if "containerPort" in item else ("port", "protocol")
    if field == "secrets" and kind is not ACCOUNT:
        return ()
    return KEYS.get(field, ())
