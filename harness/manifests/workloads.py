"""What runs a model in Kubernetes: pure functions from a scenario to manifests as plain values (dicts, as in JSON).

    deployment         apps/v1: `harness serve` of one revision, with probes, resources and a tight security context
    service            v1: the address of one arm; its selector says which revision's pods stand behind it
    autoscaler         autoscaling/v2: from an arm's size up to ``autoscale_max``, by CPU
    claim              v1 PersistentVolumeClaim: where pods find models, if not in a registry
    disruption_budget  policy/v1 (`policies`); network_policy: networking.k8s.io/v1 (`policies`)
    namespace          v1 (`policies`), production's and staging's
    http_route         gateway.networking.k8s.io/v1 (`routes`): shares of traffic in 1/10,000, routes by header
    rbac.*             service accounts, a Role with the verbs that the harness uses, a RoleBinding

A deployment is named after its revision (``churn-v2``), a service after its arm (``churn-stable``): a candidate becomes
stable by the service's selector alone, and none of its pods is started anew. For the same reason no pod carries its arm
as a label; its version is there (``app.kubernetes.io/version``).

Every function takes ``namespace``; None is production's. Nothing is read from or written to anywhere.
"""

from collections.abc import Sequence
from typing import Any, Final

from harness.domain.model import Revision, Role
from harness.domain.scenario import Scenario
from harness.domain.units import SECOND, duration_text
from harness.manifests.common import (
    DIGEST_ANNOTATION,
    MODELS_AT,
    SHARED_LABELS,
    Manifest,
    deployment_name,
    labels,
    pod_labels,
    registry_uri,
    secret_name,
    selector,
    service_name,
    thing,
)
from harness.manifests.naming import dns_name

LINGER_NS: Final = 5 * SECOND
"""On SIGTERM a pod answers for so long yet, longer than proxies take to hear that it goes."""
SPARE_S: Final = 5
"""Between the end of draining and the kill."""
PORT_NAME: Final = "http"
STARTUP_PERIOD_S: Final = 2
CREDENTIALS: Final = {
    "mlflow": ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"),
    "postgres": ("PGUSER", "PGPASSWORD"),
}
"""Variables of a registry's credentials, by how its URI begins; keys of the Secret have the same names."""
SCRATCH: Final = "/tmp"  # noqa: S108 - a pod's own, and the only folder that it may write to
NOBODY: Final = 65532
"""The user that pods run as."""


def deployment(
    scenario: Scenario,
    role: Role,
    revision: Revision,
    replicas: int | None,
    *,
    namespace: str | None = None,
    name: str | None = None,
    args: Sequence[str] = (),
) -> Manifest:
    """The pods that serve a revision.

    Args:
        scenario: says how (``real.kubernetes``).
        role: only a baseline's has a name of its own.
        revision: what is served; its digest may be empty, where it is not known.
        replicas: how many; None leaves that to an autoscaler.
        namespace: None: production's.
        name: another one than `deployment_name`.
        args: more flags of `harness serve`.

    Raises:
        InputError: there is neither a registry that pods can reach nor a volume claim.
    """
    plan = scenario.real.kubernetes
    name = name or deployment_name(scenario, role, revision)
    size: dict[str, Any] = {} if replicas is None else {"replicas": replicas}
    told = pod_labels(scenario, name, revision)
    return thing(
        "apps/v1", "Deployment", name,
        namespace=namespace or plan.namespace,
        labels={**told, "arm": role.value},
        spec={
            **size,
            "selector": {"matchLabels": selector(name)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
            "minReadySeconds": _seconds(scenario.rollout.min_ready_ns),
            "progressDeadlineSeconds": max(_seconds(scenario.rollout.min_ready_ns) + 1, _ready_within_s(scenario)),
            "revisionHistoryLimit": 3,
            "template": {
                "metadata": {"labels": told, "annotations": _annotations(scenario, revision)},
                "spec": _pod(scenario, name, revision, args),
            },
        },
    )  # fmt: skip


def service(
    scenario: Scenario,
    role: Role,
    revision: Revision,
    *,
    namespace: str | None = None,
    deployment: str | None = None,
) -> Manifest:
    """The address of an arm: the pods of a revision's deployment."""
    plan = scenario.real.kubernetes
    behind = deployment or deployment_name(scenario, role, revision)
    return thing(
        "v1", "Service", service_name(scenario, role),
        namespace=namespace or plan.namespace,
        labels={**labels(scenario), "arm": role.value},
        spec={
            "type": "ClusterIP",
            "selector": selector(behind),
            "ports": [{"name": PORT_NAME, "port": plan.port, "targetPort": PORT_NAME, "protocol": "TCP"}],
        },
    )  # fmt: skip


def autoscaler(
    scenario: Scenario,
    role: Role,
    revision: Revision,
    replicas: int,
    *,
    namespace: str | None = None,
    deployment: str | None = None,
) -> Manifest | None:
    """Lets a deployment grow from its size under load; None where the scenario wants none."""
    plan = scenario.real.kubernetes
    if plan.autoscale_max is None:
        return None
    name = deployment or deployment_name(scenario, role, revision)
    least = max(1, replicas)
    use = {"type": "Utilization", "averageUtilization": plan.autoscale_cpu}
    return thing(
        "autoscaling/v2", "HorizontalPodAutoscaler", name,
        namespace=namespace or plan.namespace,
        labels={**labels(scenario), **selector(name)},
        spec={
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": least,
            "maxReplicas": max(least, plan.autoscale_max),
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": use}}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}},
        },
    )  # fmt: skip


def claim(scenario: Scenario, *, namespace: str | None = None) -> Manifest | None:
    """The volume that models are read from, by pods on any node; None where a registry is asked."""
    plan = scenario.real.kubernetes
    if plan.claim is None:
        return None
    return thing(
        "v1", "PersistentVolumeClaim", plan.claim,
        namespace=namespace or plan.namespace,
        labels=SHARED_LABELS,
        spec={"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": plan.claim_size}}},
    )  # fmt: skip


def model_file(scenario: Scenario, revision: Revision) -> str:
    """Where a revision stands on the volume, as its pods see it."""
    return f"{MODELS_AT}/{dns_name(scenario.model.name)}/{revision.version}.skops"


def serve_args(scenario: Scenario, revision: Revision, more: Sequence[str] = ()) -> list[str]:
    """What a pod runs, after the program's name."""
    plan, local = scenario.real.kubernetes, scenario.real.local
    place = ["--host", "0.0.0.0", "--port", str(plan.port)]  # noqa: S104 - inside a pod, whose policy says who comes
    going = ["--linger", duration_text(LINGER_NS), "--drain", duration_text(local.drain_ns)]
    if plan.claim:
        model = [model_file(scenario, revision), "--name", revision.name, "--version", str(revision.version)]
    else:
        model = [f"{revision.name}:{revision.version}", "--registry", registry_uri(scenario)]
    return ["serve", *model, *place, *going, "--threads", str(local.threads), *more]


def grace_s(scenario: Scenario) -> int:
    """Seconds from SIGTERM to the kill: lingering, draining, and some to spare."""
    return _seconds(LINGER_NS) + _seconds(scenario.real.local.drain_ns) + SPARE_S


def _pod(scenario: Scenario, name: str, revision: Revision, args: Sequence[str]) -> dict[str, Any]:
    plan = scenario.real.kubernetes
    volumes: list[dict[str, Any]] = [{"name": "tmp", "emptyDir": {}}]
    if plan.claim:
        volumes.append({"name": "models", "persistentVolumeClaim": {"claimName": plan.claim, "readOnly": True}})
    return {
        "serviceAccountName": plan.service_account,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": grace_s(scenario),
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": NOBODY, "runAsGroup": NOBODY, "fsGroup": NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector(name)},
            }
        ],
        "containers": [_container(scenario, revision, args)],
        "volumes": volumes,
    }  # fmt: skip


def _container(scenario: Scenario, revision: Revision, args: Sequence[str]) -> dict[str, Any]:
    plan = scenario.real.kubernetes
    mounts: list[dict[str, Any]] = [{"name": "tmp", "mountPath": SCRATCH}]
    if plan.claim:
        mounts.append({"name": "models", "mountPath": MODELS_AT, "readOnly": True})
    return {
        "name": "model-server",
        "image": plan.image,
        "command": ["harness"],
        "args": serve_args(scenario, revision, args),
        "env": [{"name": "HOME", "value": SCRATCH}, *_credentials(scenario)],
        "ports": [{"name": PORT_NAME, "containerPort": plan.port, "protocol": "TCP"}],
        "startupProbe": _probe("/ready", STARTUP_PERIOD_S, -(-_ready_within_s(scenario) // STARTUP_PERIOD_S)),
        "readinessProbe": _probe("/ready", 2, 2),
        "livenessProbe": _probe("/health", 10, 3),
        "resources": _resources(scenario),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }


def _resources(scenario: Scenario) -> dict[str, Any]:
    """Memory is limited always, CPU only where that is asked for: what is throttled answers late."""
    plan = scenario.real.kubernetes
    limits = {"memory": plan.memory_limit or plan.memory}
    if plan.cpu_limit:
        limits["cpu"] = plan.cpu_limit
    return {"requests": {"cpu": plan.cpu, "memory": plan.memory}, "limits": limits}


def credentials_of(scenario: Scenario) -> tuple[str, ...]:
    """The variables of the registry's credentials; none where pods read models from a volume."""
    if scenario.real.kubernetes.claim:
        return ()
    uri = registry_uri(scenario)
    return next((names for start, names in CREDENTIALS.items() if uri.startswith(start)), ())


def _credentials(scenario: Scenario) -> list[dict[str, Any]]:
    """From a Secret that is the cluster's own, and may be absent: no value ever stands in a manifest."""
    source = secret_name(scenario)
    return [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": source, "key": name, "optional": True}}}
        for name in credentials_of(scenario)
    ]  # fmt: skip


def _annotations(scenario: Scenario, revision: Revision) -> dict[str, str]:
    scraped = {"scrape": "true", "port": str(scenario.real.kubernetes.port), "path": "/metrics"}
    digest = {DIGEST_ANNOTATION: revision.digest} if revision.digest else {}
    return {**{f"prometheus.io/{key}": value for key, value in scraped.items()}, **digest}


def _probe(path: str, period_s: int, failures: int) -> dict[str, Any]:
    asked = {"path": path, "port": PORT_NAME}
    return {"httpGet": asked, "periodSeconds": period_s, "timeoutSeconds": 2, "failureThreshold": max(1, failures)}


def _ready_within_s(scenario: Scenario) -> int:
    return max(1, _seconds(scenario.rollout.ready_within_ns))


def _seconds(duration_ns: int) -> int:
    """Whole seconds, rounded up."""
    return -(-duration_ns // SECOND)
