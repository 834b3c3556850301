"""Patterns that values must match: regular expressions without the usual way to take for ever.

Python's `re` tries every way to match. A repeat inside of a repeat (``(a+)+``) has a number of ways that doubles with
each letter, so it is refused when it is read; and longer values than `LONGEST_VALUE` do not match, untried. A repeat of
alternatives that begin alike (``(a|ab)*``) may have as many ways, and is not seen here.
"""

import re
from functools import cache
from importlib import import_module
from typing import Any, Final

LONGEST: Final = 200
"""Letters of a pattern."""
LONGEST_VALUE: Final = 1000
"""Letters of a value that is tried."""
MOST_OPEN: Final = 4
"""Repeats without an end in one pattern: with k of them the tries grow with the k-th power of a value's length."""

_parser: Any = import_module("re._parser")  # the compiler's own reading of a pattern; `re` has no other name for it


class PatternError(ValueError):
    """A pattern that cannot be used; with the place in it, counted from 0."""

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.offset = offset


def checked(pattern: str) -> str:
    """The pattern, if it can be used.

    Raises:
        PatternError: it is too long, no regular expression, or may take for ever.
    """
    if len(pattern) > LONGEST:
        raise PatternError(f"has {len(pattern)} letters; a pattern has at most {LONGEST}")
    try:
        tree = _parser.parse(pattern)
        re.compile(pattern)
    except re.error as error:
        raise PatternError(f"is no regular expression: {error.msg}", error.pos or 0) from error
    except (OverflowError, RecursionError) as error:
        raise PatternError("is too large for a regular expression") from error
    if _open(tree, inside=False) > MOST_OPEN:
        raise PatternError(f"repeats without an end more than {MOST_OPEN} times; give repeats an end, such as {{1,20}}")
    return pattern


def matches(pattern: str, value: str) -> bool:
    """Whether the whole value matches."""
    return len(value) <= LONGEST_VALUE and _compiled(pattern).fullmatch(value) is not None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


REPEATS: Final = ("MAX_REPEAT", "MIN_REPEAT")
ENDLESS: Final = 100
"""A repeat of so many or more counts as one without an end."""


def _open(tree: Any, *, inside: bool) -> int:
    """How many repeats without an end there are.

    Raises:
        PatternError: one of them stands in another.
    """
    found = 0
    for operation, argument in tree:
        endless = str(operation) in REPEATS and int(argument[1]) >= ENDLESS
        if endless and inside:
            raise PatternError("has a repeat in a repeat, which may take for ever; write it without the inner one")
        found += endless
        found += sum(_open(each, inside=inside or endless) for each in _below(argument))
    return found


def _below(argument: Any) -> list[Any]:
    if isinstance(argument, _parser.SubPattern):
        return [argument]
    if isinstance(argument, list | tuple):
        return [tree for each in argument for tree in _below(each)]
    return []
