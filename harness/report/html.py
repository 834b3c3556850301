"""The result as one HTML page that needs nothing else: no network, no other file, no server.

Scripts and styles stand in the page and are named by their hashes in its content security policy, so that a browser
runs these and nothing that a scenario's text might smuggle in; that text is escaped as well.
"""

import base64
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.domain.units import duration_text, share_text
from harness.errors import InputError
from harness.report import chapters, plots
from harness.report import text as words
from harness.report.evaluation_curve import picture
from harness.report.result import Result
from harness.report.terminal import actual_text, cost
from harness.report.why import why

ASSETS: Final = Path(__file__).parent / "assets"


def write(result: Result, path: Path) -> None:
    """Write the page.

    Raises:
        InputError: it cannot be written there.
    """
    try:
        path.write_text(render(result), encoding="utf-8", newline="\n")
    except OSError as error:
        raise InputError(f"{path}: the report cannot be written: {error.strerror}") from error


def render(result: Result) -> str:
    """The page as text; the same result gives the same page."""
    curve = picture(result.examined)
    styles = [asset("uPlot.min.css"), asset("report.css"), *([asset("evaluation.css")] if curve else [])]
    scripts = [asset("uPlot.iife.min.js"), asset("report.js")]
    page: str = (
        environment()
        .get_template("report.html.j2")
        .render(
            result=result,
            sentence=why(result),
            cost=list(cost(result)),
            first=chapters.first(result),
            curve=curve,
            then=chapters.then(result),
            known_users=any(arm.users is not None for arm in result.totals.values()),
            plots=plots.plots(result),
            drawn={role.value for role in result.series.arms},
            flags=plots.flags(result),
            marked={marker.mark.value for marker in result.markers},
            missing=plots.missing(result),
            few=plots.FEW,
            short=plots.short_run(result),
            log=place(result.event_log, result.report),
            data=island(plots.document(result)),
            styles=[Markup(style) for style in styles],  # noqa: S704 - our own files
            scripts=[Markup(script) for script in scripts],  # noqa: S704 - our own files
            licence=Markup(asset("uPlot.LICENSE.txt")),  # noqa: S704 - our own file
            policy=policy(scripts, styles),
        )
    )
    return page


def place(event_log: str | None, report: str | None) -> str:
    """Where the log is; one beside the page needs no path, and the page is then the same wherever it was made."""
    if event_log is None or report is None:
        return event_log or ""
    log, page = Path(event_log), Path(report)
    return f"{log.name}, beside this page" if log.parent == page.parent else str(log)


def policy(scripts: list[str], styles: list[str]) -> str:
    """What a page may do: run and apply what stands in it, by its hashes, and nothing else."""
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(_hash(script) for script in scripts)}",
            f"style-src {' '.join(_hash(style) for style in styles)}",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def island(document: dict[str, Any]) -> Markup:
    """JSON inside a page: no character of it can end the element that holds it."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - escaped above


@cache
def asset(name: str) -> str:
    """A file that goes into pages."""
    return (ASSETS / name).read_text(encoding="utf-8")


@cache
def environment() -> Environment:
    """The templates of all pages, with the words that figures are written by."""
    made = Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    made.filters.update(
        actual=actual_text,
        clock=words.clock_time,
        count=words.count,
        duration=duration_text,
        share=words.share,
        span=words.span,
        weight=share_text,
    )
    made.globals.update(figure=words.figure, of_gate=words.of_gate, figures=words.figures, plural=words.plural)
    return made
