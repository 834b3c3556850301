"""A comparison of two data sets as one HTML page that needs nothing else: no network, no other file, no server."""

from pathlib import Path

from markupsafe import Markup

from harness.domain.drift import DriftReport
from harness.errors import InputError
from harness.report import drift_chapters as chapters
from harness.report.drift_plots import pictures
from harness.report.html import asset, environment, policy


def write(report: DriftReport, path: Path) -> None:
    """Write the page.

    Raises:
        InputError: it cannot be written there.
    """
    try:
        path.write_text(render(report), encoding="utf-8", newline="\n")
    except OSError as error:
        raise InputError(f"{path}: the report cannot be written: {error.strerror}") from error


def render(report: DriftReport) -> str:
    """The page as text; the same comparison gives the same page."""
    styles = [asset("report.css"), asset("load.css"), asset("drift.css")]
    scripts = [asset("theme.js")]
    page: str = (
        environment()
        .get_template("drift.html.j2")
        .render(
            report=report,
            title=title(report),
            sentence=chapters.sentence(report),
            facts=list(chapters.facts(report)),
            chapters=chapters.chapters(report),
            pictures=pictures(report),
            styles=[Markup(style) for style in styles],  # noqa: S704 - our own files
            scripts=[Markup(script) for script in scripts],  # noqa: S704 - our own files
            policy=policy(scripts, styles),
        )
    )
    return page


def title(report: DriftReport) -> str:
    """Of what the page is."""
    names = [name for name in (report.reference, report.current) if name]
    return " → ".join(names) if names else "Two data sets"
