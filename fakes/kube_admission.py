"""What a write may change: patches laid over what is there, fields only the server sets, and preconditions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fakes.kube_errors import Refused, bad_request, conflict
from fakes.kube_kinds import POD, Kind
from fakes.kube_patch import json_patch, merge, strategic
from fakes.kube_script import Object, copied
from harness.clock import utc_now

APPLY: Final = "application/apply-patch+yaml"
STRATEGIC: Final = "application/strategic-merge-patch+json"
PATCHES: Final = ("application/json-patch+json", "application/merge-patch+json", STRATEGIC, APPLY)
KEPT: Final = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds")


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


def patched(kind: Kind, live: Object, body: Any, content_type: str) -> Object:
    """The object after a patch that is no apply.

    Raises:
        Refused: 415; no patch of this kind.
    """
    if content_type == PATCHES[0]:
        done = json_patch(live, body)
    elif content_type == PATCHES[1]:
        done = merge(live, body)
    elif content_type == STRATEGIC and not kind.custom:
        done = strategic(live, body, kind)
    else:
        known = ", ".join(each for each in PATCHES if not (kind.custom and each == STRATEGIC))
        said = f"the body of the request was in an unknown format - accepted media types include: {known}"
        raise Refused(415, said)
    if not isinstance(done, dict):
        raise bad_request("the patch leaves no object")
    return done


def carried(kind: Kind, live: Object, body: Object, subresource: str) -> Object:
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
        return {**copied(live), "status": copied(body.get("status", {}))}
    obj = {**typed(kind, body), "apiVersion": kind.api_version, "kind": kind.kind}
    kept = {each: live["metadata"][each] for each in KEPT if each in live["metadata"]}
    own = {**kept, "name": name, "resourceVersion": live["metadata"]["resourceVersion"]}
    if kind.namespaced:
        own["namespace"] = live["metadata"]["namespace"]
    obj["metadata"] = {**{each: value for each, value in meta.items() if each not in KEPT}, **own}
    if "status" in kind.subresources:
        obj.pop("status", None)
        obj |= {"status": copied(live["status"])} if "status" in live else {}
    return obj


def wanted(obj: Object) -> Object:
    """What an object says beside its metadata and its status: changes of it are counted as generations."""
    return {field: value for field, value in obj.items() if field not in {"metadata", "status"}}


def let_go(live: Object, obj: Object) -> bool:
    """Whether the last finalizer was taken from what is going."""
    return bool(live["metadata"].get("finalizers")) and not obj["metadata"].get("finalizers")


def grace_s(kind: Kind, live: Object, options: Mapping[str, Any]) -> int:
    """How long a deletion leaves it; only pods that have a node need any time."""
    if kind is not POD or not live["spec"].get("nodeName"):
        return 0
    asked = options.get("gracePeriodSeconds")
    return int(live["spec"]["terminationGracePeriodSeconds"] if asked is None else asked)


def check_preconditions(kind: Kind, live: Object, wanted: Mapping[str, str]) -> None:
    """Let a deletion pass that means what is there.

    Raises:
        Refused: 409; it means another object of the name, or an earlier version.
    """
    for field, title, end in (
        ("uid", "UID", "The object might have been deleted and then recreated"),
        ("resourceVersion", "ResourceVersion", "The object might have been modified"),
    ):
        asked, found = wanted.get(field), live["metadata"][field]
        if asked not in {None, "", found}:
            why = f"the {title} in the precondition ({asked}) does not match the {title} in record ({found}). {end}"
            raise conflict(kind, live["metadata"]["name"], why)


def typed(kind: Kind, body: Object) -> Object:
    """A copy as it is stored: in a built-in kind null is the same as nothing, in a custom one it may mean something."""
    return copied(body) if kind.custom else dict(without_nulls(body))


def without_nulls(config: Any) -> Any:
    """What an apply really sets."""
    if isinstance(config, dict):
        return {name: without_nulls(each) for name, each in config.items() if each is not None}
    return [without_nulls(each) for each in config] if isinstance(config, list) else config
