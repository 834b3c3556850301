"""The times of a recording as they are written, with their lines: tables, web logs and JSON lines."""

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TextIO

from harness.errors import InputError
from harness.traces.stamps import is_stamp

UNITS: Final[Mapping[str, int]] = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
"""Nanoseconds in a unit of numeric times."""

NAMES: Final = (
    "timestamp", "@timestamp", "time", "ts", "datetime", "date_time", "arrival_time", "arrived_at", "arrival",
    "request_time", "requested_at", "start_time", "started_at", "created_at", "event_time", "date", "at", "t",
)  # fmt: skip
"""What a column of times is called, likeliest first."""

_LOG_LINE: Final = re.compile(r"\S+ \S+ [^\[\]]*\[([^\[\]]+)\] ")


@dataclass(frozen=True, slots=True)
class Written:
    """The times of a recording as texts, and where each stands."""

    texts: list[str]
    lines: list[int]
    """Counted from 1."""
    format: str
    column: str
    """What holds the time, in words for people."""


def table(file: TextIO, path: str, wanted: str | None, word: str) -> Written:
    """A table with a line of names, or without one where a value of the first line is a time itself."""
    first = file.readline()
    file.seek(0)
    separator = "\t" if word == "tsv" else max(",;\t", key=first.count) if first.count(",") == 0 else ","
    rows = csv.reader(file, delimiter=separator)
    try:
        return _table(rows, path, wanted, word)
    except csv.Error as error:
        raise InputError(f"{path}:{rows.line_num}: {error}; this is no table") from None


def _table(rows: Any, path: str, wanted: str | None, word: str) -> Written:
    head: list[str] = next((row for row in rows if any(cell.strip() for cell in row)), [])
    texts: list[str] = []
    lines: list[int] = []
    bare = any(is_stamp(cell) for cell in head)
    start = rows.line_num
    following: list[str] = [] if bare else next((row for row in rows if row), [])
    names = [str(place + 1) for place in range(len(head))] if bare else [name.strip() for name in head]
    place = _column(names, head if bare else following, wanted, f"{path}:{start}")
    if bare:
        texts.append(head[place])
        lines.append(start)
    rest: Iterable[list[str]] = (following, *()) if following else ()
    for row in _chain(rest, rows):
        if not row:
            continue
        if place >= len(row):
            raise InputError(f"{path}:{rows.line_num}: the line ends before its time, column {names[place]}")
        texts.append(row[place])
        lines.append(rows.line_num)
    return Written(texts, lines, word, f"column {names[place]}")


def _chain(first: Iterable[list[str]], rest: Iterable[list[str]]) -> Iterator[list[str]]:
    yield from first
    yield from rest


def _column(names: Sequence[str], values: Sequence[str], wanted: str | None, where: str) -> int:
    """The place of the column that holds the times: the named one, one with a usual name, or one that holds times."""
    told = ", ".join(names)
    if wanted is not None:
        if wanted not in names:
            raise InputError(f"{where}: there is no column {wanted!r} (traffic.trace.time); its columns: {told}")
        return names.index(wanted)
    lower = [name.lower() for name in names]
    for name in NAMES:
        if name in lower:
            return lower.index(name)
    holding = [place for place, value in enumerate(values) if place < len(names) and is_stamp(value, dated=True)]
    if len(holding) == 1:
        return holding[0]
    if len(names) == 1:
        return 0
    numbers = [place for place, value in enumerate(values) if place < len(names) and is_stamp(value)]
    if not holding and len(numbers) == 1:
        return numbers[0]
    raise InputError(f"{where}: which column holds the time? Say traffic.trace.time; its columns: {told}")


def web_log(file: TextIO, path: str, wanted: str | None, word: str) -> Written:
    """Common and combined log format: the time stands in the first brackets."""
    if wanted is not None:
        raise InputError(
            f"{path}: a web log has its time in brackets and no column {wanted!r}; drop traffic.trace.time"
        )
    texts: list[str] = []
    lines: list[int] = []
    for number, line in enumerate(file, start=1):
        found = _LOG_LINE.match(line)
        if found:
            texts.append(found.group(1))
            lines.append(number)
        elif line.strip():
            raise InputError(
                f"{path}:{number}: {_short(line)} is no line of a web log: HOST - - [17/May/2015:10:05:03 +0000] …; "
                "mend it or take it out"
            )
    return Written(texts, lines, word, "the time in brackets")


def json_lines(file: TextIO, path: str, wanted: str | None, word: str) -> Written:
    """One JSON object a line; a key with dots leads into objects within."""
    texts: list[str] = []
    lines: list[int] = []
    key = wanted
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line, parse_float=str, parse_int=str)
        except (ValueError, RecursionError):
            raise InputError(f"{path}:{number}: {_short(line)} is no JSON; JSON lines have an object on each") from None
        if not isinstance(value, dict):
            raise InputError(f"{path}:{number}: {_short(line)} is no JSON object; each line is one, with a time")
        if key is None:
            # As in a table, the first record decides for all.
            names = [name for name, each in value.items() if isinstance(each, str)]
            key = names[_column(names, [value[name] for name in names], None, f"{path}:{number}")] if names else ""
        found = _within(value, key)
        if not isinstance(found, str):
            keys = ", ".join(value) or "none"
            raise InputError(f"{path}:{number}: there is no time at {key!r} (traffic.trace.time); its keys: {keys}")
        texts.append(found)
        lines.append(number)
    return Written(texts, lines, word, f"key {key}")


def _within(value: Any, key: str) -> Any:
    if isinstance(value, dict) and key in value:
        return value[key]
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _short(line: str) -> str:
    text = line.strip()
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


Reader = Callable[[TextIO, str, str | None, str], Written]
READERS: Final[Mapping[str, Reader]] = {
    "csv": table,
    "tsv": table,
    "common": web_log,
    "combined": web_log,
    "jsonl": json_lines,
}
FORMATS: Final = tuple(READERS)


def sniff(file: TextIO, path: str) -> str:
    """The format of a recording, by its first line; the file stands at its start again."""
    line = next((line for line in file if line.strip()), "")
    file.seek(0)
    if not line:
        raise InputError(f"{path}: the file is empty; a trace has a line for each request")
    if line.lstrip().startswith("{"):
        return "jsonl"
    if _LOG_LINE.match(line):
        return "combined" if line.count('"') >= 6 else "common"
    return "tsv" if "\t" in line else "csv"
