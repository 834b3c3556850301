"""The protocol ``v2``, or Open Inference Protocol: POST /v2/models/{model}[/versions/{version}]/infer.

https://github.com/kserve/open-inference-protocol. Inputs are one tensor for each feature, of shape [n] or [n, 1], or
one of shape [n, features] with the features in their order. Outputs are ``prediction`` and, where the model says how
sure it is, ``confidence``. Tensors as binary data are an extension that is not spoken here.
"""

import math
from typing import Any, Final

from harness.serving.answering import Answers, Served
from harness.serving.bodies import BAD_REQUEST, JSON, loads
from harness.serving.checking import UNPROCESSABLE, Checker, Refused, shown
from harness.serving.features import Feature, Kind
from harness.serving.protocols import Asked

PREDICTION, CONFIDENCE = "prediction", "confidence"
DATATYPES: Final = {Kind.NUMBER: "FP64", Kind.TEXT: "BYTES", Kind.BOOLEAN: "BOOL", Kind.ANY: "BYTES"}
WHOLE: Final = frozenset({"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"})
FLOATS: Final = frozenset({"FP16", "FP32", "FP64"})
KNOWN: Final = ("BOOL", "BYTES", *sorted(FLOATS), *sorted(WHOLE))
BINARY: Final = "tensors as binary data are an extension that is not spoken here; send data as JSON"


class V2:
    """`harness.serving.protocols.Spoken`."""

    name: Final = "v2"
    media: Final = frozenset({JSON})

    def __init__(self, outputs: tuple[str, ...]) -> None:
        self._outputs = outputs

    def asked(self, body: bytes, media: str, checker: Checker) -> Asked:
        """The rows that the tensors of a request hold."""
        del media
        said = loads(body)
        if not isinstance(said, dict):
            raise Refused(BAD_REQUEST, f"a request is an object with inputs; this is {shown(said)}")
        key, inputs = said.get("id", ""), said.get("inputs")
        if not isinstance(key, str) or len(key) > 128 or not key.isascii() or not (key.isprintable() or not key):
            raise Refused(BAD_REQUEST, f"id is {shown(key)}; it is a text of at most 128 printable characters of ASCII")
        if not isinstance(inputs, list) or not inputs:
            raise Refused(BAD_REQUEST, f"inputs is {shown(inputs)}; it is a list of tensors, at least one")
        tensors = [_tensor(each, f"inputs[{number}]") for number, each in enumerate(inputs)]
        bodies = _rows(tensors, checker)
        if not bodies:
            raise Refused(BAD_REQUEST, "there is no row to answer; send at least one")
        return Asked(checker.rows(bodies), key, self._wanted(said.get("outputs")))

    def _wanted(self, given: Any) -> tuple[str, ...]:
        if given is None or given == []:
            return self._outputs
        if not isinstance(given, list) or not all(isinstance(each, dict) and "name" in each for each in given):
            raise Refused(BAD_REQUEST, f'outputs is {shown(given)}; it is a list of {{"name": …}}')
        for each in given:
            if each["name"] not in self._outputs:
                raise Refused(BAD_REQUEST, f"there is no output {shown(each['name'])}; there are {self._outputs}")
            parameters = each.get("parameters")
            if isinstance(parameters, dict) and parameters.get("binary_data"):
                raise Refused(BAD_REQUEST, BINARY)
        return tuple(each["name"] for each in given)

    def answer(self, served: Served, asked: Asked, answers: Answers, key: str) -> dict[str, Any]:
        """A tensor for each output that is wanted."""
        data = {PREDICTION: answers.values, CONFIDENCE: answers.confidences}
        return {
            "model_name": served.name,
            "model_version": served.version,
            "id": key,
            "outputs": [
                {"name": name, "shape": [len(asked.rows)], "datatype": output_type(served, name), "data": data[name]}
                for name in asked.outputs
            ],
        }

    def refusal(self, refused: Refused) -> tuple[int, dict[str, Any]]:
        """As the protocol tells errors: a text, with status 400 where the request is wrong."""
        status = BAD_REQUEST if refused.status == UNPROCESSABLE else refused.status
        return status, {"error": refused.message}


def outputs_of(served: Served) -> tuple[str, ...]:
    """The outputs a model has."""
    sure = served.labels and hasattr(served.model.estimator, "predict_proba")
    return (PREDICTION, CONFIDENCE) if sure else (PREDICTION,)


def output_type(served: Served, name: str) -> str:
    """The datatype of an output."""
    if name == CONFIDENCE or not served.labels:
        return "FP64"
    if all(isinstance(label, str) for label in served.labels):
        return "BYTES"
    if all(isinstance(label, bool) for label in served.labels):
        return "BOOL"
    return "INT64" if all(isinstance(label, int) for label in served.labels) else "FP64"


def metadata(served: Served) -> dict[str, Any]:
    """What GET /v2/models/{model} says."""
    return {
        "name": served.name,
        "versions": [served.version],
        "platform": "sklearn",
        "inputs": [_described(feature) for feature in served.features],
        "outputs": [
            {"name": name, "datatype": output_type(served, name), "shape": [-1]} for name in outputs_of(served)
        ],
    }


def _described(feature: Feature) -> dict[str, Any]:
    return {"name": feature.name, "datatype": DATATYPES[feature.kind], "shape": [-1]}


class _Tensor:
    def __init__(self, name: str, shape: list[int], data: list[Any]) -> None:
        self.name, self.shape, self.data = name, shape, data


def _tensor(given: Any, where: str) -> _Tensor:
    if not isinstance(given, dict):
        raise Refused(BAD_REQUEST, f"{where} is {shown(given)}; a tensor is an object")
    parameters = given.get("parameters")
    if isinstance(parameters, dict) and "binary_data_size" in parameters:
        raise Refused(BAD_REQUEST, f"{where}: {BINARY}")
    name, shape, datatype, data = (given.get(key) for key in ("name", "shape", "datatype", "data"))
    if not isinstance(name, str):
        raise Refused(BAD_REQUEST, f"{where}.name is {shown(name)}; it is a text")
    if not isinstance(shape, list) or not shape or not all(type(size) is int and size >= 0 for size in shape):
        raise Refused(BAD_REQUEST, f"{where}.shape is {shown(shape)}; it is a list of sizes")
    if len(shape) > 2:
        raise Refused(BAD_REQUEST, f"{where}.shape is {shown(shape)}; [n], [n, 1] or [n, features] is taken")
    if datatype not in KNOWN:
        raise Refused(BAD_REQUEST, f"{where}.datatype is {shown(datatype)}; there are {', '.join(KNOWN)}")
    if not isinstance(data, list):
        raise Refused(BAD_REQUEST, f"{where}.data is {shown(data)}; it is a list of values")
    flat = _flat(data, len(shape), where)
    if len(flat) != math.prod(shape):
        raise Refused(BAD_REQUEST, f"{where} has {len(flat)} values, which is not what its shape {shown(shape)} says")
    for value in flat:
        if not _fits(value, datatype):
            raise Refused(BAD_REQUEST, f"{where} ({shown(name)}) holds {shown(value)}, which is no {datatype}")
    return _Tensor(name, shape, flat)


def _flat(data: list[Any], depth: int, where: str) -> list[Any]:
    """Values in row-major order; they may come nested as the shape is, or flat."""
    if depth > 1 and data and all(isinstance(each, list) for each in data):
        return [value for each in data for value in _flat(each, depth - 1, where)]
    if any(isinstance(each, list | dict) for each in data):
        raise Refused(BAD_REQUEST, f"{where}.data is nested otherwise than its shape says")
    return data


def _fits(value: Any, datatype: str) -> bool:
    """Whether a value is of a datatype; null stands for a missing one, and the feature says whether it may be."""
    if value is None:
        return True
    if datatype == "BYTES":
        return isinstance(value, str)
    if datatype == "BOOL":
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    return isinstance(value, int) if datatype in WHOLE else isinstance(value, int | float)


def _rows(tensors: list[_Tensor], checker: Checker) -> list[dict[str, Any]]:
    names = checker.names
    first = tensors[0]
    if len(tensors) == 1 and len(first.shape) == 2 and (first.shape[1] != 1 or first.name not in names):
        if first.shape[1] != len(names):
            raise Refused(
                BAD_REQUEST, f"inputs[0].shape is {shown(first.shape)}; the model has {len(names)} features: send "
                f"[n, {len(names)}], or a tensor for each feature"
            )  # fmt: skip
        width = len(names)
        count = first.shape[0]
        return [dict(zip(names, first.data[row * width : row * width + width], strict=True)) for row in range(count)]
    given: dict[str, list[Any]] = {}
    for tensor in tensors:
        if tensor.name in given:
            raise Refused(BAD_REQUEST, f"there are two inputs of the name {shown(tensor.name)}")
        if tensor.name in names:
            if len(tensor.shape) == 2 and tensor.shape[1] != 1:
                raise Refused(BAD_REQUEST, f"the shape of {tensor.name} is {shown(tensor.shape)}; send [n] or [n, 1]")
            given[tensor.name] = tensor.data
    if len({len(data) for data in given.values()}) > 1:
        raise Refused(BAD_REQUEST, "the inputs are not equally long")
    count = len(next(iter(given.values()), [None]))
    return [{name: data[row] for name, data in given.items()} for row in range(count)]
