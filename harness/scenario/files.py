"""Reading files as users leave them about: missing, in another encoding, or not files at all."""

import csv
import functools
import gzip
import zlib
from pathlib import Path
from typing import Any, Final

from harness.scenario.nodes import Place
from harness.scenario.tree import TreeError, place_at

LARGEST: Final = 1_000_000
TABLES: Final = (".csv", ".csv.gz", ".parquet", ".pq")
"""Endings of the files that can be a data set."""
PICKLES: Final = (".pkl", ".pickle", ".joblib")
"""Endings of model files that are pickles."""
_WIDE_MARKS: Final = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")


def resolved(name: str, folder: str) -> str:
    """The absolute path of a file that is named relative to a folder."""
    try:
        return str(Path(folder, name).resolve())
    except (OSError, RuntimeError) as error:  # a loop of links
        raise ValueError(str(error)) from None


def read_text(name: str) -> str:
    """The text of a scenario file, without a byte order mark.

    Raises:
        TreeError: where there is no such text.
    """
    nowhere = Place(name)
    try:
        with Path(name).open("rb") as file:
            content = file.read(LARGEST + 1)
    except IsADirectoryError:
        raise TreeError(nowhere.problem("this is a folder; name a scenario file")) from None
    except (OSError, ValueError) as error:
        told = (
            "no such file" if isinstance(error, FileNotFoundError) else getattr(error, "strerror", None) or str(error)
        )
        raise TreeError(nowhere.problem(f"{told[0].lower()}{told[1:]}")) from None
    if len(content) > LARGEST:
        raise TreeError(nowhere.problem("larger than 1 MB; this is no scenario"))
    if content.startswith(_WIDE_MARKS):
        raise TreeError(Place(name, 1, 1).problem("UTF-16 or UTF-32; save the file as UTF-8"))
    return decoded(content, name)


def decoded(content: bytes, name: str) -> str:
    """Bytes as text, without a byte order mark; line ends stay as they are."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig", "replace")
        place = place_at(before, len(before), name)
        wrong = content[error.start]
        raise TreeError(place.problem(f"the byte 0x{wrong:02X} is no UTF-8; save the file as UTF-8")) from None


def header(path: str) -> tuple[str, ...] | None:
    """The column names of a CSV file (also gzipped), from its first line; None for a format that has no such line.

    Raises:
        OSError: where there is no such file.
        ValueError: where it has no header.
    """
    return _header(path, Path(path).stat().st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _header(path: str, _changed_ns: int) -> tuple[str, ...] | None:
    if path.lower().endswith((".parquet", ".pq")):
        return None
    opener: Any = gzip.open if path.lower().endswith(".gz") else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            names = next(csv.reader(file), [])
    except (UnicodeDecodeError, EOFError, zlib.error, csv.Error, gzip.BadGzipFile) as error:
        raise ValueError(f"its first line cannot be read: {error}") from None
    if not any(name.strip() for name in names):
        raise ValueError("it has no header line with the names of its columns")
    return tuple(names)
