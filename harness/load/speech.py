"""How an endpoint is asked: where each protocol has what, how rows become a body, where a prediction is in an answer.

| | predict | alive | ready | says what it takes |
|---|---|---|---|---|
| json | ``/predict`` | ``/health`` | ``/ready`` | ``/openapi.json`` |
| mlflow | ``/invocations`` | ``/ping`` | ``/ping`` | ``/openapi.json``, where it has one |
| v2 | ``/v2/models/M/infer`` | ``/v2/health/live`` | ``/v2/health/ready``, ``/v2/models/M/ready`` | ``/v2/models/M`` |
| raw | the URL as it stands | - | - | - |

Sources: MLflow's scoring server (3.x), and the Open Inference Protocol, version 2.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from harness.domain.load import Speech
from harness.errors import InputError

Row = Mapping[str, Any]

FORMS: Final = ("split", "records")
"""How rows are written for MLflow: ``dataframe_split``, or ``dataframe_records``."""

_MLFLOW_ROWS: Final = frozenset({"dataframe_split", "dataframe_records", "instances", "inputs"})
_MLFLOW_KEYS: Final = _MLFLOW_ROWS | {"params"}
_V2_KEYS: Final = frozenset({"inputs", "id", "parameters", "outputs"})
_V2_MODEL: Final = re.compile(r"(?P<root>.*)/v2/models/(?P<model>[^/]+)(?P<version>/versions/[^/]+)?(?P<infer>/infer)?")
_INT64: Final = range(-(2**63), 2**63)


class _Nowhere:
    """What stands for a prediction that an answer does not have."""

    def __repr__(self) -> str:
        return "no prediction"


NOWHERE: Final = _Nowhere()


# --- where ---


def predict_url(base: str, speech: Speech, model: str | None = None) -> str:
    """Where predictions are asked for.

    Args:
        base: the endpoint's URL. For json and raw a path is taken as it stands; for the others it may be the whole
            path, or what stands before the protocol's own.
        speech: the protocol.
        model: its name, for v2 where the URL does not hold it.

    Raises:
        InputError: v2 without a model.

    >>> predict_url("http://localhost:8080", Speech.JSON), predict_url("http://localhost:8080/score", Speech.JSON)
    ('http://localhost:8080/predict', 'http://localhost:8080/score')
    >>> predict_url("https://example.org/churn/?key=1", Speech.V2, "churn model")
    'https://example.org/churn/v2/models/churn%20model/infer?key=1'
    """
    parts = urlsplit(base)
    path = parts.path.rstrip("/")
    match speech:
        case Speech.RAW:
            return base
        case Speech.JSON:
            path = parts.path if path else "/predict"
        case Speech.MLFLOW:
            path = f"{_root(parts, speech)}/invocations"
        case Speech.V2:
            path = f"{_root(parts, speech)}/v2/models/{_model(parts, model)}/infer"
    return _with_path(parts, path)


def health_url(base: str, speech: Speech) -> str | None:
    """What answers 2xx as long as the server is alive; None for raw, which promises nothing of the kind.

    >>> health_url("http://localhost/api/predict", Speech.JSON)
    'http://localhost/api/health'
    """
    if speech is Speech.RAW:
        return None
    own = {Speech.JSON: "/health", Speech.MLFLOW: "/ping", Speech.V2: "/v2/health/live"}[speech]
    parts = urlsplit(base)
    return _with_path(parts, _root(parts, speech) + own)


def ready_urls(base: str, speech: Speech, model: str | None = None) -> tuple[str, ...]:
    """What answers 2xx, all of it, when predictions may be asked for; none for raw.

    A server that does not know one of them (404) is ready when it is alive: ask `health_url`.

    Raises:
        InputError: v2 without a model.
    """
    parts = urlsplit(base)
    match speech:
        case Speech.JSON:
            own: tuple[str, ...] = ("/ready",)
        case Speech.MLFLOW:
            own = ("/ping",)
        case Speech.V2:
            own = ("/v2/health/ready", f"/v2/models/{_model(parts, model)}/ready")
        case Speech.RAW:
            return ()
    return tuple(_with_path(parts, _root(parts, speech) + path) for path in own)


def describe_url(base: str, speech: Speech, model: str | None = None) -> str | None:
    """What says what predictions are asked with; None for raw.

    Raises:
        InputError: v2 without a model.
    """
    parts = urlsplit(base)
    if speech is Speech.RAW:
        return None
    own = f"/v2/models/{_model(parts, model)}" if speech is Speech.V2 else "/openapi.json"
    return _with_path(parts, _root(parts, speech) + own)


def _root(parts: SplitResult, speech: Speech) -> str:
    """The path below which a server has its other paths, without a slash at its end."""
    path = parts.path.rstrip("/")
    if speech is Speech.JSON:
        return path.rpartition("/")[0]
    if speech is Speech.MLFLOW:
        return path.removesuffix("/invocations")
    found = _V2_MODEL.fullmatch(path)
    return found["root"] if found else path.removesuffix("/v2")


def _model(parts: SplitResult, model: str | None) -> str:
    """The model's part of the path, with its version where the URL has one."""
    found = _V2_MODEL.fullmatch(parts.path.rstrip("/"))
    if found:
        return found["model"] + (found["version"] or "")
    if not model:
        raise InputError("the v2 protocol asks for a model by its name: add --model NAME")
    return quote(model, safe="")


def _with_path(parts: SplitResult, path: str) -> str:
    return urlunsplit(parts._replace(path=path, fragment=""))


# --- what is sent ---


def is_request(value: Mapping[str, Any], speech: Speech) -> bool:
    """Whether an object is a whole request already, which is sent as it stands, and no row.

    It is known by having the protocol's own keys and no other: a row with a column ``inputs`` has others beside it.

    >>> is_request({"dataframe_records": [{"a": 1}]}, Speech.MLFLOW), is_request({"inputs": 1, "age": 3}, Speech.MLFLOW)
    (True, False)
    """
    keys = value.keys()
    if speech is Speech.MLFLOW:
        return keys <= _MLFLOW_KEYS and len(keys & _MLFLOW_ROWS) == 1
    if speech is Speech.V2:
        inputs = value.get("inputs")
        return keys <= _V2_KEYS and isinstance(inputs, list) and all(isinstance(tensor, Mapping) for tensor in inputs)
    return False


def encode(value: Any) -> bytes:
    """JSON in its shortest form, UTF-8.

    Raises:
        ValueError: it holds NaN, an infinity, or half of a surrogate pair, which JSON cannot carry.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def body(
    rows: Sequence[Row], speech: Speech, *, form: str = "split", datatypes: Mapping[str, str] | None = None
) -> bytes:
    """One request that asks for predictions of all the rows.

    Args:
        rows: at least one; their values are what JSON has.
        speech: the protocol; one row becomes an object in json, several an array of objects.
        form: of MLflow, one of `FORMS`.
        datatypes: of v2, by column (`datatypes` finds them over all rows that will be sent); None: of these rows.

    Raises:
        InputError: rows that the protocol cannot carry; tells the column.
    """
    match speech:
        case Speech.JSON:
            return encode(dict(rows[0]) if len(rows) == 1 else [dict(row) for row in rows])
        case Speech.MLFLOW if form == "records":
            return encode({"dataframe_records": [dict(row) for row in rows]})
        case Speech.MLFLOW:
            names = list(dict.fromkeys(name for row in rows for name in row))
            data = [[row.get(name) for name in names] for row in rows]
            return encode({"dataframe_split": {"columns": names, "data": data}})
        case Speech.V2:
            return encode({"inputs": _tensors(rows, datatypes_of(rows) if datatypes is None else datatypes)})
        case Speech.RAW:
            raise InputError("raw sends bodies as they stand and makes none of rows; use --protocol json, mlflow or v2")


def datatypes_of(rows: Iterable[Row]) -> dict[str, str]:
    """The v2 datatype of each column, wide enough for all its values: BOOL, INT64, FP64 or BYTES.

    Raises:
        InputError: a column that holds null, an object, or values that have no type in common.

    >>> datatypes_of([{"age": 41, "plan": "basic"}, {"age": 41.5, "plan": "gold"}])
    {'age': 'FP64', 'plan': 'BYTES'}
    """
    found: dict[str, str] = {}
    for row in rows:
        for name, value in row.items():
            for each in value if isinstance(value, list) else [value]:
                kind = _datatype(name, each)
                found[name] = kind if found.get(name, kind) == kind else _wider(name, found[name], kind)
    return found


def _datatype(name: str, value: Any) -> str:
    match value:
        case bool():
            return "BOOL"
        case int() if value in _INT64:
            return "INT64"
        case int() | float():
            return "FP64"
        case str():
            return "BYTES"
        case None:
            raise InputError(
                f"column {name} has no value in a row, and v2 has no null: fill it, or leave it out (--drop {name})"
            )
    shown = encode(value).decode()[:80]
    raise InputError(f"column {name} holds {shown}; a v2 tensor holds numbers, texts or booleans")


def _wider(name: str, one: str, other: str) -> str:
    if {one, other} == {"INT64", "FP64"}:
        return "FP64"
    raise InputError(
        f"column {name} holds {one} in one row and {other} in another; a v2 tensor has one type: write them alike"
    )


def _tensors(rows: Sequence[Row], datatypes: Mapping[str, str]) -> list[dict[str, Any]]:
    names = rows[0].keys()
    for row in rows:
        if row.keys() != names:
            name = min(row.keys() ^ names)
            raise InputError(f"column {name} is missing in one of {len(rows)} rows; v2 has no null: fill it")
    return [_tensor(name, [row[name] for row in rows], datatypes[name]) for name in names]


def _tensor(name: str, values: list[Any], datatype: str) -> dict[str, Any]:
    """Of one row the shape is [1], of n it is [n, 1]; where a value is a list of k it is [n, k]."""
    widths = {len(value) if isinstance(value, list) else None for value in values}
    if len(widths) > 1:
        raise InputError(f"column {name} holds lists of different lengths; a v2 tensor has one shape")
    width = widths.pop()
    shape = [len(values), 1 if width is None else width] if len(values) > 1 or width is not None else [1]
    data = values if width is None else [each for value in values for each in value]
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


# --- what is answered ---


def prediction(answer: Any, speech: Speech) -> Any:
    """The prediction in a parsed answer, or `NOWHERE`; a list of one stands for what is in it.

    In json it is ``prediction`` (or ``predictions``), of several rows a list; in MLflow ``predictions``; in v2 the data
    of the first output, flat.

    >>> prediction({"prediction": "yes", "confidence": 0.9}, Speech.JSON)
    'yes'
    >>> prediction({"predictions": [1]}, Speech.MLFLOW)
    1
    >>> prediction({"outputs": [{"name": "p", "shape": [1, 2], "data": [[0.2, 0.8]]}]}, Speech.V2)
    [0.2, 0.8]
    """
    return plain(_prediction(answer, speech), speech)


def plain(value: Any, speech: Speech) -> Any:
    """A prediction as it is compared: v2's flat (its shape says the rest), and a list of one as what is in it."""
    if speech is Speech.V2 and isinstance(value, list):
        value = [*_flat(value)]
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def place(speech: Speech) -> str:
    """Where an answer has its prediction, for people."""
    return {Speech.MLFLOW: "predictions", Speech.V2: "outputs[0].data"}.get(speech, "prediction")


def _prediction(answer: Any, speech: Speech) -> Any:
    if isinstance(answer, list) and speech is not Speech.V2:
        each = [_prediction(part, speech) for part in answer]
        return NOWHERE if not each or any(part is NOWHERE for part in each) else each
    if not isinstance(answer, dict):
        return NOWHERE
    if speech is Speech.V2:
        outputs = answer.get("outputs")
        first = outputs[0] if isinstance(outputs, list) and outputs else None
        return first.get("data", NOWHERE) if isinstance(first, dict) else NOWHERE
    names = ("predictions",) if speech is Speech.MLFLOW else ("prediction", "predictions")
    return next((answer[name] for name in names if name in answer), NOWHERE)


def _flat(values: list[Any]) -> Iterable[Any]:
    for value in values:
        if isinstance(value, list):
            yield from _flat(value)
        else:
            yield value


def json_value(value: Any) -> Any:
    """A value of a table as JSON has it: NaN is null, dates and times are text, whole numbers stay whole.

    Raises:
        ValueError: an infinity, or something that JSON has no form for.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if math.isinf(value):
            raise ValueError(f"{value} is no number in JSON")
        return None if math.isnan(value) else value
    if isinstance(value, list | tuple):
        return [json_value(each) for each in value]
    if isinstance(value, Mapping):
        return {str(name): json_value(each) for name, each in value.items()}
    return _other(value)


def _other(value: Any) -> Any:
    from datetime import date, time, timedelta
    from decimal import Decimal

    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return json_value(int(value) if value.is_finite() and value == value.to_integral_value() else float(value))
    if isinstance(value, bytes):
        return value.decode()  # UnicodeDecodeError is a ValueError
    raise ValueError(f"a {type(value).__name__} has no form in JSON")
