"""What a load test and a capacity search have to tell, as tables that every form of a report shows."""

from collections.abc import Iterator, Mapping

from harness.domain.load import SloVerdict, TargetSeen
from harness.report import load_words as said
from harness.report import text as words
from harness.report.chapter import NONE, Chapter, Line
from harness.report.load_result import CapacityResult, LoadResult
from harness.stats.grade import conditions

ROWS = ("mean", "min", "p50", "p90", "p95", "p99", "p999", "max")
NAMES = {"p999": "p99.9"}


def chapters(result: LoadResult) -> list[Chapter]:
    """All of a load test, what decides first."""
    told = [objectives(result), ladder(result), percentiles(result), failures(result), targets(result), mlperf(result)]
    return [chapter for chapter in told if chapter.lines]


def rest(result: LoadResult) -> list[Chapter]:
    """What else a page shows."""
    return [chapter for chapter in (requests(result), plan(result), machine(result)) if chapter.lines]


# --- what decides -----------------------------------------------------------------------------------------------------


def objectives(result: LoadResult) -> Chapter:
    """The SLOs, and the least grade that was asked for."""
    lines = [_objective(slo) for slo in result.slos]
    judged = {slo.text for slo in result.slos}
    lines += [Line(("–", text, "not judged")) for text in result.asked.slos if text not in judged]
    if result.grade_held is not None:
        mark = "✓" if result.grade_held else "✗"
        graded = result.grade or "not graded"
        lines.append(Line((mark, f"grade at least {result.asked.min_grade}", graded), result.grade_held))
    if lines and result.spoiled:
        lines.append(Line(("✗", "figures that can be trusted", "spoiled"), passed=False))
    return Chapter("Objectives", ("", "asked for", "was"), lines)


def _objective(slo: SloVerdict) -> Line:
    parts = words.parts(slo.text)
    was = words.figure(parts[0] if parts else "", slo.actual)
    if parts is None and isinstance(slo.actual, float):
        metric = next((word for word in slo.text.replace("(", " ").split() if word != "not"), "")
        was = words.figure(metric, slo.actual)
    return Line(("✓" if slo.passed else "✗", slo.text, was), slo.passed)


def percentiles(result: LoadResult) -> Chapter:
    """Every distribution beside the others, the latency with its intervals."""
    spreads = said.spreads(result)
    known = [name for name in ROWS if any(spread.figures.get(name) is not None for spread in spreads.values())]
    has_intervals = bool(result.intervals)
    columns = ["", *spreads]
    if has_intervals and "latency" in spreads:
        columns.insert(2, "95 % interval")
    lines = []
    for name in known:
        cells = [said.latency(spread.figures.get(name)) for spread in spreads.values()]
        if has_intervals and "latency" in spreads:
            cells.insert(1, said.within(result.intervals.get(name)))
        lines.append(Line((NAMES.get(name, name), *cells)))
    note = "Latency runs from the moment a request was due, service time from the moment it was sent."
    short = [name for name in ("p50", "p95", "p99") if has_intervals and name not in result.intervals]
    if short:
        note += f" Too few independent answers for an interval of {', '.join(short)}: test longer."
    return Chapter("Percentiles", tuple(columns), lines, frozenset(range(1, len(columns))), note)


def ladder(result: LoadResult) -> Chapter:
    """Each rung, with what of it holds."""
    if result.grade is None:
        return Chapter("Grade", (), [])
    lines = []
    for rung in result.ladder:
        held = conditions(rung, result.figures)
        cells = [f"{'✓' if each.met else '✗'} {each.op} {said.bound(each)}" for each in held]
        lines.append(Line((rung.grade, *cells), all(each.met for each in held)))
    was = [words.figure(each.metric, each.value) for each in conditions(result.ladder[0], result.figures)]
    lines.append(Line(("measured", *was)))
    return Chapter("Grade", ("", "success rate", "mean", "p95", "p99"), lines, note=_why_not_better(result))


def _why_not_better(result: LoadResult) -> str:
    missed = result.missed
    if missed is None:
        return f"{result.grade} is the best there is."
    return f"{result.grade}, and not {missed.grade}: {'; '.join(said.condition(each) for each in missed.conditions)}."


def failures(result: LoadResult) -> Chapter:
    """What failed and what was not sent, by kind, with an example."""
    counts = result.counts
    lines = []
    for fate, kinds in (("failed", counts.errors), ("not sent", counts.unsent)):
        for name, number in sorted(kinds.items(), key=lambda each: (-each[1], each[0])):
            part = words.share(number / counts.scheduled) if counts.scheduled else NONE
            lines.append(Line((said.kind(name), fate, words.count(number), part, result.examples.get(name, NONE))))
    columns = ("kind", "fate", "requests", "of all", "the first one")
    return Chapter("Failures", columns, lines, frozenset({2, 3}))


def targets(result: LoadResult) -> Chapter:
    """Several targets beside each other."""
    lines = [Line(tuple(_target(target))) for target in result.targets]
    columns = ("target", "share", "requests", "succeeded", "p50", "p95", "p99")
    note = "In brackets: 95 % intervals. Targets whose intervals do not overlap differ." if lines else ""
    return Chapter("Targets", columns, lines, frozenset(range(1, len(columns))), note)


def _target(target: TargetSeen) -> Iterator[str]:
    yield target.name
    yield words.share(target.share)
    yield words.count(target.counts.scheduled)
    around = target.intervals
    yield _around(words.share(target.counts.success_rate), said.within(around.get("success_rate"), share=True))
    for name in ("p50", "p95", "p99"):
        yield _around(said.latency(target.latency.figures.get(name)), said.within(around.get(name)))


def _around(figure: str, interval: str) -> str:
    return figure if interval == NONE else f"{figure} ({interval})"


def mlperf(result: LoadResult) -> Chapter:
    """What MLPerf's rules make of it."""
    lines = [Line((str(name).replace("_", " "), _plain(value))) for name, value in result.rules.items()]
    return Chapter("MLPerf", ("", ""), lines)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return "; ".join(str(each) for each in value) or NONE
    return f"{value:,.6g}" if isinstance(value, int | float) else str(value)


# --- the rest ---------------------------------------------------------------------------------------------------------


def requests(result: LoadResult) -> Chapter:
    """What became of all requests."""
    counts = result.counts
    rows = (
        ("scheduled", counts.scheduled),
        ("not sent", counts.not_sent),
        ("sent", counts.sent),
        ("succeeded", counts.succeeded),
        ("failed", counts.failed),
        ("in flight at the end", counts.in_flight),
    )
    whole = counts.scheduled or 1
    lines = [Line((name, words.count(number), words.share(number / whole))) for name, number in rows]
    note = "Scheduled are those not sent and those sent; sent, those that succeeded, failed, or were in flight."
    return Chapter("Requests", ("", "requests", "of all"), lines, frozenset({1, 2}), note)


def plan(result: LoadResult) -> Chapter:
    """What was asked for."""
    return Chapter("Plan and limits", ("", ""), [Line(each) for each in _plan(result)])


def _plan(result: LoadResult) -> Iterator[tuple[str, str]]:
    asked = result.asked
    for name, part in asked.targets.items():
        yield "target", name if len(asked.targets) == 1 else f"{name}, {words.share(part)} of the requests"
    yield "asked by", f"{asked.method}, protocol {asked.protocol}, client {asked.client}"
    yield "pace", f"{asked.mode} loop: {said.asked(result)}"
    bodies = "1 body" if asked.bodies == 1 else f"{asked.bodies:,} bodies"
    yield "asked with", f"{bodies}: {asked.payload}" if asked.payload else bodies
    for check in asked.checks:
        yield "an answer must have", check
    for name, value in asked.limits.items():
        yield _limit(name, value)
    for rule in asked.abort_when:
        yield "aborted when", rule
    yield "seed", str(asked.seed)
    yield "generators", f"{words.plural(asked.workers, 'worker')}, {asked.engine}"
    if asked.started:
        yield "began", f"{asked.started[:19].replace('T', ' ')} UTC"


def _limit(name: str, value: float) -> tuple[str, str]:
    """A limit by its name, and its figure with the unit that the name tells.

    >>> _limit("timeout", 10.0), _limit("max_body", 67108864), _limit("max_in_flight", 512)
    (('limit: timeout', '10 s'), ('limit: max body', '64 MiB'), ('limit: max in flight', '512'))
    """
    told = f"limit: {name.removesuffix('_s').replace('_', ' ')}"
    if name.endswith("_s") or "timeout" in name or "deadline" in name:
        return told, words.span(value)
    return told, f"{value / 2**20:.3g} MiB" if "body" in name else words.count(value)


def machine(result: LoadResult) -> Chapter:
    """The generator, its connections and what it was redirected to."""
    lines = [Line((f"connections {name}", words.count(number))) for name, number in result.connections.items()]
    lines += [Line((f"redirected to {place}", words.count(number))) for place, number in result.locations.items()]
    if result.cpu_s is not None:
        lines.append(Line(("processor time", words.span(result.cpu_s))))
    if result.peak_memory:
        lines.append(Line(("memory at most", f"{result.peak_memory / 2**20:.0f} MiB")))
    return Chapter("Generator", ("", ""), lines, frozenset({1}))


# --- capacity ---------------------------------------------------------------------------------------------------------


def trials(result: CapacityResult) -> Chapter:
    """Every rate that was tried, in order; why some were spoiled is told below, once."""
    lines = []
    spoiled = list(dict.fromkeys(trial.detail for trial in result.trials if trial.detail))
    for trial in result.trials:
        verdict = {True: "✓ held", False: "✗ missed", None: "spoiled"}[trial.held]
        cells = (
            str(trial.number),
            said.rate(trial.rate_per_s),
            words.count(trial.requests),
            words.share(trial.figures.get("success_rate")),
            *(said.latency(trial.figures.get(name)) for name in ("p50", "p95", "p99")),
            verdict,
            _between(trial.low, trial.high),
            (f"spoiled ({spoiled.index(trial.detail) + 1})" if trial.detail else _unmet(trial.slos)) or NONE,
        )
        lines.append(Line(cells, trial.held))
    columns = ("trial", "rate", "requests", "succeeded", "p50", "p95", "p99", "held", "limit by then", "why")
    told = " ".join(f"({number + 1}) {why}." for number, why in enumerate(spoiled))
    return Chapter("Trials", columns, lines, frozenset(range(7)), told)


def _between(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return NONE
    return (
        f"{said.rate(low)} to {said.rate(high)}"
        if low is not None and high is not None
        else (f"{said.rate(low)} or more" if low is not None else f"below {said.rate(high)}")
    )


def _unmet(slos: tuple[SloVerdict, ...]) -> str:
    return "; ".join(_missed(slo) for slo in slos if not slo.passed)


def _missed(slo: SloVerdict) -> str:
    parts = words.parts(slo.text)
    return f"{slo.text}: {words.figure(parts[0], slo.actual)}" if parts else slo.text


def search(result: CapacityResult) -> Chapter:
    """What a search was asked for."""
    asked = result.asked
    rows: Mapping[str, str] = {
        "target": asked.url,
        "objectives": "; ".join(asked.slos),
        "bracket at most": f"{words.share(asked.precision)} wide, with {words.share(asked.confidence)} confidence",
        "rates": f"from {said.rate(asked.first_rate)}"
        + (f" to {said.rate(asked.most_rate)}" if asked.most_rate is not None else ", with no upper end"),
        "a trial": f"{words.span(result.trial_s)}, {asked.arrivals}",
        "seed": str(asked.seed),
        "began": f"{asked.started[:19].replace('T', ' ')} UTC" if asked.started else NONE,
    }
    return Chapter("Plan", ("", ""), [Line(each) for each in rows.items()])
