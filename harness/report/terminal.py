"""The result as a person reads it in a terminal: the sentence first, then the cost, then the evidence."""

import io
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.domain.analysis import Verdict
from harness.domain.model import Role
from harness.report import chapters
from harness.report import text as words
from harness.report.result import DRIFTED, Actual, Expectation, Input, Result, RuleTally, Unstarted
from harness.report.tables import NARROW, titled, told
from harness.report.why import why

PIPED: Final = 100
"""Columns where standard output is no terminal."""
WIDE: Final = 90
MOST_DRIFTED: Final = 5
FAILING: Final = 0.01
"""Where so many of stable's requests fail, it is not the candidate alone that is wrong."""

BLANKS: Final = re.compile(r"[ \t]+$", re.MULTILINE)

PASSED, NOT_PASSED = "passed", "not passed"
STYLES: Final[Mapping[Verdict, str]] = {
    Verdict.PASS: "green",
    Verdict.FAIL: "bold red",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.ERROR: "magenta",
}


class Screen(Console):
    """A console that says so when its reader has gone (`harness run … | head`), instead of ending the program."""

    def on_broken_pipe(self) -> None:
        """What is to follow is for the caller to decide."""
        self.quiet = True
        raise BrokenPipeError


class _Trimmed(io.StringIO):
    """A file to which no line is written with blanks at its end."""

    def __init__(self, file: IO[str]) -> None:
        super().__init__()
        self._file = file

    def write(self, text: str) -> int:
        """Write whole lines: a console writes what it prints at once."""
        self._file.write(BLANKS.sub("", text))
        return len(text)

    def flush(self) -> None:
        """Pass on what was written."""
        self._file.flush()


def screen(file: IO[str] | None = None, *, color: bool = True) -> Screen:
    """A console that prints what users wrote as it is, and says ``?`` for what the terminal has no letter for."""
    out = file or sys.stdout
    if isinstance(out, io.TextIOWrapper):
        out.reconfigure(errors="replace")  # a terminal that cannot write ✓ writes ? and still tells the rest
    width = None if out.isatty() or "COLUMNS" in os.environ else PIPED
    out = out if out.isatty() else _Trimmed(out)
    return Screen(file=out, width=width, no_color=not color, highlight=False, markup=False, emoji=False)


def show(
    results: Sequence[Result | Unstarted],
    skipped: Sequence[str] = (),
    unreached: Sequence[str] = (),
    *,
    color: bool = True,
    verbose: bool = False,
    file: IO[str] | None = None,
    page: str | None = None,
) -> None:
    """Print what came of one run, or of a suite: its failures in full, a table of all, and where its page is."""
    console = screen(file, color=color)
    single = len(results) == 1 and not skipped and not unreached
    for result in results:
        if isinstance(result, Unstarted):
            console.print(_unstarted(result))
        elif single or verbose or not result.passed:
            console.print(_full(result, console.width, verbose=verbose))
            console.print(_where(result), soft_wrap=True)
    if not single:
        console.print(_suite(results, skipped, unreached, console.width))
    if page:
        console.print(Text(f"\nreport  {page}", style="dim"), soft_wrap=True)


# --- one run ----------------------------------------------------------------------------------------------------------


def _full(result: Result, width: int, *, verbose: bool) -> Group:
    blocks = [_head(result), _cost(result), *_expectations(result)]
    blocks += [told(chapter, width) for chapter in chapters.first(result) if not chapter.detail]
    if result.gates:
        blocks.append(_gates(result))
    if result.tallies:
        blocks.append(_rules(result, width))
    drifted = [column for column in result.inputs if column.most >= DRIFTED]
    if drifted:
        blocks.append(_inputs(drifted))
    answers = [column for column in result.predictions.values() if column.most >= DRIFTED]
    if answers:
        blocks.append(_predictions(answers))
    blocks += [told(chapter, width) for chapter in chapters.then(result) if verbose or not chapter.detail]
    if verbose:
        blocks.append(_diary(result))
    return Group(*blocks)


def _unstarted(result: Unstarted) -> RenderableType:
    title = Text(f"\n{result.name}", style="bold")
    title.append("  did not start", style="bold cyan").append("  ").append(_badge(result.passed))
    return Group(title, Text(result.reason))


def _head(result: Result) -> RenderableType:
    title = Text(f"\n{result.name}", style="bold")
    title.append(f"  {result.outcome_text}", style="bold cyan")
    title.append("  ")
    title.append(_badge(result.passed))
    return Group(title, Text(why(result)))


def _badge(passed: bool) -> Text:
    return Text(f"✓ {PASSED}", style="bold green") if passed else Text(f"✗ {NOT_PASSED}", style="bold red")


def _cost(result: Result) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(style="dim")
    for row in cost(result):
        grid.add_row(*row)
    return Padding(grid, (1, 0, 0, 2), expand=False)


def cost(result: Result) -> Iterator[tuple[str, str, str]]:
    """What the rehearsal cost its users: name, figure and a note to it; the page shows the same."""
    of = ""
    if result.requests and result.candidate_requests is not None:
        of = f"{words.share(result.candidate_requests / result.requests)} of {words.count(result.requests)}"
    yield "requests to the candidate", words.count(result.candidate_requests), of
    yield "its largest share", words.share(result.candidate_share_max), "of traffic"
    bad = "failed, or wrong where stable would have been right"
    if result.candidate_requests and result.bad_responses is not None:
        bad = f"{words.share(result.bad_responses / result.candidate_requests)} of them {bad}"
    yield "its bad answers", words.count(result.bad_responses), bad
    yield "failed requests", words.count(result.failed_requests), "of all that users sent"
    if result.users_exposed is not None:
        harmed = f"{words.count(result.users_harmed)} of them got a failure, or a wrong answer for a right one"
        yield "users exposed", words.count(result.users_exposed), harmed if result.users_exposed else ""
    stable = result.totals.get(Role.STABLE)
    failing = stable.figures.get("error_rate") if stable else None
    if failing is not None and failing >= FAILING:
        few = "too few servers for this traffic? `harness check` tells"
        yield "stable's own error rate", words.share(failing), "see the outages" if result.outages else few
    if result.outcome == "rolled_back" and result.because:
        yield "detected after", words.span(result.detected_after_s), "from its first request to the deciding look"
    if result.clock == "real":
        yield "took", words.span(result.wall_s), "on real time"
    else:
        yield "simulated", words.span(result.simulated_s), f"in {words.span(result.wall_s)}"


def _expectations(result: Result) -> Iterator[RenderableType]:
    if not result.expectations:
        yield titled(
            "Expectations", Text("none stated; a promotion, or an end as planned, was taken for expected", style="dim")
        )
        return
    lines = Text("\n").join(_expectation(expectation) for expectation in result.expectations)
    yield titled("Expectations", lines)


def _expectation(expectation: Expectation) -> Text:
    if expectation.passed:
        line = Text("✓ ", style="green")
        line.append(expectation.text, style="default")
        return line.append(f"  {actual_text(expectation)}", style="dim")
    line = Text("✗ ", style="bold red")
    line.append(expectation.text, style="bold")
    return line.append(f"\n  expected {expectation.expected}, was {actual_text(expectation)}", style="red")


def actual_text(expectation: Expectation) -> str:
    """What was, with its unit."""
    actual = expectation.actual
    if isinstance(actual, Mapping):
        return ", ".join(f"{metric} {_actual(metric, value)}" for metric, value in actual.items())
    plain = words.parts(expectation.text)
    return _actual(plain[0] if plain else "", actual)


def _actual(metric: str, value: Actual) -> str:
    if value is None:
        return "not detected" if metric == "detected_after" else "not measured"
    return words.figure(metric, value)


def _gates(result: Result) -> RenderableType:
    table = _table("gate", "value", "stable", "")
    for gate in result.gates:
        value, stable = words.of_gate(gate.name, gate.value, gate.bound), words.figure(gate.name, gate.stable)
        table.add_row(gate.text, value, stable, Text("✓", "green") if gate.passed else Text("✗", "bold red"))
    return titled("Gates", table)


def _rules(result: Result, width: int) -> RenderableType:
    unsure = any(tally.inconclusive for tally in result.tallies)
    errors = any(tally.errors for tally in result.tallies)
    wide = width >= WIDE
    figures = ["candidate", "stable", *(["bound"] if width >= NARROW else [])]
    rare = [*(["incon."] if unsure else []), *(["error"] if errors else [])] if wide else []
    table = _table("rule", *(["looks"] if wide else []), "pass", "fail", *rare, *figures)
    lines = [] if wide else list(_rare(result.tallies))
    for tally in result.tallies:
        found = [_count(tally.inconclusive, "yellow")] * unsure + [_count(tally.errors, "magenta")] * errors
        table.add_row(
            Text(f"{tally.rule} ({tally.by})" if tally.by else tally.rule, overflow="fold"),
            *([words.count(tally.looks)] if wide else []),
            words.count(tally.passed),
            _count(tally.failed, "bold red"),
            *(found if wide else []),
            *_shown_figures(tally)[: len(figures)],
        )
    note = "figures of the last look that failed; else of the last one that had both"
    return titled("Analysis", Group(table, *lines, Text(note, style="dim")))


def _inputs(drifted: Sequence[Input]) -> RenderableType:
    lines = [_drift(column) for column in drifted[:MOST_DRIFTED]]
    more = len(drifted) - MOST_DRIFTED
    if more > 0:
        lines.append(Text(f"and {words.plural(more, 'feature')} more", style="dim"))
    return titled("Drifted features", Group(*lines, Text("distance from the held-out rows, 0 to 1", style="dim")))


def _predictions(drifted: Sequence[Input]) -> RenderableType:
    note = "distance from each model's own answers to the held-out rows, 0 to 1"
    return titled("Drifted predictions", Group(*map(_drift, drifted), Text(note, style="dim")))


def _drift(column: Input) -> Text:
    return Text(f"{column.name}  {', '.join(f'{role.value} {drift:.2f}' for role, drift in column.drift.items())}")


def _rare(tallies: Sequence[RuleTally]) -> Iterator[Text]:
    """What the columns of a wide table would say and seldom must."""
    for tally in tallies:
        counts = {"inconclusive": tally.inconclusive, "could not be measured": tally.errors}
        said = ", ".join(f"{number:,} {what}" for what, number in counts.items() if number)
        if said:
            yield Text(f"{tally.rule}: {said}", style="yellow")


def _shown_figures(tally: RuleTally) -> list[str]:
    look = tally.shown
    return [words.figure(tally.metric, value) for value in (look.candidate, look.stable, look.bound)]


def _count(number: int, style: str) -> Text:
    return Text(words.count(number), style=style if number else "dim")


def _diary(result: Result) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(justify="right", style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for moment in result.moments:
        grid.add_row(words.clock_time(moment.at_s), moment.text)
    return titled("Events", grid)


def _where(result: Result) -> Text:
    """Where it is kept; paths are never broken, so that they can be copied."""
    kept = {"report": result.report, "log": result.event_log, "digest": result.event_digest}
    return Text("".join(f"\n{name:6}  {value}" for name, value in kept.items() if value), style="dim")


# --- a suite ----------------------------------------------------------------------------------------------------------


def _suite(
    results: Sequence[Result | Unstarted], skipped: Sequence[str], unreached: Sequence[str], width: int
) -> RenderableType:
    wide = width >= NARROW
    figures = ("detected after", "bad answers", "users harmed", "took") if wide else ()
    table = _table("", "scenario", "outcome", *figures, left=3)
    for result in results:
        mark = Text("✓", "green") if result.passed else Text("✗", "bold red")
        table.add_row(mark, Text(result.name, overflow="fold"), *_came_to(result)[: 5 if wide else 1])
    for path in (*skipped, *unreached):
        row = ("", Text(path, style="dim", overflow="fold"), Text("skipped", style="dim"))
        table.add_row(*row, *(("", "", "", "") if wide else ()))
    passed, total = sum(result.passed for result in results), len(results) + len(unreached)
    counted = Text(f"{passed} of {words.plural(total, 'scenario')} passed", style="bold")
    if skipped:
        counted.append(
            f", {len(skipped)} skipped (`clock: real` wants `--clock real`; or a backend is not installed)",
            style="dim",
        )
    if unreached:
        counted.append(f", {len(unreached)} not run: interrupted", style="dim")
    return Group(Text(), table, *(line for result in results for line in _wanting(result)), counted)


def _came_to(result: Result | Unstarted) -> tuple[str, ...]:
    if isinstance(result, Unstarted):
        return (result.outcome, "–", "–", "–", "–")
    harm = words.count(result.bad_responses), words.count(result.users_harmed)
    return (result.outcome_text, words.span(result.detected_after_s), *harm, words.span(result.wall_s))


def _wanting(result: Result | Unstarted) -> Iterator[Text]:
    """What a suite says of a run that did not pass: what was not met, or what went wrong."""
    if isinstance(result, Unstarted) or (result.outcome == "error" and not result.passed):
        yield Text(f"{result.name}: ").append(result.reason, style="red")
        return
    for expectation in result.unmet:
        yield Text(f"{result.name}: ").append(_expectation(expectation))


# --- pieces -----------------------------------------------------------------------------------------------------------


def _table(*columns: str, left: int = 1) -> Table:
    """A table whose first columns are words and whose others are figures."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for index, name in enumerate(columns):
        justify = "left" if index < left else "right"
        table.add_column(name, justify=justify, no_wrap=index >= left)  # type: ignore[arg-type]
    return table
