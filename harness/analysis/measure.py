"""Judges one rule on one look: the figures it rests on, and its verdict.

Each metric rests on a number of answers (for quality: of labelled answers); with fewer than the policy's minimum in
either arm the look is inconclusive, never a pass. Where stable has no traffic any more (the candidate has all), a rule
relative to stable is judged against stable's last figures that rested on enough, and the reason says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.analysis.conditions import Evaluation, bound_text, comparisons, evaluate
from harness.analysis.figures import figure_text
from harness.analysis.vocabulary import METRICS, QUALITY, Kind
from harness.domain.analysis import UNKNOWN, AnalysisPolicy, Comparison, Measurement, Relative, Rule, Verdict
from harness.domain.model import Role
from harness.domain.units import duration_text
from harness.protocols import ArmSample, Sample

Figures = Mapping[str, float | None]


@dataclass(slots=True)
class Baselines:
    """Stable's last figures that rested on enough answers, by metric, and when they were taken."""

    figures: dict[str, float] = field(default_factory=dict)
    at_ns: dict[str, int] = field(default_factory=dict)

    def keep(self, sample: Sample, min_requests: int, at_ns: int) -> None:
        """Remember stable's figures of this look, those that rest on enough."""
        stable = sample[compared(sample)]
        for metric, figure in stable.figures().items():
            if figure is not None and answers_behind(stable, metric) >= min_requests:
                self.figures[metric] = figure
                self.at_ns[metric] = at_ns


def answers_behind(sample: ArmSample, metric: str) -> int:
    """How many answers a figure rests on: labelled ones for quality, all for the rest."""
    return sample.labelled if METRICS[metric].kind in QUALITY else sample.requests


def compared(sample: Sample) -> Role:
    """The arm that the candidate is compared with: the baseline where it has traffic, else stable."""
    baseline = sample.get(Role.BASELINE)
    return Role.BASELINE if baseline and baseline.arrivals else Role.STABLE


def judged(sample: Sample) -> Role:
    """The arm that shows what the candidate does: copies, while users' requests do not reach it."""
    shadow = sample.get(Role.SHADOW)
    return Role.SHADOW if shadow and shadow.arrivals and not sample[Role.CANDIDATE].arrivals else Role.CANDIDATE


def judge(rule: Rule, sample: Sample, policy: AnalysisPolicy, baselines: Baselines) -> Measurement:
    """Judge a rule on what both arms did in a window."""
    standing = {Role.STABLE: compared(sample), Role.CANDIDATE: judged(sample)}
    sample = {role: sample[stands] for role, stands in standing.items()}
    figures = {role: arm.figures() for role, arm in sample.items()}
    frozen: set[str] = set()

    def read(metric: str, role: Role) -> float | None:
        if role is Role.STABLE and not sample[role].arrivals and metric in baselines.figures:
            frozen.add(metric)
            return baselines.figures[metric]
        if METRICS[metric].kind is Kind.GAUGE or answers_behind(sample[role], metric) >= policy.min_requests:
            return figures[role].get(metric)
        return None

    found = evaluate(rule.condition, read)
    metric = found.comparison.metric
    counts = {role.value: answers_behind(arm, metric) for role, arm in sample.items()}
    if found.holds is None:
        verdict, reason = Verdict.INCONCLUSIVE, _too_few(rule, sample, policy)
    else:
        verdict = Verdict.PASS if found.holds else Verdict.FAIL
        reason = _told(found)
        if metric in frozen:
            reason += f" (stable's last figures, of {duration_text(baselines.at_ns[metric])})"
    return Measurement(
        rule=rule.text,
        metric=metric,
        verdict=verdict,
        reason=reason,
        candidate=_number(found.candidate),
        stable=_number(found.stable),
        bound=_number(found.bound),
        requests=counts,
    )


def unmeasured(rule: Rule, why: str) -> Measurement:
    """A look at which the metric source failed."""
    metric = next(comparisons(rule.condition)).metric
    return Measurement(rule.text, metric, Verdict.ERROR, why, None, None, None, {})


# --- gates ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GateFinding:
    """A gate, judged."""

    metric: str
    passed: bool
    value: float | None
    stable: float | None
    bound: str
    reason: str


def judge_gate(rule: Rule, figures: Mapping[Role, Figures]) -> GateFinding:
    """Judge a gate on the held-out figures; one that was not measured fails."""
    found = evaluate(rule.condition, lambda metric, role: figures.get(role, {}).get(metric))
    comparison = found.comparison
    value = _number(found.candidate)
    reason = _told(found) if value is not None else f"{comparison.metric} was not measured on the held-out rows"
    return GateFinding(
        metric=comparison.metric,
        passed=found.holds is True,
        value=value,
        stable=_number(found.stable),
        bound=_bound_as_written(rule, comparison),
        reason=f"gate {rule.text}: {reason}",
    )


# --- words ------------------------------------------------------------------------------------------------------------


def _told(found: Evaluation) -> str:
    comparison = found.comparison
    metric = comparison.metric
    text = f"{metric} was {figure_text(metric, found.candidate)}"
    if isinstance(comparison.bound, Relative):
        text += f" against stable's {figure_text(metric, found.stable)}"
        text += f" (rule: {comparison.op} {bound_text(metric, comparison.bound)} = {figure_text(metric, found.bound)})"
    else:
        text += f" (rule: {comparison.op} {bound_text(metric, comparison.bound)})"
    return text


def _too_few(rule: Rule, sample: Sample, policy: AnalysisPolicy) -> str:
    if unknown := _unknown(rule, sample):
        return f"{UNKNOWN} {' and '.join(unknown)} (NaN, or no series)"
    short = [
        f"{role} {answers_behind(arm, comparison.metric)}"
        for comparison in comparisons(rule.condition)
        for role, arm in sample.items()
        if (role is Role.CANDIDATE or _relative(comparison))
        and answers_behind(arm, comparison.metric) < policy.min_requests
    ]
    kind = (
        "labelled answers" if any(METRICS[c.metric].kind in QUALITY for c in comparisons(rule.condition)) else "answers"
    )
    if short:
        return f"too few {kind}: {', '.join(dict.fromkeys(short))} of {policy.min_requests}"
    return "no figure to judge by"


def _unknown(rule: Rule, sample: Sample) -> list[str]:
    """Arms of which nobody knows how many answers there were, where that is what the rule rests on."""
    if all(METRICS[comparison.metric].kind in QUALITY for comparison in comparisons(rule.condition)):
        return []
    return [role.value for role, arm in sample.items() if arm.arrivals and arm.figures()["requests"] is None]


def _bound_as_written(rule: Rule, comparison: Comparison) -> str:
    """What stands behind the metric, as the user wrote it; of several joined conditions, the deciding one."""
    if isinstance(rule.condition, Comparison):
        return rule.text.strip().removeprefix(comparison.metric).strip()
    return f"{comparison.op} {bound_text(comparison.metric, comparison.bound)}"


def _relative(comparison: Comparison) -> bool:
    return isinstance(comparison.bound, Relative)


def _number(value: float | str | None) -> float | None:
    return value if isinstance(value, int | float) else None
