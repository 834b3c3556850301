"""Values with their places: what a YAML text is made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.backends.uri import masked
from harness.errors import Problem

Value = str | int | float | bool | None


def printable(text: str) -> str:
    """Text that is safe to print in one line: no control character of a file reaches a terminal, and no password."""
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return masked(shown)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: in a file, or (line 0) in an override."""

    file: str
    line: int = 0
    column: int = 0

    def problem(self, message: str, offset: int = 0) -> Problem:
        """Something is wrong here, or so many columns further on."""
        return Problem(self.file, self.line, self.column + offset if self.line else 0, printable(message))


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value."""

    place: Place
    value: Value
    text: str
    """As it stands in the file, without its quotes."""
    verbatim: int | None = None
    """Columns from the place to the text's first character; None where lines or escapes come between."""
    size: int = 1
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    place: Place
    items: tuple["Node", ...]
    size: int = 1
    depth: int = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """A value with the place of its key."""

    place: Place
    node: "Node"


@dataclass(frozen=True, slots=True)
class Keys:
    """A mapping."""

    place: Place
    entries: Mapping[str, Entry]
    size: int = 1
    depth: int = 1


Node = Scalar | Items | Keys


def plain(node: Node) -> Any:
    """The values without their places."""
    match node:
        case Scalar(value=value):
            return value
        case Items(items=items):
            return [plain(item) for item in items]
        case Keys(entries=entries):
            return {key: plain(entry.node) for key, entry in entries.items()}


def one_line(node: Node) -> str:
    """A node as it could stand in one line of a file.

    >>> here = Place("canary.yaml", 1, 1)
    >>> one_line(Keys(here, {"at": Entry(here, Scalar(here, "10m", "10m"))}))
    'at: 10m'
    """
    return _flow(node, outermost=True)


def _flow(node: Node, *, outermost: bool = False) -> str:
    match node:
        case Scalar(text=text):
            return " ".join(text.split())
        case Items(items=items):
            return f"[{', '.join(_flow(item) for item in items)}]"
        case Keys(entries=entries):
            inner = ", ".join(f"{key}: {_flow(entry.node)}" for key, entry in entries.items())
            return inner if outermost else f"{{{inner}}}"
