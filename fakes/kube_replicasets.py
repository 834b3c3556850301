"""The controller of ReplicaSets: as many pods as each wants, and which of them are available."""

from dataclasses import dataclass, field
from typing import Final

from fakes.kube_admission import CONTROLLER
from fakes.kube_errors import Refused
from fakes.kube_kinds import POD, REPLICA_SET, Kind
from fakes.kube_podstatus import ready
from fakes.kube_script import Object, copied
from fakes.kube_store import Store
from fakes.kube_writes import Writer
from harness.clock import now_ns
from harness.domain.units import SECOND

NEVER: Final = 1 << 62


def owned(store: Store, kind: Kind, owner: Object) -> list[Object]:
    """What an object owns as its controller, and is not going."""
    meta = owner["metadata"]
    return [
        each
        for each in store.all(kind, meta["namespace"])
        if any(ref["uid"] == meta["uid"] for ref in each["metadata"].get("ownerReferences", []))
        and "deletionTimestamp" not in each["metadata"]
    ]


def owner_of(kind: Kind, obj: Object) -> Object:
    """The reference that makes something an object's own."""
    return {
        "apiVersion": kind.api_version, "kind": kind.kind, "name": obj["metadata"]["name"],
        "uid": obj["metadata"]["uid"], "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip


@dataclass(slots=True)
class ReplicaSets:
    """Keeps as many pods as each ReplicaSet wants."""

    writer: Writer
    wake_ns: int = NEVER
    """When a pod becomes available by time alone."""
    _ready_ns: dict[str, int] = field(default_factory=dict)

    def sync(self) -> None:
        """One pass over all."""
        self.wake_ns = NEVER
        for each in self.writer.store.all(REPLICA_SET):
            if "deletionTimestamp" not in each["metadata"]:
                self._sync(each)

    def _sync(self, each: Object) -> None:
        pods = owned(self.writer.store, POD, each)
        wanted = each["spec"]["replicas"]
        failures = [failed for _ in range(wanted - len(pods)) if (failed := self._make(each))]
        for pod in sorted(pods, key=_first_to_go)[: max(0, len(pods) - wanted)]:
            self.writer.delete(POD, pod["metadata"]["namespace"], pod["metadata"]["name"], {})
        pods = owned(self.writer.store, POD, each)
        available = [self._available(pod, each["spec"].get("minReadySeconds", 0)) for pod in pods]
        status = {
            "replicas": len(pods), "fullyLabeledReplicas": len(pods), "readyReplicas": sum(map(ready, pods)),
            "availableReplicas": sum(available), "observedGeneration": each["metadata"]["generation"],
            **({"conditions": [_failed(failures[0])]} if failures else {}),
        }  # fmt: skip
        self.writer.set_status(REPLICA_SET, each, status)

    def _make(self, each: Object) -> str:
        """Make a pod; why it may not be made, if so."""
        template, meta = each["spec"]["template"], each["metadata"]
        pod = {
            "metadata": {
                **copied(template["metadata"]),
                "generateName": f"{meta['name']}-",
                "ownerReferences": [owner_of(REPLICA_SET, each)],
            },
            "spec": copied(template["spec"]),
        }
        try:
            self.writer.create(POD, meta["namespace"], pod, CONTROLLER)
        except Refused as refused:  # the namespace is going, or there is no such ServiceAccount
            if refused.code != 403:
                raise
            return refused.message
        return ""

    def _available(self, pod: Object, min_ready_s: float) -> bool:
        """Ready for so long; read by the loop's own clock, for Kubernetes' times are whole seconds."""
        uid = pod["metadata"]["uid"]
        if not ready(pod):
            self._ready_ns.pop(uid, None)
            return False
        due_ns = self._ready_ns.setdefault(uid, now_ns()) + round(min_ready_s * SECOND)
        if due_ns > now_ns():
            self.wake_ns = min(self.wake_ns, due_ns)
            return False
        return True


def _failed(why: str) -> Object:
    return {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": why}


def _first_to_go(pod: Object) -> tuple[bool, bool, int]:
    """Pods with no node first, then those not ready, then the youngest."""
    return bool(pod["spec"].get("nodeName")), ready(pod), -int(pod["metadata"]["resourceVersion"])
