"""Results that are kept by the digest of what they were made of, so that what is known is not done again."""

import copy
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from harness.errors import InputError

HEAD: Final = 64
"""Hexadecimal digits before the payload: its SHA-256."""


class Damaged(Exception):
    """What is kept is not what was kept."""


class Store(Protocol):
    """Keeps results by key."""

    def get(self, key: str) -> Any:
        """The result; KeyError where there is none, `Damaged` where it is not what was kept."""
        ...

    def put(self, key: str, value: Any) -> None:
        """Keep a result, whole or not at all."""
        ...


class MemoryStore:
    """Keeps copies of results, as long as the store lives.

    As with files, neither who made a result nor who was given it changes what is kept.
    """

    def __init__(self) -> None:
        self._kept: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        """A copy of the result; KeyError where there is none."""
        return copy.deepcopy(self._kept[key])

    def put(self, key: str, value: Any) -> None:
        """Keep a copy of a result.

        Raises:
            InputError: the result holds what cannot be copied, such as an open file or a lock.
        """
        try:
            self._kept[key] = copy.deepcopy(value)
        except Exception as error:  # whatever the result's own copying raises
            raise InputError(
                f"a {type(value).__name__} cannot be kept, for it cannot be copied ({error}): give the stage no key"
            ) from error


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


class FolderStore:
    """Keeps results in files, one for each key: the digest of the payload, and the payload.

    Args:
        folder: made where it is not there.
        dump: a result as bytes; by default JSON.
        load: the other way. What it raises means that the file is damaged.
    """

    def __init__(
        self, folder: Path | str, dump: Callable[[Any], bytes] = _json, load: Callable[[bytes], Any] = json.loads
    ) -> None:
        self.folder = Path(folder)
        self._dump, self._load = dump, load

    def get(self, key: str) -> Any:
        """The result of that key.

        Raises:
            KeyError: there is none.
            Damaged: the file is not what was written.
        """
        try:
            held = self._file(key).read_bytes()
        except FileNotFoundError:
            raise KeyError(key) from None
        except OSError as error:
            raise Damaged(str(error)) from error
        head, payload = held[:HEAD], held[HEAD:]
        if hashlib.sha256(payload).hexdigest().encode() != head:
            raise Damaged(f"{self._file(key).name} is not what was written")
        try:
            return self._load(payload)
        except Exception as error:  # whatever the caller's own format raises
            raise Damaged(f"{self._file(key).name} cannot be read: {error}") from error

    def put(self, key: str, value: Any) -> None:
        """Write beside, then rename: a reader sees the whole or nothing.

        Raises:
            InputError: the result is nothing that the store can write.
            OSError: the folder cannot be written.
        """
        try:
            payload = self._dump(value)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"a {type(value).__name__} cannot be kept as JSON: give FolderStore dump and load"
            ) from error
        file = self._file(key)
        beside = file.with_name(f".{file.name}.{os.getpid()}")
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            beside.write_bytes(hashlib.sha256(payload).hexdigest().encode() + payload)
            beside.replace(file)
        finally:
            beside.unlink(missing_ok=True)

    def _file(self, key: str) -> Path:
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()}.kept"


def digest_of(*parts: Any) -> str:
    """SHA-256 of values: numbers, texts, bytes, None, lists, mappings, arrays, tables, and files (a `Path`'s contents).

    >>> digest_of({"a": 1, "b": [2.0]}) == digest_of({"b": [2.0], "a": 1}), digest_of(1) == digest_of("1")
    (True, False)

    Raises:
        InputError: a value is none of these, or a file cannot be read.
    """
    found = hashlib.sha256()
    for part in parts:
        _add(found, part)
    return found.hexdigest()


def _add(found: Any, part: Any) -> None:
    """Each value by its kind, its length and its bytes, so that no two run into one."""
    match part:
        case None | bool() | int() | float() | str():
            _said(found, type(part).__name__, repr(part).encode())
        case bytes():
            _said(found, "bytes", part)
        case Path():
            _said(found, "file", _contents(part))
        case Mapping():
            _said(found, "mapping", str(len(part)).encode())
            for key in sorted(part, key=repr):
                _add(found, key)
                _add(found, part[key])
        case list() | tuple():
            _said(found, "list", str(len(part)).encode())
            for one in part:
                _add(found, one)
        case _:
            _add_array(found, part)


def _add_array(found: Any, part: Any) -> None:
    if hasattr(part, "columns") and hasattr(part, "to_numpy"):
        for name in part.columns:
            _add(found, str(name))
            _add_array(found, part[name].to_numpy())
        _add_array(found, part.index.to_numpy())
    elif hasattr(part, "dtype") and hasattr(part, "tobytes"):
        _said(found, f"array {part.dtype} {part.shape}", b"")
        _said(found, "values", repr(part.tolist()).encode() if part.dtype == object else part.tobytes())
    else:
        raise InputError(f"a {type(part).__name__} has no digest here: give its parameters and data instead")


def _contents(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read for a digest: {error}") from error


def _said(found: Any, kind: str, held: bytes) -> None:
    found.update(f"{kind}:{len(held)}:".encode())
    found.update(held)
