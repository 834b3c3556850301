"""The controller of Deployments: pods rolled over within surge and unavailability, and how far that is.

The steps are those of kube-controller-manager (pkg/controller/deployment/rolling.go, util/deployment_util.go), without
proportional scaling: a Deployment that is scaled in the middle of a rollout grows by its new pods alone.
"""

import hashlib
import json
import math
from dataclasses import dataclass, field
from typing import Any, Final

from fakes.kube_admission import CONTROLLER, timestamp
from fakes.kube_kinds import DEPLOYMENT, POD, REPLICA_SET, Kind
from fakes.kube_replicasets import NEVER, owned, owner_of
from fakes.kube_script import Object, copied
from fakes.kube_writes import Writer
from harness.clock import now_ns
from harness.domain.units import SECOND

HASH: Final = "pod-template-hash"
REVISION: Final = "deployment.kubernetes.io/revision"


@dataclass(slots=True)
class _Progress:
    """How far a rollout was, and since when it has gone no further."""

    hash: str
    reached: tuple[int, ...]
    at_ns: int
    complete: bool = False
    """Once complete, a rollout is over: what happens to its pods later is no matter of progress."""


@dataclass(slots=True)
class Deployments:
    """Rolls each Deployment over to what it wants."""

    writer: Writer
    wake_ns: int = NEVER
    """When a rollout misses its deadline by time alone."""
    _progress: dict[str, _Progress] = field(default_factory=dict)

    def sync(self) -> None:
        """One pass over all."""
        self.wake_ns = NEVER
        for each in self.writer.store.all(DEPLOYMENT):
            if "deletionTimestamp" not in each["metadata"]:
                self._sync(each)

    def _sync(self, each: Object) -> None:
        sets = owned(self.writer.store, REPLICA_SET, each)
        new = next((one for one in sets if _template(one) == _template(each)), None)
        if not each["spec"].get("paused"):
            new = self._current(each, sets, new)
            old = [one for one in sets if one["metadata"]["uid"] != new["metadata"]["uid"]]
            if each["spec"]["strategy"]["type"] == "Recreate":
                self._recreate(each, new, old)
            else:
                self._roll(each, new, old)
            self._tidy(each, old)
        elif new is not None:
            self._scale(new, each["spec"]["replicas"])
        self._tell(each, owned(self.writer.store, REPLICA_SET, each), _hash(each))

    def _current(self, each: Object, sets: list[Object], new: Object | None) -> Object:
        """The ReplicaSet of the template, with the highest revision."""
        last = max((int(one["metadata"]["annotations"][REVISION]) for one in sets), default=0)
        if new is None:
            new = self._made(each, last + 1)
        elif int(new["metadata"]["annotations"][REVISION]) < last:
            self._note(REPLICA_SET, new, str(last + 1))
            new = self.writer.store.get(REPLICA_SET, new["metadata"]["namespace"], new["metadata"]["name"])
        revision = new["metadata"]["annotations"][REVISION]
        if each["metadata"].get("annotations", {}).get(REVISION) != revision:
            self._note(DEPLOYMENT, each, revision)
        wait_s = each["spec"].get("minReadySeconds", 0)
        if new["spec"].get("minReadySeconds", 0) != wait_s:
            self.writer.change(REPLICA_SET, new, lambda body: body["spec"].update(minReadySeconds=wait_s))
        return new

    def _made(self, each: Object, revision: int) -> Object:
        meta, template, mark = each["metadata"], copied(each["spec"]["template"]), {HASH: _hash(each)}
        template["metadata"]["labels"] |= mark
        selector = copied(each["spec"]["selector"])
        selector["matchLabels"] = {**selector.get("matchLabels", {}), **mark}
        body = {
            "metadata": {
                "name": f"{meta['name']}-{mark[HASH]}", "labels": template["metadata"]["labels"],
                "annotations": {REVISION: str(revision)}, "ownerReferences": [owner_of(DEPLOYMENT, each)],
            },
            "spec": {
                "replicas": 0, "selector": selector, "template": template,
                "minReadySeconds": each["spec"].get("minReadySeconds", 0),
            },
        }  # fmt: skip
        return self.writer.create(REPLICA_SET, meta["namespace"], body, CONTROLLER)

    def _note(self, kind: Kind, obj: Object, revision: str) -> None:
        self.writer.change(
            kind, obj, lambda body: body["metadata"].setdefault("annotations", {}).update({REVISION: revision})
        )

    def _roll(self, each: Object, new: Object, old: list[Object]) -> None:
        replicas = each["spec"]["replicas"]
        surge, unavailable = _margins(each)
        total = sum(one["spec"]["replicas"] for one in (new, *old))
        now = new["spec"]["replicas"]
        if now > replicas:
            self._scale(new, replicas)
        elif now < replicas and total < replicas + surge:
            now += min(replicas + surge - total, replicas - now)
            self._scale(new, now)
        short = now - (new.get("status") or {}).get("availableReplicas", 0)
        spare = sum(one["spec"]["replicas"] for one in old) + now - (replicas - unavailable) - short
        self._shrink(old, spare, replicas - unavailable, new)

    def _shrink(self, old: list[Object], spare: int, least: int, new: Object) -> None:
        """Take old pods away: those that are not available first, then as many as leave enough that are."""
        available = sum((one.get("status") or {}).get("availableReplicas", 0) for one in (new, *old))
        healthy = max(0, available - least)
        for one in old:
            up = (one.get("status") or {}).get("availableReplicas", 0)
            unwell = min(max(0, one["spec"]["replicas"] - up), max(0, spare))
            well = min(one["spec"]["replicas"] - unwell, healthy, max(0, spare - unwell))
            spare, healthy = spare - unwell - well, healthy - well
            self._scale(one, one["spec"]["replicas"] - unwell - well)

    def _recreate(self, each: Object, new: Object, old: list[Object]) -> None:
        for one in old:
            self._scale(one, 0)
        names = {one["metadata"]["uid"] for one in old}
        left = [
            pod
            for pod in self.writer.store.all(POD, each["metadata"]["namespace"])
            if any(ref["uid"] in names for ref in pod["metadata"].get("ownerReferences", []))
        ]
        if not left:
            self._scale(new, each["spec"]["replicas"])

    def _scale(self, one: Object, replicas: int) -> None:
        if one["spec"]["replicas"] != replicas:
            self.writer.change(REPLICA_SET, one, lambda body: body["spec"].update(replicas=replicas))

    def _tidy(self, each: Object, old: list[Object]) -> None:
        idle = [one for one in old if one["spec"]["replicas"] == 0 and not (one.get("status") or {}).get("replicas")]
        idle.sort(key=lambda one: int(one["metadata"]["annotations"][REVISION]))
        for one in idle[: max(0, len(idle) - each["spec"]["revisionHistoryLimit"])]:
            self.writer.delete(REPLICA_SET, one["metadata"]["namespace"], one["metadata"]["name"], {})

    def _tell(self, each: Object, sets: list[Object], mark: str) -> None:
        counts = [one.get("status") or {} for one in sets]
        new = next((one for one in sets if _template(one) == _template(each)), None)
        replicas = each["spec"]["replicas"]
        total, up, available = (
            sum(count.get(field, 0) for count in counts) for field in ("replicas", "readyReplicas", "availableReplicas")
        )
        updated = ((new or {}).get("status") or {}).get("replicas", 0)
        complete = updated == replicas == total == available
        least = replicas - _margins(each)[1]
        failed = [one for count in counts for one in count.get("conditions", [])][:1]
        status = {
            "observedGeneration": each["metadata"]["generation"], "replicas": total, "updatedReplicas": updated,
            "readyReplicas": up, "availableReplicas": available, "unavailableReplicas": max(0, replicas - available),
            "conditions": _kept(each, [
                _condition("Available", "MinimumReplicas", "Available" if available >= least else "Unavailable"),
                self._progressing(each, new, mark, (updated, -(total - updated), up, available), complete=complete),
                *failed,
            ]),
        }  # fmt: skip
        self.writer.set_status(DEPLOYMENT, each, status)

    def _progressing(
        self, each: Object, new: Object | None, mark: str, reached: tuple[int, ...], *, complete: bool
    ) -> Object:
        uid, name = each["metadata"]["uid"], (new or each)["metadata"]["name"]
        last = self._progress.get(uid)
        if last is None or last.hash != mark or (complete and not last.complete):
            last = self._progress[uid] = _Progress(mark, reached, now_ns(), complete)
        elif any(now > was for now, was in zip(reached, last.reached, strict=True)):
            last.reached, last.at_ns = reached, now_ns()
        if last.complete:
            said = f'ReplicaSet "{name}" has successfully progressed.'
            return {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "message": said}
        due_ns = last.at_ns + each["spec"]["progressDeadlineSeconds"] * SECOND
        if due_ns <= now_ns():
            said = f'ReplicaSet "{name}" has timed out progressing.'
            return {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": said}
        self.wake_ns = min(self.wake_ns, due_ns)
        said = f'ReplicaSet "{name}" is progressing.'
        return {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated", "message": said}


def _condition(type_of_condition: str, what: str, state: str) -> Object:
    said = "has minimum availability." if state == "Available" else "does not have minimum availability."
    return {
        "type": type_of_condition, "status": str(state == "Available"), "reason": f"{what}{state}",
        "message": f"Deployment {said}",
    }  # fmt: skip


def _kept(each: Object, conditions: list[Object]) -> list[Object]:
    """With the times of those that have not changed."""
    before = {one["type"]: one for one in (each.get("status") or {}).get("conditions", [])}
    told = []
    for one in conditions:
        was = before.get(one["type"])
        same = was is not None and all(was[field] == one[field] for field in one)
        moved = timestamp() if was is None or was["status"] != one["status"] else was["lastTransitionTime"]
        told.append(
            was if was is not None and same else {**one, "lastUpdateTime": timestamp(), "lastTransitionTime": moved}
        )
    return told


def _margins(each: Object) -> tuple[int, int]:
    """How many pods more, and how many fewer, than wanted there may be."""
    rolling, replicas = each["spec"]["strategy"].get("rollingUpdate"), each["spec"]["replicas"]
    if not rolling:
        return 0, 0
    surge = _share(rolling["maxSurge"], replicas, up=True)
    unavailable = _share(rolling["maxUnavailable"], replicas, up=False)
    return surge, min(replicas, unavailable if surge or unavailable else 1)


def _share(value: Any, replicas: int, *, up: bool) -> int:
    if isinstance(value, int):
        return value
    exact = int(value.removesuffix("%")) * replicas
    return math.ceil(exact / 100) if up else exact // 100


def _template(obj: Object) -> Object:
    """What pods are made from, as it is compared: nothing and what is empty are one (apimachinery's `DeepEqual`)."""
    template: Object = copied(obj["spec"]["template"])
    template.get("metadata", {}).get("labels", {}).pop(HASH, None)
    return dict(_filled(template))


def _filled(value: Any) -> Any:
    if isinstance(value, list):
        return [_filled(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {name: each for name, held in value.items() if (each := _filled(held)) not in (None, {}, [], "")}


def _hash(each: Object) -> str:
    return hashlib.sha256(json.dumps(_template(each), sort_keys=True).encode()).hexdigest()[:10]
