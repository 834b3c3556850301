"""Writes as an API server admits them: create, update, patch, apply, delete; each as a whole, or refused."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fakes.kube_admission import (
    APPLY,
    CONTROLLER,
    Write,
    carried,
    check_preconditions,
    grace_s,
    let_go,
    patched,
    timestamp,
    typed,
    wanted,
    without_nulls,
)
from fakes.kube_checks import check
from fakes.kube_defaults import fill
from fakes.kube_errors import already_exists, bad_request, forbidden, invalid, not_found
from fakes.kube_fields import Manager, Owners, applied, fields_of, managed, updated
from fakes.kube_kinds import ACCOUNT, NAMESPACE, POD, Kind
from fakes.kube_script import Object, copied
from fakes.kube_store import Store
from harness.seeds import stream

FOREGROUND: Final = "foregroundDeletion"
SUFFIX: Final = "bcdfghjklmnpqrstvwxz2456789"
"""What generated names end in: no vowels, and nothing that looks like another (apimachinery's `rand`)."""


@dataclass(slots=True)
class Writer:
    """Admits writes to a store.

    Args:
        store: what is written to.
        seed: of the ends of generated names.
        accounts: whether a pod needs the ServiceAccount that it names.
    """

    store: Store
    seed: int = 0
    accounts: bool = False
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
        check_preconditions(kind, live, options.get("preconditions") or {})
        policy = options.get("propagationPolicy") or ("Orphan" if options.get("orphanDependents") else "Background")
        if dry:
            return live
        if policy == "Orphan":
            self._orphan(live["metadata"]["uid"])
        if policy == "Foreground" and FOREGROUND not in live["metadata"].get("finalizers", []):
            live["metadata"].setdefault("finalizers", []).append(FOREGROUND)
        return self._take(kind, live, grace_s(kind, live, options))

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
            body = copied(live)
            change(body)
            self._write(kind, copied(live), body, CONTROLLER)

    def _create(
        self, kind: Kind, namespace: str, body: Object, how: Write, owners: Callable[[Object], Owners]
    ) -> Object:
        obj = typed(kind, body)
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
        if kind is POD and self.accounts:
            self._has_account(obj, namespace)
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

    def _has_account(self, pod: Object, namespace: str) -> None:
        name = pod["spec"].get("serviceAccountName", "default")
        if name != "default" and self.store.find(ACCOUNT, namespace, name) is None:
            why = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
            raise forbidden(POD, pod["metadata"].get("generateName") or pod["metadata"]["name"], why)

    def _apply(self, kind: Kind, namespace: str, name: str, body: Object, how: Write) -> tuple[Object, bool]:
        if body.get("kind") != kind.kind or body.get("apiVersion") != kind.api_version:
            raise bad_request(f"apply takes an object of {kind.api_version} {kind.kind}")
        if (body.get("metadata") or {}).get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        config = without_nulls(body)
        config["metadata"] = {**config.get("metadata", {}), "name": name}
        manager = Manager(how.manager, "Apply", how.subresource)
        live = self.store.find(kind, namespace, name)
        if live is None:
            if how.subresource:
                raise not_found(kind, name)
            return self._create(kind, namespace, config, how, lambda _: {manager: fields_of(config, kind)}), True
        done, owners = applied(copied(live), config, kind, manager, force=how.force)
        version = config["metadata"].get("resourceVersion")
        done["metadata"]["resourceVersion"] = version or live["metadata"]["resourceVersion"]
        return self._write(kind, copied(live), done, how, owners), False

    def _write(self, kind: Kind, live: Object, body: Object, how: Write, owners: Owners | None = None) -> Object:
        obj = carried(kind, live, body, how.subresource)
        fill(kind, obj)
        check(kind, obj, live)
        if owners is None:
            owners = updated(live, obj, kind, Manager(how.manager, "Update", how.subresource))
        obj["metadata"]["managedFields"] = managed(owners, live, kind, timestamp())
        if obj == live:
            return live
        if kind.counted and wanted(obj) != wanted(live):
            obj["metadata"]["generation"] = live["metadata"].get("generation", 0) + 1
        if how.dry:
            return obj
        if obj["metadata"].get("deletionTimestamp") and let_go(live, obj):
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
                    meta = {name: value for name, value in obj["metadata"].items() if name != "ownerReferences"}
                    kept = [ref for ref in refs if ref["uid"] != uid]
                    meta |= {"ownerReferences": kept} if kept else {}
                    self.store.put(kind, {**obj, "metadata": meta})
