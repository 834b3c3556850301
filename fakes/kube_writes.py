"""Writes as an API server admits them: create, update, patch, apply, delete; each as a whole, or refused."""

import uuid
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

from fakes.kube_checks import check
from fakes.kube_defaults import fill
from fakes.kube_errors import (
    Refused,
    already_exists,
    bad_request,
    conflict,
    forbidden,
    invalid,
    not_found,
)
from fakes.kube_fields import Manager, Owners, applied, fields_of, managed, updated
from fakes.kube_kinds import NAMESPACE, POD, Kind
from fakes.kube_patch import json_patch, merge, strategic
from fakes.kube_script import Object
from fakes.kube_store import Store
from harness.clock import utc_now
from harness.seeds import stream

APPLY: Final = "application/apply-patch+yaml"
KEPT: Final = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds")
FOREGROUND: Final = "foregroundDeletion"
SUFFIX: Final = "bcdfghjklmnpqrstvwxz2456789"
"""What generated names end in: no vowels, and nothing that looks like another (apimachinery's `rand`)."""


def timestamp() -> str:
    """Now, as Kubernetes writes it."""
    return utc_now().strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class Write:
    """How something is written."""

    manager: str = "unknown"
    subresource: str = ""
    dry: bool = False
    force: bool = False


CONTROLLER: Final = Write(manager="kube-controller-manager")
STATUS: Final = Write(manager="kube-controller-manager", subresource="status")


@dataclass(slots=True)
class Writer:
    """Admits writes to a store.

    Args:
        store: what is written to.
        seed: of the ends of generated names.
    """

    store: Store
    seed: int = 0
    _named: int = 0

    def create(self, kind: Kind, namespace: str, body: Object, how: Write) -> Object:
        """A new object.

        Raises:
            Refused: 409 the name is taken; 404 no such namespace; 403 it is going; 422 it cannot stand so.
        """
        return self._create(
            kind, namespace, body, how, lambda obj: updated({}, obj, kind, Manager(how.manager, "Update"))
        )

    def update(self, kind: Kind, namespace: str, name: str, body: Object, how: Write) -> Object:
        """Replace an object, or its status.

        Raises:
            Refused: 404; 409 it was written since; 422.
        """
        live = self.store.get(kind, namespace, name)
        if kind.custom and not body.get("metadata", {}).get("resourceVersion"):
            said = (
                "metadata.resourceVersion",
                "FieldValueInvalid",
                "Invalid value: 0x0: must be specified for an update",
            )
            raise invalid(kind, name, said)
        return self._write(kind, live, body, how)

    def patch(
        self, kind: Kind, namespace: str, name: str, body: Any, content_type: str, how: Write
    ) -> tuple[Object, bool]:
        """Change an object by a patch, or apply one; and whether that made it.

        Raises:
            Refused: 404; 409 another manager owns what an apply changes; 415 no patch of this kind; 422.
        """
        if content_type == APPLY:
            return self._apply(kind, namespace, name, body, how)
        live = self.store.get(kind, namespace, name)
        return self._write(kind, live, patched(kind, live, body, content_type), how), False

    def delete(self, kind: Kind, namespace: str, name: str, options: Mapping[str, Any], *, dry: bool = False) -> Object:
        """Take an object away, or mark it as going; the object as it is then.

        Raises:
            Refused: 404; 409 a precondition does not hold.
        """
        live = self.store.get(kind, namespace, name)
        _preconditions(kind, live, options.get("preconditions") or {})
        policy = options.get("propagationPolicy") or ("Orphan" if options.get("orphanDependents") else "Background")
        if dry:
            return live
        if policy == "Orphan":
            self._orphan(live["metadata"]["uid"])
        if policy == "Foreground" and FOREGROUND not in live["metadata"].get("finalizers", []):
            live["metadata"].setdefault("finalizers", []).append(FOREGROUND)
        return self._take(kind, live, _grace_s(kind, live, options))

    def remove(self, kind: Kind, obj: Object) -> None:
        """Take away what has gone, if it is still there."""
        live = self.store.find(kind, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        if live is not None and live["metadata"]["uid"] == obj["metadata"]["uid"]:
            self.store.remove(kind, obj)

    def set_status(self, kind: Kind, obj: Object, status: Object) -> None:
        """Write a status, as a controller does; nothing where it is as it was, or the object is gone."""
        live = self.store.find(kind, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        if live is not None and live["metadata"]["uid"] == obj["metadata"]["uid"] and live.get("status") != status:
            self.store.put(kind, {**live, "status": status})

    def change(self, kind: Kind, obj: Object, change: Callable[[Object], None]) -> None:
        """Change an object as a controller does, from what it is now; nothing where it is gone."""
        live = self.store.find(kind, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        if live is not None and live["metadata"]["uid"] == obj["metadata"]["uid"]:
            body = deepcopy(live)
            change(body)
            self._write(kind, deepcopy(live), body, CONTROLLER)

    def _create(
        self, kind: Kind, namespace: str, body: Object, how: Write, owners: Callable[[Object], Owners]
    ) -> Object:
        obj = deepcopy(body)
        meta = obj["metadata"] = dict(obj.get("metadata") or {})
        if meta.get("resourceVersion"):
            raise bad_request("resourceVersion should not be set on objects to be created")
        self._named += 1
        if not meta.get("name") and meta.get("generateName"):
            draws = stream(self.seed, "kube/names").generator(self._named).integers(len(SUFFIX), size=5)
            meta["name"] = meta["generateName"] + "".join(SUFFIX[int(draw)] for draw in draws)
        if not meta.get("name"):
            raise invalid(
                kind, "", ("metadata.name", "FieldValueRequired", "Required value: name or generateName is required")
            )
        if kind.namespaced:
            self._admit_in(kind, namespace, meta)
        if self.store.find(kind, namespace, meta["name"]) is not None:
            raise already_exists(kind, meta["name"])
        if "status" in kind.subresources:
            obj.pop("status", None)
        obj |= {"apiVersion": kind.api_version, "kind": kind.kind}
        fill(kind, obj)
        check(kind, obj, None)
        seeds = stream(self.seed, "kube/uids").generator(self._named)
        meta |= {"uid": str(uuid.UUID(bytes=seeds.bytes(16), version=4)), "creationTimestamp": timestamp()}
        if kind.counted:
            meta["generation"] = 1
        meta["managedFields"] = managed(owners(obj), {}, kind, timestamp())
        return obj if how.dry else self.store.put(kind, obj)

    def _admit_in(self, kind: Kind, namespace: str, meta: Object) -> None:
        if meta.setdefault("namespace", namespace) != namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        place = self.store.find(NAMESPACE, "", namespace)
        if place is None:
            raise not_found(NAMESPACE, namespace)
        if place["metadata"].get("deletionTimestamp"):
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            going = f"namespace {namespace} is being terminated"
            cause = {"reason": "NamespaceTerminating", "message": going, "field": "metadata.namespace"}
            raise forbidden(kind, meta["name"], why, [cause])

    def _apply(self, kind: Kind, namespace: str, name: str, body: Object, how: Write) -> tuple[Object, bool]:
        if body.get("kind") != kind.kind or body.get("apiVersion") != kind.api_version:
            raise bad_request(f"apply takes an object of {kind.api_version} {kind.kind}")
        if (body.get("metadata") or {}).get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        config = _without_nulls(body)
        config["metadata"] = {**config.get("metadata", {}), "name": name}
        manager = Manager(how.manager, "Apply", how.subresource)
        live = self.store.find(kind, namespace, name)
        if live is None:
            if how.subresource:
                raise not_found(kind, name)
            return self._create(kind, namespace, config, how, lambda _: {manager: fields_of(config, kind)}), True
        done, owners = applied(deepcopy(live), config, kind, manager, force=how.force)
        version = config["metadata"].get("resourceVersion")
        done["metadata"]["resourceVersion"] = version or live["metadata"]["resourceVersion"]
        return self._write(kind, deepcopy(live), done, how, owners), False

    def _write(self, kind: Kind, live: Object, body: Object, how: Write, owners: Owners | None = None) -> Object:
        obj = _carried(kind, live, body, how.subresource)
        fill(kind, obj)
        check(kind, obj, live)
        if owners is None:
            owners = updated(live, obj, kind, Manager(how.manager, "Update", how.subresource))
        obj["metadata"]["managedFields"] = managed(owners, live, kind, timestamp())
        if obj == live:
            return live
        if kind.counted and _wanted(obj) != _wanted(live):
            obj["metadata"]["generation"] = live["metadata"].get("generation", 0) + 1
        if how.dry:
            return obj
        if obj["metadata"].get("deletionTimestamp") and _let_go(live, obj):
            return self.store.remove(kind, obj)
        return self.store.put(kind, obj)

    def _take(self, kind: Kind, live: Object, grace_s: int) -> Object:
        meta = live["metadata"]
        if not meta.get("finalizers") and kind is not NAMESPACE and grace_s == 0:
            return self.store.remove(kind, live)
        if "deletionTimestamp" in meta and meta.get("deletionGracePeriodSeconds", 0) <= grace_s:
            return live
        meta |= {"deletionTimestamp": timestamp(), "deletionGracePeriodSeconds": grace_s}
        if kind is NAMESPACE:
            live["status"] = {"phase": "Terminating"}
        return self.store.put(kind, live)

    def _orphan(self, uid: str) -> None:
        for kind, held in self.store.objects.items():
            for obj in list(held.values()):
                refs = obj["metadata"].get("ownerReferences", [])
                if any(ref["uid"] == uid for ref in refs):
                    kept = [ref for ref in refs if ref["uid"] != uid]
                    self.store.put(kind, {**obj, "metadata": {**obj["metadata"], "ownerReferences": kept}})


def patched(kind: Kind, live: Object, body: Any, content_type: str) -> Object:
    """The object after a patch that is no apply.

    Raises:
        Refused: 415; no patch of this kind.
    """
    if content_type == "application/json-patch+json":
        done = json_patch(live, body)
    elif content_type == "application/merge-patch+json":
        done = merge(live, body)
    elif content_type == "application/strategic-merge-patch+json" and not kind.custom:
        done = strategic(live, body, kind)
    else:
        raise Refused(415, f"the body of the request was in an unknown format - {content_type}: not supported here")
    if not isinstance(done, dict):
        raise bad_request("the patch leaves no object")
    return done


def _carried(kind: Kind, live: Object, body: Object, subresource: str) -> Object:
    """What is written: the part that this door opens, on what only the server sets."""
    meta = dict(body.get("metadata") or {})
    name = live["metadata"]["name"]
    if meta.get("name", name) != name:
        raise bad_request(f"the name of the object ({meta['name']}) does not match the name on the URL ({name})")
    if meta.get("uid", live["metadata"]["uid"]) != live["metadata"]["uid"]:
        why = f"Precondition failed: UID in precondition: {meta['uid']}, UID in object meta: {live['metadata']['uid']}"
        raise conflict(kind, name, why)
    if meta.get("resourceVersion") not in {None, "", live["metadata"]["resourceVersion"]}:
        raise conflict(kind, name)
    if subresource == "status":
        return {**deepcopy(live), "status": deepcopy(body.get("status", {}))}
    obj = {**deepcopy(body), "apiVersion": kind.api_version, "kind": kind.kind}
    kept = {each: live["metadata"][each] for each in KEPT if each in live["metadata"]}
    own = {**kept, "name": name, "resourceVersion": live["metadata"]["resourceVersion"]}
    if kind.namespaced:
        own["namespace"] = live["metadata"]["namespace"]
    obj["metadata"] = {**{each: value for each, value in meta.items() if each not in KEPT}, **own}
    if "status" in kind.subresources:
        obj.pop("status", None)
        obj |= {"status": deepcopy(live["status"])} if "status" in live else {}
    return obj


def _wanted(obj: Object) -> Object:
    return {field: value for field, value in obj.items() if field not in {"metadata", "status"}}


def _let_go(live: Object, obj: Object) -> bool:
    """Whether the last finalizer was taken from what is going."""
    return bool(live["metadata"].get("finalizers")) and not obj["metadata"].get("finalizers")


def _grace_s(kind: Kind, live: Object, options: Mapping[str, Any]) -> int:
    if kind is not POD or not live["spec"].get("nodeName"):
        return 0
    asked = options.get("gracePeriodSeconds")
    return int(live["spec"]["terminationGracePeriodSeconds"] if asked is None else asked)


def _preconditions(kind: Kind, live: Object, wanted: Mapping[str, str]) -> None:
    for field, title, end in (
        ("uid", "UID", "The object might have been deleted and then recreated"),
        ("resourceVersion", "ResourceVersion", "The object might have been modified"),
    ):
        asked, found = wanted.get(field), live["metadata"][field]
        if asked not in {None, "", found}:
            why = f"the {title} in the precondition ({asked}) does not match the {title} in record ({found}). {end}"
            raise conflict(kind, live["metadata"]["name"], why)


def _without_nulls(config: Any) -> Any:
    if isinstance(config, dict):
        return {name: _without_nulls(each) for name, each in config.items() if each is not None}
    return [_without_nulls(each) for each in config] if isinstance(config, list) else config
