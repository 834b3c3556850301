"""What an API server refuses with 422: names, required fields, shares out of range, fields that cannot change."""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from fakes.kube_errors import invalid
from fakes.kube_kinds import (
    AUTOSCALER,
    BINDING,
    CLAIM,
    CLUSTER_BINDING,
    DEPLOYMENT,
    NAMESPACE,
    POD,
    ROUTE,
    SERVICE,
    Kind,
)
from fakes.kube_script import Object
from fakes.kube_selectors import matches

SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
SERVICE_NAME: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
LABEL_VALUE: Final = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
MOST: Final = 16
"""Rules of an HTTPRoute, and backends of a rule."""
HEAVIEST: Final = 1_000_000
FIXED: Final = "field is immutable"
Wrong = Iterator[tuple[str, str, str]]
"""Field, cause, what is wrong."""


def check(kind: Kind, obj: Object, before: Object | None) -> None:
    """Let it pass, or refuse it.

    Raises:
        Refused: 422, naming every field that is wrong.
    """
    wrong = [*_meta(kind, obj)]
    if not wrong and kind in CHECKS:
        try:
            wrong = [*CHECKS[kind](obj, before)]
        except (KeyError, TypeError, AttributeError) as error:
            wrong = [("spec", "FieldValueInvalid", f"Invalid value: cannot be read ({error!r})")]
    if wrong:
        raise invalid(kind, obj["metadata"].get("name", ""), *wrong)


def _bad(field: str, value: Any, what: str) -> tuple[str, str, str]:
    shown = f'"{value}"' if isinstance(value, str) else value
    return field, "FieldValueInvalid", f"Invalid value: {shown}: {what}"


def _missing(field: str) -> tuple[str, str, str]:
    return field, "FieldValueRequired", "Required value"


def _meta(kind: Kind, obj: Object) -> Wrong:
    name = obj["metadata"]["name"]
    form, what, most = SUBDOMAIN, "a lowercase RFC 1123 subdomain", 253
    if kind is SERVICE:
        form, what, most = SERVICE_NAME, "a DNS-1035 label", 63
    elif kind is NAMESPACE:
        form, what, most = LABEL, "a lowercase RFC 1123 label", 63
    elif kind.group == "rbac.authorization.k8s.io":
        form, what = re.compile(r"[^/%]+"), "a path segment"
    if not form.fullmatch(name):
        yield _bad("metadata.name", name, f"{what} must match '{form.pattern}'")
    if len(name) > most:
        yield "metadata.name", "FieldValueInvalid", f'Invalid value: "{name}": must be no more than {most} characters'
    for label, value in (obj["metadata"].get("labels") or {}).items():
        if not isinstance(value, str) or not LABEL_VALUE.fullmatch(value) or len(value) > 63:
            yield _bad(f"metadata.labels[{label}]", value, "a valid label must be an empty string or consist of …")


def _pod_spec(spec: dict[str, Any], at: str) -> Wrong:
    if not spec.get("containers"):
        yield _missing(f"{at}.containers")
    for i, container in enumerate(spec.get("containers") or []):
        for field in ("name", "image"):
            if not container.get(field):
                yield _missing(f"{at}.containers[{i}].{field}")


def _pod(obj: Object, before: Object | None) -> Wrong:
    yield from _pod_spec(obj["spec"], "spec")
    if before is not None:
        was, now = ([{**c, "image": ""} for c in each["spec"].get("containers", [])] for each in (before, obj))
        if was != now:
            said = "pod updates may not change fields other than `spec.containers[*].image`"
            yield "spec", "FieldValueForbidden", f"Forbidden: {said}"


def _deployment(obj: Object, before: Object | None) -> Wrong:
    spec = obj["spec"]
    if not isinstance(spec["replicas"], int) or spec["replicas"] < 0:
        yield _bad("spec.replicas", spec["replicas"], "must be greater than or equal to 0")
    if before is not None and before["spec"]["selector"] != spec.get("selector"):
        yield _bad("spec.selector", spec.get("selector"), FIXED)
    elif not spec.get("selector"):
        yield _missing("spec.selector")
    elif not matches(spec["selector"], (spec["template"].get("metadata") or {}).get("labels") or {}):
        labels = (spec["template"].get("metadata") or {}).get("labels")
        yield _bad("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
    if spec["progressDeadlineSeconds"] <= spec.get("minReadySeconds", 0):
        yield _bad(
            "spec.progressDeadlineSeconds", spec["progressDeadlineSeconds"], "must be greater than minReadySeconds"
        )
    rolling = spec["strategy"].get("rollingUpdate")
    if rolling and all(str(rolling[each]) in {"0", "0%"} for each in ("maxSurge", "maxUnavailable")):
        yield _bad("spec.strategy.rollingUpdate.maxUnavailable", 0, "may not be 0 when `maxSurge` is 0")
    yield from _pod_spec(spec["template"]["spec"], "spec.template.spec")


def _service(obj: Object, before: Object | None) -> Wrong:
    spec = obj["spec"]
    if not spec.get("ports") and spec.get("clusterIP") != "None":
        yield _missing("spec.ports")
    for i, port in enumerate(spec.get("ports") or []):
        if not 0 < port["port"] < 65536:
            yield _bad(f"spec.ports[{i}].port", port["port"], "must be between 1 and 65535, inclusive")
    if before is not None and before["spec"].get("clusterIP") != spec.get("clusterIP"):
        yield _bad("spec.clusterIPs[0]", spec.get("clusterIP"), FIXED)


def _claim(obj: Object, before: Object | None) -> Wrong:
    if before is not None:
        was, now = ({**each["spec"], "resources": None} for each in (before, obj))
        if was != now:
            said = "spec is immutable after creation except resources.requests"
            yield "spec", "FieldValueForbidden", f"Forbidden: {said}"
    if not obj["spec"].get("accessModes"):
        yield _missing("spec.accessModes")


def _autoscaler(obj: Object, _: Object | None) -> Wrong:
    spec = obj["spec"]
    if spec.get("maxReplicas", 0) < spec["minReplicas"]:
        yield _bad("spec.maxReplicas", spec.get("maxReplicas"), "must be greater than or equal to `minReplicas`")
    if not (spec.get("scaleTargetRef") or {}).get("name"):
        yield _missing("spec.scaleTargetRef.name")


def _binding(obj: Object, before: Object | None) -> Wrong:
    if before is not None and before["roleRef"] != obj["roleRef"]:
        yield _bad("roleRef", obj["roleRef"], "cannot change roleRef")


def _route(obj: Object, _: Object | None) -> Wrong:
    rules = obj["spec"]["rules"]
    if not 1 <= len(rules) <= MOST:
        yield "spec.rules", "FieldValueTooMany", f"Too many: {len(rules)}: must have at most {MOST} items"
    for i, rule in enumerate(rules):
        at = f"spec.rules[{i}].backendRefs"
        if len(rule.get("backendRefs", [])) > MOST:
            yield at, "FieldValueTooMany", f"Too many: {len(rule['backendRefs'])}: must have at most {MOST} items"
        for j, ref in enumerate(rule.get("backendRefs", [])):
            if not isinstance(ref["weight"], int) or not 0 <= ref["weight"] <= HEAVIEST:
                yield _bad(f"{at}[{j}].weight", ref["weight"], f"should be an integer in 0..{HEAVIEST}")
            if ref["kind"] == "Service" and not ref.get("port"):
                yield _bad(f"{at}[{j}]", "object", "Must have port for Service reference")


CHECKS: Final[dict[Kind, Callable[[Object, Object | None], Wrong]]] = {
    POD: _pod, DEPLOYMENT: _deployment, SERVICE: _service, CLAIM: _claim, AUTOSCALER: _autoscaler, ROUTE: _route,
    BINDING: _binding, CLUSTER_BINDING: _binding,
}  # fmt: skip
