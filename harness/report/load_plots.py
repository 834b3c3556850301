"""Which charts a load test's page has, and what is drawn in each. Pure."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Final

import numpy as np

from harness.domain.load import Spread
from harness.domain.load_event import IntervalSeen
from harness.domain.quantity import duration_ns
from harness.domain.units import SECOND
from harness.report import load_chart as chart
from harness.report import load_words as said
from harness.report import text as words
from harness.report.load_chart import Bar, Chart, Line, Point, Rule, Span
from harness.report.load_result import CapacityResult, LoadResult
from harness.stats.blocks import bucket_edges
from harness.stats.histogram import Histogram

SHARES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
KINDS: Final = 6
"""Kinds of failures with a colour of their own; the rest are told together."""
BINS: Final = 48


def charts(result: LoadResult) -> list[Chart]:
    """Every chart that has something to show."""
    made: list[Chart | None] = []
    if result.timeline:
        made += [_latency(result), _rate(result)]
    made += [_curve(result), _histogram(result)]
    if result.timeline:
        made += [_failures(result), _lag(result), _busy(result)]
    return [each for each in made if each is not None]


def bounds(slos: Sequence[str]) -> list[tuple[str, float, str]]:
    """Metric, seconds and text of each objective that sets an upper bound to a latency."""
    found = []
    for text in slos:
        parts = words.parts(text)
        if parts and parts[1] in {"<", "<="} and (parts[0] in SHARES or parts[0] == "mean"):
            try:
                found.append((parts[0], duration_ns(parts[2].replace(" ", "")) / SECOND, text))
            except ValueError:  # a bound without a unit, or one that is no duration: it is drawn nowhere
                continue
    return found


# --- over time --------------------------------------------------------------------------------------------------------


def _middle(each: IntervalSeen) -> float:
    return (each.start_s + each.stop_s) / 2


def _over_time(
    result: LoadResult,
    id: str,  # noqa: A002 - as charts have it
    title: str,
    summary: str,
    lines: Sequence[Line],
    axis: chart.Axis,
    write: Callable[[float], str],
    **more: object,
) -> Chart:
    timeline = [each for each, _ in result.timeline]
    warm = [each.stop_s for each, warmup in result.timeline if warmup]
    return Chart(
        id, title, summary,
        x=chart.seconds(timeline[-1].stop_s),
        y=axis,
        xs=[_middle(each) for each in timeline],
        labels=[f"{each.start_s:g}–{each.stop_s:g} s" for each in timeline],
        lines=lines,
        write=write,
        spans=[Span(0.0, warm[-1], "warm-up")] if warm else [],
        **more,  # type: ignore[arg-type]
    )  # fmt: skip


def _latency(result: LoadResult) -> Chart | None:
    names = [name for name in ("p50", "p95", "p99", "max") if _column(result, name)]
    lines = [Line(name, name, _values(result, name)) for name in names]
    if not lines:
        return None
    known = [value for line in lines for value in line.values]
    most = max(value for value in known if value is not None)
    rules = [Rule(bound, text) for _, bound, text in bounds(result.asked.slos) if bound <= 4 * most]
    axis = chart.latencies([*known, *(rule.value for rule in rules)])
    bands = [(names.index("p50"), names.index("p99"), "band")] if {"p50", "p99"} <= set(names) else []
    scale = " The scale is logarithmic." if axis.log else ""
    width = result.asked.interval_ns / SECOND
    summary = f"Of the requests due in each interval of {words.span(width)}.{scale}"
    return _over_time(
        result, "latency", "Latency over time", summary, lines, axis, words.latency, bands=bands, rules=rules
    )


def _rate(result: LoadResult) -> Chart:
    timeline = [each for each, _ in result.timeline]

    def per_s(name: str) -> list[float | None]:
        """Of a log that was cut off, nobody counted the warm-up's."""
        return [
            None if warmup and not result.series else getattr(each.counts, name) / (each.stop_s - each.start_s or 1.0)
            for each, warmup in result.timeline
        ]

    lines = [Line("due", "due", per_s("scheduled")), Line("answered well", "reached", per_s("succeeded"))]
    if result.asked.mode == "open" and result.asked.planned:
        times, rates = zip(*result.asked.planned, strict=True)
        planned = np.interp([_middle(each) for each in timeline], times, rates).tolist()
        lines.insert(0, Line("asked for", "asked", planned))
    high = max((value for line in lines for value in line.values if value is not None), default=0.0)
    axis = chart.linear(0.0, max(high, 1.0) * 1.1, _number)
    summary = f"{said.rate(result.achieved_rate)} answered well"
    if result.asked_rate is not None:
        summary += f" of {said.rate(result.asked_rate)} asked for"
    return _over_time(
        result, "rate", "Rate asked for and reached", f"{summary}. By due time.", lines, axis, lambda v: f"{v:,.4g}/s"
    )


def _failures(result: LoadResult) -> Chart | None:
    counts = result.counts
    named = [("errors", kind, number) for kind, number in counts.errors.items()]
    named += [("unsent", kind, number) for kind, number in counts.unsent.items()]
    if not named:
        return None
    named.sort(key=lambda each: (-each[2], each[1]))
    shown, others = named[:KINDS], named[KINDS:]
    timeline = [each for each, _ in result.timeline]
    lines = [Line(_fate(where, kind), f"kind{place}", _of(timeline, [(where, kind)])) for place, (where, kind, _) in
             enumerate(shown)]  # fmt: skip
    if others:
        rest = [(where, kind) for where, kind, _ in others]
        lines.append(Line("others", f"kind{KINDS}", _of(timeline, rest)))
    bars = []
    for place, each in enumerate(timeline):
        foot = 0.0
        room = (each.stop_s - each.start_s) * 0.08
        for line in lines:
            number = line.values[place] or 0.0
            if number:
                bars.append(Bar(line.style, each.start_s + room, each.stop_s - room, foot, foot + number))
                foot += number
    high = max((bar.high for bar in bars), default=1.0)
    silent = [Line(line.name, line.style, line.values, drawn=False) for line in lines]
    failed, unsent = words.count(counts.failed), words.count(counts.not_sent)
    summary = f"{failed} failed, {unsent} were not sent, of {words.count(counts.scheduled)}. Stacked, by due time."
    return _over_time(
        result, "failures", "Failures over time", summary, silent, chart.linear(0.0, high * 1.08, _number), _number,
        bars=bars, keys=[(f"box {line.style}", line.name) for line in lines],
    )  # fmt: skip


def _fate(where: str, kind: str) -> str:
    return said.kind(kind) if where == "errors" else f"not sent: {said.kind(kind)}"


def _of(timeline: Sequence[IntervalSeen], kinds: Sequence[tuple[str, str]]) -> list[float]:
    return [float(sum(getattr(each.counts, where).get(kind, 0) for where, kind in kinds)) for each in timeline]


def _lag(result: LoadResult) -> Chart | None:
    wanted = (
        ("generator's lag p99", "lag", "lag_p99"),
        ("first byte p99", "ttfb", "ttfb_p99"),
        ("latency p99", "p99", "p99"),
    )
    lines = _lines(result, wanted)
    if not any(line.style == "lag" for line in lines):
        return None
    axis = chart.latencies([value for line in lines for value in line.values], log=True)
    summary = "What the generator itself adds must lie far below the latency; the scale is logarithmic."
    return _over_time(result, "lag", "The generator's lag", summary, lines, axis, words.latency)


def _busy(result: LoadResult) -> Chart | None:
    wanted = (("busiest generator's core", "busy", "busy"), ("whole machine", "machine", "machine"))
    lines = _lines(result, wanted)
    if not lines:
        return None
    summary = "Near 100 % the generator cannot keep its pace, and its figures are its own."
    return _over_time(result, "busy", "Processor", summary, lines, chart.linear(0.0, 1.05, words.share), words.share)


def _lines(result: LoadResult, wanted: Sequence[tuple[str, str, str]]) -> list[Line]:
    """A line for each metric that was measured: name, style and metric."""
    return [Line(name, style, _values(result, metric)) for name, style, metric in wanted if _column(result, metric)]


def _values(result: LoadResult, name: str) -> list[float | None]:
    return [each.figures.get(name) for each, _ in result.timeline]


def _column(result: LoadResult, name: str) -> bool:
    return any(value is not None for value in _values(result, name))


def _number(value: float) -> str:
    return f"{value:,.6g}"


# --- distributions ----------------------------------------------------------------------------------------------------


def _histograms(result: LoadResult) -> list[tuple[str, str, Histogram]]:
    named: tuple[tuple[str, str, Spread | None], ...] = (
        ("latency, from the due time", "due-time", result.latency),
        ("service time, from the sending", "service", result.service),
        ("first byte", "ttfb", result.first_byte),
        ("between pieces", "gap", result.gap),
    )
    return [(name, style, Histogram.from_dict(spread.histogram)) for name, style, spread in named
            if spread is not None and spread.histogram and spread.count]  # fmt: skip


def _curve(result: LoadResult) -> Chart | None:
    known = _histograms(result)
    if not known:
        return None
    axis = chart.percentiles()
    xs = sorted({*np.linspace(axis.low, axis.high, 140).round(6).tolist(), *(chart.nines(q) for q in SHARES.values())})
    lines = [Line(name, style, quantiles(histogram, xs)) for name, style, histogram in known]
    slos = [(SHARES[metric], bound, text) for metric, bound, text in bounds(result.asked.slos) if metric in SHARES]
    points = [Point(chart.nines(q), bound, "slo", text) for q, bound, text in slos]
    values = [value for line in lines for value in line.values] + [bound for _, bound, _ in slos]
    gap = "Where the two curves part, requests waited before they were sent: a closed loop would not have seen it."
    return Chart(
        "percentiles", "Percentile curve", gap,
        x=axis, y=chart.latencies(values, log=True), xs=xs, labels=[percent(x) for x in xs],
        lines=lines, write=words.latency, points=points,
        keys=[("mark slo", "objective")] if points else [],
    )  # fmt: skip


def quantiles(histogram: Histogram, xs: Sequence[float]) -> list[float | None]:
    """Latency at each percentile; beyond the last observation there is none."""
    last = chart.nines(1 - 1 / histogram.count) if histogram.count > 1 else 0.0
    return [histogram.quantile(1 - 10.0**-x) / SECOND if x <= last + 1e-9 else None for x in xs]


def percent(x: float) -> str:
    """A place on an axis of percentiles, as it is read."""
    return words.share(float(f"{1 - 10.0**-x:.6g}"))


def _histogram(result: LoadResult) -> Chart | None:
    known = _histograms(result)[:2]
    if not known:
        return None
    filled = [histogram for _, _, histogram in known]
    low = max(1e-6, min(h.quantile(0.0) for h in filled) / SECOND)
    high = max(low * 2, max(h.quantile(1.0) for h in filled) / SECOND)
    edges = np.geomspace(low / 1.05, high * 1.05, BINS + 1)
    parts = [_binned(histogram, edges) for histogram in filled]
    bars = [Bar("due-time", edges[i], edges[i + 1], 0.0, value) for i, value in enumerate(parts[0]) if value]
    middles = np.sqrt(edges[1:] * edges[:-1]).tolist()
    lines = [Line(name, style, part, drawn=place > 0) for place, ((name, style, _), part) in
             enumerate(zip(known, parts, strict=True))]  # fmt: skip
    labels = [f"{words.latency(a)} to {words.latency(b)}" for a, b in pairwise(edges)]
    ticks = [(value, words.latency(value)) for value in chart.decades(edges[0], edges[-1])]
    summary = f"Share of {words.count(result.latency.count)} requests by latency."
    return Chart(
        "histogram", "Histogram", summary,
        x=chart.Axis(float(edges[0]), float(edges[-1]), ticks, "latency, on a logarithmic scale", log=True),
        y=chart.linear(0.0, max(max(part) for part in parts) * 1.1, words.share),
        xs=middles, labels=labels, lines=lines, write=words.share, bars=bars,
        keys=[("box due-time", known[0][0])],
    )  # fmt: skip


def _binned(histogram: Histogram, edges: np.ndarray) -> list[float]:
    """The share of a histogram between each two edges; what a bucket holds is spread evenly between its own."""
    places = np.flatnonzero(histogram.counts)
    ends = np.array([bucket_edges(histogram.first + int(place)) for place in places]) / SECOND
    rising = np.concatenate([[0], np.cumsum(histogram.counts[places])])
    known = np.concatenate([ends[:1, 0], ends[:, 1]])
    at = np.interp(edges, known, rising, left=0.0, right=float(rising[-1]))
    found: list[float] = (np.diff(at) / rising[-1]).tolist()
    return found


# --- capacity ---------------------------------------------------------------------------------------------------------


def capacity_chart(result: CapacityResult) -> Chart | None:
    """Latency against rate: every trial, the fitted curve, the objective, the bracket and the knee."""
    found = bounds(result.asked.slos)
    metric, bound, text = found[0] if found else ("p99", None, "")
    trials = sorted(result.trials, key=lambda trial: trial.rate_per_s)
    tried = [(trial, trial.figures.get(metric)) for trial in trials]
    points = [
        Point(trial.rate_per_s, value, {True: "held", False: "missed", None: "spoilt"}[trial.held],
              f"trial {trial.number}: {metric} {words.latency(value)} at {said.rate(trial.rate_per_s)}")
        for trial, value in tried if value is not None
    ]  # fmt: skip
    if not points:
        return None
    curve = [(rate, value) for rate, value in result.curve if value > 0]
    xs = sorted({*(point.x for point in points), *(rate for rate, _ in curve)})
    at = partial(_on, curve)
    values = [point.y for point in points] + [value for _, value in curve] + ([bound] if bound else [])
    most = max([*xs, result.high or 0.0, result.knee or 0.0])
    measured = {point.x: point.y for point in points}
    spans = [Span(result.low, result.high, "bracket", "bracket")] if result.low and result.high else []
    return Chart(
        "capacity", f"{metric} against rate", "Each trial is a point; the line is fitted, its scale logarithmic.",
        x=chart.linear(0.0, most * 1.05, _number, "requests per second", most=7),
        y=chart.latencies(values, log=True),
        xs=xs, labels=[said.rate(x) for x in xs],
        lines=[Line("fitted", "due-time", [at(x) for x in xs], drawn=bool(curve)),
               Line("measured", "service", [measured.get(x) for x in xs], drawn=False)],
        write=words.latency, points=points, spans=spans,
        rules=[Rule(bound, text)] if bound else [],
        downs=[Rule(result.knee, f"knee {said.rate(result.knee)}")] if result.knee else [],
        keys=[("mark held", "held"), ("mark missed", "missed"), ("mark spoilt", "spoiled")],
    )  # fmt: skip


def _on(curve: Sequence[tuple[float, float]], rate: float) -> float | None:
    if not curve or not curve[0][0] <= rate <= curve[-1][0]:
        return None
    rates, values = zip(*curve, strict=True)
    return float(np.exp(np.interp(rate, rates, np.log(values))))
