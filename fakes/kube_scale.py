"""The subresource ``scale`` of what has replicas (autoscaling/v1 Scale)."""

from typing import Any

from fakes.kube_admission import Write, patched
from fakes.kube_errors import bad_request, conflict
from fakes.kube_rbac import Asked
from fakes.kube_script import Object
from fakes.kube_writes import Writer


def scale_of(obj: Object) -> Object:
    """The Scale of a Deployment or a ReplicaSet."""
    meta = {
        name: obj["metadata"][name] for name in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    }
    labels = (obj["spec"].get("selector") or {}).get("matchLabels") or {}
    return {
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": meta,
        "spec": {"replicas": obj["spec"]["replicas"]},
        "status": {
            "replicas": (obj.get("status") or {}).get("replicas", 0),
            "selector": ",".join(f"{name}={value}" for name, value in labels.items()),
        },
    }  # fmt: skip


def scaled(writer: Writer, asked: Asked, content_type: str | None, body: Any, how: Write) -> Object:
    """Write a Scale, whole (None) or by a patch; the Scale after it.

    Raises:
        Refused: 400 no Scale; 404; 409 the object was written since; 422 less than no replicas.
    """
    live = writer.store.get(asked.kind, asked.namespace, asked.name)
    scale = body if content_type is None else patched(asked.kind, scale_of(live), body, content_type)
    if not isinstance(scale, dict) or "spec" not in scale:
        raise bad_request("the body is no Scale")
    version = (scale.get("metadata") or {}).get("resourceVersion")
    if version not in {None, "", live["metadata"]["resourceVersion"]}:
        raise conflict(asked.kind, asked.name)
    wanted = {**live, "spec": {**live["spec"], "replicas": scale["spec"].get("replicas", 0)}}
    return scale_of(writer.update(asked.kind, asked.namespace, asked.name, wanted, how))
