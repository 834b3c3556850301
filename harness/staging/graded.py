"""What a load test must show, as checks: each condition of the least grade that will do, and each objective."""

from collections.abc import Mapping, Sequence

from harness.analysis.conditions import comparisons
from harness.analysis.figures import figure_text
from harness.domain.analysis import Rule
from harness.domain.load import SloVerdict
from harness.staging.contract import Finding
from harness.stats.grade import conditions, rung_of

Figures = Mapping[str, float | None]


def graded(figures: Figures, given: str | None, least: str, sent: int, failed: int, where: str = "") -> list[Finding]:
    """One finding for each condition of the least grade that will do.

    Args:
        figures: of the load test, by metric name.
        given: the grade that it has; None where nothing came to an end.
        least: the worst that will do.
        sent: requests.
        failed: those of them that failed.
        where: stands before each text, where there is more than one load test.
    """
    rung = rung_of(least)
    if rung is None:
        return []
    found = []
    for condition in conditions(rung, figures):
        bound = f"{condition.op} {figure_text(condition.metric, condition.bound)}"
        if condition.value is None:
            detail = f"{condition.metric} has no figure: {sent} requests were sent, {failed} failed"
        else:
            detail = f"{condition.metric} is {figure_text(condition.metric, condition.value)}"
        if not condition.met:
            detail = f"the load test has grade {given or 'none'}, and {least} is wanted: {detail}, not {bound}"
        text = f"{where}grade {least}: {condition.metric} {bound}"
        found.append(Finding(condition.metric, text, condition.met, condition.value, bound, detail))
    return found


def objectives(rules: Sequence[Rule], verdicts: Sequence[SloVerdict], figures: Figures) -> list[Finding]:
    """One finding for each service level objective, as `harness.load.judge` judged it."""
    return [_objective(rule, verdict, figures) for rule, verdict in zip(rules, verdicts, strict=True)]


def _objective(rule: Rule, verdict: SloVerdict, figures: Figures) -> Finding:
    metrics = list(dict.fromkeys(each.metric for each in comparisons(rule.condition)))
    seen = " and ".join(_seen(metric, figures.get(metric)) for metric in metrics)
    only = metrics[0] if len(metrics) == 1 else None
    bound = rule.text.removeprefix(only).strip() if only else rule.text
    detail = seen if verdict.passed else f"{seen}, and {rule.text} was promised"
    value = figures.get(only) if only else None
    return Finding(only or "slo", f"SLO: {rule.text}", verdict.passed, value, bound, detail)


def _seen(metric: str, value: float | None) -> str:
    return f"{metric} has no figure" if value is None else f"{metric} is {figure_text(metric, value)}"
