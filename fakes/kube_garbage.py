"""The garbage collector: what lost its owners goes, foreground deletions are finished, namespaces are emptied."""

from dataclasses import dataclass

from fakes.kube_kinds import KINDS, NAMESPACE, Kind
from fakes.kube_script import Object
from fakes.kube_writes import FOREGROUND, Writer


@dataclass(slots=True)
class Garbage:
    """Takes away what is nobody's any more."""

    writer: Writer

    def sync(self) -> None:
        """One pass over everything."""
        there = [(kind, obj) for kind in KINDS for obj in self.writer.store.all(kind)]
        uids = {obj["metadata"]["uid"] for _, obj in there}
        for kind, obj in there:
            refs = obj["metadata"].get("ownerReferences") or []
            if refs and not any(ref["uid"] in uids for ref in refs):
                self._take(kind, obj)
        for kind, obj in there:
            if FOREGROUND in obj["metadata"].get("finalizers", []):
                self._foreground(kind, obj, there)
        for namespace in self.writer.store.all(NAMESPACE):
            if "deletionTimestamp" in namespace["metadata"]:
                self._empty(namespace)

    def _foreground(self, kind: Kind, obj: Object, there: list[tuple[Kind, Object]]) -> None:
        """The dependents go first, and theirs before them."""
        uid = obj["metadata"]["uid"]
        dependents = [
            (of, each)
            for of, each in there
            if any(ref["uid"] == uid for ref in each["metadata"].get("ownerReferences") or [])
        ]
        for of, each in dependents:
            self._take(of, each, "Foreground")
        if not dependents:
            self.writer.change(kind, obj, lambda body: body["metadata"]["finalizers"].remove(FOREGROUND))

    def _empty(self, namespace: Object) -> None:
        name = namespace["metadata"]["name"]
        left = [(kind, obj) for kind in reversed(KINDS) if kind.namespaced for obj in self.writer.store.all(kind, name)]
        for kind, obj in left:
            self._take(kind, obj)
        if not left:
            self.writer.remove(NAMESPACE, namespace)

    def _take(self, kind: Kind, obj: Object, policy: str = "Background") -> None:
        meta = obj["metadata"]
        if self.writer.store.find(kind, meta.get("namespace", ""), meta["name"]) and "deletionTimestamp" not in meta:
            options = {"propagationPolicy": policy, "preconditions": {"uid": meta["uid"]}}
            self.writer.delete(kind, meta.get("namespace", ""), meta["name"], options)
