"""What is sent for predictions, and what answers mean, in each protocol: pure functions."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import quote

from harness.errors import EndpointError, InputError

Row = Mapping[str, Any]
Prediction = dict[str, Any]

PREDICTED: Final = ("predict", "prediction", "label", "output")
"""Names of a tensor of predictions, the likeliest first; the first tensor of all where none has one of them."""
SURE: Final = ("confidence", "score", "probability", "predict_proba")


@dataclass(frozen=True, slots=True)
class Request:
    """A request before it has an endpoint."""

    method: str
    path: str
    body: bytes | None = None


class Spoken(Protocol):
    """A protocol as a client speaks it."""

    alive: Request
    ready: Request
    about: Request

    def asks(self, rows: Sequence[Row]) -> list[Request]:
        """The requests that ask for predictions of these rows."""
        ...

    def answers(self, said: Any, rows: int) -> list[Prediction]:
        """The predictions of so many rows that one answer holds; EndpointError where it holds none."""
        ...

    def described(self, said: Any) -> dict[str, Any]:
        """The metadata of an answer to `about`: a model and a version, and what else was said."""
        ...


class Plain:
    """``json``: POST /predict, a row at a time."""

    alive = Request("GET", "/health")
    ready = Request("GET", "/ready")
    about = Request("GET", "/health")

    def __init__(self, model: str | None) -> None:
        self._model = model

    def asks(self, rows: Sequence[Row]) -> list[Request]:
        """A request for each row."""
        return [Request("POST", "/predict", _dumps(row)) for row in map(_plain_row, rows)]

    def answers(self, said: Any, rows: int) -> list[Prediction]:
        """The one that an answer holds."""
        del rows
        if not isinstance(said, dict) or "prediction" not in said:
            raise _unexpected("an object with a prediction", said, "json")
        model, version = said.get("model") or self._model, said.get("version")
        return [said | _prediction(said["prediction"], said.get("confidence"), model, version)]

    def described(self, said: Any) -> dict[str, Any]:
        """What health says besides being well."""
        known = said if isinstance(said, dict) else {}
        rest = {key: value for key, value in known.items() if key not in {"status", "live"}}
        return {"model": self._model, "version": None} | rest | _versioned(rest)


class MLflow:
    """``mlflow``: POST /invocations; its answers name no model and no confidence."""

    alive = Request("GET", "/ping")
    ready = Request("GET", "/ping")
    about = Request("GET", "/version")

    def __init__(self, model: str | None) -> None:
        self._model = model

    def asks(self, rows: Sequence[Row]) -> list[Request]:
        """One request for all."""
        if not rows:
            return []
        return [Request("POST", "/invocations", _dumps({"dataframe_records": [_plain_row(row) for row in rows]}))]

    def answers(self, said: Any, rows: int) -> list[Prediction]:
        """One for each row, in their order."""
        found = said.get("predictions") if isinstance(said, dict) else None
        if not isinstance(found, list) or len(found) != rows:
            raise _unexpected(f"an object with {rows} predictions", said, "mlflow")
        return [self._one(each) for each in found]

    def _one(self, each: Any) -> Prediction:
        if isinstance(each, dict) and "prediction" in each:
            return _prediction(each["prediction"], each.get("confidence"), self._model, None)
        return _prediction(each, None, self._model, None)

    def described(self, said: Any) -> dict[str, Any]:
        """The version is MLflow's own: of the model it says none."""
        return {"model": self._model, "version": None, "mlflow": str(said).strip()}


class V2:
    """``v2``: POST /v2/models/{model}/infer, a tensor for each feature."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._path = f"/v2/models/{quote(model, safe='')}"
        self.alive = Request("GET", "/v2/health/live")
        self.ready = Request("GET", f"{self._path}/ready")
        self.about = Request("GET", self._path)

    def asks(self, rows: Sequence[Row]) -> list[Request]:
        """One request for all, by columns."""
        if not rows:
            return []
        plain = [_plain_row(row) for row in rows]
        names = list(plain[0])
        for number, row in enumerate(plain):
            if set(row) != set(names):
                other = sorted(set(row) ^ set(names))
                raise InputError(f"row {number} and row 0 differ in {', '.join(other)}; v2 sends columns: name all")
        inputs = [_tensor(name, [row[name] for row in plain]) for name in names]
        return [Request("POST", f"{self._path}/infer", _dumps({"inputs": inputs}))]

    def answers(self, said: Any, rows: int) -> list[Prediction]:
        """The values of its tensors, by row."""
        outputs = said.get("outputs") if isinstance(said, dict) else None
        if not isinstance(outputs, list) or not outputs or not all(isinstance(each, dict) for each in outputs):
            raise _unexpected("an object with outputs", said, "v2")
        predicted = _values(_named(outputs, PREDICTED) or outputs[0], rows)
        sure = _named(outputs, SURE)
        confidences = _values(sure, rows) if sure and sure is not outputs[0] else [None] * rows
        if predicted is None or confidences is None:
            raise _unexpected(f"outputs of {rows} rows", said, "v2")
        model, version = said.get("model_name") or self._model, said.get("model_version")
        return [
            _prediction(value, max(each) if isinstance(each, list) and each else each, model, version)
            for value, each in zip(predicted, confidences, strict=True)
        ]

    def described(self, said: Any) -> dict[str, Any]:
        """The latest version that the server has, and its tensors."""
        known = said if isinstance(said, dict) else {}
        versions = known.get("versions") or [None]
        return {"model": known.get("name", self._model), "version": _whole(versions[-1])} | known


PROTOCOLS: Final = ("json", "mlflow", "v2")


def spoken(protocol: str, model: str | None) -> Spoken:
    """The protocol of that name.

    Raises:
        InputError: there is none, or it needs the model's name.
    """
    match protocol:
        case "json":
            return Plain(model)
        case "mlflow":
            return MLflow(model)
        case "v2" if model:
            return V2(model)
        case "v2":
            raise InputError('the protocol v2 names the model in its paths; give model="NAME"')
    raise InputError(f"protocol is {protocol!r}; there are {', '.join(PROTOCOLS)}")


# --- values -----------------------------------------------------------------------------------------------------------


def _prediction(value: Any, confidence: Any, model: Any, version: Any) -> Prediction:
    return {"prediction": value, "confidence": confidence, "model": model, "version": _whole(version)}


def _versioned(said: Mapping[str, Any]) -> dict[str, Any]:
    return {"version": _whole(said["version"])} if "version" in said else {}


def _whole(version: Any) -> Any:
    """A version as a number where it is one: v2 sends text, and others do not.

    >>> _whole("3"), _whole(3), _whole("007"), _whole(None)
    (3, 3, '007', None)
    """
    whole = isinstance(version, str) and re.fullmatch(r"0|[1-9][0-9]{0,17}", version, re.ASCII)
    return int(version) if whole else version


def _plain_row(row: Row) -> dict[str, Any]:
    """A row of values that JSON has: numpy's numbers become Python's, NaN becomes null."""
    if not isinstance(row, Mapping):
        raise InputError(f"a row is {type(row).__name__}; it is a dict, features by name")
    return {str(name): _plain(value, str(name)) for name, value in row.items()}


def _plain(value: Any, name: str) -> Any:
    if hasattr(value, "item") and not isinstance(value, str | int | float | bool) and not getattr(value, "ndim", 0):
        value = value.item()  # a scalar of numpy
    if isinstance(value, float) and not math.isfinite(value):
        if math.isnan(value):
            return None
        raise InputError(f"{name} is {value}, which JSON cannot say; send a finite number, or None")
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, list | tuple):
        return [_plain(each, name) for each in value]
    raise InputError(f"{name} is a {type(value).__name__}; a feature is a number, a text, a truth value or None")


def _dumps(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False).encode()


def _tensor(name: str, data: list[Any]) -> dict[str, Any]:
    return {"name": name, "shape": [len(data)], "datatype": _datatype(name, data), "data": data}


def _datatype(name: str, data: list[Any]) -> str:
    kinds = {type(value) for value in data} - {type(None)}
    if kinds <= {bool} and kinds:
        return "BOOL"
    if kinds <= {int} and kinds and None not in data:
        return "INT64"
    if kinds <= {int, float}:
        return "FP64"
    if kinds <= {str}:
        return "BYTES"
    mixed = " and ".join(sorted(kind.__name__ for kind in kinds))
    raise InputError(f"{name} is {mixed}; a tensor of v2 holds values of one kind")


def _named(outputs: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, Any] | None:
    by_name = {each.get("name"): each for each in outputs}
    return next((by_name[name] for name in names if name in by_name), None)


def _values(output: Mapping[str, Any], rows: int) -> list[Any] | None:
    """A tensor's values by row, a list where a row has several; None where they are not those of so many rows."""
    data = output.get("data")
    if not isinstance(data, list) or (rows and len(data) % rows):
        return None
    if len(data) != rows:  # row-major, as its shape says
        width = len(data) // rows if rows else 0
        return [data[row * width : (row + 1) * width] for row in range(rows)] if width else None
    return [each[0] if isinstance(each, list) and len(each) == 1 else each for each in data]


def _unexpected(what: str, said: Any, protocol: str) -> EndpointError:
    shown = json.dumps(said)[:200] if not isinstance(said, str) else said[:200]
    return EndpointError(f"the answer is not {what}, but {shown}; does the endpoint speak {protocol}?", 200)
