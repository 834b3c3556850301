"""Conditions on the fields of an answer, as trees, and what tells whether an answer meets them.

A comparison with a field that is not there does not hold, ``!=`` among them; ``not`` turns around what comes after it.
``true`` is not 1. Only two numbers, or two texts, are smaller or larger; text by its code points.

`harness.load.wording` reads them from text. A tree becomes closures once; nothing is ever evaluated as Python.
"""

import json
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

CONSTANTS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None}
KEYWORDS: Final = frozenset({"and", "or", "not", "in", "exists", *CONSTANTS})

_NAME: Final = re.compile(r"[^\W\d]\w*(?:-\w+)*")

Test = Callable[[Any], bool]


class _Missing:
    """What stands for a field that an answer does not have."""

    def __repr__(self) -> str:
        return "not there"


MISSING: Final = _Missing()


@dataclass(frozen=True, slots=True)
class Field:
    """A place in an answer: keys of objects, and indexes of arrays."""

    keys: tuple[str | int, ...]

    def __str__(self) -> str:
        parts = [f"[{key}]" if isinstance(key, int) else _key_text(key) for key in self.keys]
        return "".join(parts).removeprefix(".")


@dataclass(frozen=True, slots=True)
class Value:
    """A number, text, true, false or null."""

    value: str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two operands, at least one of them a field."""

    left: Field | Value
    op: str
    right: Field | Value


@dataclass(frozen=True, slots=True)
class OneOf:
    """A field is one of some values."""

    field: Field
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Exists:
    """A field is there, be it null."""

    field: Field


@dataclass(frozen=True, slots=True)
class Not:
    """What it holds does not hold."""

    part: "Condition"


@dataclass(frozen=True, slots=True)
class All:
    """Each of its parts holds."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of its parts holds."""

    parts: tuple["Condition", ...]


Condition = Comparison | OneOf | Exists | Not | All | AnyOf


def _key_text(key: str) -> str:
    if _NAME.fullmatch(key) and key not in KEYWORDS:
        return f".{key}"
    return f"[{json.dumps(key, ensure_ascii=False)}]"


# --- what it says of an answer ---

_ORDERS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal: 1 and 1.0 are, 1 and true are not.

    >>> same({"a": [1]}, {"a": [1.0]}), same(1, True), same(None, None)
    (True, False, True)
    """
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    return bool(one == other)


def compiled(condition: Condition) -> Test:
    """What tells whether an answer, as parsed JSON, meets the condition; made once, and quick.

    >>> compiled(Comparison(Field(("scores", 0)), ">", Value(0.5)))({"scores": [0.7]})
    True
    """
    match condition:
        case Comparison(Field() as field, op, Value(int() | float() as bound)) if not isinstance(bound, bool):
            return _against_number(getter(field), op, bound)
        case Comparison(left, op, right):
            return _comparison(_operand(left), op, _operand(right))
        case OneOf(field, values):
            get = getter(field)
            allowed = [value.value for value in values]
            return lambda answer: (found := get(answer)) is not MISSING and any(same(found, one) for one in allowed)
        case Exists(field):
            get = getter(field)
            return lambda answer: get(answer) is not MISSING
        case Not(part):
            inner = compiled(part)
            return lambda answer: not inner(answer)
        case All(parts):
            tests = [compiled(part) for part in parts]
            return lambda answer: all(test(answer) for test in tests)
        case AnyOf(parts):
            tests = [compiled(part) for part in parts]
            return lambda answer: any(test(answer) for test in tests)


def getter(field: Field) -> Callable[[Any], Any]:
    """What finds a field in an answer, or `MISSING`."""
    keys = field.keys
    if len(keys) == 1 and isinstance(keys[0], str):
        key = keys[0]
        return lambda answer: answer.get(key, MISSING) if type(answer) is dict else MISSING

    def get(answer: Any) -> Any:
        for key in keys:
            if isinstance(key, str):
                if not isinstance(answer, dict) or key not in answer:
                    return MISSING
            elif not isinstance(answer, list) or not -len(answer) <= key < len(answer):
                return MISSING
            answer = answer[key]
        return answer

    return get


def _operand(side: Field | Value) -> Callable[[Any], Any]:
    if isinstance(side, Field):
        return getter(side)
    value = side.value
    return lambda _: value


def _against_number(get: Callable[[Any], Any], op: str, bound: float) -> Test:
    if op == "!=":
        return lambda answer: (found := get(answer)) is not MISSING and not _equals(found, bound)
    if op == "==":
        return lambda answer: _equals(get(answer), bound)
    order = _ORDERS[op]
    return lambda answer: ((kind := type(found := get(answer))) is float or kind is int) and order(found, bound)


def _equals(found: Any, bound: float) -> bool:
    return (type(found) is float or type(found) is int) and found == bound


def _comparison(left: Callable[[Any], Any], op: str, right: Callable[[Any], Any]) -> Test:
    def test(answer: Any) -> bool:
        one, other = left(answer), right(answer)
        if one is MISSING or other is MISSING:
            return False
        if op in {"==", "!="}:
            return same(one, other) is (op == "==")
        return _ordered(one, other) and _ORDERS[op](one, other)

    return test


def _ordered(one: Any, other: Any) -> bool:
    if isinstance(one, str):
        return isinstance(other, str)
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    return numbers and not isinstance(one, bool) and not isinstance(other, bool)


def fields(condition: Condition) -> tuple[Field, ...]:
    """The fields that it looks at, each once, as they come in its text."""
    found: tuple[Field, ...]
    match condition:
        case Comparison(left, _, right):
            found = tuple(side for side in (left, right) if isinstance(side, Field))
        case OneOf(field) | Exists(field):
            found = (field,)
        case Not(part):
            found = fields(part)
        case All(parts) | AnyOf(parts):
            found = tuple(field for part in parts for field in fields(part))
    return tuple(dict.fromkeys(found))
