"""Figures as a person reads them: the unit that fits, three digits, no more."""

import re
from collections.abc import Mapping
from typing import Final

from harness.analysis.vocabulary import METRICS, QUALITY, Kind
from harness.domain.analysis import Unit
from harness.domain.resume_event import Resumed

COUNTS: Final = frozenset(
    {
        "requests",
        "candidate_requests",
        "bad_responses",
        "failed_requests",
        "replicas_ready",
        "users_exposed",
        "users_harmed",
    }
)

SHARES: Final = re.compile(r"[<>=!]+ [\d.]+%")
"""The bound of a gate whose figure is a share."""
OF_GROUPS: Final = frozenset({"demographic_parity", "demographic_parity_ratio", "equalised_odds", "equal_opportunity"})
"""Figures of fairness, all of them shares."""

STOOD: Final[Mapping[str, str]] = {
    "preparing": "before any server was started",
    "deploying": "while servers were started",
    "rollout": "in the midst of the rollout",
    "decided": "after the decision, before it was carried out",
    "settled": "when all had been settled",
}
"""Where a run stood that was cut off."""

RULE: Final = re.compile(r"\s*(\w+)\s*(<=|>=|==|!=|<|>)\s*(.+?)\s*")
JOINED: Final = re.compile(r"\b(and|or|not)\b")


def span(seconds: float | None) -> str:
    """A duration in the two largest units that say something.

    >>> [span(s) for s in (0, 0.25, 12.5, 60, 750, 7260, 90061, None)]
    ['0 s', '250 ms', '12.5 s', '1m', '12m 30s', '2h 1m', '25h 1m', '–']
    """
    if seconds is None:
        return "–"
    if seconds < 0:
        return f"-{span(-seconds)}"
    if 0 < seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 59.95:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    parts = [(whole // 3600, "h"), (whole // 60 % 60, "m"), (whole % 60, "s")]
    return " ".join(f"{count}{unit}" for count, unit in parts[: 2 if whole >= 3600 else 3] if count)


def clock_time(seconds: float) -> str:
    """A point on the time line, to the second.

    >>> clock_time(0), clock_time(754.2), clock_time(7265), clock_time(-30)
    ('0:00', '12:34', '2:01:05', '-0:30')
    """
    sign, whole = "-" if seconds < 0 else "", round(abs(seconds))
    hours, minutes = f"{whole // 3600}:" if whole >= 3600 else "", whole // 60 % 60
    return f"{sign}{hours}{minutes:{'02' if hours else ''}}:{whole % 60:02}"


def share(value: float | None) -> str:
    """A share as a percentage; what is not all is not written as all.

    >>> share(0.1), share(0.00123), share(1.0), share(0.99987), share(None)
    ('10%', '0.123%', '100%', '99.987%', '–')
    """
    if value is None:
        return "–"
    return f"{value * 100:.{5 if 0.9995 <= value < 1 else 3}g}%"


def count(value: float | None) -> str:
    """A number of things.

    >>> count(546200), count(None)
    ('546,200', '–')
    """
    return "–" if value is None else f"{value:,.0f}"


def latency(seconds: float) -> str:
    """A latency, in milliseconds below a second.

    >>> latency(0.2141), latency(1.25), latency(0)
    ('214 ms', '1.25 s', '0 ms')
    """
    return f"{seconds * 1000:.3g} ms" if seconds < 0.9995 else f"{seconds:.3g} s"


def figure(metric: str, value: float | str | None) -> str:
    """A metric's value with its unit.

    >>> figure("p95", 0.2141), figure("p99", 1.25), figure("error_rate", 0.031), figure("accuracy", 0.78123)
    ('214 ms', '1.25 s', '3.1%', '78.1%')
    >>> figure("detected_after", 451.0), figure("requests", 12345), figure("rate", 101.3), figure("outcome", "promoted")
    ('7m 31s', '12,345', '101/s', 'promoted')
    >>> figure("no_regression.f1", 0.639), figure("fairness.equalised_odds", 0.0514)
    ('63.9%', '5.14%')
    """
    if value is None or isinstance(value, str):
        return value if value is not None else "–"
    gate, _, metric = metric.rpartition(".")
    if metric in OF_GROUPS and gate:
        return share(value)
    known = METRICS.get(metric)
    unit, kind = (known.unit, known.kind) if known else (Unit.NONE, None)
    if metric in COUNTS:
        return count(value)
    if kind is Kind.DRIFT or (kind in QUALITY and unit is not Unit.SHARE):
        return f"{value:.3f}"
    if unit is Unit.SECONDS:
        return latency(value) if kind is Kind.LATENCY else span(value)
    if unit is Unit.SHARE:
        return share(value)
    number = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{number}/s" if unit is Unit.RATE else number


def effect(metric: str, value: float | None, *, signed: bool = True) -> str:
    """A difference of two figures of a metric; of shares, in percentage points.

    >>> effect("success_rate", -0.0123), effect("mean", 0.004), effect("accuracy", None)
    ('−1.23 points', '+4 ms', '–')
    """
    if value is None:
        return "–"
    known = METRICS.get(metric)
    size = f"{abs(value) * 100:.3g} points" if known and known.unit is Unit.SHARE else figure(metric, abs(value))
    return f"{'−' if value < 0 else '+'}{size}" if signed else size


def probability(value: float | None) -> str:
    """A p-value.

    >>> probability(0.0312), probability(1e-9), probability(None)
    ('0.031', 'below 0.0001', '–')
    """
    if value is None:
        return "–"
    return "below 0.0001" if value < 0.0001 else f"{value:.2g}"


def of_gate(name: str, value: float | None, bound: str) -> str:
    """The figure of a gate before deployment, in the unit of its bound.

    >>> of_gate("robustness.noise", 0.00483, "<= 10 points lost"), of_gate("behaviour", 0.0443, "<= 2%")
    ('0.483 points', '4.43%')
    >>> of_gate("size", 217119.0, "< 1MB"), of_gate("f1", 0.682, ">= 0.6"), of_gate("security", 0.0, "== 0")
    ('217,119 B', '68.2%', '0')
    """
    if value is None or name in METRICS:
        return figure(name, value)
    if bound.endswith(("points lost", "point lost")):
        return f"{value * 100:.3g} points"
    if name == "size":
        return f"{value:,.0f} B"
    return share(value) if SHARES.fullmatch(bound) else figure(name, value)


def figures(values: Mapping[str, float | str | None]) -> str:
    """Several metrics in one line.

    >>> figures({"p95": 0.1, "outcome": "promoted"})
    'p95 100 ms, outcome promoted'
    """
    return ", ".join(f"{name} {figure(name, value)}" for name, value in values.items())


def plural(number: int, noun: str) -> str:
    """A number with its noun.

    >>> plural(1, "look"), plural(1200, "look")
    ('1 look', '1,200 looks')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def parts(rule: str) -> tuple[str, str, str] | None:
    """Metric, operator and bound of a plain rule; None where it joins several.

    >>> parts("p95 <= stable * 1.5"), parts("p95 < 1s and f1 > 0.5")
    (('p95', '<=', 'stable * 1.5'), None)
    """
    match = RULE.fullmatch(rule)
    return None if match is None or JOINED.search(rule) else (match[1], match[2], match[3])


def resumed(event: Resumed) -> str:
    """That a run was cut off and taken up again."""
    away = f" for {span(event.away_s)}" if event.away_s else ""
    torn = f", in the middle of a line ({plural(event.torn, 'byte')} left out)" if event.torn else ""
    return f"cut off{away}{torn} ({STOOD[event.stood]}), and taken up again: {event.doing}"
