"""Tables on disk, Parquet or CSV, so that what is read is what was written."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness.data.digest import table_digest
from harness.errors import DataError, InputError

PARQUET, CSV = "parquet", "csv"


def form(wanted: str | None) -> str:
    """The format to write: the one that is asked for; else Parquet where pyarrow is installed, and CSV where not.

    Raises:
        InputError: there is no such format, or it needs an extra.
    """
    there = importlib.util.find_spec("pyarrow") is not None
    if wanted is None:
        return PARQUET if there else CSV
    if wanted not in {PARQUET, CSV}:
        raise InputError(f"format is {wanted!r}; it is {PARQUET} or {CSV}")
    if wanted == PARQUET and not there:
        raise InputError("Parquet needs an extra: pip install 'rollout-harness[parquet]'; or write CSV")
    return wanted


def write(frame: pd.DataFrame, folder: Path, name: str, kind: str) -> dict[str, Any]:
    """Write a frame without its index; what `read` needs to read it again.

    Raises:
        DataError: a column holds what no table keeps (lists, mixed objects).
    """
    kinds = {str(column): _kind(str(column), frame[column]) for column in frame.columns}
    file = folder / f"{name}.{kind}"
    plain = frame.reset_index(drop=True).assign(
        **{column: utc(frame[column]).to_numpy() for column, what in kinds.items() if what == "time"}
    )
    if kind == PARQUET:
        plain.to_parquet(file, engine="pyarrow", index=False)
    else:
        empty = [name for name, what in kinds.items() if what == "text" and bool((frame[name] == "").any())]
        if empty:
            raise DataError(f"{', '.join(empty)}: a CSV cannot tell an empty text from a missing one; write Parquet")
        plain.to_csv(file, index=False, date_format="%Y-%m-%dT%H:%M:%S.%f")
    return {"file": file.name, "columns": list(map(list, kinds.items())), "rows": len(frame)}


def read(folder: Path, said: dict[str, Any]) -> pd.DataFrame:
    """The frame that was written.

    Raises:
        DataError: the file is missing or damaged.
    """
    file = folder / str(said["file"])
    kinds: dict[str, str] = dict(said["columns"])
    try:
        if file.suffix == ".parquet":
            frame = pd.read_parquet(file, engine="pyarrow")
        else:
            frame = pd.read_csv(file, dtype=str, keep_default_na=False, na_values=[""])
        return pd.DataFrame({name: _cast(frame[name], what) for name, what in kinds.items()})
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{file}: cannot be read: {error}") from error


def digest_of(frame: pd.DataFrame) -> str:
    """SHA-256 of the table; times count as UTC in ISO 8601, so that how they were stored is nothing to it."""
    times = {
        str(name): utc(frame[name]).dt.strftime("%Y-%m-%dT%H:%M:%S.%f")
        for name in frame.columns
        if _is_time(frame[name])
    }
    return table_digest(frame.assign(**times))


def write_json(path: Path, value: Any) -> None:
    """Write JSON for people to read too."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON of a file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    return found


def utc(values: Any) -> "pd.Series[Any]":
    """Times in UTC, without a zone; times without one, and texts, are taken to be in UTC.

    Raises:
        DataError: some are no times.
    """
    series = values if isinstance(values, pd.Series) else pd.Series(values)
    try:
        times = pd.to_datetime(series, utc=True, format=None if _is_time(series) else "ISO8601")
    except (ValueError, TypeError) as error:
        raise DataError(f"{series.name}: not all are times in ISO 8601: {error}") from error
    return times.dt.tz_localize(None).astype("datetime64[us]")


def _is_time(values: "pd.Series[Any]") -> bool:
    return bool(pd.api.types.is_datetime64_any_dtype(values))


def _kind(name: str, values: "pd.Series[Any]") -> str:
    if _is_time(values):
        return "time"
    if pd.api.types.is_bool_dtype(values) and not values.isna().any():
        return "boolean"
    if pd.api.types.is_integer_dtype(values) and not values.isna().any():
        return "integer"
    if pd.api.types.is_numeric_dtype(values):
        return "number"
    if all(isinstance(value, str) for value in values.dropna()):
        return "text"
    raise DataError(f"{name} holds neither numbers, times nor texts alone; a table keeps no other objects")


def _cast(values: "pd.Series[Any]", kind: str) -> "pd.Series[Any]":
    match kind:
        case "time":
            return utc(values)
        case "boolean":
            return values.astype(str).map({"True": True, "False": False}).astype(bool)
        case "integer":
            return values.astype("int64")
        case "number":  # of a CSV by Python's own reading, which is exact
            return pd.Series(
                [np.nan if pd.isna(value) else float(value) for value in values], index=values.index, dtype="float64"
            )
    return values
