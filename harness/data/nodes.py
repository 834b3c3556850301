"""Reading a YAML document by hand: every problem is gathered, with its line, its column and the nearest key."""

import difflib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from harness.errors import DataError, Problem

T = TypeVar("T")


def document(path: str, what: str) -> tuple[Any, str]:
    """A YAML file: what it says, and its text.

    Raises:
        DataError: it cannot be read, or is no YAML.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        return YAML(typ="rt").load(text), text
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: the {what} cannot be read: {error}") from error
    except MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise DataError(str(Problem(path, line, column, f"not YAML: {error.problem}"))) from error
    except YAMLError as error:
        raise DataError(f"{path}: not YAML: {error}") from error


@dataclass(slots=True)
class Reader:
    """Turns nodes into values; gathers problems instead of stopping at the first."""

    file: str
    text: str = ""
    problems: list[Problem] = field(default_factory=list)

    def told(self) -> None:
        """Raise what was gathered.

        Raises:
            DataError: with every problem in the order of the file.
        """
        if self.problems:
            told = sorted(self.problems, key=lambda problem: (problem.line, problem.column))
            raise DataError("\n".join(str(problem) for problem in told))

    def keys(self, said: CommentedMap, known: Sequence[str], path: str) -> None:
        """Tell of keys that mean nothing here."""
        for key in said:
            if key not in known:
                line, column = said.lc.key(key)
                message = f"{path}{key} is not known here{near(key, known)} (known: {', '.join(known)})"
                self.problems.append(Problem(self.file, line + 1, column + 1, message))

    def wrong(self, said: Any, key: Any, message: str, path: str = "", offset: int | None = None) -> None:
        """Tell that a value is wrong, at its place; `offset` is counted in the letters of a text that stands there."""
        if said is None or (isinstance(said, CommentedMap) and key not in said):
            self.problems.append(Problem(self.file, 1, 1, f"{path}{key} {message}".lstrip()))
            return
        value = said[key]
        nested = isinstance(value, CommentedMap)
        mark = "" if nested else f" ({shown(value)})"
        if isinstance(said, CommentedSeq):
            line, column = said.lc.item(key)
            name = f"{path}[{key}]"
        else:
            line, column = said.lc.key(key) if nested else said.lc.value(key)
            name = f"{path}{key}"
        if offset is not None:
            column += offset + self._quote(line, column)
        gap = "" if message.startswith(":") else " "
        self.problems.append(Problem(self.file, line + 1, column + 1, f"{name}{mark}{gap}{message}"))

    def _quote(self, line: int, column: int) -> int:
        lines = self.text.splitlines()
        return int(line < len(lines) and lines[line][column : column + 1] in ("'", '"'))

    def word(self, said: CommentedMap, key: str, words: type[StrEnum], default: Any, path: str) -> Any:
        """One of several words."""
        if key not in said:
            return default
        try:
            return words(said[key])
        except ValueError:
            known = [word.value for word in words]
            self.wrong(said, key, f"is not one of {', '.join(known)}{near(said[key], known)}", path)
            return default

    def texts(self, said: CommentedMap, key: str, path: str = "") -> tuple[str, ...]:
        """A list of texts; empty where there is none."""
        values = said.get(key, [])
        if not _listed(values) or not all(isinstance(v, str) for v in values):
            self.wrong(said, key, 'must be a list of texts; write numbers and true/false in quotes ("1")', path)
            return ()
        return tuple(str(value) for value in values)

    def numbers(self, said: CommentedMap, key: str, path: str = "") -> tuple[float, ...]:
        """A list of numbers; empty where there is none."""
        values = said.get(key, [])
        if not _listed(values) or not all(map(is_number, values)):
            self.wrong(said, key, "must be a list of numbers", path)
            return ()
        return tuple(float(value) for value in values)

    def names(self, said: Any, key: Any, known: Iterable[str], path: str = "") -> tuple[str, ...]:
        """A list of columns, each of them known."""
        values, columns = said[key], list(known)
        if not _listed(values) or not values:
            self.wrong(said, key, "must be a list of columns, such as [a, b]", path)
            return ()
        found = []
        for place, value in enumerate(values):
            if str(value) in columns:
                found.append(str(value))
            else:
                name = path if isinstance(said, CommentedSeq) else f"{path}{key}"
                self.wrong(values, place, f"is not a column of the schema{near(value, columns)}", name)
        return tuple(found)

    def flag(self, said: CommentedMap, key: str, path: str) -> bool:
        """True or false; false where it is not said."""
        value = said.get(key, False)
        if not isinstance(value, bool):
            self.wrong(said, key, "must be true or false", path)
        return value is True

    def count(self, said: CommentedMap, key: str, path: str) -> int | None:
        """A whole number from 0; None where it is not said."""
        value: int | None = said.get(key)
        if key in said and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            self.wrong(said, key, "must be a whole number from 0", path)
            return None
        return value

    def positive(self, said: CommentedMap, key: str, path: str) -> float | None:
        """A number above 0; None where it is not said."""
        value = said.get(key)
        if key in said and (not is_number(value) or not value > 0):
            self.wrong(said, key, "must be a number above 0", path)
            return None
        return None if value is None else float(value)

    def share(self, said: CommentedMap, key: str, path: str, default: float = 1.0) -> float:
        """A share, in 0..1."""
        value = said.get(key, default)
        if isinstance(value, str) and value.strip().endswith("%"):
            try:
                value = float(value.strip()[:-1]) / 100
            except ValueError:
                value = None
        if not is_number(value) or not 0 <= value <= 1:
            self.wrong(said, key, "must be a share from 0% to 100%", path)
            return default
        return float(value)

    def entries(self, said: CommentedMap, key: str, read: Callable[[Any, int], T | None]) -> tuple[T, ...]:
        """What a list holds, entry by entry; empty where there is none."""
        values = said.get(key)
        if key not in said:
            return ()
        if not isinstance(values, CommentedSeq):
            self.wrong(said, key, "must be a list")
            return ()
        found = (read(values, place) for place in range(len(values)))
        return tuple(each for each in found if each is not None)


def near(word: Any, known: Iterable[str]) -> str:
    """The nearest of some words, as a question; empty where none is near."""
    found = difflib.get_close_matches(str(word), list(known), n=1)
    return f"; did you mean {found[0]}?" if found else ""


def shown(value: Any) -> str:
    """A value as the file may have it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value))}]"
    return "nothing" if value is None else str(value)


def is_number(value: Any) -> bool:
    """Whether it is a finite number, and no truth value."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return False


def _listed(values: Any) -> bool:
    return isinstance(values, Sequence) and not isinstance(values, str)
