"""What folds and searches came to, kept by what decides it: in this process, and as JSON beside the models."""

import contextlib
import dataclasses
import hashlib
import json
import os
import types
import typing
from collections import OrderedDict
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeVar

T = TypeVar("T")

FOLDER: Final = "searches"
IN_MEMORY: Final = 64
"""Results kept in the process; one takes a few kB."""
_KNOWN: "OrderedDict[str, Any]" = OrderedDict()


def kept(models: Path | None, key: str, kind: type[T], make: Callable[[], T]) -> tuple[T, bool]:
    """The result of that key, and whether it was there; if not, it is made now.

    A file that is damaged is as good as absent, and a folder that cannot be written is no reason to fail.

    Args:
        models: the folder in which models are kept; results go beside it. None: they stay in this process.
        key: names what decides the result (`key_of`).
        kind: of the result: a dataclass of plain values.
        make: makes it.
    """
    file = models.parent / FOLDER / f"{key}.json" if models else None
    found = _KNOWN.get(key) or (_read(file, kind) if file else None)
    there = found is not None
    made: T = found if found is not None else make()
    _KNOWN[key] = made
    while len(_KNOWN) > IN_MEMORY:
        _KNOWN.popitem(last=False)
    if file and not there:
        _write(file, made)
    return made, there


def key_of(kind: str, *said: Any) -> str:
    """Names what decides a result: plain values, dataclasses and enums."""
    text = json.dumps([kind, *said], default=_plain, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [type(value).__name__, {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}]
    raise TypeError(f"{type(value).__name__} decides nothing here")


def _read(file: Path, kind: type[T]) -> T | None:
    try:
        return typing.cast(T, _built(kind, json.loads(file.read_text(encoding="utf-8"))))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _write(file: Path, made: Any) -> None:
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(dataclasses.asdict(made)), encoding="utf-8")
        beside.replace(file)
    except (OSError, TypeError, ValueError):
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def _built(hint: Any, value: Any) -> Any:
    """JSON as its annotation says."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if value is None or hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _built(next(part for part in inner if part is not type(None)), value)
    if origin is tuple:
        return tuple(_built(inner[0], item) for item in value)
    if origin is not None and issubclass(origin, Mapping):
        return {key: _built(inner[1], item) for key, item in value.items()}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(value)
    if dataclasses.is_dataclass(hint):
        hints, make = typing.get_type_hints(hint), typing.cast(Any, hint)
        return make(**{name: _built(hints[name], item) for name, item in value.items()})
    return value
