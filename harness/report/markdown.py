"""The result as Markdown, for the summary of a CI job: a table of all, and what was not as expected in full."""

from collections.abc import Iterator, Sequence
from typing import Final

from harness.report import chapters
from harness.report import text as words
from harness.report.chapter import Chapter
from harness.report.junit import NOT_REACHED, REAL_CLOCK
from harness.report.result import Result, Unstarted
from harness.report.terminal import actual_text, cost
from harness.report.why import why

# As entities where a backslash would mean something else inside a table, or to HTML; the rest by a backslash.
ENTITIES: Final = {ord(mark): f"&#{ord(mark)};" for mark in "\\|<>&@$"}
ESCAPES: Final = ENTITIES | {ord(mark): f"\\{mark}" for mark in "`*_[]#~"}

HEADINGS: Final = ("scenario", "outcome", "to the candidate", "bad answers", "users harmed", "detected after", "took")


def render(results: Sequence[Result | Unstarted], skipped: Sequence[str] = (), unreached: Sequence[str] = ()) -> str:
    """Several runs as one summary; the arguments are those of `harness.report.junit.render`."""
    return "\n".join(_lines(results, skipped, unreached)) + "\n"


def plain(text: str) -> str:
    """A user's words as words: no character of them is markup, or ends a cell.

    >>> plain("a|b <img>")
    'a&#124;b &#60;img&#62;'
    """
    shown = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(shown.split()).translate(ESCAPES)


def _lines(results: Sequence[Result | Unstarted], skipped: Sequence[str], unreached: Sequence[str]) -> Iterator[str]:
    passed, total = sum(result.passed for result in results), len(results) + len(unreached)
    mark = "✅" if passed == total else "❌"
    yield f"## {mark} Rehearsal: {passed} of {words.plural(total, 'scenario')} passed"
    yield ""
    yield f"| | {' | '.join(HEADINGS)} |"
    yield f"|---|---|---|{'---:|' * (len(HEADINGS) - 2)}"
    for result in results:
        yield _row("✅" if result.passed else "❌", result.name, *_figures(result))
    for path in skipped:
        yield _row("⏭️", path, f"skipped: {REAL_CLOCK}", "", "", "", "", "")
    for path in unreached:
        yield _row("⏹️", path, NOT_REACHED, "", "", "", "", "")
    for result in results:
        if not result.passed:
            yield from _failed(result)


def _row(mark: str, *cells: str) -> str:
    return f"| {mark} | {' | '.join(plain(cell) or ' ' for cell in cells)} |"


def _figures(result: Result | Unstarted) -> tuple[str, ...]:
    if isinstance(result, Unstarted):
        return ("did not start", "–", "–", "–", "–", "–")
    return (
        result.outcome_text,
        words.count(result.candidate_requests),
        words.count(result.bad_responses),
        words.count(result.users_harmed),
        words.span(result.detected_after_s),
        words.span(result.wall_s),
    )


def _failed(result: Result | Unstarted) -> Iterator[str]:
    yield ""
    yield f"### ❌ {plain(result.name)}"
    yield ""
    if isinstance(result, Unstarted):
        yield f"Did not start: {plain(result.reason)}"
        return
    yield plain(why(result))
    if result.unmet:
        yield ""
    for expectation in result.unmet:
        was = plain(actual_text(expectation))
        expected = plain(expectation.expected or expectation.text)
        yield f"- ❌ **{plain(expectation.text)}**, expected {expected}, was **{was}**"
    yield ""
    yield "| what it cost | | |"
    yield "|---|---:|---|"
    for name, figure, note in cost(result):
        yield f"| {plain(name)} | {plain(figure)} | {plain(note) or ' '} |"
    for chapter in chapters.chapters(result):
        if not chapter.detail:
            yield from chapter_lines(chapter)
    yield ""
    yield f"File {plain(result.path)}, seed {result.seed}, {result.event_digest}"


def chapter_lines(chapter: Chapter) -> Iterator[str]:
    """A table with its title."""
    yield ""
    yield f"**{plain(chapter.title)}**{f': {plain(chapter.note)}' if chapter.note else ''}"
    yield ""
    yield f"| {' | '.join(plain(name) or ' ' for name in chapter.columns)} |"
    yield f"|{''.join('---:|' if index in chapter.figures else '---|' for index in range(len(chapter.columns)))}"
    for line in chapter.lines:
        yield f"| {' | '.join(plain(cell) or ' ' for cell in line.cells)} |"
