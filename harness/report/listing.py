"""Several runs in a terminal: a table of those that are kept, and two of them side by side."""

from collections.abc import Sequence
from typing import Any, Protocol

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from harness.report import text as words
from harness.report.compare import Comparison
from harness.report.kinds import AnyResult
from harness.report.load_compare import LoadComparison, chapter
from harness.report.result import Result
from harness.report.tables import told
from harness.report.terminal import screen


class Listed(Protocol):
    """A run on disk, as it is listed."""

    @property
    def id(self) -> str:
        """The name of its folder."""

    @property
    def scenario(self) -> str:
        """The name of the folder above."""

    @property
    def result(self) -> AnyResult | None:
        """Its figures; None where its log cannot be read."""

    @property
    def problem(self) -> str:
        """Why it cannot."""


def show_runs(runs: Sequence[Listed], *, color: bool = True) -> None:
    """Print a line for each run, and what is wrong with logs that cannot be read."""
    console = screen(color=color)
    table = plain_table("", "run", "scenario", "kind", "outcome", "began (UTC)")
    table.columns[1].no_wrap = True  # it is there to be copied
    for name in ("detected after", "bad answers"):
        table.add_column(name, justify="right", no_wrap=True)
    for run in runs:
        result = run.result
        if result is None:
            unreadable = Text("unreadable", "magenta")
            table.add_row(Text("!", "magenta"), run.id, Text(run.scenario), "", unreadable, "", "", "")
            continue
        cost = ("", "")
        if isinstance(result, Result):
            cost = words.span(result.detected_after_s), words.count(result.bad_responses)
        table.add_row(
            Text("✓", "green") if result.passed else Text("✗", "bold red"),
            run.id,
            Text(run.scenario),
            result.kind,
            f"{result.outcome_text}, grade {result.grade}" if result.grade else result.outcome_text,
            result.started[:16].replace("T", " "),
            *cost,
        )
    if runs:
        console.print(table)
    for run in runs:
        if run.problem:
            console.print(Text(run.problem, style="magenta"), soft_wrap=True)
    console.print(Text(words.plural(len(runs), "run"), style="bold"))


def as_json(run: Listed) -> dict[str, Any]:
    """A run as a program reads it; what an unreadable log cannot say is null."""
    result = run.result
    keys = (
        "kind", "seed", "outcome", "grade", "passed", "started", "detected_after_s", "candidate_requests",
        "bad_responses",
    )  # fmt: skip
    figures = {key: getattr(result, key, None) for key in keys}
    return {"run": run.id, "scenario": run.scenario, **figures, "problem": run.problem or None}


def show_comparison(compared: Comparison, *, color: bool = True) -> None:
    """Print two runs side by side."""
    console = screen(color=color)
    for side, result, sentence in zip("AB", (compared.a, compared.b), compared.sentences, strict=True):
        console.print(Text(f"{side}  ", style="bold").append(f"{result.name}  {result.run}", style="bold cyan"))
        console.print(Text(sentence))
    for section in compared.sections:
        console.print(Text(f"\n{section.title}", style="bold"))
        table = plain_table("", "A", "B", *(["from A to B"] if section.differs else []))
        for row in section.rows:
            cells = [row.name, row.a, row.b, *([row.difference] if section.differs else [])]
            table.add_row(*(Text(cell, style="bold" if row.changed else "") for cell in cells))
        console.print(table)
        if section.note:
            console.print(Text(section.note, style="dim"))
    console.print(Text("\nScenario", style="bold"))
    for line in compared.diff or ["the same file, word for word"]:
        console.print(Text(line, style={"+": "green", "-": "red"}.get(line[:1], "dim")), soft_wrap=True)


def show_load_comparison(compared: LoadComparison, *, color: bool = True) -> None:
    """Print two load tests side by side."""
    console = screen(color=color)
    for side, result in zip("AB", (compared.a, compared.b), strict=True):
        title = Text(f"{side}  ", style="bold").append(f"{result.asked.url}  {result.run}", style="bold cyan")
        console.print(title.append(f"  {result.grade or 'not graded'}"))
    console.print(Text(compared.sentence, style="bold red" if compared.regressed else "bold"))
    console.print(told(chapter(compared), console.width))
    for note in compared.notes:
        console.print(Text(note, style="yellow"))


def plain_table(*columns: str) -> Table:
    """A table as every listing has it."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for name in columns:
        table.add_column(name, overflow="fold")
    return table
