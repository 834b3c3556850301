"""What the figures of a load test come to: whether they can be trusted, its SLOs, its grade."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from harness.analysis.conditions import comparisons, evaluate
from harness.analysis.figures import figure_text
from harness.domain.analysis import Rule
from harness.domain.load import ClosedLoop, LoadPlan, Mode, SloVerdict
from harness.domain.load_event import LoadJudged, LoadMeasured
from harness.domain.units import SECOND
from harness.load.record import PERCENTILES, Record, Tally
from harness.load.rules import judged_by_rules
from harness.stats.grade import GRADES, LOWEST, Rung, grade

SPOILING_NS: Final = 1_000_000
"""A lag that shifts no percentile by more than this spoils nothing."""
TURN_NS: Final = 2_000_000
"""The same of a closed loop, whose every turn answers all its users: a fraction of a millisecond for 64 of them."""
SPOILING_SHARE: Final = 0.05
"""Nor does one that shifts each by less than this share of it."""
THIN: Final = 100
"""With fewer requests there is no p99 to speak of."""
SATURATED: Final = 0.97
"""A machine that is busier than this, on average, has nothing left for whoever is late."""
CORE: Final = 0.95
"""A generator that uses more than this of its core cannot keep up with more."""

Figures = Mapping[str, float | None]


def figures_of(measured: LoadMeasured) -> dict[str, float | None]:
    """All that an SLO may speak of, in base units; None where there was nothing to measure."""
    counts = measured.counts
    found: dict[str, float | None] = {
        name: measured.latency.figures.get(name) for name in ("mean", "min", *PERCENTILES, "max")
    }
    rate = counts.success_rate
    found |= {
        "success_rate": rate,
        "error_rate": None if rate is None else 1 - rate,
        "rate": measured.achieved_rate,
        "requests": float(counts.scheduled),
    }
    for prefix, spread in (("ttfb", measured.first_byte), ("gap", measured.gap)):
        if spread is not None:
            found |= {f"{prefix}_{name}": value for name, value in spread.figures.items()}
    return found


def judge(
    plan: LoadPlan, measured: LoadMeasured, record: Record, rungs: Sequence[Rung] = GRADES, cut_short: str = ""
) -> LoadJudged:
    """Judge a load test.

    Args:
        plan: what was asked for.
        measured: what was measured.
        record: the same with what the generators say of themselves.
        rungs: the ladder of grades, best first.
        cut_short: why the test ended before its time; empty: it did not.
    """
    figures = figures_of(measured)
    # Where nothing succeeded there is no figure to spoil, and a busy machine is not the news.
    spoiled = spoiled_by(plan, record) if measured.counts.succeeded else ""
    given = None if spoiled else grade(figures, rungs)
    slos = tuple(
        SloVerdict(rule.text, holds(rule, figures) is True, figures.get(next(comparisons(rule.condition)).metric))
        for rule in plan.slos
    )
    wanted = plan.min_grade
    missed = [verdict.text for verdict in slos if not verdict.passed]
    reasons = []
    if missed:
        reasons.append(f"not met: {', '.join(missed)}")
    if wanted and (given is None or not at_least(given, wanted, rungs)):
        reasons.append(f"grade {given or 'none'}, at least {wanted} was asked for")
    if spoiled and (plan.slos or wanted):
        reasons.append(f"the figures cannot be trusted: {spoiled}")
    if not measured.counts.succeeded:
        reasons.append("no request succeeded")
    by_rules = judged_by_rules(plan, measured, record)
    if by_rules and not by_rules["valid"]:
        reasons.append(f"not valid by MLPerf's rules: {'; '.join(by_rules['reasons'])}")
    if cut_short:
        reasons.append(cut_short)
    return LoadJudged(
        measured.at_ns,
        given,
        spoiled,
        slos,
        not reasons,
        "; ".join(reasons) or _well(given, spoiled),
        _notes(plan, record),
        by_rules,
    )


def at_least(given: str, wanted: str, rungs: Sequence[Rung]) -> bool:
    """Whether a grade is the one wanted, or better."""
    order = [rung.grade for rung in rungs] + [LOWEST]
    return order.index(given) <= order.index(wanted)


def _well(given: str | None, spoiled: str) -> str:
    return f"not graded: {spoiled}" if spoiled else f"grade {given}"


def holds(rule: Rule, figures: Figures) -> bool | None:
    """Whether a rule holds; None where nothing was measured to tell."""
    return evaluate(rule.condition, lambda metric, _: figures.get(metric)).holds


# --- whether the figures can be trusted -------------------------------------------------------------------------------


def spoiled_by(plan: LoadPlan, record: Record) -> str:
    """Why the figures cannot be trusted, with the cause; empty where they can.

    The generator's lag is part of what is measured from the due time. It spoils a percentile that it shifts by more
    than 5 % and a millisecond; the percentiles without it are measured beside those with it. In a closed loop, where
    nothing is due, the loop's own lateness at its regular pulse is held against them.
    """
    total = record.total
    busy, machine = busy_of(record)
    shift = _shift(plan, record, total)
    if shift:
        return f"{shift}; {_cause(busy, machine, record)}"
    if plan.mode is Mode.OPEN and machine is not None and machine >= SATURATED:
        return (
            f"the machine was saturated ({machine:.0%} busy on average): what else runs on it, the target perhaps, "
            "waits for its cores; ask for a lower rate, or send from another machine"
        )
    return ""


def _shift(plan: LoadPlan, record: Record, total: Tally) -> str:
    for name in ("p50", "p95", "p99"):
        q = PERCENTILES[name]
        seen = total.latency.quantile_ns(q)
        if seen is None:
            continue
        least = SPOILING_NS
        if plan.mode is Mode.OPEN:
            own = seen - (total.prompt.quantile_ns(q) or 0.0)
            told = "the generator's own lag makes up {} of {} {}"
        else:
            own, least = record.pulse.quantile_ns(q) or 0.0, TURN_NS
            told = "the generator came {} late to what it had to do ({}), which the latency of {} holds"
        if own > max(least, SPOILING_SHARE * seen):
            lag, latency = (figure_text(name, each / SECOND) for each in (own, seen))
            return told.format(lag, name, latency)
    return ""


def _cause(busy: float, machine: float | None, record: Record) -> str:
    if busy >= CORE:
        return (
            f"it used {busy:.0%} of its core: add --workers, choose a lower rate, or check less of each answer"
        )  # fmt: skip
    if machine is not None and machine >= SATURATED - 0.07:
        return f"the machine was {machine:.0%} busy: free it of other work, or send from another one"
    if record.began_late_ns > SPOILING_NS:
        return f"it began {record.began_late_ns / 1e6:.0f} ms late: give a warm-up (--warmup 2s)"
    return "its process was held up, though neither it nor the machine was busy: was it suspended, or its core taken?"


def busy_of(record: Record) -> tuple[float, float | None]:
    """How busy the busiest generator and the machine were, on average over the test; in 0..1."""
    loads = list(record.loads.values())
    machines = [load.machine for load in loads if load.machine is not None]
    busy = sum(load.busy for load in loads) / len(loads) if loads else 0.0
    return busy, sum(machines) / len(machines) if machines else None


def _notes(plan: LoadPlan, record: Record) -> tuple[str, ...]:
    """What a reader should know of the figures."""
    notes = [*plan.notes, *_of_the_pace(plan, record), *_of_connections(plan, record)]
    counts, latency = record.total.counts, record.total.latency.histogram
    if counts.in_flight:
        notes.append(f"{counts.in_flight} requests were in flight when the test stopped; they are in no rate")
    if counts.unsent:
        notes.append(f"{counts.not_sent} requests were due and not sent; they count as failed in the success rate")
    if 0 < latency.count < THIN:
        notes.append(
            f"p99 rests on {latency.count} requests; it takes {THIN} for one of them to lie above it on average"
        )
    return tuple(notes)


def _of_the_pace(plan: LoadPlan, record: Record) -> Iterator[str]:
    if plan.mode is not Mode.CLOSED:
        return
    yield (
        "closed loop: a target that stands still is asked less often, so its percentiles look better than users find "
        "them"
    )
    _, machine = busy_of(record)
    if machine is not None and machine >= SATURATED:
        yield f"the machine was {machine:.0%} busy, as it is where a closed loop has its target beside it"


def _of_connections(plan: LoadPlan, record: Record) -> Iterator[str]:
    limits = plan.limits
    most = min(limits.max_connections, limits.max_in_flight)
    if stale := record.connections.get("stale"):
        yield (
            f"{stale} times the target closed a connection while a request was on its way to it; each was sent anew on "
            "another, and counts once, by what came of it then"
        )
    waited = record.total.waited.quantile_ns(PERCENTILES["p99"]) or 0.0
    latency = record.total.latency.quantile_ns(PERCENTILES["p99"]) or 0.0
    if waited > max(SPOILING_NS, SPOILING_SHARE * latency):
        yield (
            f"requests waited for one of {most} connections, up to {figure_text('p99', waited / SECOND)} at p99, and "
            "their latency holds it: if users have more of them, raise --max-connections (or --max-in-flight)"
        )
    if isinstance(plan.pace, ClosedLoop) and plan.pace.users > most:
        yield f"{plan.pace.users} users share {most} connections, so no more are asking at once"
