"""Tables in a terminal, whatever its width."""

from collections.abc import Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Group, JustifyMethod, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.report.chapter import NONE, Chapter, Line

NARROW: Final = 70
"""Below so many columns, tables keep only what decides."""
UNBROKEN: Final = 24
"""Letters that a cell of a table may have and stays on its line."""
TONES: Final = {True: "green", False: "red", None: ""}


def titled(title: str, body: RenderableType) -> RenderableType:
    """A block under its title."""
    return Group(Text(f"\n{title}", style="bold"), Padding(body, (0, 0, 0, 2), expand=False))


def told(chapter: Chapter, width: int) -> RenderableType:
    """A table; where the terminal is too narrow for one, a paragraph for each of its lines."""
    note = [Text(chapter.note, style="dim")] if chapter.note else []
    if width < NARROW and len(chapter.columns) > 3:
        lines = [_paragraph(chapter.columns, line) for line in chapter.lines]
        return titled(chapter.title, Group(*lines, *note))
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.show_header = any(chapter.columns)
    whole = _whole(chapter, width)
    for index, name in enumerate(chapter.columns):
        justify: JustifyMethod = "right" if index in chapter.figures else "left"
        table.add_column(name, justify=justify, overflow="fold", no_wrap=index in whole)
    for line in chapter.lines:
        table.add_row(*(Text(cell) for cell in line.cells), style=TONES[line.passed])
    return titled(chapter.title, Group(table, *note))


def _whole(chapter: Chapter, width: int) -> set[int]:
    """The columns whose cells are not broken: the narrow ones, if that leaves room for the others."""
    widest = [
        max(len(cell) for cell in (name, *(line.cells[index] for line in chapter.lines)))
        for index, name in enumerate(chapter.columns)
    ]
    narrow = {index for index, wide in enumerate(widest) if wide <= UNBROKEN}
    room = width - sum(widest[index] + 2 for index in narrow)
    return narrow if room >= UNBROKEN * (len(widest) - len(narrow)) else set()


def _paragraph(columns: Sequence[str], line: Line) -> Text:
    said = [f"{name} {cell}".strip() for name, cell in zip(columns, line.cells, strict=True) if cell != NONE]
    return Text(", ".join(said), style=TONES[line.passed])
