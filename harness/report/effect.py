"""The plot of an A/B test: the effect and its interval, look by look, as the confidence sequence narrows."""

from harness.analysis.vocabulary import METRICS
from harness.domain.analysis import Unit
from harness.report import text as words
from harness.report.lifecycle import Trial
from harness.report.plot import Line, Plot, Values, minutes, short
from harness.report.result import Result

SETTLED = 0.25
"""The axis is made for the looks after this share of them: the first intervals are as wide as can be."""


def effect(result: Result) -> Plot:
    """Of every A/B test of the run, one after the other."""
    trials = [trial for trial in result.trials if trial.looks]
    looks = [look for trial in trials for look in trial.looks]
    metric = trials[-1].metric
    known = METRICS.get(metric)
    return Plot(
        id="effect",
        metric=metric,
        title=f"A/B test: effect on {metric.replace('_', ' ')}",
        about="candidate less stable, with the interval that holds the true effect at every look at once",
        unit="share" if known and known.unit is Unit.SHARE else "latency",
        minutes=[minutes(look.at_s) for look in looks],
        lines=[
            Line("upper", "interval", _values([look.upper for look in looks])),
            Line("lower", "interval", _values([look.lower for look in looks])),
            Line("no difference", "nought", [0.0] * len(looks)),
            Line("effect", "effect", _values([look.effect for look in looks])),
        ],
        stepped=False,
        zero=False,
        failed=[],
        summary=_summary(trials[-1]),
        span=_span(trials),
    )


def _values(values: Values) -> Values:
    return short(values, len(values))


def _span(trials: list[Trial]) -> tuple[float, float] | None:
    edges = [
        edge
        for trial in trials
        for look in trial.looks[int(len(trial.looks) * SETTLED) :]
        for edge in (look.lower, look.upper)
        if edge is not None
    ]
    if not edges:
        return None
    low, high = min(0.0, *edges), max(0.0, *edges)
    room = (high - low or 1.0) * 0.08
    return float(f"{low - room:.6g}"), float(f"{high + room:.6g}")


def _summary(trial: Trial) -> str:
    last = trial.last
    if last is None or last.effect is None:
        return f"Nothing can be said of the effect on {trial.metric} after {words.plural(len(trial.looks), 'look')}."
    told, low, high = (words.effect(trial.metric, value) for value in (last.effect, last.lower, last.upper))
    return f"After {words.plural(len(trial.looks), 'look')} the effect was {told}, between {low} and {high}."
