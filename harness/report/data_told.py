"""What came of holding data against a schema: sentence, table, JSON, JUnit, Markdown."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from xml.etree import ElementTree as ET

from rich.console import Group, RenderableType
from rich.text import Text

from harness.domain.quality import THE_TABLE, Validation
from harness.errors import Problem
from harness.report import text as words
from harness.report.chapter import Chapter, Line
from harness.report.data_quality import as_json, quality_chapter
from harness.report.junit import Case, add_suite, document
from harness.report.markdown import chapter_lines, plain
from harness.report.tables import titled, told
from harness.report.terminal import screen

VERSION = 1


def sentence(found: Validation) -> str:
    """What came of it, in a sentence.

    >>> sentence(Validation("rows.csv", 7043, ("a", "b"), (), checks=3))
    'rows.csv: valid: 7,043 rows of 2 columns, 3 checks, no warning'
    """
    size = f"{words.plural(found.rows, 'row')} of {words.plural(len(found.columns), 'column')}"
    warnings = words.plural(len(found.warnings), "warning") if found.warnings else "no warning"
    if found.valid:
        return f"{found.file}: valid: {size}, {words.plural(found.checks, 'check')}, {warnings}"
    critical = words.plural(len(found.critical), "critical failure")
    return f"{found.file}: not valid: {critical} and {warnings} in {size}, {words.plural(found.checks, 'check')}"


def in_short(found: Validation) -> str:
    """The same without the file."""
    said = sentence(found).removeprefix(f"{found.file}: ")
    return f"{said[:1].upper()}{said[1:]}."


def chapters(found: Validation, *, verbose: bool = True) -> Iterator[Chapter]:
    """What was found; on asking, what is missing and what checks kept."""
    chapter = quality_chapter([*found.critical, *found.warnings])
    if chapter:
        yield Chapter("Found", chapter.columns, chapter.lines, chapter.figures)
    if verbose and found.missing:
        rows = [Line((name, f"{n:,}", words.share(n / found.rows))) for name, n in found.missing.items()]
        yield Chapter("Missing values", ("column", "rows", "share"), rows, frozenset({1, 2}))
    if verbose and found.costs:
        lines = [Line(tuple(cost.split(": ", 1))) for cost in found.costs]
        yield Chapter("What checks keep of the rows", ("check", "kept"), lines)


def held_against(found: Validation) -> list[tuple[str, str]]:
    """The files that it was held against, each with what it is."""
    named = {"schema": found.schema, "quality": found.quality, "training data": found.against}
    return [(name, file) for name, file in named.items() if file]


def plain_json(found: Validation, page: str = "") -> dict[str, Any]:
    """The document of ``harness data validate --json``: shares in 0..1, row numbers from 1 without the header."""
    return {
        "version": VERSION,
        "file": found.file,
        "schema": found.schema or None,
        "quality": found.quality or None,
        "against": found.against or None,
        "valid": found.valid,
        "rows": found.rows,
        "columns": list(found.columns),
        "checks": found.checks,
        "critical": len(found.critical),
        "warnings": len(found.warnings),
        "failures": [as_json(failure) for failure in found.failures],
        "missing": dict(found.missing),
        "costs": list(found.costs),
        "report": page or None,
    }


def json_text(found: Validation, page: str = "") -> str:
    """The same as text."""
    return json.dumps(plain_json(found, page), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def junit(found: Validation) -> str:
    """A suite: a case for each finding, or one that all holds; warnings are told and fail nothing."""
    root = ET.Element("testsuites")
    cases = [Case(f"{each.column or THE_TABLE}: {each.kind}", "failure", str(each)) for each in found.critical]
    cases += [Case(f"{each.column or THE_TABLE}: {each.kind} (warning)", "", str(each)) for each in found.warnings]
    known = {"rows": str(found.rows), "checks": str(found.checks), **dict(held_against(found))}
    said = "\n".join([sentence(found), *map(str, found.failures)])
    name = f"data: {Path(found.file).name}"
    add_suite(root, name, found.file, cases or [Case("the data are valid")], known, said=said)
    return document(root)


def markdown(found: Validation) -> str:
    """A summary: the sentence and the table of what was found."""
    lines = [f"## {'✅' if found.valid else '❌'} Data: {plain(Path(found.file).name)}", "", plain(sentence(found))]
    for chapter in chapters(found, verbose=False):
        lines += chapter_lines(chapter)
    return "\n".join(lines) + "\n"


def problems(found: Validation) -> Iterator[tuple[str, Problem]]:
    """What a CI system notes beside the file."""
    for each in found.critical:
        yield f"data: {Path(found.file).name}", Problem(found.file, 0, 0, str(each))


def show(
    found: Validation, page: str = "", *, color: bool = True, verbose: bool = False, file: IO[str] | None = None
) -> None:
    """Print what came of it, and where its page is."""
    console = screen(file, color=color)
    console.print(Group(*_blocks(found, console.width, verbose=verbose)))
    if page:
        console.print(Text(f"\nreport  {page}", style="dim"), soft_wrap=True)


def _blocks(found: Validation, width: int, *, verbose: bool) -> Iterator[RenderableType]:
    head = Text(f"\n{Path(found.file).name}  ", style="bold")
    yield head.append("✓ valid" if found.valid else "✗ not valid", style="bold green" if found.valid else "bold red")
    yield Text(sentence(found))
    yield from (told(chapter, width) for chapter in chapters(found, verbose=verbose))
    if found.notes:
        yield titled("Notes", Group(*map(Text, found.notes)))
