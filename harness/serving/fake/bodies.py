"""What the stand-in answers, in each protocol, and what it says of itself."""

import json
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from harness.serving.fake.fate import Fate
from harness.serving.fake.settings import FakeSettings

EXAMPLE: Final = {"feature1": 1.5, "feature2": 2.5, "feature3": "A"}
MLFLOW_EXAMPLE: Final = {"dataframe_records": [EXAMPLE]}
V2_EXAMPLE: Final = {
    "inputs": [
        {"name": "feature1", "shape": [1], "datatype": "FP64", "data": [1.5]},
        {"name": "feature2", "shape": [1], "datatype": "FP64", "data": [2.5]},
        {"name": "feature3", "shape": [1], "datatype": "BYTES", "data": ["A"]},
    ]
}
PAGE: Final = b"<!DOCTYPE html><html><head><title>Welcome</title></head><body><h1>It works!</h1></body></html>"
PREDICT, CONFIDENCE = "predict", "confidence"
MLFLOW_KEYS: Final = ("dataframe_split", "dataframe_records", "instances", "inputs")

Answerer = Callable[[Any, Fate, FakeSettings], bytes]
"""From the request's JSON, its fate and the settings to a body; ValueError says what is wrong with the request."""


def predict(asked: Any, fate: Fate, settings: FakeSettings) -> bytes:
    """One object in, one prediction out; a list of objects in, a list out."""
    rows = asked if isinstance(asked, list) else [asked]
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise ValueError("a prediction is asked for with a JSON object, or a list of such")
    number = settings.version if _is_whole(settings.version) else f'"{settings.version}"'
    body = (
        f'{{"prediction": {fate.prediction}, "confidence": {fate.confidence}, '
        f'"model": "{settings.model}", "version": {number}}}'
    ).encode()
    if not isinstance(asked, list):
        return _padded(body, settings.payload)
    before = b"[" + (body + b", ") * (len(rows) - 1)
    return before + _padded(body, settings.payload - len(before) - 1) + b"]"


def invocations(asked: Any, fate: Fate, settings: FakeSettings) -> bytes:
    """MLflow's scoring protocol: as many predictions as rows."""
    given = [key for key in MLFLOW_KEYS if isinstance(asked, dict) and key in asked]
    if len(given) != 1:
        raise ValueError(f"an invocation has exactly one of {', '.join(MLFLOW_KEYS)}")
    rows = _rows(asked[given[0]])
    return _padded(json.dumps({"predictions": [fate.prediction] * rows}).encode(), settings.payload)


def infer(asked: Any, fate: Fate, settings: FakeSettings) -> bytes:
    """Open Inference Protocol: as many predictions as the first input's shape says."""
    inputs = asked.get("inputs") if isinstance(asked, dict) else None
    if not isinstance(inputs, list) or not inputs or not all(isinstance(each, dict) for each in inputs):
        raise ValueError('an inference has "inputs", a list of tensors with name, shape, datatype and data')
    shape = inputs[0].get("shape")
    if not isinstance(shape, list) or not shape or not isinstance(shape[0], int) or not 0 <= shape[0] <= 1_000_000:
        raise ValueError("inputs[0].shape is a list of whole numbers, the first of them the number of rows")
    said = {
        "model_name": settings.model,
        "model_version": settings.version,
        "id": str(asked.get("id", fate.number)),
        "outputs": [
            _tensor(PREDICT, "INT64", [fate.prediction] * shape[0]),
            _tensor(CONFIDENCE, "FP64", [fate.confidence] * shape[0]),
        ],
    }
    return _padded(json.dumps(said).encode(), settings.payload)


def event(index: int, fate: Fate, settings: FakeSettings) -> bytes:
    """One chunk of a streamed answer, as language models' servers send it (server-sent events)."""
    said = {"index": index, "token": f"word{index}", "prediction": fate.prediction, "model": settings.model}
    return b"data: " + json.dumps(said).encode() + b"\n\n"


DONE: Final = b"data: [DONE]\n\n"


def _is_whole(text: str) -> bool:
    return text.isdecimal() and (text == "0" or text[0] != "0")


def _rows(given: Any) -> int:
    match given:
        case {"data": list(rows)}:
            return len(rows)
        case {**columns}:
            first: Any = next(iter(columns.values()), [])
            return len(first) if isinstance(first, list) else 1
        case list():
            return len(given)
    raise ValueError("rows are a list, or an object of columns")


def _tensor(name: str, datatype: str, data: list[Any]) -> dict[str, Any]:
    return {"name": name, "shape": [len(data)], "datatype": datatype, "data": data}


def _padded(body: bytes, size: int) -> bytes:
    """A JSON object of that many bytes, where it is shorter and there is room for a field of padding."""
    missing = size - len(body) - len(b', "padding": ""')
    return body if missing < 0 else body[:-1] + b', "padding": "' + b"x" * missing + b'"}'


def mlflow_version() -> str:
    """What MLflow's scoring server says its version is; that of the protocol, where there is no MLflow here."""
    try:
        return version("mlflow")
    except PackageNotFoundError:
        return "3.1.0"


def metadata(settings: FakeSettings) -> dict[str, Any]:
    """What the Open Inference Protocol says of a model."""
    return {
        "name": settings.model,
        "versions": [settings.version],
        "platform": "harness_fake",
        "inputs": [{k: each[k] for k in ("name", "shape", "datatype")} for each in V2_EXAMPLE["inputs"]],
        "outputs": [
            {"name": PREDICT, "shape": [-1], "datatype": "INT64"},
            {"name": CONFIDENCE, "shape": [-1], "datatype": "FP64"},
        ],
    }


def openapi(settings: FakeSettings) -> dict[str, Any]:
    """What can be asked, with an example of each body."""
    return {
        "openapi": "3.1.0",
        "info": {"title": f"{settings.model} (a stand-in)", "version": settings.version},
        "paths": {
            "/predict": {"post": _operation("A prediction, or a list of them", EXAMPLE, ("object", "array"))},
            "/invocations": {"post": _operation("Predictions, as MLflow asks", MLFLOW_EXAMPLE)},
            f"/v2/models/{settings.model}/infer": {"post": _operation("Inference, protocol v2", V2_EXAMPLE)},
            "/settings": {
                "get": {"summary": "How it behaves", "responses": {"200": {"description": "All settings"}}},
                "post": _operation("Change how it behaves", {"latency": {"constant": "30ms"}, "error_rate": "5%"}),
            },
        },
    }


def _operation(summary: str, example: Mapping[str, Any], types: Sequence[str] = ("object",)) -> dict[str, Any]:
    content = {"application/json": {"schema": {"type": [*types]}, "example": example}}
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": content},
        "responses": {"200": {"description": "Done"}, "400": {"description": "What is wrong with the request"}},
    }
