"""How good a model is in parts of the rows: by the values of a column, by bins of numbers, by two columns together."""

import itertools
import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from harness.domain.evaluation import MIN_ROWS, Bounds, SliceFound, SlicePlan
from harness.domain.model import Task
from harness.errors import InputError
from harness.seeds import Stream, stream
from harness.training.answered import Answered
from harness.training.bootstrap import LEVEL, intervals
from harness.training.weighed import LOWER_IS_BETTER, defined, value

VALUES: Final = 20
"""Of a column with more categories, the rarest are one slice."""
MISSING: Final = "missing"
OTHERS: Final = "all others"


@dataclass(frozen=True, slots=True)
class Sliced:
    """A model's figures by slices."""

    by: str
    metric: str
    overall: float
    slices: tuple[SliceFound, ...]
    worst: str | None


def default_metric(task: Task) -> str:
    """What slices are compared by where nobody says."""
    return "rmse" if task is Task.REGRESSION else "f1"


def sliced(
    answers: Answered,
    rows: pd.DataFrame,
    plan: SlicePlan,
    *,
    metric: str | None = None,
    min_rows: int = MIN_ROWS,
    resamples: int = 0,
    level: float = LEVEL,
    draws: Stream | None = None,
) -> Sliced:
    """Each slice with its rows and metrics, in the order of values or bins.

    Args:
        answers: what a model said of the rows.
        rows: the same rows, as they are in the data set.
        plan: the columns, and the bins of numbers.
        metric: what slices are compared by; None: f1, or rmse.
        min_rows: a slice with fewer is shown, and is never the worst.
        resamples: of each slice's interval of that metric; 0: no interval.
        level: how sure.
        draws: what the resamples are drawn from.

    Raises:
        InputError: there is no such column, or the metric is none of the task.
    """
    metric = metric or default_metric(answers.task)
    overall = value(metric, answers)
    labels, names = _labels(rows, plan)
    draws = draws or stream(0, "evaluation/slices")
    found = []
    for place, name in enumerate(names):
        chosen = np.flatnonzero(labels == place)
        part = answers.take(chosen)
        compared = len(chosen) >= min_rows
        bounds = _bounds(part, metric, resamples, level, draws.child(name)) if compared and resamples else None
        found.append(SliceFound(name, len(chosen), _metrics(part), bounds, compared))
    return Sliced(" × ".join(plan.columns), metric, overall, tuple(found), _worst(found, metric))


def _metrics(part: Answered) -> dict[str, float | None]:
    figures = {name: value(name, part) for name in defined(part)}
    return {name: figure if math.isfinite(figure) else None for name, figure in figures.items()}


def _bounds(part: Answered, metric: str, resamples: int, level: float, draws: Stream) -> Bounds | None:
    found = intervals(part, (metric,), resamples=resamples, level=level, draws=draws).get(metric)
    if found is None or not math.isfinite(found.lower):
        return None
    return Bounds(found.value, found.lower, found.upper, found.method)


def _worst(found: list[SliceFound], metric: str) -> str | None:
    known = [
        (figure if metric in LOWER_IS_BETTER else -figure, each.name)
        for each in found
        if each.compared and (figure := each.metrics.get(metric)) is not None
    ]
    return max(known, key=lambda one: one[0])[1] if known else None


def _labels(rows: pd.DataFrame, plan: SlicePlan) -> tuple[Any, list[str]]:
    """For each row the place of its slice, and the slices that have rows."""
    places, names = np.zeros(len(rows), np.int64), [""]
    for column in plan.columns:
        if column not in rows.columns:
            known = ", ".join(map(str, rows.columns))
            raise InputError(f"slices by {column}: the data's features have no such column; they are {known}")
        own, of = groups(rows[column], plan.bins)
        places = places * len(of) + own
        names = [f"{before} × {name}" if before else name for before in names for name in of]
    kept = np.unique(places)
    return np.searchsorted(kept, places), [names[place] for place in kept]


def groups(values: pd.Series, bins: int) -> tuple[Any, list[str]]:
    """For each value the place of its group, and the groups' names: a column's values, or quantile bins of its numbers.

    A column of numbers with at most ``bins`` values is grouped by these. Missing values are a group of their own, the
    last.
    """
    missing = values.isna().to_numpy()
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    if numeric and values.nunique() > bins:
        places, names = _binned(values.to_numpy(np.float64, na_value=np.nan), missing, bins)
    else:
        places, names = _valued(values)
    if missing.any():
        places, names = np.where(missing, len(names), places), [*names, MISSING]
    return places, names


def _binned(values: Any, missing: Any, bins: int) -> tuple[Any, list[str]]:
    """Bins hold what is above their lower edge and at most their upper one; equal edges are one."""
    there = values[~missing]
    edges = np.unique(np.quantile(there, np.arange(1, bins) / bins))
    edges = edges[edges < there.max()]
    places = np.searchsorted(edges, values, side="left")
    texts = [f"{edge:g}" for edge in edges]
    names = [f"≤ {texts[0]}"] if texts else ["all"]
    names += [f"{low} to {high}" for low, high in itertools.pairwise(texts)]
    return places, names + ([f"> {texts[-1]}"] if texts else [])


def _valued(values: pd.Series) -> tuple[Any, list[str]]:
    counts = values.value_counts(sort=False)
    order = sorted(counts.index, key=lambda each: (-int(counts[each]), str(each)))
    numeric = pd.api.types.is_numeric_dtype(values)
    kept = sorted(order[:VALUES]) if numeric else sorted(order[:VALUES], key=str)
    places = pd.Index(kept).get_indexer_for(values)
    names = [f"{each:g}" if isinstance(each, float) else str(each) for each in kept]
    return np.where(places < 0, len(kept), places), names + ([OTHERS] if len(order) > len(kept) else [])
