"""Grades of load tests: the best rung of which every condition holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

Figures = Mapping[str, float | None]
"""``success_rate`` in 0..1; ``mean``, ``p95``, ``p99`` of the latency in seconds; None where nothing was measured."""

LOWEST: Final = "F"
"""The grade of what stands on no rung."""


@dataclass(frozen=True, slots=True)
class Rung:
    """What a load test must show to have a grade."""

    grade: str
    success_rate: float
    """At least."""
    mean_s: float
    """Below, as are the next two."""
    p95_s: float
    p99_s: float


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a rung, held against a figure."""

    metric: str
    value: float | None
    op: str
    bound: float
    met: bool


GRADES: Final = (
    Rung("A+", 0.99, 0.1, 0.2, 0.5),
    Rung("A", 0.98, 0.2, 0.4, 1.0),
    Rung("B", 0.95, 0.5, 1.0, 2.0),
    Rung("C", 0.90, 1.0, 2.0, 5.0),
)
"""The ladder of `harness load`, best first."""


def conditions(rung: Rung, figures: Figures) -> tuple[Condition, ...]:
    """Each condition of a rung; one without a figure is not met."""
    rate = figures.get("success_rate")
    found = [Condition("success_rate", rate, ">=", rung.success_rate, rate is not None and rate >= rung.success_rate)]
    for metric, bound in (("mean", rung.mean_s), ("p95", rung.p95_s), ("p99", rung.p99_s)):
        value = figures.get(metric)
        found.append(Condition(metric, value, "<", bound, value is not None and value < bound))
    return tuple(found)


def grade(figures: Figures, rungs: Sequence[Rung] = GRADES) -> str | None:
    """The grade of a load test; None where no request came to an end.

    >>> grade({"success_rate": 0.995, "mean": 0.05, "p95": 0.21, "p99": 0.4})
    'A'
    """
    if figures.get("success_rate") is None:
        return None
    for rung in rungs:
        if all(condition.met for condition in conditions(rung, figures)):
            return rung.grade
    return LOWEST


def rung_of(grade: str, rungs: Sequence[Rung] = GRADES) -> Rung | None:
    """The rung of a grade; None for the lowest, which asks for nothing.

    Raises:
        ValueError: there is no such grade.
    """
    if grade == LOWEST:
        return None
    for rung in rungs:
        if rung.grade == grade:
            return rung
    raise ValueError(f"no grade is called {grade!r}; there are {', '.join(r.grade for r in rungs)} and {LOWEST}")
