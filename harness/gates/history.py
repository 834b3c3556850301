"""``history``: the candidate's metric against those of earlier versions that the registry keeps.

Each version was measured on the held-out rows of its own time: figures of other rows are compared as they stand, so a
margin belongs here, or ``same_data``. Versions that are marked bad set no standard.
"""

from statistics import median

from harness.domain.gates import Against, Check, Details, History
from harness.gates.scene import Scene, better_by, lower_is_better
from harness.gates.words import amount, difference, figure
from harness.protocols import Version

NAME = "history"
BAD = "bad"


def judge(plan: History, scene: Scene) -> tuple[Check, ...]:
    """Whether the candidate keeps up; with no earlier version there is nothing to keep up with, and it passes."""
    versions, value = earlier(plan, scene), scene.candidate.metrics.get(plan.metric)
    asked = f"history: {plan.metric} {_asked(plan)} {_standard(plan)}"
    name = f"{NAME}.{plan.metric}"
    if value is None:
        return (Check(name, asked, passed=False, reason=f"{plan.metric} was not measured on the held-out rows"),)
    if not versions:
        return (
            Check(name, asked, passed=True, reason=f"no earlier version has a figure for {plan.metric}", value=value),
        )
    standard = _of([each.metrics[plan.metric] for each in versions], plan)
    by = better_by(plan.metric, value, standard)
    bound = standard + plan.margin if lower_is_better(plan.metric) else standard - plan.margin
    return (
        Check(
            name=name,
            text=asked,
            passed=by >= -plan.margin,
            reason=f"{plan.metric} was {figure(plan.metric, value)} against {figure(plan.metric, standard)}, "
            f"{_standard(plan)}: better by {difference(plan.metric, by)}",
            value=value,
            bound=f"{'<=' if lower_is_better(plan.metric) else '>='} {figure(plan.metric, bound)}",
            details=Details(
                ("version", plan.metric, "status", "data"),
                tuple(
                    (str(each.revision), each.metrics[plan.metric], each.status or None, each.data_digest)
                    for each in versions
                ),
                "each on the held-out rows of its time",
            ),
        ),
    )


def earlier(plan: History, scene: Scene) -> list[Version]:
    """The versions that set the standard, oldest first."""
    fitting = [
        each
        for each in scene.versions
        if plan.metric in each.metrics
        and each.status != BAD
        and not (plan.same_data and each.data_digest != scene.candidate.data_digest)
    ]
    return fitting[-plan.last :]


def _of(figures: list[float], plan: History) -> float:
    if plan.against is Against.MEDIAN:
        return median(figures)
    return min(figures) if lower_is_better(plan.metric) else max(figures)


def _asked(plan: History) -> str:
    worse = "above" if lower_is_better(plan.metric) else "below"
    return f"no more than {amount(plan.metric, plan.margin)} {worse}" if plan.margin else f"not {worse}"


def _standard(plan: History) -> str:
    return f"the {plan.against} of the last {plan.last} versions"
