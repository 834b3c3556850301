"""The OpenAPI document of a server, made from its model's features.

A load tester takes the examples of the request bodies for its payload; a generator of requests the schemas.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from harness.serving.answering import Served
from harness.serving.bodies import CSV, JSON
from harness.serving.checking import takes
from harness.serving.features import Feature, Kind
from harness.serving.protocols import v2

VERSION: Final = "3.1.0"
EXAMPLES_SHOWN: Final = 20
TYPES: Final = {Kind.NUMBER: ["number"], Kind.TEXT: ["string"], Kind.BOOLEAN: ["boolean"]}
MEANS: Final = {
    "400": "The body cannot be read.",
    "404": "There is no such model, version or id.",
    "405": "Another method is wanted; see Allow.",
    "408": "The body did not arrive in time.",
    "409": "A label has come already.",
    "413": "The body is too large.",
    "415": "The content type is not taken.",
    "422": "The body is read, and the model does not take it; every fault is told.",
    "500": "The model failed.",
    "503": "Overloaded, or not ready; see Retry-After.",
    "504": "The model took too long.",
}
PREDICTING: Final = ("400", "408", "413", "415", "500", "503", "504")


def document(served: Served, url_path: str = "/", *, labels: bool = False) -> dict[str, Any]:
    """The document.

    Args:
        served: the model.
        url_path: where the server is, seen from the document.
        labels: labels are kept, so that POST /labels is answered.
    """
    name = quote(served.name, safe="")
    model = f"/v2/models/{name}"
    infer = _post(
        "infer", _v2_body(served), _ref("InferAnswer"), ("400", "404", "408", "413", "415", "500", "503", "504")
    )
    ready = _get("Whether it may get traffic.", ("503",))
    paths = {
        "/predict": _post("predict", _row_body(served), _one_or_more("Answer"), (*PREDICTING, "422")),
        "/invocations": _post("invocations", _mlflow_body(served), _ref("Predictions"), PREDICTING),
        f"{model}/infer": infer,
        f"{model}/versions/{quote(served.version, safe='')}/infer": {
            "post": infer["post"] | {"operationId": "infer_version"}
        },
        model: _get("What the model takes and answers.", ("404",)),
        f"{model}/ready": ready,
        "/v2": _get("The server."),
        "/v2/health/live": _get("Whether it runs."),
        "/v2/health/ready": ready,
        "/health": _get("Whether it runs."),
        "/ready": ready,
        "/ping": _get("Whether it runs, as MLflow asks.", body=False),
        "/version": _get("The version of MLflow whose protocol is spoken.", text=True),
        "/metrics": _get("Counts and times, as Prometheus reads them.", text=True),
    }
    if labels:
        paths["/labels"] = _labels(served)
    return {
        "openapi": VERSION,
        "info": {"title": served.name, "version": served.version, "description": _about(served)},
        "servers": [{"url": url_path}],
        "paths": paths,
        "components": {"schemas": _schemas(served)},
        "x-harness": {
            "model": served.name,
            "version": served.version,
            "task": served.task.value,
            "algorithm": served.model.algorithm,
            "digest": served.model.artifact_digest,
            "labels": list(served.labels),
            "features": [_hint(feature) for feature in served.features],
            "predict": {"json": "/predict", "mlflow": "/invocations", "v2": f"{model}/infer"},
        },
    }


def example(served: Served) -> dict[str, Any]:
    """A row that the model answers."""
    return {feature.name: feature.example for feature in served.features}


def mlflow_example(served: Served) -> dict[str, Any]:
    """The same row, as MLflow takes it."""
    return {
        "dataframe_split": {
            "columns": [feature.name for feature in served.features],
            "data": [[feature.example for feature in served.features]],
        }
    }


def v2_example(served: Served) -> dict[str, Any]:
    """The same row, as tensors."""
    return {
        "inputs": [
            {"name": each.name, "shape": [1], "datatype": _datatype(each), "data": [each.example]}
            for each in served.features
        ]
    }


def _datatype(feature: Feature) -> str:
    if feature.kind is Kind.ANY and isinstance(feature.example, int | float):
        return "BOOL" if isinstance(feature.example, bool) else "FP64"
    return v2.DATATYPES[feature.kind]


def _about(served: Served) -> str:
    what = f"answers {' or '.join(map(str, served.labels))}" if served.labels else "answers a number"
    return f"{served.model.algorithm}, {len(served.features)} features; {what}."


def _schema(feature: Feature) -> dict[str, Any]:
    types = list(TYPES.get(feature.kind, ["number", "string", "boolean"])) + ["null"] * feature.nullable
    found: dict[str, Any] = {"type": types[0] if len(types) == 1 else types, "description": f"Takes {takes(feature)}."}
    if feature.closed:
        found = {"enum": [*feature.known, *([None] * feature.nullable)], "description": found["description"]}
    elif feature.known:
        found["examples"] = list(feature.known[:EXAMPLES_SHOWN])
    if "number" in types and not feature.closed and feature.limit < float("inf"):
        found |= {"minimum": -feature.limit, "maximum": feature.limit}
    return found


def _hint(feature: Feature) -> dict[str, Any]:
    return {
        "name": feature.name,
        "kind": feature.kind.value,
        "nullable": feature.nullable,
        "closed": feature.closed,
        "known": list(feature.known[:EXAMPLES_SHOWN]),
        "example": feature.example,
    }


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _one_or_more(name: str) -> dict[str, Any]:
    return {"anyOf": [_ref(name), {"type": "array", "minItems": 1, "items": _ref(name)}]}


def _json(schema: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {JSON: {"schema": dict(schema), **more}}


def _row_body(served: Served) -> dict[str, Any]:
    return _json(_one_or_more("Row"), example=example(served))


def _mlflow_body(served: Served) -> dict[str, Any]:
    one = example(served)
    names = ",".join(f'"{name}"' if "," in name else name for name in one)
    cells = ",".join(
        "" if value is None else f'"{value}"' if "," in str(value) else str(value) for value in one.values()
    )
    csv = {CSV: {"schema": {"type": "string"}, "example": f"{names}\n{cells}\n"}}
    return _json(_ref("Invocation"), example=mlflow_example(served)) | csv


def _v2_body(served: Served) -> dict[str, Any]:
    return _json(_ref("Infer"), example=v2_example(served))


def _responses(good: Mapping[str, Any], codes: Sequence[str], error: str = "Error") -> dict[str, Any]:
    bad = {code: {"description": MEANS[code], "content": _json(_ref(error))} for code in sorted(codes)}
    return {"200": {"description": "Answered.", "content": dict(good)}} | bad


def _post(word: str, body: Mapping[str, Any], good: Mapping[str, Any], codes: Sequence[str]) -> dict[str, Any]:
    error = {"predict": "Error", "invocations": "MLflowError"}.get(word, "V2Error")
    return {
        "post": {
            "operationId": word,
            "parameters": [
                {
                    "name": "X-Request-Id",
                    "in": "header",
                    "required": False,
                    "description": "The request's id, answered in the same header; made where there is none.",
                    "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
                }
            ],
            "requestBody": {"required": True, "content": dict(body)},
            "responses": _responses(_json(good), codes, error),
        }
    }


def _get(summary: str, codes: Sequence[str] = (), *, body: bool = True, text: bool = False) -> dict[str, Any]:
    good: dict[str, Any] = {"text/plain": {"schema": {"type": "string"}}} if text else _json({"type": "object"})
    responses = _responses(good if body else {JSON: {}}, ())
    for code in codes:
        responses[code] = {"description": MEANS[code], "content": _json({"type": "object"})}
    return {"get": {"summary": summary, "responses": responses}}


def _labels(served: Served) -> dict[str, Any]:
    label: dict[str, Any] = {"enum": [*served.labels]} if served.labels else {"type": "number"}
    one = {
        "type": "object",
        "required": ["id", "label"],
        "properties": {"id": {"type": "string"}, "label": label},
    }
    schema = {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}
    taken = {"type": "object", "required": ["labels"], "properties": {"labels": {"type": "integer"}}}
    body = _json(schema, example={"id": "the id of a prediction", "label": served.labels[-1] if served.labels else 1.0})
    codes = ("400", "404", "408", "409", "413", "415", "422", "503")
    return {
        "post": {
            "operationId": "labels",
            "requestBody": {"required": True, "content": body},
            "responses": _responses(_json(taken), codes),
        }
    }


def _schemas(served: Served) -> dict[str, Any]:
    text, number = {"type": "string"}, {"type": "number"}
    label = {"enum": [str(each) for each in served.labels]} if served.labels else number
    names = [feature.name for feature in served.features]
    width = {"minItems": len(names), "maxItems": len(names)}
    fault = {
        "type": "object",
        "required": ["field", "value", "allowed"],
        "properties": {"field": text, "value": {"type": ["string", "null"]}, "allowed": text},
    }
    return {
        "Row": {
            "type": "object",
            "description": "Features by name; other names are ignored.",
            "required": names,
            "properties": {feature.name: _schema(feature) for feature in served.features},
        },
        "Answer": {
            "type": "object",
            "required": ["prediction", "confidence", "model", "version", "id"],
            "properties": {
                "prediction": label,
                "confidence": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
                "model": {"const": served.name},
                "version": {"const": served.shown_version},
                "id": text,
            },
        },
        "Error": {
            "type": "object",
            "required": ["error", "errors"],
            "properties": {"error": text, "errors": {"type": "array", "items": fault}},
        },
        "Invocation": {"anyOf": [_form(name, schema) for name, schema in _forms(names, width).items()]},
        "Predictions": {
            "type": "object",
            "required": ["predictions"],
            "properties": {
                "predictions": {
                    "type": "array", "minItems": 1, "items": {"enum": list(served.labels)} if served.labels else number,
                }
            },
        },
        "MLflowError": {
            "type": "object",
            "required": ["error_code", "message"],
            "properties": {"error_code": text, "message": text},
        },
        "Tensor": _tensor(),
        "Infer": {
            "type": "object",
            "required": ["inputs"],
            "properties": {
                "id": {"type": "string", "pattern": "^[ -~]{0,128}$"},
                "inputs": {"type": "array", "minItems": 1, "items": _ref("Tensor")},
                "outputs": {"type": "array", "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"name": {"enum": list(v2.outputs_of(served))}},
                }},
            },
        },
        "InferAnswer": {
            "type": "object",
            "required": ["model_name", "model_version", "id", "outputs"],
            "properties": {
                "model_name": {"const": served.name},
                "model_version": {"const": served.version},
                "id": text,
                "outputs": {"type": "array", "minItems": 1, "items": _ref("Tensor")},
            },
        },
        "V2Error": {"type": "object", "required": ["error"], "properties": {"error": text}},
    }  # fmt: skip


def _forms(names: Sequence[str], width: Mapping[str, int]) -> dict[str, Any]:
    rows = {"type": "array", "minItems": 1, "items": _ref("Row")}
    split = {
        "type": "object",
        "required": ["columns", "data"],
        "properties": {
            "columns": {"const": list(names)},
            "data": {"type": "array", "minItems": 1, "items": {"type": "array", **width}},
        },
    }
    columns = {"type": "object", "required": list(names), "description": "A list of values for each feature."}
    return {"dataframe_split": split, "dataframe_records": rows, "instances": rows, "inputs": columns}


def _form(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": [name], "properties": {name: schema}, "additionalProperties": False}


def _tensor() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"type": "string"},
            "shape": {
                "type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "integer", "minimum": 0},
            },
            "datatype": {"enum": list(v2.KNOWN)},
            "data": {"type": "array"},
        },
    }  # fmt: skip
