"""``fairness``: does the candidate treat groups alike?

Figures are fairlearn's (Weerts et al., JMLR 2023), of the held-out rows:

- demographic parity: how far apart the groups' shares of positive answers lie, as the largest less the smallest
  (difference) or the smallest over the largest (ratio: disparate impact; the four-fifths rule asks for >= 0.8);
- equalised odds: the larger of the differences in true and in false positive rates (Hardt, Price and Srebro, 2016;
  fairlearn's ``worst_case``); equal opportunity: that in true positive rates alone;
- of a regression: how far apart the groups' mean errors (prediction less truth) and mean absolute errors lie, in the
  target's unit.

Intervals are percentiles of a seeded bootstrap within each group. A largest difference of groups is never below 0 and
grows with noise, so with small groups the interval lies high: it errs on the side of refusing.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from harness.domain.gates import Check, Details, Fairness, Judge, Limit
from harness.domain.model import Task
from harness.errors import InputError
from harness.gates.groups import FloatArray, Grouping, Rates, cells, grouping, rates, redrawn
from harness.gates.scene import Scene
from harness.gates.words import against, listed, span
from harness.gates.words import share as as_share
from harness.seeds import stream

NAME: Final = "fairness"
CHUNK: Final = 4_000_000


def _gap(values: FloatArray) -> FloatArray:
    """The largest less the smallest of the groups; a group that has none is left out."""
    return np.asarray(np.fmax.reduce(values, axis=-1) - np.fmin.reduce(values, axis=-1))


def _ratio(values: FloatArray) -> FloatArray:
    """The smallest over the largest; where nobody is selected all are treated alike, but fairlearn says NaN."""
    top = np.asarray(np.fmax.reduce(values, axis=-1))
    return np.asarray(
        np.divide(np.fmin.reduce(values, axis=-1), top, out=np.full(np.shape(top), np.nan), where=top > 0)
    )


FIGURES: Final[Mapping[str, tuple[Callable[[Rates], FloatArray], str]]] = {
    "demographic_parity": (lambda r: _gap(r.selection), "demographic_parity_difference"),
    "demographic_parity_ratio": (lambda r: _ratio(r.selection), "demographic_parity_ratio"),
    "equalised_odds": (lambda r: np.fmax(_gap(r.tpr), _gap(r.fpr)), "equalized_odds_difference"),
    "equal_opportunity": (lambda r: _gap(r.tpr), "equal_opportunity_difference"),
}
"""Of a classification, by the word of a scenario: the figure from rates, and fairlearn's function of the same."""
OF_BOTH: Final = ("equalised_odds", "equal_opportunity")
ERRORS: Final = ("mean_error", "mean_absolute_error")
"""Of a regression."""


def judge(plan: Fairness, scene: Scene) -> tuple[Check, ...]:
    """A check for each bound.

    Raises:
        InputError: there are no rows, no such column, or fewer than two groups are large enough.
        ArtifactError: the candidate cannot answer the rows.
    """
    groups = grouping(scene.rows.rows, plan.columns, plan.min_rows)
    if len(groups.names) < 2:
        raise InputError(
            f"{' & '.join(plan.columns)} makes {len(groups.names)} groups of at least {plan.min_rows} rows, and "
            f"fairness compares two or more{_told_left_out(groups)}; lower min_rows, or name another column"
        )
    regression = scene.candidate.task is Task.REGRESSION
    known = ERRORS if regression else tuple(FIGURES)
    if wrong := [word for word in plan.limits if word not in known]:
        raise InputError(f"fairness of a {scene.candidate.task} has no {wrong[0]}; there are {', '.join(known)}")
    measure = _of_errors if regression else _of_rates
    found, table = measure(plan, scene, groups)
    return tuple(_check(word, limit, plan, found[word], table, groups) for word, limit in plan.limits.items())


def _of_rates(plan: Fairness, scene: Scene, groups: Grouping) -> tuple[dict[str, Any], Details]:
    answers = scene.answers
    counted = cells(answers.target, answers.predicted, groups)
    places = {word: _comparable(word, counted, groups) for word in plan.limits}
    drawn: dict[str, list[FloatArray]] = {word: [] for word in plan.limits}
    for some in redrawn(counted, plan.resamples, _draws(plan, scene)):
        for word, figures in drawn.items():
            figures.append(FIGURES[word][0](rates(some[:, places[word]])))
    found = {}
    for word, figures in drawn.items():
        point = by_fairlearn(word, answers.target, answers.predicted, groups, places[word])
        found[word] = (point, _ends(np.concatenate(figures), plan.level))
    return found, _rate_table(counted, groups)


def _comparable(word: str, counted: Any, groups: Grouping) -> Any:
    """The groups that a figure can be measured of: true and false positive rates take rows of both true answers.

    Fairlearn itself counts a rate of no rows as 0, which would be the farthest from fair.
    """
    if word not in OF_BOTH:
        return np.arange(len(groups.names))
    truly = counted.reshape(-1, 2, 2).sum(axis=2)
    places = np.flatnonzero((truly > 0).all(axis=1))
    if len(places) < 2:
        raise InputError(f"{word} compares groups with rows of both true answers, and there are {len(places)} such")
    return places


def by_fairlearn(word: str, target: Any, predicted: Any, groups: Grouping, places: Any) -> float:
    """Fairlearn's own figure, of the rows of some groups."""
    import fairlearn.metrics

    kept = np.isin(groups.codes, places)
    figure = getattr(fairlearn.metrics, FIGURES[word][1])
    with np.errstate(all="ignore"):
        return float(figure(target[kept], predicted[kept], sensitive_features=groups.codes[kept]))


def _rate_table(counted: Any, groups: Grouping) -> Details:
    of = rates(counted)
    rows = [
        (name, int(counts.sum()), int(counts[2] + counts[3]), *map(_plain, (of.selection[at], of.tpr[at], of.fpr[at])))
        for at, (name, counts) in enumerate(zip(groups.names, counted, strict=True))
    ]
    columns = ("group", "rows", "truly positive", "selection rate", "TPR", "FPR")
    return _table(columns, rows, groups)


def _of_errors(plan: Fairness, scene: Scene, groups: Grouping) -> tuple[dict[str, Any], Details]:
    error = scene.answers.predicted - scene.answers.target
    of = {"mean_error": error, "mean_absolute_error": np.abs(error)}
    members = [np.flatnonzero(groups.codes == place) for place in range(len(groups.names))]
    draws = _draws(plan, scene)
    values = np.stack([of[word] for word in plan.limits], axis=1)
    drawn = np.stack([_means(values[rows], plan.resamples, draws) for rows in members], axis=-1)
    found = {
        word: (
            float(_gap(np.array([of[word][rows].mean() for rows in members]))),
            _ends(_gap(drawn[:, at, :]), plan.level),
        )
        for at, word in enumerate(plan.limits)
    }
    rows = [
        (name, len(chosen), float(error[chosen].mean()), float(np.abs(error[chosen]).mean()))
        for name, chosen in zip(groups.names, members, strict=True)
    ]
    return found, _table(("group", "rows", "mean error", "mean absolute error"), rows, groups)


def _means(values: FloatArray, resamples: int, draws: np.random.Generator) -> FloatArray:
    """Means of rows drawn with replacement: shape (rows, figures) to (resamples, figures)."""
    count, some = len(values), max(1, CHUNK // len(values))
    parts = [
        values[draws.integers(count, size=(min(some, resamples - start), count))].mean(axis=1)
        for start in range(0, resamples, some)
    ]
    return np.concatenate(parts)


def _ends(drawn: FloatArray, level: float) -> tuple[float, float] | None:
    seen = drawn[np.isfinite(drawn)]
    if not len(seen):
        return None
    lower, upper = np.quantile(seen, (level / 2, 1 - level / 2))
    return float(lower), float(upper)


def _draws(plan: Fairness, scene: Scene) -> np.random.Generator:
    return stream(scene.seed, f"gates/fairness/{'/'.join(plan.columns)}").generator()


def _check(
    word: str,
    limit: Limit,
    plan: Fairness,
    found: tuple[float, tuple[float, float] | None],
    table: Details,
    groups: Grouping,
) -> Check:
    value, interval = found
    write = _number if word in ERRORS else as_ratio if word.endswith("_ratio") else as_share
    known = np.isfinite(value)
    if plan.judge is Judge.INTERVAL:
        passed = bool(known) and interval is not None and limit.holds_over(interval)
    else:
        passed = bool(known) and limit.holds(value)
    judged = "its interval" if plan.judge is Judge.INTERVAL else "the figure"
    seen = f", {as_share(1 - plan.level)} interval {span(interval, write)}" if interval else ""
    said = f"{write(value)}{seen}; {judged} is judged" if known else "not defined on these rows: nobody was selected"
    return Check(
        name=f"{NAME}.{word}",
        text=f"fairness of {' & '.join(plan.columns)}: {word} {limit.text}",
        passed=passed,
        reason=f"{word} of {' & '.join(plan.columns)} was {said} {against(limit)}{_told_left_out(groups)}",
        value=value if known else None,
        bound=limit.text,
        interval=interval,
        details=table,
    )


def _table(columns: tuple[str, ...], rows: list[Any], groups: Grouping) -> Details:
    small = [(name, size, *[None] * (len(columns) - 2)) for name, size in groups.left_out]
    note = "left out, being too small: " + listed([name for name, _ in groups.left_out]) if small else ""
    return Details(columns, (*rows, *small), note)


def _told_left_out(groups: Grouping) -> str:
    if not groups.left_out:
        return ""
    told = [f"{name} ({size} rows)" for name, size in groups.left_out]
    return f"; left out, being too small: {listed(told)}"


def _plain(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _number(value: float) -> str:
    return f"{value:.4g}"


def as_ratio(value: float) -> str:
    """A ratio with three digits."""
    return f"{value:.3g}"
