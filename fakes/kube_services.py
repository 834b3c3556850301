"""The controller of EndpointSlices: the pods behind each Service, and which of them are ready."""

from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from fakes.kube_admission import CONTROLLER
from fakes.kube_kinds import POD, SERVICE, SLICE
from fakes.kube_pods import URL
from fakes.kube_podstatus import ready
from fakes.kube_replicasets import owned, owner_of
from fakes.kube_script import Object
from fakes.kube_store import Store
from fakes.kube_writes import Writer

SERVICE_NAME: Final = "kubernetes.io/service-name"
Ports = tuple[tuple[str, int], ...]
"""Name and number, as behind the Service."""


@dataclass(slots=True)
class Slices:
    """Keeps the EndpointSlices of each Service."""

    writer: Writer

    def sync(self) -> None:
        """One pass over all Services; one slice for each set of ports, as pods of one Service may differ in them."""
        for service in self.writer.store.all(SERVICE):
            if service["spec"].get("selector") and "deletionTimestamp" not in service["metadata"]:
                self._sync(service)

    def _sync(self, service: Object) -> None:
        behind: dict[Ports, list[Object]] = {}
        for pod in pods_of(self.writer.store, service):
            if (pod.get("status") or {}).get("podIP"):
                behind.setdefault(_ports(service, pod), []).append(_endpoint(pod))
        slices = owned(self.writer.store, SLICE, service)
        wanted = sorted(behind.items())
        for i, (ports, endpoints) in enumerate(wanted):
            body = _body(service, ports, endpoints)
            if i < len(slices):
                self.writer.change(SLICE, slices[i], partial(_renew, body))
            else:
                self.writer.create(SLICE, service["metadata"]["namespace"], body, CONTROLLER)
        for left in slices[len(wanted) :]:
            self.writer.remove(SLICE, left)


def pods_of(store: Store, service: Object) -> list[Object]:
    """The pods that a Service selects."""
    selector = service["spec"]["selector"].items()
    pods = store.all(POD, service["metadata"]["namespace"])
    return [pod for pod in pods if selector <= (pod["metadata"].get("labels") or {}).items()]


def _ports(service: Object, pod: Object) -> Ports:
    url = pod["metadata"].get("annotations", {}).get(URL)
    found = []
    for port in service["spec"]["ports"]:
        number = urlsplit(url).port if url else _target(port["targetPort"], pod)
        if number is not None:
            found.append((port.get("name", ""), number))
    return tuple(found)


def _target(wanted: Any, pod: Object) -> int | None:
    """The number of a port that a Service names; None where the pod has no such port."""
    if isinstance(wanted, int):
        return wanted
    ports = [port for container in pod["spec"]["containers"] for port in container.get("ports", [])]
    return next((port["containerPort"] for port in ports if port.get("name") == wanted), None)


def _endpoint(pod: Object) -> Object:
    meta, up = pod["metadata"], ready(pod)
    going = "deletionTimestamp" in meta
    return {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {"ready": up and not going, "serving": up, "terminating": going},
        "targetRef": {"kind": "Pod", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]},
        "nodeName": pod["spec"].get("nodeName", ""),
    }  # fmt: skip


def _body(service: Object, ports: Ports, endpoints: list[Object]) -> Object:
    name = service["metadata"]["name"]
    return {
        "metadata": {
            "generateName": f"{name}-", "labels": {SERVICE_NAME: name},
            "ownerReferences": [owner_of(SERVICE, service)],
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": each, "port": number, "protocol": "TCP"} for each, number in ports],
    }  # fmt: skip


def _renew(body: Object, held: Object) -> None:
    held.update(endpoints=body["endpoints"], ports=body["ports"])


def addresses(store: Store, namespace: str, service: str, port: int) -> list[str] | None:
    """The ready endpoints of a Service's port, as HOST:PORT; None where there is no such Service or port.

    They stand in the order of their pods' names.
    """
    found = store.find(SERVICE, namespace, service)
    if found is None:
        return None
    names = [each.get("name", "") for each in found["spec"]["ports"] if each["port"] == port]
    if not names:
        return None
    ups: list[tuple[str, str]] = []
    for each in owned(store, SLICE, found):
        number = next((one["port"] for one in each["ports"] if one["name"] == names[0]), None)
        ups += [
            (endpoint["targetRef"]["name"], f"{endpoint['addresses'][0]}:{number}")
            for endpoint in each["endpoints"]
            if endpoint["conditions"]["ready"] and number is not None
        ]
    return [address for _, address in sorted(ups)]
