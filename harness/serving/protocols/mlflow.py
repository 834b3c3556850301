"""The protocol ``mlflow``: POST /invocations, as the scoring server of MLflow 2 and 3 takes and answers it.

A JSON object with exactly one of ``dataframe_split``, ``dataframe_records``, ``instances`` and ``inputs``, or CSV with
the names in its first line. Further keys (``params``) are ignored, as MLflow ignores those of a model without
parameters.
"""

import io
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from harness.serving.answering import Answers, Served
from harness.serving.bodies import BAD_REQUEST, CSV, JSON, loads
from harness.serving.checking import UNPROCESSABLE, Checker, Refused, Row, shown
from harness.serving.features import Kind
from harness.serving.protocols import Asked

FORMS: Final = ("dataframe_split", "dataframe_records", "instances", "inputs")
SINCE: Final = "3.1.0"
"""The version whose protocol this is, where no MLflow is installed to be asked."""


def mlflow_version() -> str:
    """What GET /version says."""
    try:
        return version("mlflow")
    except PackageNotFoundError:
        return SINCE


class MLflow:
    """`harness.serving.protocols.Spoken`."""

    name: Final = "mlflow"
    media: Final = frozenset({JSON, CSV})

    def asked(self, body: bytes, media: str, checker: Checker) -> Asked:
        """The rows of a body in any of the forms."""
        bodies = _of_csv(body, checker) if media == CSV else _of_json(loads(body), checker)
        if not bodies:
            raise Refused(BAD_REQUEST, "there is no row to answer; send at least one")
        return Asked(checker.rows(bodies))

    def answer(self, served: Served, asked: Asked, answers: Answers, key: str) -> dict[str, Any]:
        """Labels as the estimator has them, or values."""
        del served, asked, key
        return {"predictions": answers.values}

    def refusal(self, refused: Refused) -> tuple[int, dict[str, Any]]:
        """As MLflow tells errors; what is wrong in a row is a bad request there."""
        status = BAD_REQUEST if refused.status == UNPROCESSABLE else refused.status
        return status, {"error_code": refused.code, "message": refused.message}


def _of_json(said: Any, checker: Checker) -> Sequence[Any]:
    if not isinstance(said, dict):
        raise _wrong(f"the body is {shown(said)}")
    given = [form for form in FORMS if form in said]
    if len(given) != 1:
        raise _wrong(f"it has {' and '.join(given) or 'none of them'}")
    value = said[given[0]]
    match given[0]:
        case "dataframe_split":
            return _of_split(value)
        case "dataframe_records":
            if not isinstance(value, list):
                raise _unusable("dataframe_records is a list of objects", value)
            return value
        case "instances":
            return _of_instances(value, checker)
    return _of_columns(value, checker) if isinstance(value, dict) else _of_instances(value, checker, "inputs")


def _of_split(value: Any) -> Sequence[Any]:
    if not isinstance(value, dict) or "data" not in value or "columns" not in value:
        raise _unusable('dataframe_split is {"columns": [names], "data": [rows]}', value)
    columns, data = value["columns"], value["data"]
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise _unusable("dataframe_split.columns is a list of names", columns)
    if len(set(columns)) != len(columns):
        raise _unusable("dataframe_split.columns names a column twice", columns)
    if not isinstance(data, list):
        raise _unusable("dataframe_split.data is a list of rows", data)
    return [_line(row, columns, f"dataframe_split.data[{number}]") for number, row in enumerate(data)]


def _of_instances(value: Any, checker: Checker, form: str = "instances") -> Sequence[Any]:
    if not isinstance(value, list):
        raise _unusable(f"{form} is a list of objects, or of rows in the order of the features", value)
    if value and all(isinstance(each, dict) for each in value):
        return value
    if len(checker.names) == 1 and not any(isinstance(each, list | dict) for each in value):
        return [{checker.names[0]: each} for each in value]
    return [_line(row, checker.names, f"{form}[{number}]") for number, row in enumerate(value)]


def _of_columns(value: Mapping[str, Any], checker: Checker) -> Sequence[Any]:
    """A list of values for each feature; one value stands for a list of one."""
    columns = {
        name: [cell[0] if isinstance(cell, list) and len(cell) == 1 else cell for cell in cells]
        for name, given in value.items()
        if name in checker.names
        for cells in (given if isinstance(given, list) else [given],)
    }
    sizes = {len(cells) for cells in columns.values()}
    if len(sizes) > 1:
        told = ", ".join(f"{name} {len(cells)}" for name, cells in columns.items())
        raise Refused(BAD_REQUEST, f"the columns of inputs are not equally long: {told[:400]}")
    count = sizes.pop() if sizes else 1
    return [{name: cells[number] for name, cells in columns.items()} for number in range(count)]


def _line(row: Any, names: Sequence[str], where: str) -> dict[str, Any]:
    if not isinstance(row, list) or len(row) != len(names):
        size = f"a list of {len(row)}" if isinstance(row, list) else shown(row)
        raise Refused(BAD_REQUEST, f"{where} is {size}; a row is a list of {len(names)} values")
    return dict(zip(names, row, strict=True))


def _of_csv(body: bytes, checker: Checker) -> Sequence[Any]:
    """The rows of a CSV: read as pandas does, which is what MLflow has; categories stay the texts that they are."""
    import pandas as pd

    try:
        frame = pd.read_csv(io.StringIO(body.decode("utf-8")), dtype=str)
    except UnicodeDecodeError as error:
        raise Refused(BAD_REQUEST, f"the body is not UTF-8: byte {error.start} cannot be read") from None
    except (ValueError, pd.errors.ParserWarning) as error:  # pandas' own errors are ValueErrors
        raise Refused(BAD_REQUEST, f"the body is no CSV: {' '.join(str(error).split())[:200]}") from None
    columns = {}
    for feature in checker.features:
        if feature.name in frame.columns:
            cells = frame[feature.name].astype(object).where(frame[feature.name].notna(), None)
            columns[feature.name] = [_cell(cell, feature.kind) for cell in cells]
    return [{name: cells[number] for name, cells in columns.items()} for number in range(len(frame))]


def _cell(text: str | None, kind: Kind) -> Row | Any:
    """A cell as JSON would have it; what is no number stays a text, and is refused with its field."""
    if text is None or kind is Kind.TEXT:
        return text
    if kind is not Kind.NUMBER and text in {"True", "False", "true", "false"}:
        return text in {"True", "true"}
    try:
        return float(text)
    except ValueError:
        return text


def _wrong(what: str) -> Refused:
    return Refused(BAD_REQUEST, f"the body is a JSON object with exactly one of {', '.join(FORMS)}; {what}")


def _unusable(rule: str, value: Any) -> Refused:
    return Refused(BAD_REQUEST, f"{rule}; this is {shown(value)}")
