"""A comparison of two data sets as a person reads it in a terminal: the sentence first, then what to do."""

from collections.abc import Iterable
from typing import IO

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.domain.drift import DriftReport
from harness.report import drift_chapters as chapters
from harness.report.drift_page import title
from harness.report.tables import titled, told
from harness.report.terminal import screen


def show(
    report: DriftReport, page: str = "", *, color: bool = True, verbose: bool = False, file: IO[str] | None = None
) -> None:
    """Print what came of it, and where its page is.

    Args:
        report: the comparison.
        page: the file of its page; empty where there is none.
        color: colours are allowed.
        verbose: all columns, those too that did not drift.
        file: standard output, if not given.
    """
    console = screen(file, color=color)
    console.print(Group(*_blocks(report, console.width, verbose=verbose)))
    if page:
        console.print(Text(f"report  {page}", style="dim"), soft_wrap=True)


def _blocks(report: DriftReport, width: int, *, verbose: bool) -> Iterable[RenderableType]:
    head = Text(f"\n{title(report)}", style="bold")
    head.append("  ")
    head.append(
        "✗ drift" if report.drift_detected else "✓ no drift",
        style="bold red" if report.drift_detected else "bold green",
    )
    yield head
    yield Text(chapters.sentence(report))
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(style="dim", overflow="fold")
    for row in chapters.facts(report):
        grid.add_row(*map(Text, row))
    yield Padding(grid, (1, 0, 0, 2), expand=False)
    if report.recommendations:
        yield titled("What to do", Group(*(Text(f"{at}. {each}") for at, each in enumerate(report.recommendations, 1))))
    yield from (told(chapter, width) for chapter in chapters.chapters(report, all_columns=verbose))
    if report.notes:
        yield titled("Notes", Group(*map(Text, report.notes)))
