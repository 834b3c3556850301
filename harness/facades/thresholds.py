"""Thresholds by how much worse a model may be, as rules."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from harness.errors import InputError

LIMITS: Final[Mapping[str, tuple[str, str]]] = {
    "error_rate_increase": ("error_rate", "error_rate <= stable + {points}%"),
    "latency_increase": ("p95", "p95 <= stable * {factor}"),
    "accuracy_decrease": ("accuracy", "accuracy >= stable - {points}%"),
}
"""By threshold: the metric it limits, and the rule it comes to."""
USUAL: Final[Mapping[str, float]] = {"error_rate_increase": 0.02, "latency_increase": 0.5, "accuracy_decrease": 0.05}
CALLED: Final = {"latency": "p95"}
"""Metrics by another name."""


def rules_of(thresholds: Mapping[str, float], metrics: Any = None) -> tuple[str, ...]:
    """The rules that thresholds come to.

    Args:
        thresholds: by name; error rates and accuracies in shares, latency relative to what it was.
        metrics: the metrics that are watched; None: those that a threshold limits.

    Raises:
        InputError: a threshold is not known, not a number above 0, or of a metric that is not watched.

    >>> rules_of({"error_rate_increase": 0.02, "latency_increase": 0.5})
    ('error_rate <= stable + 2%', 'p95 <= stable * 1.5')
    """
    watched = None if metrics is None else {CALLED.get(metric, metric) for metric in metrics}
    rules = []
    for name, limit in thresholds.items():
        if name not in LIMITS:
            raise InputError(f"threshold {name!r} is not known; there are {', '.join(LIMITS)}")
        if not _positive(limit):
            raise InputError(f"threshold {name} is {limit!r}; it is a number above 0, such as {USUAL[name]}")
        metric, rule = LIMITS[name]
        if watched is not None and metric not in watched:
            raise InputError(
                f"threshold {name} limits {metric}, which is not among the metrics; add it, or leave it out"
            )
        exact = Decimal(str(limit))
        rules.append(rule.format(points=_plain(exact * 100), factor=_plain(exact + 1)))
    return tuple(rules)


def usual(*, labelled: bool) -> tuple[str, ...]:
    """The usual thresholds, as far as they are measured: accuracy needs true answers."""
    return rules_of({name: limit for name, limit in USUAL.items() if labelled or name != "accuracy_decrease"})


def _positive(limit: Any) -> bool:
    return isinstance(limit, int | float) and not isinstance(limit, bool) and 0 < limit < 1_000


def _plain(number: Decimal) -> str:
    """Without trailing zeros, and never as a power of ten."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
