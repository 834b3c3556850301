"""A load test or a capacity search as CI systems read it: JUnit XML, a summary in Markdown, notes of GitHub Actions."""

from collections.abc import Iterator
from xml.etree import ElementTree as ET

from harness.errors import Problem
from harness.report import load_chapters as chapters
from harness.report import load_words as said
from harness.report import text as words
from harness.report.junit import NEVER, Case, add_suite, document
from harness.report.load_result import CapacityResult, LoadResult
from harness.report.markdown import chapter_lines, plain

TRUSTED = "the figures can be trusted"
ORDERLY = "the test ends in order"


def junit(result: LoadResult | CapacityResult) -> str:
    """A suite: a case for each objective, for the least grade, for trust in the figures, and for an end in order."""
    root = ET.Element("testsuites")
    known = {
        "seed": str(result.seed),
        "digest": result.event_digest,
        "status": result.outcome_text,
        "grade": result.grade or "none",
        "run": result.run,
    }
    add_suite(
        root,
        result.asked.url,
        result.name,
        list(cases(result)),
        known,
        result.elapsed_s,
        result.started[:19] or NEVER,
        sentence(result),
    )
    return document(root)


def sentence(result: LoadResult | CapacityResult) -> str:
    """The sentence that its report begins with."""
    return said.headline(result) if isinstance(result, LoadResult) else said.capacity_headline(result)


def cases(result: LoadResult | CapacityResult) -> Iterator[Case]:
    """What it was held to."""
    if isinstance(result, CapacityResult):
        yield _capacity(result)
        return
    trusted = not result.spoiled
    yield Case(TRUSTED, "" if trusted else "error", result.spoiled)
    yield Case(ORDERLY, "" if result.in_order else "error", result.reason)
    judged = {slo.text for slo in result.slos}
    for slo in result.slos:
        parts = words.parts(slo.text)
        was = words.figure(parts[0] if parts else "", slo.actual)
        yield Case(slo.text, "" if slo.passed else "failure", f"expected {slo.text}, was {was}")
    for text in result.asked.slos:
        if text not in judged:
            yield Case(text, "skipped", "not judged: the test was cut off")
    if result.grade_held is not None:
        message = f"expected at least {result.asked.min_grade}, was {result.grade or 'not graded'}"
        kind = "" if result.grade_held else "failure" if trusted else "skipped"
        yield Case(f"grade at least {result.asked.min_grade}", kind, message)


def _capacity(result: CapacityResult) -> Case:
    kind = "" if result.passed else "error" if result.status in {"error", "interrupted", None} else "failure"
    return Case("the highest rate is found", kind, said.capacity_headline(result))


def problems(result: LoadResult | CapacityResult) -> Iterator[tuple[str, Problem]]:
    """Whatever was not met, each under its title, as `harness.cli.ci.annotate` takes them."""
    for case in cases(result):
        if case.kind in {"failure", "error"}:
            yield f"{result.name}: {case.name}", Problem("", 0, 0, f"{case.message}\n{sentence(result)}")


def markdown(result: LoadResult | CapacityResult) -> str:
    """A summary: the sentence, the figures, and the tables."""
    return "\n".join(_lines(result)) + "\n"


def _lines(result: LoadResult | CapacityResult) -> Iterator[str]:
    mark = "✅" if result.passed else "❌"
    word = "Load test" if isinstance(result, LoadResult) else "Capacity"
    yield f"## {mark} {word}: {plain(result.asked.url)}"
    yield ""
    yield plain(sentence(result))
    if not result.passed and result.reason:
        yield ""
        yield f"**{plain(result.reason)}**"
    yield ""
    yield "| | | |"
    yield "|---|---:|---|"
    rows = said.facts(result) if isinstance(result, LoadResult) else said.capacity_facts(result)
    for name, figure, note in rows:
        yield f"| {plain(name)} | {plain(figure)} | {plain(note) or ' '} |"
    told = chapters.chapters(result) if isinstance(result, LoadResult) else [chapters.trials(result)]
    for chapter in told:
        yield from chapter_lines(chapter)
    if isinstance(result, LoadResult) and result.notes:
        yield ""
        yield from (f"- {plain(note)}" for note in result.notes)
    yield ""
    yield f"Seed {result.seed}, {result.event_digest}"
