"""Judges an A/B test: is the candidate better by its primary metric, decided so that looking does no harm?

What was seen since the test began is added up look by look, and each look is judged on all of it by an interval that
holds the true difference at every look at once (`harness.stats.sequential`). Users who are not split as they should be
end the test before anything else does (`harness.stats.ratio`): nothing measured on them can be trusted.

The units of the metric are answers, which are taken for independent: what users do again and again should be measured
once for each user before it comes here.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from harness.analysis.figures import figure_text
from harness.analysis.vocabulary import METRICS, QUALITY, Better
from harness.domain.analysis import Experiment, Unit
from harness.domain.model import ARMS, Role
from harness.domain.rollout import Finding
from harness.domain.units import SECOND, WHOLE
from harness.protocols import ArmSample, Sample
from harness.stats.histogram import REPRESENTATIVE_NS
from harness.stats.intervals import Arm, Difference
from harness.stats.power import Sizes, means_sizes, proportions_sizes
from harness.stats.ratio import Stretch, concentration_for, sequential_mismatch
from harness.stats.sequential import confidence_sequence

PRIMARY = ("success_rate", "error_rate", "accuracy", "mean")
"""Metrics that are means of single answers, so that their difference has an interval."""


@dataclass(slots=True)
class Moments:
    """Answers of one arm, added up: their number, and the sums of values and of their squares."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0
    successes: int | None = None

    def arm(self) -> Arm:
        """As a sample."""
        if self.successes is not None:
            return Arm.of_successes(self.successes, self.n)
        if self.n < 2:
            return Arm(self.n, self.total, 0.0)
        mean = self.total / self.n
        return Arm(self.n, mean, max(self.squares - self.n * mean * mean, 0.0) / (self.n - 1))


@dataclass(frozen=True, slots=True)
class Planned:
    """What a test will take, said beforehand."""

    baseline: float | None
    needed: int | None
    """Answers of both arms by which a fixed-sample test finds the least effect with the power that was asked for."""
    needed_ns: int | None


@dataclass(frozen=True, slots=True)
class Look:
    """A look at a test."""

    stable: Arm
    candidate: Arm
    difference: Difference | None
    p_value: float | None
    """The least so far, which is valid too."""
    users: Mapping[Role, int]
    mismatch_p: float | None
    finding: Finding
    reason: str


@dataclass(slots=True)
class Trial:
    """An A/B test under way.

    Args:
        experiment: what it asks.
        share: the candidate's share of the users, in 0..1.
        before: stable's figures before it began.
        rate_per_s: of all answers that its metric rests on.
        held: stable's figure on the held-out rows, where the metric has one; for the plan, until labels come.
    """

    experiment: Experiment
    share: float
    before: ArmSample
    rate_per_s: float
    held: float | None = None
    seen: dict[Role, Moments] = field(default_factory=lambda: {role: Moments() for role in ARMS})
    least_p: float = 1.0
    least_mismatch_p: float = 1.0

    def plan(self) -> Planned:
        """How many answers it takes to find the least effect, and how long that takes."""
        figure = self.before.figures().get(self.experiment.primary)
        moments = Moments()
        _add(moments, self.before, self.experiment.primary)
        known = moments.arm()
        if moments.n < 2 and self.held is not None:  # no label has come yet: what it showed on rows held out
            figure, known = self.held, Arm(0, self.held, self.held * (1 - self.held))
        sizes = _sizes(self.experiment, known, self.share) if known.variance else None
        if sizes is None:
            return Planned(figure, None, None)
        takes = round(sizes.total / self.rate_per_s * SECOND) if self.rate_per_s else None
        return Planned(figure, sizes.total, takes)

    def look(self, sample: Sample, needed: int | None) -> Look:
        """Add a window that has not been seen yet, and judge all there is.

        Args:
            sample: of the window.
            needed: answers at which the interval is to be tightest; None: a guess from what there is.
        """
        for role in ARMS:
            _add(self.seen[role], sample[role], self.experiment.primary)
        stable, candidate = (self.seen[role].arm() for role in ARMS)
        tuned = needed or max(stable.n + candidate.n, 1000)
        found = confidence_sequence(stable, candidate, self.experiment.level, tuned, share=self.share)
        if found:
            self.least_p = min(self.least_p, found.p_value)
        users = {role: sample[role].users for role in ARMS}
        counted = {role: count for role, count in users.items() if count is not None}
        mismatch_p = self._mismatch(counted) if len(counted) == len(ARMS) else None
        finding, reason = self._finding(found, mismatch_p, counted, stable, candidate)
        p_value = self.least_p if found else None
        return Look(stable, candidate, found, p_value, counted, mismatch_p, finding, reason)

    def _mismatch(self, users: Mapping[Role, int]) -> float:
        level = self.experiment.mismatch_level
        total = sum(users.values())
        stretch = Stretch(tuple(users[role] for role in ARMS), (1 - self.share, self.share))
        found = sequential_mismatch([stretch], concentration_for(max(total, 1000), level))
        self.least_mismatch_p = min(self.least_mismatch_p, found.p_value)
        return self.least_mismatch_p

    def _finding(
        self,
        found: Difference | None,
        mismatch_p: float | None,
        users: Mapping[Role, int],
        stable: Arm,
        candidate: Arm,
    ) -> tuple[Finding, str]:
        if mismatch_p is not None and mismatch_p < self.experiment.mismatch_level:
            share = users[Role.CANDIDATE] / max(sum(users.values()), 1)
            return Finding.MISMATCH, (
                f"sample ratio mismatch: {share:.2%} of {sum(users.values())} users are the candidate's, "
                f"not {self.share:.2%} (p = {mismatch_p:.2g}); what was measured on them says nothing"
            )
        if found is None:
            return Finding.UNDECIDED, f"too little to say anything: {_seen(stable)} and {_seen(candidate)}"
        metric = METRICS[self.experiment.primary]
        sign = -1.0 if metric.better is Better.LOWER else 1.0
        gains = sorted((sign * found.lower, sign * found.upper))
        told = self._told(found)
        if gains[0] > 0:
            return Finding.BETTER, f"the candidate is better: {told}"
        if gains[1] < self.experiment.least_effect:
            return Finding.WORSE, f"the candidate is not better by {self._text(self.experiment.least_effect)}: {told}"
        return Finding.UNDECIDED, told

    def _told(self, found: Difference) -> str:
        low, high = (self._text(bound) for bound in (found.lower, found.upper))
        sure = f"{1 - self.experiment.level:.4g}"
        effect = self._text(found.estimate)
        between = f"between {low} and {high} at every look at once (confidence {sure})"
        return f"{self.experiment.primary} differs by {effect}, {between}"

    def _text(self, value: float) -> str:
        if METRICS[self.experiment.primary].unit is Unit.SHARE:
            return f"{value * 100:+.3g} points"
        return ("+" if value >= 0 else "-") + figure_text(self.experiment.primary, abs(value))


def _seen(arm: Arm) -> str:
    """What an arm has shown, in words."""
    if arm.successes is None:
        return f"{arm.n} answers"
    return f"{arm.n} answers, {min(arm.successes, arm.n - arm.successes)} of the rarer kind"


def _add(to: Moments, sample: ArmSample, metric: str) -> None:
    """Add the answers of a window."""
    if metric == "mean":
        counts, first = sample.latency.counts, sample.latency.first
        values = REPRESENTATIVE_NS[first : first + len(counts)] / SECOND
        to.n += sample.latency.count
        to.total += sample.latency.mean_s * sample.latency.count if sample.latency.count else 0.0
        to.squares += float(np.dot(counts, values * values))
        return
    n = sample.labelled if METRICS[metric].kind in QUALITY else sample.requests
    figure = sample.figures().get(metric)
    if not n or figure is None:
        to.successes = to.successes or 0
        return
    to.n += n
    to.successes = (to.successes or 0) + round(figure * n)


def _sizes(experiment: Experiment, before: Arm, share: float) -> Sizes | None:
    metric, ratio = METRICS[experiment.primary], share / (1 - share)
    sign = -1.0 if metric.better is Better.LOWER else 1.0
    if metric.unit is Unit.SHARE:
        hoped = min(max(before.mean + sign * experiment.least_effect, 1e-9), 1 - 1e-9)
        if hoped == before.mean or not 0 < before.mean < 1:
            return None
        return proportions_sizes(before.mean, hoped, experiment.level, experiment.power, ratio)
    if before.variance <= 0:
        return None
    return means_sizes(
        sign * experiment.least_effect, math.sqrt(before.variance), experiment.level, experiment.power, ratio
    )


def share_of(weight: int) -> float:
    """A weight as a share."""
    return weight / WHOLE
