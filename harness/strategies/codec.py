"""A machine's state as plain values of JSON, and back: what a run on real time keeps, to go on after a crash."""

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from enum import Enum, StrEnum
from typing import Any, TypeVar

T = TypeVar("T")


def plain(value: Any) -> Any:
    """Records by field (defaults are left out), enums by name (by value where that is a word), tuples as lists.

    >>> from harness.strategies.state import Phase, State
    >>> plain(State(Phase.PAUSING, index=1, weight=1000))
    {'phase': 'PAUSING', 'index': 1, 'weight': 1000}
    """
    if isinstance(value, Enum):
        return value.value if isinstance(value, StrEnum) else value.name
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: (getattr(value, field.name), _default(field)) for field in dataclasses.fields(value)}
        return {name: plain(held) for name, (held, default) in fields.items() if held != default}
    return value


def restored(kind: type[T], value: Any) -> T:
    """What `plain` was made of.

    Args:
        kind: of it; a dataclass whose fields are annotated.
        value: as JSON gave it back.

    Raises:
        ValueError, TypeError, KeyError: it is no such thing.
    """
    return typing.cast(T, _typed(kind, value))


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


@functools.cache
def _hints(kind: Any) -> Mapping[str, Any]:
    return typing.get_type_hints(kind)


def _typed(hint: Any, value: Any) -> Any:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if value is None:
        return None
    if origin in (typing.Union, types.UnionType):
        return _typed(next(part for part in inner if part is not type(None)), value)
    if origin is tuple:
        return tuple(_typed(inner[0], item) for item in value)
    if origin is not None and issubclass(origin, Mapping):
        return {_typed(inner[0], key): _typed(inner[1], item) for key, item in value.items()}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(value) if issubclass(hint, StrEnum) else hint[value]
    if dataclasses.is_dataclass(hint):
        make: Any = hint
        return make(**{name: _typed(_hints(make)[name], item) for name, item in value.items()})
    return value
