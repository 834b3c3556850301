"""What requests carry: bodies made of a file's rows, once, before the test.

Bodies are held in memory, ready to be sent. Of a file with more rows than ``limit`` so many are drawn, by the seed and
the row's number alone: the same rows whatever the protocol.
"""

import mimetypes
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final

from harness.analysis.vocabulary import suggestion
from harness.domain.load import Order, Payload, Speech
from harness.errors import InputError
from harness.load import speech as speeches
from harness.load.rows import MOST_BYTES, Found, name_of, read_bytes, read_rows
from harness.load.speech import FORMS, Row

LIMIT: Final = 10_000
"""Rows that are kept of a file, unless told otherwise."""
JSON: Final = "application/json"


@dataclass(frozen=True, slots=True, eq=False)
class RowPayload(Payload):
    """A payload that knows which rows of its file its bodies are made of."""

    rows: tuple[tuple[int, ...], ...] = ()
    """Of each body, by their number in the file, from 0."""
    rows_in_file: int = 0


def read(
    path: str,
    speech: Speech,
    *,
    order: Order = Order.DRAWN,
    rows_per_request: int = 1,
    columns: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    limit: int = LIMIT,
    seed: int = 1,
    form: str = "split",
) -> Payload:
    """The bodies that a file's rows make.

    Args:
        path: one JSON object, an array of them, JSON lines, CSV or Parquet, gzipped or not; ``-`` is standard input.
            For raw any file: it is one body, as it stands.
        speech: the protocol. An object that is a whole request of it already is sent as it is.
        order: whether requests draw their body, or take them in turn.
        rows_per_request: so many rows make a body; what is left over at the end is left out.
        columns: those that are sent, in this order; None: all.
        drop: those that are not, such as the target.
        limit: rows that are kept; of more, so many are drawn, and what is kept never takes more than 256 MiB.
        seed: of that draw.
        form: how MLflow gets its rows: ``split`` or ``records``.

    Raises:
        InputError: the file, a line of it or an option is wrong; with the place, the value and what to change.
    """
    _check_options(rows_per_request, limit, form)
    if speech is Speech.RAW:
        if columns is not None or drop or rows_per_request > 1:
            raise InputError("raw sends the file as it stands: it has no rows and no columns to choose from")
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        return replace(raw(read_bytes(path), kind), source=name_of(path), order=order)
    found = read_rows(path, limit, seed)
    name = Path(name_of(path)).name
    whole = [speeches.is_request(row, speech) for row in found.rows()] if speech is not Speech.JSON else []
    if any(whole):
        if not all(whole):
            row = found.items[whole.index(False)][0]
            raise InputError(
                f"{name}: row {row + 1} is no request of {speech}, and others are: give whole requests, or rows"
            )
        if columns is not None or drop or rows_per_request > 1:
            raise InputError(f"{name} holds whole requests of {speech}: no columns or rows can be chosen from them")
        bodies: Iterable[bytes] = (speeches.encode(row) for row in found.rows())
    else:
        bodies = _bodies(found, speech, rows_per_request, _Choice(name, found, columns, drop), form)
    made = _bounded(name, bodies)
    if not made:
        raise InputError(
            f"{name}: {len(found.items)} rows are fewer than the {rows_per_request} of a request; send fewer in each"
        )
    numbers = [row for row, _ in found.items]
    groups = tuple(tuple(numbers[at * rows_per_request : (at + 1) * rows_per_request]) for at in range(len(made)))
    return RowPayload(made, JSON, order, _told(name, found, made, rows_per_request, seed), groups, found.seen)


def raw(body: bytes, content_type: str = "application/octet-stream") -> Payload:
    """A payload of one body, as it stands.

    >>> raw(b"<a/>", "application/xml").bodies
    (b'<a/>',)
    """
    return Payload((body,), content_type, Order.IN_TURN, f"{len(body):,} bytes as given")


def _check_options(rows_per_request: int, limit: int, form: str) -> None:
    if rows_per_request < 1:
        raise InputError(f"{rows_per_request} rows make no request; send at least 1 in each")
    if limit < 1:
        raise InputError(f"a payload of {limit} rows has none; keep at least 1")
    if form not in FORMS:
        raise InputError(f"MLflow is not sent {form!r}; {suggestion(form, FORMS)}")


class _Choice:
    """The columns that are sent."""

    def __init__(self, name: str, found: Found, columns: Sequence[str] | None, drop: Sequence[str]) -> None:
        self._columns = columns
        self._drop = frozenset(drop)
        if columns is None and not drop:
            return
        there = list(dict.fromkeys(column for row in found.rows() for column in row))
        for column in [*(columns or ()), *drop]:
            if column not in there:
                raise InputError(f"{name}: there is no column {column!r}; {suggestion(column, there, 'it has')}")
        if not [column for column in (there if columns is None else columns) if column not in self._drop]:
            raise InputError(f"{name}: no column is left to send; it has {', '.join(there)}")

    def of(self, row: Row) -> Row:
        """A row with its chosen columns only; one that it lacks stays lacking."""
        names = row if self._columns is None else self._columns
        return {name: row[name] for name in names if name in row and name not in self._drop}


def _bodies(found: Found, speech: Speech, size: int, choice: _Choice, form: str) -> Iterator[bytes]:
    types = speeches.datatypes_of(map(choice.of, found.rows())) if speech is Speech.V2 else None
    rows = map(choice.of, found.rows())
    while len(group := [*islice(rows, size)]) == size:
        yield speeches.body(group, speech, form=form, datatypes=types)


def _bounded(name: str, bodies: Iterable[bytes]) -> tuple[bytes, ...]:
    made: list[bytes] = []
    total = 0
    for body in bodies:
        made.append(body)
        total += len(body)
        if total > MOST_BYTES:
            raise InputError(f"{name}: the bodies come to more than {MOST_BYTES // 2**20} MiB; keep fewer rows")
    return tuple(made)


def _told(name: str, found: Found, made: Sequence[bytes], size: int, seed: int) -> str:
    kept = len(made) * size
    if found.seen == kept == 1:
        return name
    drawn = len(found.items) < found.seen
    rows = f"{kept:,} of {found.seen:,} rows" if kept < found.seen else f"{kept:,} rows"
    why = f", as many as {MOST_BYTES // 2**20} MiB hold" if found.cut else ""
    each = f", {size} in each request" if size > 1 else ""
    return f"{name}: {rows}{f', drawn with seed {seed}' if drawn else ''}{why}{each}"


SAMPLES: Final = {
    Speech.JSON: '{"age": 41, "plan": "basic"}',
    Speech.MLFLOW: '{"dataframe_split": {"columns": ["age", "plan"], "data": [[41, "basic"]]}}',
    Speech.V2: '{"inputs": [{"name": "age", "shape": [1], "datatype": "INT64", "data": [41]}]}',
    Speech.RAW: "the body as it stands",
}
"""What a payload looks like, for people who must write one."""


def ask_for_one(speech: Speech) -> str:
    """What to do where no payload could be made."""
    rows = "" if speech is Speech.RAW else ", or rows as a CSV, Parquet or JSON lines file"
    return f"give one with --payload FILE, a file such as {SAMPLES[speech]}{rows}"
