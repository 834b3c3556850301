"""What peeking does to an A/B test, and what a decision that stays valid under it costs.

    python benchmarks/ab_test.py [--seed N] [--runs 2000] [--json FILE]

For each case the fixed test is planned for 80 % power at level 5 %, and the confidence sequence may go on to the size
that `sequential_sizes` gives; both are looked at 100 times on the way there.

- *no difference*: runs in which any look found one. Of 2,000 at level 5 %, 100 are allowed on average, and chance makes
  more than 123 of that in one study of a hundred. The fixed test (pooled z, Welch) is what those see who reload a page.
- *real effect*: power of the fixed test at the look nearest to its planned size, of the confidence sequence by then and
  by the last look, and the mean size at which it stopped (runs that found nothing count in full), in planned sizes.

A second table does the same for sample ratio mismatch: chi-square looked at 100 times, and the multinomial e-process.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import chdtrc, ndtr
from scipy.stats import binom

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.stats import power, ratio, sequential
from harness.stats.intervals import Arm, pooled_p_value
from harness.stats.sequential import MIN_RARER, MIN_UNITS

ALPHA = 0.05
POWER = 0.8
LOOKS = 100


@dataclass(frozen=True)
class Seen:
    """Both arms at each look of each run: arrays of (runs, looks)."""

    n: tuple[np.ndarray, np.ndarray]
    mean: tuple[np.ndarray, np.ndarray]
    variance: tuple[np.ndarray, np.ndarray]
    successes: tuple[np.ndarray, np.ndarray] | None = None

    def sequential(self, tuned_n: float, share: float) -> np.ndarray:
        """The p-values of `confidence_sequence`, on arrays; 1 where it says nothing."""
        stable, candidate = self.variance
        v = stable / self.n[0] + candidate / self.n[1]
        s = (stable / (1 - share) + candidate / share) / tuned_n * sequential.tuned_ratio(ALPHA)
        enough = (np.minimum(*self.n) >= MIN_UNITS) & (np.minimum(stable, candidate) > 0)
        if self.successes is not None:
            for x, n in zip(self.successes, self.n, strict=True):
                enough &= np.minimum(x, n - x) >= MIN_RARER
        log = sequential.log_likelihood_ratio(
            self.mean[1] - self.mean[0], np.where(enough, v, 1), np.where(enough, s, 1)
        )
        return np.where(enough, np.exp(-np.maximum(log, 0)), 1.0)

    def fixed(self) -> np.ndarray:
        """The p-values of the test that is meant for one look (normal for Welch's t: samples are large)."""
        if self.successes is not None:
            return pooled_p_value(self.mean[0], self.n[0], self.mean[1], self.n[1])
        v = self.variance[0] / self.n[0] + self.variance[1] / self.n[1]
        return 2 * ndtr(-np.abs(self.mean[1] - self.mean[0]) / np.sqrt(v))

    def arm(self, which: int, run: int, look: int) -> Arm:
        n = int(self.n[which][run, look])
        if self.successes is not None:
            return Arm.of_successes(int(self.successes[which][run, look]), n)
        return Arm(n, float(self.mean[which][run, look]), float(self.variance[which][run, look]))


@dataclass(frozen=True)
class Proportion:
    """Conversions: units come to the arms at random, as a hash assigns them."""

    stable: float
    candidate: float
    share: float

    @property
    def name(self) -> str:
        return f"{self.stable:.0%} to {self.candidate:.1%}, {1 - self.share:.0%}/{self.share:.0%}"

    def sizes(self) -> power.Sizes:
        odds = self.share / (1 - self.share)
        return power.proportions_sizes(self.stable, self.candidate, ALPHA, POWER, odds)

    def seen(self, rng: np.random.Generator, runs: int, batch: int, differ: bool) -> Seen:
        candidate = rng.binomial(batch, self.share, (runs, LOOKS))
        new = (batch - candidate, candidate)
        rates = (self.stable, self.candidate if differ else self.stable)
        successes = tuple(rng.binomial(n, p).cumsum(axis=1) for n, p in zip(new, rates, strict=True))
        n = tuple(np.maximum(each.cumsum(axis=1), 1) for each in new)
        mean = tuple(x / each for x, each in zip(successes, n, strict=True))
        variance = tuple(p * (1 - p) * each / np.maximum(each - 1, 1) for p, each in zip(mean, n, strict=True))
        return Seen(n, mean, variance, successes)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Revenue:
    """A lognormal figure of each unit (log sd 1: skewness 6.2) with mean 1, and 1 + rise for the candidate."""

    rise: float
    share: float = 0.5

    @property
    def name(self) -> str:
        return f"lognormal mean +{self.rise:.0%}, 50%/50%"

    def sizes(self) -> power.Sizes:
        sd = float(np.sqrt(np.e - 1))
        return power.means_sizes(self.rise, sd, ALPHA, POWER, sd_candidate=sd * (1 + self.rise))

    def seen(self, rng: np.random.Generator, runs: int, batch: int, differ: bool) -> Seen:
        half = batch // 2
        n = np.broadcast_to(half * np.arange(1, LOOKS + 1), (runs, LOOKS))
        found = []
        for factor in (1.0, 1 + self.rise if differ else 1.0):
            sums = np.empty((2, runs, LOOKS))
            for run in range(runs):  # one at a time, so that units are never all in memory
                units = rng.lognormal(-0.5, 1.0, (LOOKS, half)) * factor
                sums[:, run] = units.sum(axis=1), (units**2).sum(axis=1)
            one, two = sums.cumsum(axis=2)
            found.append((one / n, (two - one**2 / n) / (n - 1)))
        return Seen((n, n), (found[0][0], found[1][0]), (found[0][1], found[1][1]))


CASES = (
    Proportion(0.10, 0.11, 0.5),
    Proportion(0.01, 0.012, 0.5),
    Proportion(0.10, 0.11, 0.1),
    Proportion(0.01, 0.012, 0.1),
    Revenue(0.10),
)


def check(seen: Seen, p_values: np.ndarray, tuned_n: float, share: float, rng: np.random.Generator) -> None:
    """The arrays above must say what `confidence_sequence` says, look by look."""
    for run, look in zip(rng.integers(0, p_values.shape[0], 200), rng.integers(0, LOOKS, 200), strict=True):
        arms = (seen.arm(0, run, look), seen.arm(1, run, look))
        at = sequential.confidence_sequence(*arms, ALPHA, tuned_n, share=share)
        assert np.isclose(p_values[run, look], at.p_value if at else 1.0, rtol=1e-9), (run, look, at)


def first(hits: np.ndarray) -> np.ndarray:
    """The look of each run at which it stopped, counted from 1; the last one where none did."""
    return np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, hits.shape[1])


def measured(case: Proportion | Revenue, seed: int, runs: int) -> dict[str, Any]:
    rng = np.random.default_rng([seed, CASES.index(case)])
    plan = case.sizes()
    batch = -(-power.sequential_sizes(plan, ALPHA, POWER).total // LOOKS)
    horizon = batch * LOOKS
    planned = round(plan.total / batch)  # the look that comes closest to the planned size
    null, real = (case.seen(rng, runs, batch, differ) for differ in (False, True))
    p_null, p_real = (seen.sequential(horizon, case.share) for seen in (null, real))
    check(real, p_real, horizon, case.share, rng)
    hits = p_real <= ALPHA
    return {
        "case": case.name,
        "planned": plan.total,
        "horizon": horizon,
        "false_sequential": int((p_null <= ALPHA).any(axis=1).sum()),
        "false_naive": int((null.fixed() <= ALPHA).any(axis=1).sum()),
        "power_fixed": float((real.fixed()[:, planned - 1] <= ALPHA).mean()),
        "power_by_plan": float(hits[:, :planned].any(axis=1).mean()),
        "power_by_horizon": float(hits.any(axis=1).mean()),
        "stopped": float(first(hits).mean()) * batch / plan.total,
    }


def mismatched(share: float, seed: int, runs: int, n: int = 20_000) -> dict[str, Any]:
    """Arms meant to be halves, of which the candidate gets ``share``."""
    rng = np.random.default_rng([seed, 1000, round(share * 1000)])
    batch = n // LOOKS
    candidate = rng.binomial(batch, share, (runs, LOOKS)).cumsum(axis=1)
    total = batch * np.arange(1, LOOKS + 1)
    chi_square = chdtrc(1, (2 * candidate - total) ** 2 / total)
    counts = np.stack([total - candidate, candidate], axis=-1).astype(float)
    log_e = ratio.log_e_values(counts, np.array([0.5, 0.5]), ratio.concentration_for(n, ALPHA))
    hits = log_e >= -np.log(ALPHA)
    return {
        "share": share,
        "units": n,
        "naive": int((chi_square <= ALPHA).any(axis=1).sum()),
        "once": int((chi_square[:, -1] <= ALPHA).sum()),
        "sequential": int(hits.any(axis=1).sum()),
        "stopped": float(first(hits).mean()) * batch,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="False positives and power of an A/B decision under peeking.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    began = time.perf_counter()
    tests = [measured(case, given.seed, given.runs) for case in CASES]
    allowed = int(binom.isf(0.01, given.runs, ALPHA))
    print(f"{given.runs:,} runs, {LOOKS} looks, level {ALPHA}; at most {allowed} false positives allowed")
    print(f"{'':32}{'':>9}|{'no difference':^19}|{'real effect: power':^27}| mean stop")
    print(
        f"{'case':32}{'planned n':>9}|{'sequential':>11}{'naive':>7} |{'fixed':>7}{'seq. by n':>10}{'by end':>9} | of n"
    )
    for row in tests:
        print(
            f"{row['case']:32}{row['planned']:>9,}|{row['false_sequential']:>11}{row['false_naive']:>7} "
            f"|{row['power_fixed']:>7.3f}{row['power_by_plan']:>10.3f}{row['power_by_horizon']:>9.3f} "
            f"| {row['stopped']:.2f}"
        )
    ratios = [mismatched(share, given.seed, given.runs) for share in (0.5, 0.51, 0.52)]
    print(
        f"\nsample ratio, 50%/50% intended, {ratios[0]['units']:,} units: runs of {given.runs:,} that found a mismatch"
    )
    print(f"{'true share':>12}{'chi-square once':>17}{'every look':>12}{'sequential':>12}{'mean stop':>11}")
    for row in ratios:
        print(
            f"{row['share']:>12.0%}{row['once']:>17}{row['naive']:>12}{row['sequential']:>12}{row['stopped']:>11,.0f}"
        )
    print(f"\n{time.perf_counter() - began:.1f} s")
    if given.json:
        given.json.write_text(json.dumps({"tests": tests, "ratios": ratios}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
