"""``no_regression``: the candidate against stable on the same held-out rows.

Both models answer each row, so their errors are paired. Three things can be found: the candidate is worse than the
margin allows, it is not, or the rows cannot tell.

- accuracy without a margin: McNemar's exact test (1947) of the rows on which one model alone is right, one-sided both
  ways at the level;
- any other metric, and every metric with a margin: the paired bootstrap (BCa). The two one-sided bounds at the level
  are the ends of the two-sided interval at 1 − 2 · level. Its lower end at or above −margin: not worse
  (non-inferiority); its upper end below −margin: worse.
"""

from harness.domain.gates import Check, Details, NoRegression, Undecided
from harness.gates.scene import Scene, better_by, lower_is_better
from harness.gates.words import amount, figure, share, span
from harness.gates.words import difference as points
from harness.seeds import stream
from harness.training.paired import PairedDifference, difference, disagreements, mcnemar

NAME = "no_regression"


def judge(plan: NoRegression, scene: Scene) -> tuple[Check, ...]:
    """Whether the candidate is no worse than stable.

    Raises:
        InputError: there are no rows or no model, or these rows do not define the metric.
        ArtifactError: a model cannot answer the rows.
    """
    paired = difference(
        scene.stable_answers,
        scene.answers,
        plan.metric,
        resamples=plan.resamples,
        level=1 - 2 * plan.level,
        draws=stream(scene.seed, f"gates/no_regression/{plan.metric}"),
    )
    lower, upper = _better(plan, paired)
    tested = plan.metric == "accuracy" and not plan.margin
    found, rows = _by_test(plan, scene) if tested else (_by_interval(plan, lower, upper), ())
    passed = plan.undecided is Undecided.PASS if found is None else found
    by = better_by(plan.metric, paired.candidate, paired.stable)
    return (
        Check(
            name=f"{NAME}.{plan.metric}",
            text=_asked(plan),
            passed=passed,
            reason=_reason(plan, paired, by, (lower, upper), found),
            value=paired.candidate,
            bound=_bound(plan),
            stable=paired.stable,
            interval=(paired.lower, paired.upper),
            details=Details(
                ("figure", "value"),
                (
                    ("candidate minus stable", paired.estimate),
                    (f"its {share(1 - 2 * plan.level)} interval, lower end", paired.lower),
                    (f"its {share(1 - 2 * plan.level)} interval, upper end", paired.upper),
                    ("held-out rows", paired.rows),
                    *rows,
                ),
                f"paired bootstrap ({paired.method}, {paired.resamples:,} resamples)"
                + (", decided by McNemar's exact test" if tested else ""),
            ),
        ),
    )


def _better(plan: NoRegression, paired: PairedDifference) -> tuple[float, float]:
    """The interval of how much better the candidate is."""
    if lower_is_better(plan.metric):
        return -paired.upper, -paired.lower
    return paired.lower, paired.upper


def _by_interval(plan: NoRegression, lower: float, upper: float) -> bool | None:
    if lower >= -plan.margin:
        return True
    return False if upper < -plan.margin else None


def _by_test(plan: NoRegression, scene: Scene) -> tuple[bool | None, tuple[tuple[str, float], ...]]:
    only_stable, only_candidate = disagreements(scene.stable_answers, scene.answers)
    worse = mcnemar(only_stable, only_candidate, alternative="less").p_value
    better = mcnemar(only_stable, only_candidate, alternative="greater").p_value
    found = True if better < plan.level or only_stable == only_candidate == 0 else None
    return (
        False if worse < plan.level else found,
        (
            ("rows that stable alone answers right", only_stable),
            ("rows that the candidate alone answers right", only_candidate),
            ("p-value of being worse", worse),
            ("p-value of being better", better),
        ),
    )


def _asked(plan: NoRegression) -> str:
    margin = f" by more than {amount(plan.metric, plan.margin)}" if plan.margin else ""
    worse = "above" if lower_is_better(plan.metric) else "below"
    return f"no_regression: {plan.metric} not {worse} stable's{margin}, at {share(plan.level)}"


def _bound(plan: NoRegression) -> str:
    sign, op = ("+", "<=") if lower_is_better(plan.metric) else ("-", ">=")
    return f"{op} stable" + (f" {sign} {amount(plan.metric, plan.margin)}" if plan.margin else "")


def _reason(
    plan: NoRegression, paired: PairedDifference, by: float, interval: tuple[float, float], found: bool | None
) -> str:
    unsure = f"the rows cannot tell whether it is worse (undecided: {plan.undecided})"
    said = unsure if found is None else "not worse than stable" if found else "worse than stable"
    return (
        f"{plan.metric} was {figure(plan.metric, paired.candidate)} against stable's "
        f"{figure(plan.metric, paired.stable)}, better by {points(plan.metric, by)} "
        f"({span(interval, lambda end: points(plan.metric, end))}): {said}"
    )
