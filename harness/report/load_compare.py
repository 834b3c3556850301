"""Two load tests held against each other: is the second worse, beyond chance and beyond a tolerance? Pure.

Figure by figure a one-sided test by blocks of intervals (`harness.stats.blocks`), p-values corrected for the number of
figures by Holm's rule. The second regresses where a figure is significantly worse and worse by more than the tolerance.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from harness import seeds
from harness.domain.load_event import IntervalSeen
from harness.errors import InputError
from harness.report import load_words as said
from harness.report import text as words
from harness.report.chapter import NONE, Chapter, Line
from harness.report.load_result import LoadResult
from harness.report.numbers import figure
from harness.stats import blocks
from harness.stats.blocks import Change
from harness.stats.histogram import Histogram

LEVEL: Final = 0.05
RESAMPLES: Final = 2000
QUANTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
SUCCESS: Final = "success rate"
SERVICE: Final = "service p99"
ALIKE: Final = (
    ("mode", "mode"),
    ("arrivals", "arrivals"),
    ("target_rate", "rate"),
    ("users", "users"),
    ("think_ns", "thinking time"),
    ("duration_ns", "duration"),
    ("interval_ns", "interval"),
    ("protocol", "protocol"),
    ("payload", "payload"),
    ("client", "client"),
    ("workers", "workers"),
)
"""What two tests should share, by field and name."""


@dataclass(frozen=True, slots=True)
class Held:
    """One figure of both tests."""

    name: str
    change: Change
    p_corrected: float | None = None
    """None: no test can be made."""
    tolerated: bool = True
    """Whether it is no worse than the tolerance allows."""

    @property
    def is_share(self) -> bool:
        """Whether it is a share, and less of it is worse."""
        return self.name == SUCCESS

    @property
    def significant(self) -> bool:
        """Whether it is worse beyond chance."""
        return self.p_corrected is not None and self.p_corrected <= LEVEL

    @property
    def regressed(self) -> bool:
        """Whether it is worse beyond chance and beyond the tolerance."""
        return self.significant and not self.tolerated


@dataclass(frozen=True, slots=True)
class LoadComparison:
    """Two load tests, side by side."""

    a: LoadResult
    b: LoadResult
    figures: Sequence[Held]
    notes: Sequence[str]
    tolerance: float
    failed_tolerance: float

    @property
    def tested(self) -> bool:
        """Whether any test could be made."""
        return any(each.p_corrected is not None for each in self.figures)

    @property
    def regressed(self) -> bool:
        """Whether the second is worse in any figure."""
        return any(each.regressed for each in self.figures)

    @property
    def sentence(self) -> str:
        """What it comes to."""
        worse = [each for each in self.figures if each.regressed]
        if worse:
            said_worse = ", ".join(f"{each.name} {change_text(each)}" for each in worse)
            return f"The second is worse: {said_worse}."
        if not self.tested:
            return "No test can be made, only differences: a test needs 10 intervals or more of either run."
        slight = [each.name for each in self.figures if each.significant]
        if slight:
            return f"No regression: {', '.join(slight)} worse beyond chance, but within the tolerance."
        return "No regression: no figure of the second is worse beyond chance."


def compare_load(
    a: LoadResult, b: LoadResult, *, tolerance: float = 0.05, failed_tolerance: float = 0.001
) -> LoadComparison:
    """Hold the second test against the first.

    Args:
        a: the one that is known to be good.
        b: the other.
        tolerance: how much longer, relatively, a latency may be.
        failed_tolerance: how much lower, in shares, the success rate may be.

    Raises:
        InputError: one was cut off before its figures, or its figures are spoiled.
    """
    for result in (a, b):
        _check(result)
    rng = seeds.stream(a.seed, "load/compare").generator()
    changes = dict(_changes(a, b, rng))
    tested = [name for name, change in changes.items() if change.p_value is not None]
    corrected = dict(zip(tested, blocks.holm([changes[name].p_value or 0.0 for name in tested]), strict=True))
    held = []
    for name, change in changes.items():
        tolerated = change.change >= -failed_tolerance if name == SUCCESS else change.change <= tolerance
        held.append(Held(name, change, corrected.get(name), tolerated))
    return LoadComparison(a, b, held, list(_notes(a, b, held)), tolerance, failed_tolerance)


def _check(result: LoadResult) -> None:
    name = f"{result.name}/{result.run}"
    if result.spoiled:
        raise InputError(f"{name}: its figures are spoiled, so nothing follows from them: {result.spoiled}; test again")
    if not result.latency.histogram:
        raise InputError(f"{name}: the test was cut off before its figures were written; test again")


def _changes(a: LoadResult, b: LoadResult, rng: np.random.Generator) -> Iterator[tuple[str, Change]]:
    parts = [_latencies(each.measured) for each in (a, b)]
    found = blocks.compare(parts[0], parts[1], QUANTILES, rng, resamples=RESAMPLES)
    for name in ("p50", "p95", "p99", "mean"):
        if name in found:
            yield name, _in_seconds(found[name])
    shares = [_successes(each.measured) for each in (a, b)]
    success = blocks.compare_shares(shares[0], shares[1], rng, resamples=RESAMPLES)
    if success is not None:
        yield SUCCESS, success
    services = [_services(each.measured) for each in (a, b)]
    service = blocks.compare(services[0], services[1], {"p99": 0.99}, rng, resamples=RESAMPLES) if all(services) else {}
    if "p99" in service:
        yield SERVICE, _in_seconds(service["p99"])
    elif a.service.figures.get("p99") and b.service.figures.get("p99"):
        first, second = a.service.figures["p99"] or 0.0, b.service.figures["p99"] or 0.0
        yield SERVICE, Change(first, second, second / first - 1)


def _in_seconds(change: Change) -> Change:
    return replace(change, first=change.first / 1e9, second=change.second / 1e9)


def _latencies(intervals: Sequence[IntervalSeen]) -> list[Histogram]:
    return [Histogram.from_dict(each.histogram) if each.histogram else Histogram() for each in intervals]


def _services(intervals: Sequence[IntervalSeen]) -> list[Histogram]:
    """Empty where they were not kept."""
    known = [Histogram.from_dict(each.service) if each.service else Histogram() for each in intervals]
    return known if any(each.count for each in known) else []


def _successes(intervals: Sequence[IntervalSeen]) -> tuple[np.ndarray, np.ndarray]:
    good = np.array([each.counts.succeeded for each in intervals], np.int64)
    bad = np.array([each.counts.failed + each.counts.not_sent for each in intervals], np.int64)
    return good, good + bad


def _notes(a: LoadResult, b: LoadResult, held: Sequence[Held]) -> Iterator[str]:
    differ = [name for field, name in ALIKE if getattr(a.asked, field) != getattr(b.asked, field)]
    if differ:
        yield f"The two tests differ in {', '.join(differ)}: what is found may be due to that."
    untested = [each.name for each in held if each.p_corrected is None]
    if untested and len(untested) < len(held):
        yield f"Too little for a test of {', '.join(untested)}: test longer, or at a higher rate."
    for result, word in ((a, "first"), (b, "second")):
        if not result.in_order:
            yield f"The {word} test was cut short ({result.outcome_text})."


# --- shown ------------------------------------------------------------------------------------------------------------


def change_text(held: Held) -> str:
    """A difference as it is read.

    >>> change_text(Held("p99", Change(0.1, 0.15, 0.5)))
    '+50%'
    """
    return _difference(held, held.change.change)


def _difference(held: Held, value: float | None) -> str:
    if value is None:
        return NONE
    sign = "−" if value < 0 else "+"
    return f"{sign}{abs(value) * 100:.3g}{' points' if held.is_share else '%'}"


def chapter(compared: LoadComparison) -> Chapter:
    """The figures of both, as a table."""
    lines = []
    for each in compared.figures:
        change = each.change
        write = words.share if each.is_share else said.latency
        around = NONE
        if change.lower is not None:
            low = _difference(each, change.lower).removesuffix(" points")
            around = f"{low} to {_difference(each, change.upper)}"
        verdict = "worse" if each.regressed else "within tolerance" if each.significant else "no worse beyond chance"
        cells = (
            each.name,
            write(change.first),
            write(change.second),
            change_text(each),
            around,
            words.probability(each.p_corrected),
            verdict if each.p_corrected is not None else "not tested",
        )
        lines.append(Line(cells, False if each.regressed else None))
    columns = ("", "first", "second", "difference", "95 % interval", "p", "verdict")
    allowed = f"{compared.tolerance * 100:g}%"
    note = (
        f"One-sided, by blocks of intervals, corrected for {words.plural(len(compared.figures), 'figure')} (Holm). "
        f"Tolerated: latencies up to {allowed} longer, a success rate up to "
        f"{compared.failed_tolerance * 100:g} points lower."
    )
    return Chapter("Figures", columns, lines, frozenset(range(1, 6)), note)


def as_json(compared: LoadComparison) -> dict[str, Any]:
    """As a program reads it: latencies in seconds, shares in 0..1; differences of latencies are relative."""

    def side(result: LoadResult) -> dict[str, Any]:
        return {"run": result.run, "name": result.name, "url": result.asked.url, "grade": result.grade}

    return {
        "version": 1,
        "kind": "load",
        "a": side(compared.a),
        "b": side(compared.b),
        "regressed": compared.regressed,
        "tested": compared.tested,
        "tolerance": compared.tolerance,
        "failed_tolerance": compared.failed_tolerance,
        "level": LEVEL,
        "reason": compared.sentence,
        "figures": [_figure(each) for each in compared.figures],
        "notes": list(compared.notes),
    }


def _figure(held: Held) -> dict[str, Any]:
    change = held.change
    known = change.lower is not None
    return {
        "name": held.name.replace(" ", "_"),
        "first": figure(change.first),
        "second": figure(change.second),
        "change": figure(change.change),
        "ci95": [figure(change.lower), figure(change.upper)] if known else None,
        "p": figure(change.p_value),
        "p_corrected": figure(held.p_corrected),
        "regressed": held.regressed,
    }
