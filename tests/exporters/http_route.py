"""The fields of an HTTPRoute that exports use, as a JSON Schema.

Written from the CRD in the Gateway API's repository (kubernetes-sigs/gateway-api, config/crd/standard,
gateway.networking.k8s.io_httproutes.yaml, version v1, at its HEAD; no release was pinned): bounds, patterns and
required fields are those of the CRD; fields that exports do not use are left out and so refused, as the CRD's rules in
CEL are.
"""

from typing import Any, Final

LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
DOMAIN: Final = rf"{LABEL}(\.{LABEL})*"


def _text(pattern: str | None = None, most: int = 253) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": most, **({"pattern": pattern} if pattern else {})}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


def _list(of: dict[str, Any], most: int, least: int = 0) -> dict[str, Any]:
    return {"type": "array", "items": of, "minItems": least, "maxItems": most}


HEADER: Final = _object(
    ["name", "value"],
    type={"enum": ["Exact", "RegularExpression"]},
    name=_text(r"^[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+$", 256),
    value=_text(most=4096),
)
BACKEND: Final = _object(
    ["name"],
    name=_text(),
    port={"type": "integer", "minimum": 1, "maximum": 65535},
    weight={"type": "integer", "minimum": 0, "maximum": 1_000_000},
)
RULE: Final = _object([], matches=_list(_object([], headers=_list(HEADER, 16)), 64), backendRefs=_list(BACKEND, 16))
SPEC: Final = _object(
    [],
    parentRefs=_list(_object(["name"], name=_text(), namespace=_text(f"^{LABEL}$", 63)), 32),
    hostnames=_list(_text(rf"^(\*\.)?{DOMAIN}$"), 16),
    rules=_list(RULE, 16, least=1),
)
SCHEMA: Final = _object(
    ["apiVersion", "kind", "metadata", "spec"],
    apiVersion={"const": "gateway.networking.k8s.io/v1"},
    kind={"const": "HTTPRoute"},
    metadata={"type": "object", "required": ["name"]},
    spec=SPEC,
)
