"""What pods and deployments say of themselves: who is ready, who has crashed, and why one never gets ready."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from harness.manifests.common import Manifest, selector

NO_IMAGE: Final = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError")
NO_CONTAINER: Final = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
CRASHES: Final = "CrashLoopBackOff"
LATE: Final = "ProgressDeadlineExceeded"
HOPELESS_RESTARTS: Final = 3
"""A container that has crashed so often without being ready in between will not get ready by itself."""
REMEDIES: Final = {
    **dict.fromkeys(NO_IMAGE, "check real.kubernetes.image, and that the nodes may pull it"),
    **dict.fromkeys(NO_CONTAINER, "check the service account, the volume claim and the Secret that it names"),
    CRASHES: "read why it ends: kubectl logs --previous -n {namespace} {pod}",
    "Unschedulable": "give the cluster room, or ask for less: real.kubernetes.cpu and memory",
    "ReplicaFailure": "see kubectl describe replicaset -n {namespace}: a quota, a policy or the service account",
    LATE: "see kubectl describe pod -n {namespace} {pod}, and its logs",
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a pod does not get ready."""

    pod: str
    reason: str
    """As Kubernetes calls it."""
    said: str = ""
    hopeless: bool = False
    """It will not get ready by itself."""

    def told(self, namespace: str) -> str:
        """In a sentence, with what to do.

        >>> Trouble("m-v2-x", "ImagePullBackOff").told("ml")
        'pod m-v2-x: ImagePullBackOff; check real.kubernetes.image, and that the nodes may pull it'
        """
        remedy = REMEDIES.get(self.reason, REMEDIES[LATE]).format(namespace=namespace, pod=self.pod)
        return f"pod {self.pod}: {self.reason}{f' ({self.said})' if self.said else ''}; {remedy}"


def pods_of(pods: Iterable[Manifest], deployment: str) -> list[Manifest]:
    """The pods of a deployment, in the order of their names; those that are going too."""
    wanted = selector(deployment).items()
    found = [pod for pod in pods if wanted <= (pod["metadata"].get("labels") or {}).items()]
    return sorted(found, key=lambda pod: str(pod["metadata"]["name"]))


def is_going(pod: Manifest) -> bool:
    """It was deleted, and may be answering still."""
    return "deletionTimestamp" in pod["metadata"]


def is_ready(pod: Manifest) -> bool:
    """It takes requests."""
    return not is_going(pod) and _condition(pod, "Ready").get("status") == "True"


def available(deployment: Manifest | None) -> int:
    """Pods of the deployment as it is now, ready for long enough; 0 where its status speaks of an older one.

    >>> status = {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 3}
    >>> available({"metadata": {"generation": 2}, "status": status})
    2
    """
    status = (deployment or {}).get("status") or {}
    if deployment is None or status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0):
        return 0
    old = int(status.get("replicas", 0)) - int(status.get("updatedReplicas", 0))
    return max(0, int(status.get("availableReplicas", 0)) - old)


def restarts(pod: Manifest | None) -> int:
    """Of its containers, together."""
    return sum(each.get("restartCount", 0) for each in _containers(pod or {}))


def url_of(pod: Manifest, port: int) -> str:
    """Where the pod is asked, from within the cluster.

    >>> url_of({"status": {"podIP": "fd00::7"}}, 8080)
    'http://[fd00::7]:8080'
    """
    ip = pod["status"]["podIP"]
    return f"http://{f'[{ip}]' if ':' in ip else ip}:{port}"


def trouble_of(deployment: Manifest | None, pods: Sequence[Manifest]) -> Trouble | None:
    """Why a deployment has not all its pods ready, the worst first; None where nothing is known to be wrong."""
    found = [trouble for pod in pods if (trouble := trouble_of_pod(pod))]
    worst = max(found, key=lambda each: each.hopeless, default=None)
    late = _condition(deployment or {}, "Progressing")
    failure = _condition(deployment or {}, "ReplicaFailure")
    if failure.get("status") == "True":
        return Trouble("(none was made)", "ReplicaFailure", failure.get("message", ""), hopeless=True)
    if late.get("status") == "False" and late.get("reason") == LATE:
        if worst:
            return Trouble(worst.pod, worst.reason, worst.said or LATE, hopeless=True)
        return late_of(pods) or Trouble("(none)", LATE, hopeless=True)
    return worst


def late_of(pods: Sequence[Manifest]) -> Trouble | None:
    """The first pod that is there and not ready, when there was time enough; None where all are."""
    waiting = next((pod["metadata"]["name"] for pod in pods if not is_going(pod) and not is_ready(pod)), None)
    said = "it runs, and its readiness probe does not succeed"
    return None if waiting is None else Trouble(waiting, LATE, said, hopeless=True)


def trouble_of_pod(pod: Manifest) -> Trouble | None:
    """Why a pod is not ready, where it says."""
    name = pod["metadata"]["name"]
    if is_going(pod) or is_ready(pod):
        return None
    placed = _condition(pod, "PodScheduled")
    if placed.get("status") == "False":
        return Trouble(name, placed.get("reason", "Unschedulable"), placed.get("message", ""))
    for each in _containers(pod):
        waiting = (each.get("state") or {}).get("waiting") or {}
        reason, said = waiting.get("reason", ""), waiting.get("message", "")
        if reason in NO_IMAGE or reason in NO_CONTAINER:
            return Trouble(name, reason, said, hopeless=reason not in {"ErrImagePull", "RunContainerError"})
        if reason == CRASHES:
            return Trouble(name, reason, said, hopeless=each.get("restartCount", 0) >= HOPELESS_RESTARTS)
    return None


def _condition(held: Manifest, kind: str) -> dict[str, Any]:
    conditions = (held.get("status") or {}).get("conditions") or []
    return next((each for each in conditions if each["type"] == kind), {})


def _containers(pod: Manifest) -> list[dict[str, Any]]:
    return (pod.get("status") or {}).get("containerStatuses") or []
