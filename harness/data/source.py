"""Tables that come in chunks: files larger than memory, and frames that are here already."""

import csv
import gzip
import importlib.util
import io
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol

import pandas as pd

from harness.data.table import check_parquet, header, needs_parquet
from harness.errors import DataError

CHUNK_ROWS: Final = 100_000
TAIL: Final = 65_536
"""Bytes of the end of a file in which its last line is looked for."""


class Source(Protocol):
    """A table, read from its start each time that it is asked for."""

    name: str

    def chunks(self) -> Iterator[pd.DataFrame]:
        """Its rows in order, as `harness.data.table.read_table` would read them.

        Raises:
            DataError: the file is missing, empty, damaged, or not a table.
        """
        ...

    def cut(self) -> str:
        """After `chunks` came to its end: what is wrong with the end of the file; empty where nothing is."""
        ...


@dataclass(eq=False)
class FrameSource:
    """A table in memory."""

    frame: pd.DataFrame
    name: str = "the data"
    chunk_rows: int = 0
    """0: all at once."""

    def chunks(self) -> Iterator[pd.DataFrame]:
        """Its rows in order."""
        size = self.chunk_rows or max(1, len(self.frame))
        frame = self.frame.rename(columns=str).reset_index(drop=True)
        if not frame.columns.is_unique:
            twice = sorted(set(frame.columns[frame.columns.duplicated()]))
            raise DataError(f"{self.name}: there is a column twice: {', '.join(twice)}")
        for start in range(0, max(1, len(frame)), size):
            yield frame.iloc[start : start + size]

    def cut(self) -> str:
        """A frame is whole."""
        return ""


def file_source(path: str, chunk_rows: int = CHUNK_ROWS) -> Source:
    """The table of a CSV (also ``.gz``) or Parquet file."""
    parquet = Path(path).suffix.lower() in (".parquet", ".pq")
    return _Parquet(path, chunk_rows) if parquet else _Csv(path, chunk_rows)


class _Csv:
    """A CSV; bytes that are no UTF-8 become U+FFFD, so that a check can name where they stand."""

    def __init__(self, path: str, chunk_rows: int) -> None:
        self.name, self._rows, self._cut = path, chunk_rows, ""

    def chunks(self) -> Iterator[pd.DataFrame]:
        names = _in(self.name, lambda: header(self.name))
        with _opened(self.name) as file:
            reader = _in(self.name, lambda: self._reader(file))
            held = _in(self.name, lambda: next(reader, None))
            if held is None or held.empty:
                raise DataError(f"{self.name}: there is no row below the header")
            while True:
                following = _in(self.name, lambda: next(reader, None))
                if following is None:
                    break
                yield held
                held = following
            self._cut = _cut_off(file.tail, names, held)
        held = held.iloc[:-1] if self._cut else held
        if len(held):
            yield held

    def cut(self) -> str:
        return self._cut

    def _reader(self, file: "_Tailed") -> Any:
        return pd.read_csv(
            io.BufferedReader(file, 2**18), dtype=str, keep_default_na=False, encoding="utf-8-sig",
            encoding_errors="replace", index_col=False, chunksize=self._rows,
        )  # fmt: skip


class _Tailed(io.RawIOBase):
    """Bytes on their way to pandas; the last of them are kept."""

    def __init__(self, file: Any) -> None:
        self._file, self.tail = file, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self.tail = (self.tail + data)[-TAIL:]
        return len(data)


@contextmanager
def _opened(path: str) -> Iterator[_Tailed]:
    opener: Any = gzip.open if path.lower().endswith(".gz") else open
    with _in(path, lambda: opener(path, "rb")) as file:
        yield _Tailed(file)


def _cut_off(tail: bytes, names: list[str], last: pd.DataFrame) -> str:
    """Whether the last row has fewer values than the first line has names: pandas takes what lacks for blanks."""
    lines = tail.decode("utf-8", "replace").rstrip("\r\n").splitlines()
    cells = next(csv.reader(lines[-1:]), [])
    row = [str(value) for value in last.iloc[-1].tolist()]
    if not 0 < len(cells) < len(names) or cells != row[: len(cells)] or any(row[len(cells) :]):
        return ""
    return f"is cut off: its last row ends after {len(cells)} of {len(names)} values"


def _in(path: str, work: Callable[[], Any]) -> Any:
    """Do a step of reading; what fails is told with the file's name."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return work()
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file") from error
    except pd.errors.EmptyDataError as error:
        raise DataError(f"{path}: the file is empty; the first line must name the columns") from error
    except pd.errors.ParserWarning as error:
        raise DataError(f"{path}: not a table: a row has more values than the first line has names") from error
    except (pd.errors.ParserError, csv.Error) as error:
        raise DataError(f"{path}: not a table: {error}") from error
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


class _Parquet:
    """A Parquet file; a batch never spans more than its row groups need."""

    def __init__(self, path: str, chunk_rows: int) -> None:
        self.name, self._rows = path, chunk_rows

    def chunks(self) -> Iterator[pd.DataFrame]:
        if importlib.util.find_spec("pyarrow") is None:
            raise DataError(needs_parquet(self.name))
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
        some = False
        try:
            with parquet.ParquetFile(self.name) as file:
                check_parquet(self.name, file.schema_arrow)
                for batch in file.iter_batches(batch_size=self._rows):
                    frame = arrow.Table.from_batches([batch]).to_pandas()
                    some = some or len(frame) > 0
                    yield frame.rename(columns=str).reset_index(drop=True)
        except FileNotFoundError as error:
            raise DataError(f"{self.name}: there is no such file") from error
        except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
            raise DataError(f"{self.name}: cannot be read: {error}") from error
        if not some:
            raise DataError(f"{self.name}: there is no row below the header")

    def cut(self) -> str:
        """A Parquet file has its foot at its end: one that is cut off cannot be read at all."""
        return ""
