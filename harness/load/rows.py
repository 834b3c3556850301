"""Rows of a file: JSON (an object, an array, lines), CSV or Parquet, gzipped or not, sampled in one pass.

What is not kept is not looked at closer than it takes to count it: a value that nobody sends does no harm.
"""

import csv
import gzip
import importlib.util
import io
import itertools
import json
import math
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from harness.errors import InputError
from harness.load.sample import Sample
from harness.load.speech import Row, encode, json_value

STDIN: Final = "-"
MOST_BYTES: Final = 256 * 1024 * 1024
"""Of rows that are kept, and of the bodies made of them."""
MOST_RECORD: Final = 64 * 1024 * 1024
"""Bytes of one line, or of a JSON document that must be read as a whole."""

NO_NUMBER: Final = frozenset({"NA", "N/A", "NaN", "nan", "null", "NULL", "?"})
"""Words that stand for a missing value in a column of numbers, as in training data; in a text they are values."""

_GZIP: Final = b"\x1f\x8b"
_PARQUET: Final = b"PAR1"
_BOM: Final = b"\xef\xbb\xbf"
_INDEX: Final = re.compile(r"__index_level_\d+__")
"""How pandas writes a table's index into Parquet: no column of the data."""
_INTEGER: Final = re.compile(r"[+-]?(?:0|[1-9][0-9]*)")
_NUMBER: Final = re.compile(r"[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INT64_DIGITS: Final = 20

Decode = Callable[[Any], Row]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What was kept of a file."""

    items: list[tuple[int, Any]]
    """By the row's number, from 0, rising."""
    decode: Decode
    seen: int
    """Rows that the file has."""
    cut: bool
    """Whether bytes, and not the limit, were what ended the sample."""

    def rows(self) -> Iterator[Row]:
        """The rows, each made when it is asked for: all at once they are several times the file's size."""
        return (self.decode(item) for _, item in self.items)


def name_of(path: str) -> str:
    """A file as messages call it."""
    return "standard input" if path == STDIN else path


def read_rows(path: str, limit: int, seed: int) -> Found:
    """The rows of a file; of more than ``limit`` so many, drawn.

    Raises:
        InputError: the file cannot be read, or a line is wrong: with file, line, value and what to change.
    """
    sample: Sample[Any] = Sample(limit, MOST_BYTES, seed)
    with opened(path) as file:
        decode = _reader(path, file)(file, name_of(path), sample)
    items = sample.taken()
    if not items:
        raise InputError(f"{name_of(path)}: there is no row in it; a payload has at least one")
    return Found(items, decode(items) if decode else _from_json(name_of(path)), sample.seen, sample.cut)


def read_bytes(path: str, most: int = MOST_RECORD) -> bytes:
    """A file as it stands, unpacked where it is gzipped.

    Raises:
        InputError: it cannot be read, or is larger.
    """
    with opened(path) as file:
        return _all(file, name_of(path), most, "send a smaller body")


@contextmanager
def opened(path: str) -> Iterator[io.BufferedReader]:
    """A file or standard input, unpacked; what goes wrong while it is read is an `InputError` with its name."""
    name = name_of(path)
    try:
        plain: Any = sys.stdin.buffer if path == STDIN else Path(path).open("rb")  # noqa: SIM115 - closed below
        try:
            packed = plain.peek(2)[:2] == _GZIP
            yield io.BufferedReader(gzip.GzipFile(fileobj=plain)) if packed else plain
        finally:
            if path != STDIN:
                plain.close()
    except FileNotFoundError:
        raise InputError(f"{name}: there is no such file") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{name}: the gzip file is damaged: {error}") from None
    except OSError as error:
        raise InputError(f"{name}: {error.strerror or error}") from None


_Read = Callable[[io.BufferedReader, str, "Sample[Any]"], Callable[[list[tuple[int, Any]]], Decode] | None]


def _reader(path: str, file: io.BufferedReader) -> _Read:
    """By the file's name; where that says nothing, by how it begins."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes if suffix.lower() != ".gz"]
    suffix = suffixes[-1] if suffixes else ""
    known: dict[str, _Read] = {
        **dict.fromkeys((".parquet", ".pq"), _parquet),
        **dict.fromkeys((".jsonl", ".ndjson"), _json_lines),
        ".json": _json,
        ".csv": _csv,
        ".tsv": _tsv,
    }
    if suffix in known:
        return known[suffix]
    start = file.peek(512)[:512].removeprefix(_BOM).lstrip()
    if start.startswith(_PARQUET):
        return _parquet
    return _json if start[:1] in (b"{", b"[") else _csv


# --- JSON ---


def _json(file: io.BufferedReader, name: str, sample: Sample[Any]) -> None:
    """An object, an array of objects, or lines, of which the first two are objects each by themselves."""
    lines = _lines(file, name)
    number, first = next(((number, line) for number, line in lines if line.strip()), (1, b""))
    if not first.strip():
        return
    if _is_object(first):
        sample.offer(0, (number, first), len(first))
        _keep_lines(lines, sample, 1)
        return
    rest = _all(file, name, MOST_RECORD - len(first), "write a large file as JSON lines: an object a line")
    text = b"\n" * (number - 1) + first + rest
    document = parse(text, name)
    rows = document if isinstance(document, list) else [document]
    for row, value in enumerate(rows):
        if not isinstance(value, dict):
            which = f"item {row + 1} of its array" if isinstance(document, list) else "it"
            raise InputError(f'{name}: {which} is {shown(value)}; a row is an object: {{"age": 41}}')
        item = encode(value)
        sample.offer(row, (0, item), len(item))


def _json_lines(file: io.BufferedReader, name: str, sample: Sample[Any]) -> None:
    _keep_lines(_lines(file, name), sample, 0)


def _keep_lines(lines: Iterator[tuple[int, bytes]], sample: Sample[Any], row: int) -> None:
    for number, line in lines:
        if not line.strip():
            continue
        if sample.wants(row):
            sample.offer(row, (number, line), len(line))
        else:
            sample.passed(1)
        row += 1


def _from_json(name: str) -> Decode:
    def decode(item: tuple[int, bytes]) -> Row:
        number, line = item
        value = parse(line, name, number)
        if not isinstance(value, dict):
            raise InputError(f'{name}:{number}: the line is {shown(value)}; a row is an object: {{"age": 41}}')
        return value

    return decode


def _refuse_constant(word: str) -> None:
    """NaN stands for a missing value, as it does in a CSV; an infinity is none."""
    if word != "NaN":
        raise ValueError(f"{word} is no number in JSON; write a finite one, or null")


def parse(text: bytes, name: str, first_line: int = 1) -> Any:
    """A JSON value; its errors tell the place in the file. Numbers beyond floats are refused: no server reads them."""
    try:
        value = json.loads(text.removeprefix(_BOM).decode(), parse_constant=_refuse_constant, parse_float=_finite)
        encode(value)  # half of a surrogate pair can be read, and not sent
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        found = error.doc[error.pos : error.pos + 20].split("\n")[0]
        raise InputError(
            f"{name}:{line or 1}:{error.colno}: not JSON: {error.msg}{f', found {found!r}' if found else ''}"
        ) from None
    except UnicodeDecodeError as error:
        _not_utf8(name, first_line + text.count(b"\n", 0, error.start), error)
    except RecursionError:
        raise InputError(f"{name}:{first_line or 1}: the JSON nests too deep; write it flatter") from None
    except ValueError as error:
        raise InputError(f"{name}:{first_line or 1}: {error}") from None
    return value


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:40]} is beyond what a float holds; write a smaller number")
    return value


def _is_object(line: bytes) -> bool:
    if not line.removeprefix(_BOM).lstrip().startswith(b"{"):
        return False
    try:
        json.loads(line.removeprefix(_BOM))
    except (ValueError, RecursionError):
        return False
    return True


# --- CSV ---


def _csv(file: io.BufferedReader, name: str, sample: Sample[Any], separator: str = ",") -> Callable[..., Decode]:
    records = csv.reader(_texts(file, name), delimiter=separator, strict=True)
    try:
        header = next((record for record in records if record), [])
        _check_header(header, name, separator)
        names_size = sum(map(len, header))  # they stand in every body
        begins = records.line_num + 1
        for row, record in enumerate(filter(None, records)):
            if len(record) != len(header):
                raise InputError(
                    f"{name}:{begins}: {len(record)} values, but the first line names {len(header)} columns;"
                    " quote a value that holds a comma or a line break"
                )
            begins = records.line_num + 1
            sample.offer(row, record, names_size + sum(map(sys.getsizeof, record)))
    except csv.Error as error:
        raise InputError(f"{name}:{records.line_num}: not a table: {error}; quote a value with marks in it") from None
    return lambda items: _typed(header, [record for _, record in items])


def _tsv(file: io.BufferedReader, name: str, sample: Sample[Any]) -> Callable[..., Decode]:
    return _csv(file, name, sample, "\t")


def _check_header(header: list[str], name: str, separator: str) -> None:
    if not header:
        raise InputError(f"{name}: the file is empty; the first line must name the columns")
    if len(header) == 1 and separator == "," and (other := re.search(r"[;\t|]", header[0])):
        raise InputError(f"{name}:1: the columns are parted by {other[0]!r}; write commas, or a .tsv with tabs")
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise InputError(f"{name}:1: the first line names a column twice: {', '.join(map(repr, twice))}")


def _typed(header: list[str], records: list[list[str]]) -> Decode:
    """Each column as what all of its values are: whole numbers, numbers, true and false, or texts. Blank is null."""
    read = [(column, column_reader([record[at] for record in records])) for at, column in enumerate(header)]
    return lambda record: {column: reader(text) for (column, reader), text in zip(read, record, strict=True)}


def column_reader(texts: list[str]) -> Callable[[str], Any]:
    """How a column's texts are read, which is the same for all of them.

    >>> read = column_reader(["1", "", "NA", "2.5"])
    >>> read("1"), read(""), read("NA"), column_reader(["007", "12"])("12")
    (1.0, None, None, '12')
    """
    there = [stripped for text in texts if (stripped := text.strip()) and stripped not in NO_NUMBER]
    reader: Callable[[str], Any]
    if there and all(map(_INTEGER.fullmatch, there)):
        # A longer number is the name of something: as a float it would be another.
        if not all(len(text) < _INT64_DIGITS and -(2**63) <= int(text) < 2**63 for text in there):
            return _text
        reader = int
    elif there and all(_NUMBER.fullmatch(text) and math.isfinite(float(text)) for text in there):
        reader = float
    elif there and len(there) == sum(bool(text.strip()) for text in texts) and {*map(str.lower, there)} <= _BOOLEANS:
        reader = _boolean
    else:
        return _text
    return lambda text: None if not (word := text.strip()) or word in NO_NUMBER else reader(word)


_BOOLEANS: Final = frozenset({"true", "false"})


def _boolean(text: str) -> bool:
    return text.lower() == "true"


def _text(text: str) -> str | None:
    return text if text.strip() else None


# --- Parquet ---


def _parquet(file: io.BufferedReader, name: str, sample: Sample[Any]) -> None:
    if importlib.util.find_spec("pyarrow") is None:
        raise InputError(
            f"{name}: reading Parquet needs the extra `parquet`;"
            " in a clone: .venv/bin/python -m pip install -e '.[parquet]'"
        )
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    # Parquet is read from its end: what cannot be sought in is held.
    source = file if _plain_file(file) else io.BytesIO(_all(file, name, MOST_BYTES, "unpack it, and give its path"))
    try:
        table = pq.ParquetFile(source)
        names = [column for column in table.schema_arrow.names if not _INDEX.fullmatch(column)]
        twice = sorted({column for column in names if names.count(column) > 1})
        if twice:
            raise InputError(f"{name}: it has a column twice: {', '.join(map(repr, twice))}")
        start = 0
        for batch in table.iter_batches(batch_size=4096, columns=names):
            wanted = [at for at in range(batch.num_rows) if sample.wants(start + at)]
            for at, row in zip(wanted, batch.take(pa.array(wanted, pa.int32())).to_pylist(), strict=True):
                item = encode(_parquet_row(row, name, start + at))
                sample.offer(start + at, (0, item), len(item))
            sample.passed(batch.num_rows - len(wanted))
            start += batch.num_rows
    except (pa.ArrowException, OSError, UnicodeEncodeError) as error:
        raise InputError(f"{name}: not a Parquet file that can be read: {error}") from None


def _plain_file(file: io.BufferedReader) -> bool:
    return not isinstance(file.raw, gzip.GzipFile) and file.seekable()


def _parquet_row(row: Row, name: str, number: int) -> Row:
    found = {}
    for column, value in row.items():
        try:
            found[column] = json_value(value)
        except ValueError as error:
            raise InputError(
                f"{name}: row {number + 1}, column {column}: {error}; mend it, or leave it out (--drop {column})"
            ) from None
    return found


# --- bytes ---


def _all(file: io.BufferedReader, name: str, most: int, remedy: str) -> bytes:
    content = file.read(max(0, most) + 1)
    if len(content) > most:
        raise InputError(f"{name}: it has more than {MOST_RECORD // 2**20} MiB in one piece; {remedy}")
    return content


def _lines(file: io.BufferedReader, name: str) -> Iterator[tuple[int, bytes]]:
    for number in itertools.count(1):
        line = file.readline(MOST_RECORD + 1)
        if not line:
            return
        if len(line) > MOST_RECORD:
            raise InputError(f"{name}:{number}: the line has more than {MOST_RECORD // 2**20} MiB; send smaller rows")
        yield number, line


def _texts(file: io.BufferedReader, name: str) -> Iterator[str]:
    for number, line in _lines(file, name):
        try:
            yield (line.removeprefix(_BOM) if number == 1 else line).decode()
        except UnicodeDecodeError as error:
            _not_utf8(name, number, error)


def _not_utf8(name: str, line: int, error: UnicodeDecodeError) -> NoReturn:
    found = error.object[error.start : error.start + 1]
    raise InputError(f"{name}:{line}: the byte {found!r} is no UTF-8; write the file as UTF-8") from None


def shown(value: Any) -> str:
    """A value in a message, not longer than a glance.

    >>> shown({"a": [1, None]}), shown("x" * 100)[-3:]
    ('{"a":[1,null]}', 'xx…')
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return text if len(text) <= 80 else text[:79] + "…"
