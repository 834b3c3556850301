"""Two models on the same rows: is the candidate's metric another than stable's, and is it chance?"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.domain.model import TrainedModel
from harness.errors import InputError
from harness.protocols import Population
from harness.seeds import Stream, stream
from harness.training.answered import Answered, answered
from harness.training.bootstrap import LEVEL, RESAMPLES, Alternative, Method, bounds, counts
from harness.training.weighed import LOWER_IS_BETTER, weighed


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Candidate minus stable, with its interval."""

    metric: str
    stable: float
    candidate: float
    estimate: float
    """Candidate minus stable; of log_loss, brier, rmse and mae more is worse."""
    lower: float
    """-inf of a one-sided interval with an upper bound only."""
    upper: float
    level: float
    rows: int
    resamples: int
    method: str
    worse_share: float
    """The share of resamples in which the candidate is worse, ties as a half."""

    @property
    def lower_is_better(self) -> bool:
        """Less of this metric is better."""
        return self.metric in LOWER_IS_BETTER


def paired_difference(
    stable: TrainedModel,
    candidate: TrainedModel,
    rows: Population,
    metric: str,
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    alternative: Alternative = "two-sided",
    method: Method = "bca",
    draws: Stream | None = None,
) -> PairedDifference:
    """Ask both models, and compare what they said of the same rows (`difference`).

    Raises:
        ArtifactError: a model cannot answer the rows.
        InputError: the metric is none of the models' task, or these rows do not define it.
    """
    return difference(
        answered(stable, rows), answered(candidate, rows), metric,
        resamples=resamples, level=level, alternative=alternative, method=method, draws=draws,
    )  # fmt: skip


def difference(
    stable: Answered,
    candidate: Answered,
    metric: str,
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    alternative: Alternative = "two-sided",
    method: Method = "bca",
    draws: Stream | None = None,
) -> PairedDifference:
    """The paired bootstrap: each resample draws rows, and both models' answers of a row stay together.

    Args:
        stable: its answers.
        candidate: its answers, of the same rows in the same order.
        metric: of `harness.training.weighed.names`.
        resamples: how many.
        level: how sure; of a one-sided interval the whole error lies on its side.
        alternative: two-sided; ``less`` gives an upper bound only, ``greater`` a lower bound only, as scipy's.
        method: ``bca`` or ``percentile``.
        draws: the stream that rows are drawn from; None: of seed 0.

    Raises:
        InputError: the metric is none of the task, or these rows do not define it.
    """
    if not np.array_equal(stable.target, candidate.target):
        raise InputError("two models are compared on the same rows, in the same order: the true answers differ")
    of_stable, of_candidate = weighed(metric, stable), weighed(metric, candidate)
    whole = np.ones((1, len(stable)))
    found_s, found_c = (float(of.of(whole)[0]) if len(stable) else math.nan for of in (of_stable, of_candidate))
    estimate = found_c - found_s
    if not math.isfinite(estimate):
        raise InputError(f"these {len(stable)} rows do not define {metric} of both models")
    drawn = counts(len(stable), resamples, draws or stream(0, "evaluation/paired"))
    seen = np.concatenate([of_candidate.of(weights) - of_stable.of(weights) for weights in drawn])
    seen = seen[np.isfinite(seen)]
    left_out = of_candidate.left_out() - of_stable.left_out() if method == "bca" else None
    lower, upper, used = bounds(seen, estimate, level, left_out, alternative)
    return PairedDifference(
        metric, found_s, found_c, estimate, lower, upper, level, len(stable), len(seen), used,
        _worse(seen, metric in LOWER_IS_BETTER),
    )  # fmt: skip


def _worse(seen: Any, lower_is_better: bool) -> float:
    if not len(seen):
        return math.nan
    towards = seen if lower_is_better else -seen
    return float(((towards > 0).sum() + (towards == 0).sum() / 2) / len(seen))


@dataclass(frozen=True, slots=True)
class McNemar:
    """McNemar's test (1947) of two classifiers on the same rows: do they err equally often?"""

    only_stable: int
    """Rows that stable alone answers right."""
    only_candidate: int
    """Rows that the candidate alone answers right."""
    p_value: float
    alternative: Alternative
    mid_p: bool


def mcnemar(
    only_stable: int, only_candidate: int, *, alternative: Alternative = "two-sided", mid_p: bool = False
) -> McNemar:
    """The test from the rows on which the two disagree; where both are right or both wrong says nothing.

    Exact: under no difference the disagreements are tosses of a fair coin, so the p-value is that of
    ``scipy.stats.binomtest(only_candidate, only_stable + only_candidate)``. ``mid_p`` counts half of what is as likely
    as what was seen (Lancaster, 1961; of McNemar's test Fagerland, Lydersen and Laake, 2013): nearly as exact, and less
    conservative.

    Args:
        only_stable: rows that stable alone answers right.
        only_candidate: rows that the candidate alone answers right.
        alternative: ``less`` asks whether the candidate is worse, ``greater`` whether it is better.
        mid_p: the mid-p-value instead of the exact one.

    Raises:
        InputError: a count is negative.

    >>> round(mcnemar(59, 121).p_value, 6)
    4e-06
    """
    from scipy.stats import binom

    if min(only_stable, only_candidate) < 0:
        raise InputError(f"{only_stable} and {only_candidate}: counts of rows are 0 or more")
    n = only_stable + only_candidate
    at_most, at_least = binom.cdf(only_candidate, n, 0.5), binom.sf(only_candidate - 1, n, 0.5)
    half = binom.pmf(only_candidate, n, 0.5) / 2 if mid_p else 0.0
    sides = {"less": at_most - half, "greater": at_least - half}
    p_value = sides.get(alternative, 2 * (min(at_most, at_least) - half))
    return McNemar(only_stable, only_candidate, float(min(1.0, p_value)), alternative, mid_p)


def disagreements(stable: Answered, candidate: Answered) -> tuple[int, int]:
    """How many rows stable alone answers right, and how many the candidate alone.

    Raises:
        InputError: they were not asked the same rows.
    """
    if not np.array_equal(stable.target, candidate.target):
        raise InputError("two models are compared on the same rows, in the same order: the true answers differ")
    return int((stable.right & ~candidate.right).sum()), int((candidate.right & ~stable.right).sum())


def mcnemar_of(
    stable: TrainedModel,
    candidate: TrainedModel,
    rows: Population,
    *,
    alternative: Alternative = "two-sided",
    mid_p: bool = False,
) -> McNemar:
    """Ask both models, and test how they disagree (`mcnemar`).

    Raises:
        ArtifactError: a model cannot answer the rows.
    """
    return mcnemar(
        *disagreements(answered(stable, rows), answered(candidate, rows)), alternative=alternative, mid_p=mid_p
    )
