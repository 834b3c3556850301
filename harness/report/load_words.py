"""A load test and a capacity search in words: the sentence that a report begins with, and the figures below it."""

from collections.abc import Iterator, Mapping
from typing import Final

from harness.domain.load import Spread
from harness.domain.units import SECOND
from harness.report import text as words
from harness.report.load_result import CapacityResult, LoadResult
from harness.stats.grade import Condition

NONE: Final = "–"
ENDS: Final = {
    "aborted": "Aborted by a rule of its own",
    "interrupted": "Interrupted",
    "error": "Ended by an error",
    None: "Cut off",
}
SEARCHES: Final = {
    "found": "Capacity found",
    "wide": "Capacity known, but less closely than asked for",
    "unbounded": "No limit met",
    "none": "Not even the lowest rate held",
    "generator": "The generator gave out before the endpoint",
    "interrupted": "Interrupted",
    "error": "Ended by an error",
    None: "Cut off: its log has no end",
}


def latency(seconds: float | None) -> str:
    """A latency, or a dash.

    >>> latency(0.00002), latency(None)
    ('0.02 ms', '–')
    """
    return NONE if seconds is None else words.latency(seconds)


def rate(per_s: float | None) -> str:
    """A rate, to a digit after the point below a thousand.

    >>> rate(499.83), rate(12345.6), rate(None)
    ('499.8/s', '12,346/s', '–')
    """
    if per_s is None:
        return NONE
    return f"{per_s:,.0f}/s" if per_s >= 1000 or per_s == round(per_s) else f"{per_s:.4g}/s"


def within(interval: tuple[float, float] | None, *, share: bool = False) -> str:
    """An interval of latencies, or of shares.

    >>> within((0.0019, 0.0021)), within((0.98, 0.99), share=True), within((0.5, 1.5)), within(None)
    ('1.9–2.1 ms', '98–99%', '500 ms – 1.5 s', '–')
    """
    if interval is None or None in interval:
        return NONE
    low, high = (words.share(value) if share else latency(value) for value in interval)
    for unit in ("%", " ms", " s"):
        if low.endswith(unit) and high.endswith(unit):
            return f"{low.removesuffix(unit)}–{high}"
    return f"{low} – {high}"


def kind(name: str) -> str:
    """A kind of failure as a person reads it.

    >>> kind("http_503"), kind("connect_refused")
    ('HTTP 503', 'connect refused')
    """
    return f"HTTP {name[5:]}" if name.startswith("http_") and name[5:].isdigit() else name.replace("_", " ")


def condition(found: Condition) -> str:
    """A condition of a rung that was not met.

    >>> condition(Condition("p99", 0.7, "<", 0.5, False)), condition(Condition("success_rate", 0.97, ">=", 0.98, False))
    ('p99 700 ms, not < 500 ms', 'success rate 97%, not >= 98%')
    """
    name = found.metric.replace("_", " ")
    return f"{name} {words.figure(found.metric, found.value)}, not {found.op} {bound(found)}"


def bound(found: Condition) -> str:
    """The bound of a condition, with its unit."""
    return words.figure(found.metric, found.bound)


def asked(result: LoadResult) -> str:
    """What was asked for: rate or users, for how long, of whom."""
    plan = result.asked
    span = words.span(plan.duration_ns / SECOND)
    warmup = f" after {words.span(plan.warmup_ns / SECOND)} of warm-up" if plan.warmup_ns else ""
    if plan.mode == "open":
        pace = f"{rate(result.asked_rate)}, {plan.arrivals}" if plan.target_rate else plan.arrivals
    else:
        think = f", thinking {words.span(plan.think_ns / SECOND)}" if plan.think_ns else ""
        pace = f"{words.plural(plan.users or 0, 'user')}{think}"
    rules = f", by MLPerf's rules ({plan.rules.replace('_', ' ')})" if plan.rules else ""
    return f"{pace}, for {span}{warmup}{rules}"


def headline(result: LoadResult, *, cause: bool = True) -> str:
    """The sentence that tells a reader what to think of it.

    Args:
        result: the test.
        cause: say why figures are spoiled, where they are; a page says it in a box of its own.
    """
    said = []
    if result.status != "done":
        planned = words.span(result.asked.duration_ns / SECOND)
        said.append(f"{ENDS[result.status]} after {words.span(result.elapsed_s)} of {planned}.")
    if result.spoiled:
        why = f": {_sentence(result.spoiled)}" if cause else "."
        said.append(f"Not graded, for the figures cannot be trusted{why}")
    elif result.grade:
        missed = result.missed
        short = f" ({missed.grade} asks for more: {condition(missed.conditions[0])})" if missed else ""
        said.append(f"Grade {result.grade}{short}.")
    said.append(_reached(result))
    if result.slos:
        met = sum(slo.passed for slo in result.slos)
        said.append(f"{met} of {words.plural(len(result.slos), 'objective')} met.")
    if result.grade_held is False:
        said.append(f"At least {result.asked.min_grade} was asked for.")
    return " ".join(said)


def _reached(result: LoadResult) -> str:
    counts = result.counts
    if not counts.scheduled:
        return "Nothing was measured."
    due = counts.scheduled / result.elapsed_s if result.elapsed_s else None
    of = f" of {rate(due)} that were due" if result.asked_rate is not None else ""
    told = f"{rate(result.achieved_rate)} answered well{of}, {words.share(counts.success_rate)} of all requests"
    figures = result.latency.figures
    known = ", ".join(f"{name} {latency(figures[name])}" for name in ("p50", "p95", "p99") if figures.get(name))
    return f"{told}; {known}." if known else f"{told}."


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def facts(result: LoadResult) -> Iterator[tuple[str, str, str]]:
    """The figures below the sentence: name, figure, and a note to it."""
    counts = result.counts
    yield "rate reached", rate(result.achieved_rate), f"asked for: {asked(result)}"
    yield "requests", words.count(counts.scheduled), _fates(result)
    yield "succeeded", words.share(counts.success_rate), _kinds(result)
    for name in ("p50", "p95", "p99"):
        around = within(result.intervals.get(name))
        note = f"95 % interval {around}" if around != NONE else "too little for an interval" if result.intervals else ""
        yield f"latency {name}", latency(result.latency.figures.get(name)), note
    lag = result.lag.figures
    yield "generator's lag p99", latency(lag.get("p99")), f"at most {latency(lag.get('max'))}" if lag.get("max") else ""


def _fates(result: LoadResult) -> str:
    counts = result.counts
    parts = [f"{words.count(counts.succeeded)} succeeded", f"{words.count(counts.failed)} failed"]
    if counts.not_sent:
        parts.append(f"{words.count(counts.not_sent)} not sent")
    if counts.in_flight:
        parts.append(f"{words.count(counts.in_flight)} in flight at the end")
    return ", ".join(parts)


def _kinds(result: LoadResult) -> str:
    """Failures by kind, the most frequent first, and what was not sent."""
    counts = result.counts
    failed = [f"{kind(name)} {words.count(number)}" for name, number in _by_number(counts.errors)]
    unsent = [f"not sent: {kind(name)} {words.count(number)}" for name, number in _by_number(counts.unsent)]
    return ", ".join([*failed, *unsent])


def _by_number(kinds: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(kinds.items(), key=lambda each: (-each[1], each[0]))


def spreads(result: LoadResult) -> dict[str, Spread]:
    """Every distribution that was measured, by what it is of."""
    named: dict[str, Spread | None] = {
        "latency": result.latency,
        "service time": result.service,
        "generator's lag": result.lag,
        "wait for a connection": result.waited,
        "first byte": result.first_byte,
        "between pieces": result.gap,
    }
    return {name: spread for name, spread in named.items() if spread is not None and spread.count}


# --- capacity ---------------------------------------------------------------------------------------------------------


def bracket(result: CapacityResult) -> str:
    """The bracket as it is read."""
    if result.low is None and result.high is None:
        return NONE
    if result.low is None:
        return f"below {rate(result.high)}"
    if result.high is None:
        return f"{rate(result.low)} or more"
    return f"{rate(result.low)} to {rate(result.high)}"


def capacity_headline(result: CapacityResult) -> str:
    """The sentence that tells a reader what to think of a search."""
    said = [f"{SEARCHES.get(result.status, result.outcome_text)}: {_sentence(result.reason)}"]
    if result.low is not None or result.high is not None:
        known = result.status in {"found", "wide"} and result.low is not None and result.high is not None
        sure = f", with {words.share(result.confidence)} confidence" if known else ""
        said.append(f"The highest rate that holds {_objectives(result)} is {bracket(result)}{sure}.")
    if result.knee is not None:
        said.append(f"Latency begins to rise steeply at {rate(result.knee)}.")
    return " ".join(said)


def _objectives(result: CapacityResult) -> str:
    return " and ".join(result.asked.slos) or "the objectives"


def capacity_facts(result: CapacityResult) -> Iterator[tuple[str, str, str]]:
    """The figures below the sentence: name, figure, and a note to it."""
    width = f"{words.share(result.width)} wide; " if result.width is not None else ""
    yield "highest rate that holds", bracket(result), f"{width}{words.share(result.asked.precision)} wide was asked for"
    yield "best estimate", rate(result.estimate), ""
    yield "knee", rate(result.knee), "where latency begins to rise steeply" if result.knee is not None else ""
    held = sum(trial.held is True for trial in result.trials)
    spoilt = sum(trial.held is None for trial in result.trials)
    note = f"{held} held, {len(result.trials) - held - spoilt} did not" + (f", {spoilt} spoiled" if spoilt else "")
    yield "trials", words.count(len(result.trials)), note
    yield "requests", words.count(result.requests), f"in {words.span(result.elapsed_s)}"
