"""What an API server says of itself: its groups, their versions, and the resources of each."""

from collections.abc import Callable
from typing import Any, Final

from fakes.kube_kinds import KINDS, Kind
from fakes.kube_script import Object

VERBS: Final = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
SHORT: Final = {
    "configmaps": "cm", "events": "ev", "namespaces": "ns", "persistentvolumeclaims": "pvc", "pods": "po",
    "serviceaccounts": "sa", "services": "svc", "deployments": "deploy", "replicasets": "rs",
    "horizontalpodautoscalers": "hpa", "networkpolicies": "netpol", "poddisruptionbudgets": "pdb", "gateways": "gtw",
}  # fmt: skip
DOOR_VERBS: Final = ["get", "patch", "update"]
VERSION: Final = {
    "major": "1", "minor": "34", "gitVersion": "v1.34.0+stand-in", "gitCommit": "", "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none", "compiler": "none", "platform": "stand-in",
}  # fmt: skip


def discovered() -> dict[str, Callable[[], Object]]:
    """What there is to read, by path."""
    pages: dict[str, Callable[[], Object]] = {"/version": lambda: VERSION, "/api": _core, "/apis": _groups}
    for group, version in sorted({(kind.group, kind.version) for kind in KINDS}):
        path = f"/apis/{group}/{version}" if group else f"/api/{version}"
        pages[path] = _page(group, version)
    return pages


def _page(group: str, version: str) -> Callable[[], Object]:
    return lambda: _resources(group, version)


def _core() -> Object:
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def _groups() -> Object:
    groups = []
    for group in sorted({kind.group for kind in KINDS if kind.group}):
        versions = sorted({kind.version for kind in KINDS if kind.group == group})
        told = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
        groups.append({"name": group, "versions": told, "preferredVersion": told[0]})
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def _resources(group: str, version: str) -> Object:
    found = [each for kind in KINDS if (kind.group, kind.version) == (group, version) for each in _doors(kind)]
    name = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": found}


def _doors(kind: Kind) -> list[dict[str, Any]]:
    """A resource and its subresources."""
    whole = {
        "name": kind.plural, "singularName": kind.kind.lower(), "namespaced": kind.namespaced, "kind": kind.kind,
        "verbs": VERBS, **({"shortNames": [SHORT[kind.plural]]} if kind.plural in SHORT else {}),
    }  # fmt: skip
    scale = {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    doors = [
        {
            "name": f"{kind.plural}/{door}", "singularName": "", "namespaced": kind.namespaced, "kind": kind.kind,
            "verbs": DOOR_VERBS, **(scale if door == "scale" else {}),
        }
        for door in sorted(kind.subresources)
    ]  # fmt: skip
    return [whole, *doors]
