"""What a CI system wants of a suite: files in its formats, a summary, notes beside the lines at fault."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from harness.errors import InputError, Problem
from harness.report import output

SUMMARY = "GITHUB_STEP_SUMMARY"


@dataclass(frozen=True, slots=True)
class Files:
    """The files that a command line asks for; ``-`` is standard output, and then nothing else is printed there."""

    json: str | None
    junit: str | None
    markdown: str | None

    def check(self) -> None:
        """Whether each can be written.

        Raises:
            InputError: one cannot, or two want standard output for themselves.
        """
        named = {"--json": self.json, "--junit": self.junit, "--markdown": self.markdown}
        alone = [flag for flag, file in named.items() if file == "-"]
        if len(alone) > 1:
            raise InputError(f"{' and '.join(alone)} cannot both be standard output; name a file for one of them")
        for flag, file in named.items():
            output.check(flag, file)

    @property
    def takes_stdout(self) -> bool:
        """Whether one of them is standard output."""
        return "-" in (self.json, self.junit, self.markdown)

    def write(
        self, results: Sequence[Any], skipped: Sequence[str] = (), unreached: Sequence[str] = (), **suite: Any
    ) -> None:
        """Write those that were asked for.

        Args:
            results: one for each scenario that ran or should have.
            skipped: paths of scenarios that were not to run.
            unreached: paths of those that an interrupt kept from running.
            suite: what else the JSON document says of the whole.

        Raises:
            InputError: a file cannot be written.
        """
        if self.json:
            from harness.report import json

            json.write(json.suite(results, [*skipped, *unreached], **suite), self.json)
        if self.junit:
            from harness.report import junit

            output.write("--junit", self.junit, junit.render(results, skipped, unreached))
        if self.markdown:
            from harness.report import markdown

            output.write("--markdown", self.markdown, markdown.render(results, skipped, unreached))


def check_summary() -> None:
    """Whether `summarize` will be able to write, where this is a job of GitHub Actions.

    Raises:
        InputError: it will not.
    """
    output.check(f"{SUMMARY}:", os.environ.get(SUMMARY) or None)


def summarize(results: Sequence[Any], skipped: Sequence[str], unreached: Sequence[str]) -> None:
    """Append the summary to the page of a GitHub Actions job, where this is one.

    Raises:
        InputError: the file that ``GITHUB_STEP_SUMMARY`` names cannot be written.
    """
    file = os.environ.get(SUMMARY)
    if file:
        from harness.report import markdown

        output.write(f"{SUMMARY}:", file, markdown.render(results, skipped, unreached), append=True)


def annotate(problems: Iterable[tuple[str, Problem]]) -> None:
    """Show each problem, under its title, beside its line in the file, where this is a job of GitHub Actions.

    On standard error: GitHub reads its commands from both streams, and standard output may be a document that has to
    stand alone (`--json -`).
    """
    from harness.report import annotations

    if annotations.wanted():
        for title, problem in problems:
            click.echo(annotations.command(problem, title), err=True)


def wrong_files(problems: Iterable[Problem]) -> Iterable[tuple[str, Problem]]:
    """Problems of scenario files, as `annotate` takes them."""
    return (("wrong scenario", problem) for problem in problems)


def unmet(scenario: Any, result: Any) -> Iterable[tuple[str, Problem]]:
    """What of a run was not as expected, with the place of each expectation; or why it could not be told."""
    from harness.report.result import Unstarted
    from harness.report.terminal import actual_text
    from harness.report.why import why

    if result.passed:
        return
    if isinstance(result, Unstarted):
        yield f"{result.name}: did not start", _at(scenario, ("name",), result.reason)
        return
    for index, expectation in enumerate(result.expectations):
        if not expectation.passed:
            message = f"expected {expectation.text}, was {actual_text(expectation)}\n{why(result)}"
            yield f"{result.name}: not as expected", _at(scenario, ("expect", index), message)
    if not result.unmet:
        yield f"{result.name}: not passed", _at(scenario, ("name",), why(result))


def _at(scenario: Any, loc: tuple[str | int, ...], message: str) -> Problem:
    """A problem at a value of a scenario; where an override set it, the file has no line for it."""
    from harness.scenario import place_in

    place = place_in(scenario, loc)
    here = place.file == scenario.path
    return Problem(scenario.path, place.line if here else 0, place.column if here else 0, message)
