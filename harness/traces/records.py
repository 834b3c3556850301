"""A recording, read: its stamps in order, how fine they are, and what a reader should know of it."""

import functools
import gzip
import io
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.errors import InputError
from harness.traces.formats import READERS, UNITS, sniff
from harness.traces.stamps import StampError, nanoseconds

IntArray = NDArray[np.int64]
_GZIP: Final = b"\x1f\x8b"
_SECOND: Final = 10**9
_COARSE: Final = (60 * _SECOND, _SECOND)


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """When the requests of a recording came."""

    at_ns: IntArray
    """Since 1970, or since whatever the file counts from; rising, equal neighbours in the order of the file."""
    resolution_ns: int
    """A minute or a second where every stamp is a whole one; else 1: stamps are exact."""
    format: str
    column: str
    """What holds the time, for people."""
    notes: tuple[str, ...]


def read(path: str, form: str | None = None, time: str | None = None, unit: str | None = None) -> Records:
    """Read a recording, gzipped or not.

    Args:
        path: the file.
        form: its format, a word of `FORMATS`; None: found from its first line.
        time: the column or key that holds the time; None: found.
        unit: of times that are numbers, a word of `UNITS`; None: by their size.

    Raises:
        InputError: the file cannot be read, or a line has no time; with file, line and what to change.
    """
    try:
        status = Path(path).stat()
        return _read(path, form, time, unit, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error


@functools.lru_cache(maxsize=4)
def _read(path: str, form: str | None, time: str | None, unit: str | None, _changed: int, _size: int) -> Records:
    file = io.StringIO(_content(path), newline="")
    word = form or sniff(file, path)
    written = READERS[word](file, path, time, word)
    if not written.texts:
        raise InputError(f"{path}: there is no record in it; a trace has a line for each request")
    try:
        at_ns = nanoseconds(written.texts, UNITS[unit] if unit else None)
    except StampError as error:
        place, text = written.lines[error.index], written.texts[error.index]
        raise InputError(f"{path}:{place}: {written.column} is {text!r}; {error}") from None
    notes = []
    early = int(np.count_nonzero(at_ns < np.maximum.accumulate(at_ns)))
    if early:
        at_ns = np.sort(at_ns, kind="stable")
        notes.append(f"{Path(path).name}: {early:,} of {at_ns.size:,} lines came out of order; sorted by time")
    resolution = next((unit_ns for unit_ns in _COARSE if not np.any(at_ns % unit_ns)), 1)
    at_ns.setflags(write=False)
    return Records(at_ns, resolution, word, written.column, tuple(notes))


def _content(path: str) -> str:
    """The text of a file. Only its times matter: other bytes than UTF-8, as URLs in logs have, do no harm."""
    content = Path(path).read_bytes()
    if content.startswith(_GZIP):
        try:
            content = gzip.decompress(content)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(f"{path}: the gzip file is damaged: {error}") from None
    return content.decode("utf-8-sig", "replace")
