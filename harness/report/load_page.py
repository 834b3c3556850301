"""A load test or a capacity search as one HTML page that needs nothing else: no network, no other file, no server.

Charts are drawn as SVG here, so that they are there without a script and in print; the script in the page reads out
what a pointer is held over.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from harness.errors import InputError
from harness.report import load_chapters as chapters
from harness.report import load_plots as plots
from harness.report import load_words as said
from harness.report import text as words
from harness.report.chapter import Chapter, Line
from harness.report.html import asset, environment, island, place, policy
from harness.report.load_chart import Chart
from harness.report.load_result import CapacityResult, LoadResult


def write(result: LoadResult | CapacityResult, path: Path) -> None:
    """Write the page.

    Raises:
        InputError: it cannot be written there.
    """
    try:
        path.write_text(render(result), encoding="utf-8", newline="\n")
    except OSError as error:
        raise InputError(f"{path}: the report cannot be written: {error.strerror}") from error


def render(result: LoadResult | CapacityResult) -> str:
    """The page as text; the same result gives the same page."""
    shown = _load(result) if isinstance(result, LoadResult) else _capacity(result)
    return filled("load.html.j2", result=result, log=place(result.event_log, result.report), **shown)


def filled(template: str, *, charts: Sequence[Chart], **values: Any) -> str:
    """A page with charts: a template with its values, and what charts say where they are pointed at."""
    styles = [asset("report.css"), asset("load.css")]
    scripts = [asset("theme.js"), asset("load.js")]
    page: str = (
        environment()
        .get_template(template)
        .render(
            charts=charts,
            data=island({"charts": [chart.pointed() for chart in charts]}),
            styles=[Markup(style) for style in styles],  # noqa: S704 - our own files
            scripts=[Markup(script) for script in scripts],  # noqa: S704 - our own files
            policy=policy(scripts, styles),
            **values,
        )
    )
    return page


def _load(result: LoadResult) -> dict[str, Any]:
    return {
        "badge": result.grade or ("not graded" if result.status == "done" else result.outcome_text),
        "sentence": said.headline(result, cause=False),
        "asked": said.asked(result),
        "facts": list(said.facts(result)),
        "spoiled": result.spoiled,
        "first": chapters.chapters(result),
        "charts": plots.charts(result),
        "then": chapters.rest(result),
        "details": [_series(result)] if result.timeline else [],
        "notes": result.notes,
    }


def _capacity(result: CapacityResult) -> dict[str, Any]:
    chart = plots.capacity_chart(result)
    return {
        "badge": said.bracket(result),
        "sentence": said.capacity_headline(result),
        "asked": "",
        "facts": list(said.capacity_facts(result)),
        "spoiled": "",
        "first": [],
        "charts": [chart] if chart else [],
        "then": [chapters.trials(result), chapters.search(result)],
        "details": [],
        "notes": (),
    }


def _series(result: LoadResult) -> Chapter:
    """The test interval by interval, for those who want the figures behind the charts."""
    latencies, shares = ("mean", "p50", "p95", "p99", "max", "lag_p99"), ("busy", "machine")
    lines = []
    for each, warmup in result.timeline:
        counts = each.counts
        cells = [f"{each.start_s:g}–{each.stop_s:g}{' warm-up' if warmup else ''}"]
        cells += [f"{number:,}" for number in (counts.scheduled, counts.succeeded, counts.failed, counts.not_sent)]
        cells += [said.latency(each.figures.get(name)) for name in latencies]
        cells += [words.share(each.figures.get(name)) for name in shares]
        lines.append(Line(tuple(cells)))
    columns = ("seconds", "due", "succeeded", "failed", "not sent", "mean", "p50", "p95", "p99", "max", "lag p99",
               "generator", "machine")  # fmt: skip
    return Chapter("Interval by interval", columns, lines, frozenset(range(len(columns))), detail=True)
