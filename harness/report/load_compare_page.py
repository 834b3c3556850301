"""Two load tests side by side as one HTML page that needs nothing else."""

from pathlib import Path

from harness.domain.units import SECOND
from harness.report import load_chart as chart
from harness.report import load_words as said
from harness.report import text as words
from harness.report.load_chart import Chart, Line
from harness.report.load_compare import QUANTILES, LoadComparison
from harness.report.load_compare import chapter as figures
from harness.report.load_page import filled
from harness.report.load_plots import percent, quantiles
from harness.report.load_result import LoadResult
from harness.report.suite_page import link
from harness.stats.histogram import Histogram


def render(compared: LoadComparison, page: Path) -> str:
    """The page as text; the same runs at the same place give the same page.

    Args:
        compared: the two tests.
        page: where the page is to be; links to the runs' own pages are relative to it.
    """
    sides = [
        (word, result, said.asked(result), link(result, page))
        for word, result in (("first", compared.a), ("second", compared.b))
    ]
    charts = [_curve(compared.a, compared.b), *(_over_time(compared.a, compared.b, name) for name in QUANTILES)]
    return filled("load_compare.html.j2", compared=compared, sides=sides, figures=figures(compared), charts=charts)


def _curve(a: LoadResult, b: LoadResult) -> Chart:
    axis = chart.percentiles()
    xs = [axis.low + (axis.high - axis.low) * step / 140 for step in range(141)]
    named = (
        ("latency, first", "first", a.latency),
        ("latency, second", "second", b.latency),
        ("service time, first", "first thin", a.service),
        ("service time, second", "second thin", b.service),
    )
    lines = [
        Line(name, style, quantiles(Histogram.from_dict(spread.histogram), xs))
        for name, style, spread in named
        if spread.histogram and spread.count
    ]
    values = [value for line in lines for value in line.values]
    return Chart(
        "percentiles", "Percentile curves", "Latency from the due time, service time from the sending.",
        x=axis, y=chart.latencies(values, log=True), xs=xs, labels=[percent(x) for x in xs], lines=lines,
        write=words.latency,
    )  # fmt: skip


def _over_time(a: LoadResult, b: LoadResult, name: str) -> Chart:
    """A percentile of both over time, each from the end of its warm-up."""
    series = [
        {each.start_s - result.asked.warmup_ns / SECOND: each.figures.get(name) for each in result.measured}
        for result in (a, b)
    ]
    xs = sorted({*series[0], *series[1]})
    lines = [
        Line(word, word, [part.get(x) for x in xs]) for word, part in zip(("first", "second"), series, strict=True)
    ]
    values = [value for line in lines for value in line.values]
    return Chart(
        name, f"Latency {name} over time", "Of the requests due in each interval.",
        x=chart.seconds((xs[-1] if xs else 0.0) + 1.0, "seconds since the warm-up ended"), y=chart.latencies(values),
        xs=xs, labels=[words.clock_time(x) for x in xs], lines=lines, write=words.latency,
    )  # fmt: skip
