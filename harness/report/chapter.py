"""A table that every form of a report shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

NONE: Final = "–"


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a table; `passed` says whether it is good news, None that it is neither."""

    cells: tuple[str, ...]
    passed: bool | None = None


@dataclass(frozen=True, slots=True)
class Chapter:
    """A table with its title, and a note on what its figures are."""

    title: str
    columns: tuple[str, ...]
    lines: Sequence[Line]
    figures: frozenset[int] = frozenset()
    """Which columns hold figures, and stand to the right."""
    note: str = ""
    detail: bool = False
    """Every look of a test, say: for those who want to see all, and only on a page."""
