"""What an API server fills in where a field is left out, so that writing the same again changes nothing."""

import hashlib
from collections.abc import Callable
from typing import Any, Final

from fakes.kube_kinds import AUTOSCALER, DEPLOYMENT, GATEWAY, NAMESPACE, POD, REPLICA_SET, ROUTE, SERVICE, Kind
from fakes.kube_script import Object


def fill(kind: Kind, obj: Object) -> None:
    """Fill in the defaults of its kind, in place."""
    if kind in FILLERS:
        FILLERS[kind](obj)


def _set(obj: dict[str, Any], **defaults: Any) -> None:
    for name, value in defaults.items():
        if obj.get(name) is None:
            obj[name] = value


def _pod_spec(spec: dict[str, Any]) -> None:
    _set(
        spec, restartPolicy="Always", terminationGracePeriodSeconds=30, dnsPolicy="ClusterFirst", securityContext={},
        schedulerName="default-scheduler",
    )  # fmt: skip
    for container in [*spec.get("containers", []), *spec.get("initContainers", [])]:
        latest = ":" not in container.get("image", "").rpartition("/")[2] or container["image"].endswith(":latest")
        _set(
            container, imagePullPolicy="Always" if latest else "IfNotPresent", resources={},
            terminationMessagePath="/dev/termination-log", terminationMessagePolicy="File",
        )  # fmt: skip
        for port in container.get("ports", []):
            _set(port, protocol="TCP")
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if container.get(probe):
                _set(container[probe], timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
                if "httpGet" in container[probe]:
                    _set(container[probe]["httpGet"], scheme="HTTP", path="/")


def _pod(obj: Object) -> None:
    _pod_spec(obj["spec"])
    _set(obj, status={"phase": "Pending"})


def _deployment(obj: Object) -> None:
    spec = obj["spec"]
    _set(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600, strategy={})
    _set(spec["strategy"], type="RollingUpdate")
    if spec["strategy"]["type"] == "RollingUpdate":
        _set(spec["strategy"], rollingUpdate={})
        _set(spec["strategy"]["rollingUpdate"], maxSurge="25%", maxUnavailable="25%")
    _pod_spec(spec["template"]["spec"])


def _replica_set(obj: Object) -> None:
    _set(obj["spec"], replicas=1)
    _pod_spec(obj["spec"]["template"]["spec"])


def _service(obj: Object) -> None:
    spec = obj["spec"]
    _set(spec, type="ClusterIP", sessionAffinity="None", internalTrafficPolicy="Cluster", ipFamilyPolicy="SingleStack")
    name = f"{obj['metadata'].get('namespace')}/{obj['metadata'].get('name')}"
    low, high = hashlib.sha256(name.encode()).digest()[:2]
    _set(spec, clusterIP=f"10.96.{low}.{high}")
    for port in spec.get("ports", []):
        _set(port, protocol="TCP", targetPort=port.get("port"))


def _namespace(obj: Object) -> None:
    _set(obj, spec={}, status={"phase": "Active"})
    _set(obj["spec"], finalizers=["kubernetes"])
    labels = obj["metadata"].setdefault("labels", {})
    _set(labels, **{"kubernetes.io/metadata.name": obj["metadata"]["name"]})


def _autoscaler(obj: Object) -> None:
    _set(obj["spec"], minReplicas=1)


def _route(obj: Object) -> None:
    spec = obj["spec"]
    for parent in spec.get("parentRefs", []):
        _set(parent, group=GATEWAY, kind="Gateway")
    _set(spec, rules=[{}])
    for rule in spec["rules"]:
        _set(rule, matches=[{}])
        for match in rule["matches"]:
            _set(match, path={"type": "PathPrefix", "value": "/"})
            for header in match.get("headers", []):
                _set(header, type="Exact")
        for ref in rule.get("backendRefs", []):
            _set(ref, group="", kind="Service", weight=1)


FILLERS: Final[dict[Kind, Callable[[Object], None]]] = {
    POD: _pod, DEPLOYMENT: _deployment, REPLICA_SET: _replica_set, SERVICE: _service, NAMESPACE: _namespace,
    AUTOSCALER: _autoscaler, ROUTE: _route,
}  # fmt: skip
