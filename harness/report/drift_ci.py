"""A comparison of two data sets as CI systems and programs read it: JSON, JUnit XML, a summary in Markdown."""

import json
from collections.abc import Iterator
from xml.etree import ElementTree as ET

from harness.domain.drift import Columns, DriftReport, Rules
from harness.errors import Problem
from harness.report import drift_chapters as chapters
from harness.report.drift_page import title
from harness.report.junit import Case, add_suite, document
from harness.report.markdown import chapter_lines, plain


def as_json(report: DriftReport, page: str = "") -> str:
    """The document of ``harness drift --json``."""
    told = report.as_json()
    if page:
        told["report"] = page
    return json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def junit(report: DriftReport) -> str:
    """A suite: a case for each column and rule, and for each other detector."""
    root = ET.Element("testsuites")
    known = {"alpha": f"{report.alpha:g}", "score": f"{report.drift_score:.9g}"}
    add_suite(root, f"drift: {title(report)}", report.current, list(_cases(report)), known, said=sentence(report))
    return document(root)


def sentence(report: DriftReport) -> str:
    """The sentence that its report begins with."""
    return chapters.sentence(report)


def _cases(report: DriftReport) -> Iterator[Case]:
    for detector, part in report.parts.items():
        match part:
            case Columns():
                for name in part.absent:
                    yield Case(f"{detector}: {name}", "failure", "the current data lack this column")
                for column in part.columns:
                    before, now = chapters.described(column)
                    message = f"p {chapters.p_text(column.adjusted_p_value)}, was {before}, is {now}"
                    yield Case(f"{detector}: {column.name}", "failure" if column.drifted else "", message)
            case Rules():
                for rule in part.rules:
                    message = f"{chapters.of_rule(rule, rule.value)}, held to {rule.bound}"
                    yield Case(f"{detector}: {rule.text}", "" if rule.passed else "failure", message)
            case _:
                message = f"p {chapters.p_text(part.p_value)}, held to {part.alpha:g}"
                kind = "failure" if part.drifted else "skipped" if part.p_value is None else ""
                yield Case(chapters.NAMES[detector], kind, part.note if kind == "skipped" else message)


def markdown(report: DriftReport) -> str:
    """A summary: the sentence, what to do, and the tables."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: DriftReport) -> Iterator[str]:
    yield f"## {'❌' if report.drift_detected else '✅'} Drift: {plain(title(report))}"
    yield ""
    yield plain(sentence(report))
    yield ""
    yield from (f"{at}. {plain(each)}" for at, each in enumerate(report.recommendations, 1))
    yield ""
    yield "| | | |"
    yield "|---|---:|---|"
    for name, figure, note in chapters.facts(report):
        yield f"| {plain(name)} | {plain(figure)} | {plain(note) or ' '} |"
    for chapter in chapters.chapters(report, all_columns=False):
        yield from chapter_lines(chapter)
    if report.notes:
        yield ""
        yield from (f"- {plain(note)}" for note in report.notes)


def problems(report: DriftReport) -> Iterator[tuple[str, Problem]]:
    """That there is drift, as `harness.cli.ci.annotate` takes it."""
    if report.drift_detected:
        yield f"drift: {title(report)}", Problem("", 0, 0, "\n".join([sentence(report), *report.recommendations]))
