"""A load test or a capacity search as a person reads it in a terminal: the sentence first, then the figures."""

from collections.abc import Iterable
from typing import IO

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.report import load_chapters as chapters
from harness.report import load_words as said
from harness.report.load_result import CapacityResult, LoadResult
from harness.report.tables import titled, told
from harness.report.terminal import NOT_PASSED, PASSED, screen

GRADES = {"A+": "bold green", "A": "green", "B": "yellow", "C": "yellow", "F": "bold red"}


def show(
    result: LoadResult | CapacityResult, *, color: bool = True, verbose: bool = False, file: IO[str] | None = None
) -> None:
    """Print what came of it, and where its page and log are.

    Args:
        result: the one to show.
        color: colours are allowed.
        verbose: the plan, the generator and all that became of requests as well.
        file: standard output, if not given.
    """
    console = screen(file, color=color)
    width = console.width
    blocks = _load(result, width, verbose=verbose) if isinstance(result, LoadResult) else _search(result, width)
    console.print(Group(*blocks))
    for name, place in (("report", result.report), ("events", result.event_log)):
        if place:
            console.print(Text(f"{name}  {place}", style="dim"), soft_wrap=True)


def _load(result: LoadResult, width: int, *, verbose: bool) -> Iterable[RenderableType]:
    title = Text(f"\n{result.asked.url}", style="bold")
    if result.grade:
        title.append(f"  {result.grade}", style=GRADES.get(result.grade, "bold cyan"))
    elif result.status == "done":
        title.append("  not graded", style="bold yellow")
    else:
        title.append(f"  {result.outcome_text}", style="bold cyan")
    title.append("  ").append(_badge(result.passed))
    yield title
    yield Text(said.headline(result))
    if result.reason and not result.in_order:
        yield Text(result.reason)
    yield _facts(said.facts(result))
    shown = [*chapters.chapters(result), *(chapters.rest(result) if verbose else [])]
    yield from (told(chapter, width) for chapter in shown)
    yield from _notes(result.notes)


def _search(result: CapacityResult, width: int) -> Iterable[RenderableType]:
    title = Text(f"\n{result.asked.url}", style="bold")
    title.append(f"  {said.bracket(result)}", style="bold cyan")
    title.append("  ").append(_badge(result.passed))
    yield title
    yield Text(said.capacity_headline(result))
    yield _facts(said.capacity_facts(result))
    yield told(chapters.trials(result), width)


def _badge(passed: bool) -> Text:
    return Text(f"✓ {PASSED}", style="bold green") if passed else Text(f"✗ {NOT_PASSED}", style="bold red")


def _facts(rows: Iterable[tuple[str, str, str]]) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(style="dim")
    for row in rows:
        grid.add_row(*row)
    return Padding(grid, (1, 0, 0, 2), expand=False)


def _notes(notes: Iterable[str]) -> Iterable[RenderableType]:
    lines = [Text(note) for note in notes]
    if lines:
        yield titled("Notes", Group(*lines))
