"""The statuses of pods, as the kubelet and the scheduler write them."""

from typing import Final

from fakes.kube_script import Object

READY: Final = "Ready"


def ready(pod: Object) -> bool:
    """Whether a pod takes requests."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(each["type"] == READY and each["status"] == "True" for each in conditions)


def conditions(*, ready: bool) -> list[Object]:
    """Of a pod that has a node."""
    told = str(ready)
    return [
        {"type": "PodScheduled", "status": "True"},
        {"type": "Initialized", "status": "True"},
        {"type": "ContainersReady", "status": told},
        {"type": READY, "status": told},
    ]


def unschedulable(said: str = "0/3 nodes are available: 3 Insufficient cpu.") -> Object:
    """The status of a pod that no node takes."""
    return {
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": said}],
    }


def status_of(pod: Object, restarts: int, *, ready: bool = False, waiting: str = "", said: str = "") -> Object:
    """The status of a pod that has a node."""
    state = {"waiting": {"reason": waiting, **({"message": said} if said else {})}} if waiting else None
    containers = [
        {
            "name": container["name"], "image": container["image"], "imageID": "", "ready": ready,
            "restartCount": restarts, "started": not waiting, "state": state or {"running": {}},
        }
        for container in pod["spec"]["containers"]
    ]  # fmt: skip
    ip = (pod.get("status") or {}).get("podIP") or "127.0.0.1"
    up = not waiting or restarts > 0
    return {
        "phase": "Running" if up else "Pending", "podIP": ip, "podIPs": [{"ip": ip}], "hostIP": "127.0.0.1",
        "conditions": conditions(ready=ready), "containerStatuses": containers,
    }  # fmt: skip
