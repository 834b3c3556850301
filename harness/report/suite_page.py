"""A suite as one HTML page that needs nothing else: a line for each scenario, linked to the page of its run."""

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from harness.errors import InputError
from harness.report import sketch
from harness.report.html import asset, environment, policy
from harness.report.junit import NOT_REACHED, REAL_CLOCK
from harness.report.load_result import LoadResult
from harness.report.result import Result, Unstarted
from harness.report.why import why


def write(
    results: Sequence[Result | Unstarted], page: Path, skipped: Sequence[str] = (), unreached: Sequence[str] = ()
) -> None:
    """Write the page.

    Args:
        results: one for each scenario that ran or should have.
        page: the file to write, in a folder that exists; links are relative to it.
        skipped: paths of scenarios that were not to run.
        unreached: paths of those that an interrupt kept from running.

    Raises:
        InputError: it cannot be written there.
    """
    try:
        page.write_text(render(results, page, skipped, unreached), encoding="utf-8", newline="\n")
    except OSError as error:
        raise InputError(f"{page}: the suite's page cannot be written: {error.strerror}") from error


def render(
    results: Sequence[Result | Unstarted], page: Path, skipped: Sequence[str] = (), unreached: Sequence[str] = ()
) -> str:
    """The page as text; the same results at the same place give the same page."""
    ran = [result for result in results if isinstance(result, Result)]
    styles, scripts = [asset("report.css"), asset("pages.css")], [asset("theme.js")]
    template = environment().get_template("suite.html.j2")
    return template.render(
        results=[(result, _told(result), link(result, page), _spark(result)) for result in results],
        passed=sum(result.passed for result in results),
        total=len(results) + len(unreached),
        not_run=[*((path, REAL_CLOCK) for path in skipped), *((path, NOT_REACHED) for path in unreached)],
        requests=sum(result.candidate_requests or 0 for result in ran),
        bad=sum(result.bad_responses or 0 for result in ran),
        exposed=sum(result.users_exposed or 0 for result in ran),
        harmed=sum(result.users_harmed or 0 for result in ran),
        wall_s=sum(result.wall_s for result in ran),
        simulated_s=sum(result.simulated_s for result in ran),
        began=min((result.started for result in ran if result.started), default=""),
        programs=sorted({result.program for result in ran if result.program}),
        size=sketch.SPARK,
        styles=[Markup(style) for style in styles],  # noqa: S704 - our own files
        scripts=[Markup(script) for script in scripts],  # noqa: S704 - our own files
        policy=policy(scripts, styles),
    )


def link(result: Result | LoadResult | Unstarted, page: Path) -> str:
    """The page of a run, as seen from another page; empty where it has none."""
    if isinstance(result, Unstarted) or result.report is None:
        return ""
    return quote(Path(os.path.relpath(result.report, page.parent)).as_posix())


def _told(result: Result | Unstarted) -> str:
    return f"Did not start: {result.reason}" if isinstance(result, Unstarted) else why(result)


def _spark(result: Result | Unstarted) -> str:
    return "" if isinstance(result, Unstarted) else sketch.spark(result)
