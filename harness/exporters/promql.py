"""Metrics and conditions in PromQL.

A served model is expected to show, with the labels ``model`` and ``role``:

    model_requests_total{outcome="success" | "failure"}   counter
    model_request_duration_seconds                        histogram
    model_labels_total                                    counter: answers whose truth has come
    model_quality{metric="accuracy" | ...}                gauge, and model_drift_score, model_prediction_drift,
                                                          model_utilisation, model_queue_length, ... likewise
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from harness.analysis.vocabulary import METRICS, QUALITY, Kind
from harness.domain.analysis import Absolute, And, Comparison, Condition, Not, Op, Or, Relative
from harness.domain.units import MILLISECOND, SECOND
from harness.protocols import QUANTILES

REQUESTS: Final = "model_requests_total"
DURATION: Final = "model_request_duration_seconds"
LABELS: Final = "model_labels_total"
RECORDED: Final = "model_role"
"""Level of the recording rules' names (``level:metric:operation``)."""

_CONTRARY: Final = {Op.LT: ">=", Op.LE: ">", Op.GT: "<=", Op.GE: "<", Op.EQ: "!=", Op.NE: "=="}
_SUMMED: Final = frozenset({"queue_length", "replicas_ready"})


def duration(span_ns: int) -> str:
    """A duration as PromQL writes it; it knows no fractions.

    >>> duration(90 * SECOND), duration(250 * MILLISECOND)
    ('90s', '250ms')
    """
    return f"{span_ns // SECOND}s" if span_ns % SECOND == 0 else f"{max(span_ns // MILLISECOND, 1)}ms"


def quoted(text: str) -> str:
    r"""A string of PromQL.

    >>> quoted('a"b')
    '"a\\"b"'
    """
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def figure(metric: str, model: str, window: str) -> str:
    """A metric of every role of a model, over a window."""
    of = f"{{model={quoted(model)}}}"
    all_ = f"sum by (model, role) (rate({REQUESTS}{of}[{window}]))"
    if metric in QUANTILES:
        buckets = f"sum by (model, role, le) (rate({DURATION}_bucket{of}[{window}]))"
        return f"histogram_quantile({QUANTILES[metric]:g}, {buckets})"
    if metric == "mean":
        total, count = (f"sum by (model, role) (rate({DURATION}_{part}{of}[{window}]))" for part in ("sum", "count"))
        return f"{total} / {count}"
    if metric in {"error_rate", "success_rate"}:
        # Counted from the failures: a series of successes need not be there yet, nor one of failures.
        failed = f'sum by (model, role) (rate({REQUESTS}{{model={quoted(model)}, outcome="failure"}}[{window}]))'
        share = f"({failed} / {all_} or 0 * {all_} / {all_})"
        return share if metric == "error_rate" else f"1 - {share}"
    if metric == "rate":
        return all_
    if metric == "requests":
        return answered(model, window)
    gauge = f"model_{metric}{of}"
    if METRICS[metric].kind in QUALITY:
        gauge = f"model_quality{{model={quoted(model)}, metric={quoted(metric)}}}"
    return f"{'sum' if metric in _SUMMED else 'avg'} by (model, role) ({gauge})"


def answered(model: str, window: str, counter: str = REQUESTS) -> str:
    """Answers of every role in a window."""
    return f"sum by (model, role) (increase({counter}{{model={quoted(model)}}}[{window}]))"


def recorded(metric: str, window: str) -> str:
    """The name under which a metric is recorded.

    >>> recorded("p95", "60s")
    'model_role:p95:60s'
    """
    return f"{RECORDED}:{metric}:{window}"


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is watched, and what it is compared with."""

    labels: Mapping[str, str]
    """Of the policy's recorded series."""
    window: str
    role: str
    """Watched."""
    against: str
    """The role whose figure is ``stable`` in a rule."""
    known: Mapping[str, float]
    """Figures that stand for ``stable``, where they are known."""
    min_requests: int

    def series(self, name: str, role: str) -> str:
        """A recorded series of a role."""
        labels = ", ".join(f"{key}={quoted(value)}" for key, value in {**self.labels, "role": role}.items())
        return f"{name}{{{labels}}}"


def violation(condition: Condition, watch: Watch) -> str:
    """An expression with a result exactly while the condition does not hold; what has no figure violates nothing."""
    return _expression(condition, watch, wanted=False)


def _expression(condition: Condition, watch: Watch, *, wanted: bool) -> str:
    match condition:
        case Comparison():
            return _comparison(condition, watch, wanted=wanted)
        case Not(inner):
            return _expression(inner, watch, wanted=not wanted)
        case And(parts):
            return _joined(parts, "and" if wanted else "or", watch, wanted=wanted)
        case Or(parts):
            return _joined(parts, "or" if wanted else "and", watch, wanted=wanted)


def _joined(parts: tuple[Condition, ...], word: str, watch: Watch, *, wanted: bool) -> str:
    inner = [f"({_expression(part, watch, wanted=wanted)})" for part in parts]
    return f" {word} on (model) ".join(inner)


def _comparison(comparison: Comparison, watch: Watch, *, wanted: bool) -> str:
    metric, bound = comparison.metric, comparison.bound
    op = comparison.op.value if wanted else _CONTRARY[comparison.op]
    name = recorded(metric, watch.window)
    figure = watch.series(name, watch.role)
    if isinstance(bound, Absolute):
        against = number(float(bound.value))
    elif metric in watch.known:
        against = number(watch.known[metric] * bound.factor + bound.offset)
    else:
        against = f"on (model) {_relative(watch.series(name, watch.against), bound)}"
    compared = f"{figure} {op} {against}"
    if METRICS[metric].kind is Kind.GAUGE or watch.min_requests < 1:
        return compared
    behind = recorded("labels" if METRICS[metric].kind in QUALITY else "requests", watch.window)
    return f"({compared}) and on (model) ({watch.series(behind, watch.role)} >= {watch.min_requests})"


def _relative(series: str, bound: Relative) -> str:
    text = series if bound.factor == 1 else f"{series} * {number(bound.factor)}"
    if not bound.offset:
        return f"({text})"
    return f"({text} {'+' if bound.offset > 0 else '-'} {number(abs(bound.offset))})"


def number(value: float) -> str:
    """A number of PromQL; nine digits, as the log keeps figures."""
    return f"{value:.9g}"
