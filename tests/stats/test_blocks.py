"""Intervals hold the truth of a queue whose law is known, naive ones do not; comparisons err as often as they say."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.stats import blocks
from harness.stats.histogram import Histogram, bucket_of

QUANTILES = {"p50": 0.5, "p95": 0.95}


def queue_by_second(rng, repeats, seconds, arrivals_per_s, services_per_s):
    """Sojourn times of M/M/1 in its steady state by the Lindley recursion, second by second."""
    n = int(arrivals_per_s * seconds * 1.4)
    gaps = rng.exponential(1 / arrivals_per_s, (repeats, n))
    service = rng.exponential(1 / services_per_s, (repeats, n))
    busy = rng.random(repeats) < arrivals_per_s / services_per_s
    before = np.where(busy, rng.exponential(1 / (services_per_s - arrivals_per_s), repeats), 0.0)
    walk = np.cumsum(np.concatenate([before[:, None], service[:, :-1] - gaps[:, 1:]], axis=1), axis=1)
    sojourn = walk - np.minimum(np.minimum.accumulate(walk, axis=1), 0.0) + service
    came = np.cumsum(gaps, axis=1)
    for times, at in zip(sojourn, came, strict=True):
        cuts = np.searchsorted(at, np.arange(seconds + 1))
        yield [Histogram.of((times[a:b] * 1e9).astype(np.int64)) for a, b in pairwise(cuts)]


def test_intervals_hold_the_truth_of_a_queue_and_naive_ones_do_not():
    rng = np.random.default_rng(5)
    truth = {name: -math.log(1 - q) / 30 * 1e9 for name, q in QUANTILES.items()} | {"mean": 1e9 / 30}
    held = dict.fromkeys(truth, 0)
    naive = dict.fromkeys(truth, 0)
    wrong = dict.fromkeys(truth, 0)
    repeats = 100
    for seconds in queue_by_second(rng, repeats, 60, 70, 100):
        by_block = blocks.intervals(seconds, QUANTILES, rng, resamples=400)
        of_each = blocks.intervals([Histogram.merge(seconds)], QUANTILES, rng)
        for name, value in truth.items():
            inside = name in by_block and by_block[name][0] <= value <= by_block[name][1]
            held[name] += inside
            wrong[name] += name in by_block and not inside
            naive[name] += of_each[name][0] <= value <= of_each[name][1]
    assert all(held[name] >= 0.88 * repeats for name in truth), held
    assert all(wrong[name] <= 0.12 * repeats for name in truth), wrong
    assert all(naive[name] <= 0.7 * repeats for name in truth), naive


def test_two_tests_of_one_queue_are_told_apart_as_often_as_the_level_says():
    rng = np.random.default_rng(6)
    repeats = 60
    one = queue_by_second(rng, repeats, 40, 300, 500)
    same = queue_by_second(rng, repeats, 40, 300, 500)
    slower = queue_by_second(rng, repeats, 40, 300, 460)
    alarms = found = 0
    for a, b, c in zip(one, same, slower, strict=True):
        alarms += least(blocks.compare(a, b, QUANTILES, rng, resamples=200)) < 0.05
        found += least(blocks.compare(a, c, QUANTILES, rng, resamples=200)) < 0.05
    assert alarms <= 0.12 * repeats
    assert found >= 0.9 * repeats


def least(changes):
    return min(blocks.holm([each.p_value for each in changes.values() if each.p_value is not None]))


def test_independent_draws_get_the_width_of_order_statistics():
    """Without any dependence the block interval is about as wide as the exact one of independent draws."""
    rng = np.random.default_rng(7)
    seconds = [Histogram.of(rng.exponential(1e8, 400).astype(np.int64)) for _ in range(120)]
    by_block = blocks.intervals(seconds, QUANTILES, rng)
    naive = blocks.intervals([Histogram.merge(seconds)], QUANTILES, rng)
    for name in (*QUANTILES, "mean"):
        wide, narrow = (math.log(high / low) for low, high in (by_block[name], naive[name]))
        assert 0.8 * narrow <= wide <= 1.8 * narrow + 0.016  # a bucket's width more


def test_the_interval_of_independent_draws_is_that_of_the_sorted_sample():
    """Ranks by the binomial law, as any table of it has them: 40 and 61 of 100 for the median."""
    sample = np.sort(np.random.default_rng(8).integers(10**6, 10**9, 100))
    found = blocks.intervals([Histogram.of(sample)], {"p50": 0.5}, np.random.default_rng(0))
    assert bucket_of(int(found["p50"][0])) == bucket_of(sample[39])
    assert bucket_of(int(found["p50"][1])) == bucket_of(sample[60])
    assert stats.binom.cdf(60, 100, 0.5) - stats.binom.cdf(39, 100, 0.5) >= 0.95


def test_the_mean_of_independent_draws_is_that_of_students_t():
    sample = np.random.default_rng(9).integers(10**6, 10**9, 500)
    found = blocks.intervals([Histogram.of(sample)], {}, np.random.default_rng(0))["mean"]
    expected = stats.t.interval(0.95, 499, sample.mean(), stats.sem(sample))
    assert found == pytest.approx(expected, rel=0.002)


def test_a_quantile_that_nothing_bounds_has_no_interval():
    """p99 needs 368 independent draws: .99 ** 367 is the last above 2.5 %."""
    draws = np.random.default_rng(1).integers(1, 10**9, 368)
    rng = np.random.default_rng(0)
    assert "p99" in blocks.intervals([Histogram.of(draws)], {"p99": 0.99}, rng)
    assert "p99" not in blocks.intervals([Histogram.of(draws[:367])], {"p99": 0.99}, rng)
    assert blocks.intervals([], {"p99": 0.99}, rng) == blocks.intervals([Histogram()], {"p99": 0.99}, rng) == {}


def test_a_stall_in_one_second_makes_the_tail_uncertain():
    """A third of a percent of all, in one lump: as draws of their own they would pin p99.8 down to a hair."""
    rng = np.random.default_rng(3)
    calm = [Histogram.of(rng.integers(10**6, 2 * 10**6, 500)) for _ in range(60)]
    stalled = [*calm[:30], Histogram.of(np.linspace(5e8, 1e9, 500).astype(np.int64)), *calm[31:]]
    assert "p99" in blocks.intervals([Histogram.merge(stalled)], {"p99": 0.99}, rng)
    assert "p99" not in blocks.intervals(stalled, {"p99": 0.99}, rng)
    low, high = blocks.intervals(stalled, {"p50": 0.5}, rng)["p50"]
    assert 1.4e6 < low < high < 1.6e6


def test_resamples_are_whole_tests_of_neighbouring_intervals():
    weights = blocks.block_weights(60, 500, np.random.default_rng(2))
    assert (weights.sum(axis=1) == 60).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(60), abs=0.25)
    beside = np.corrcoef(weights[:, 10], weights[:, 11])[0, 1]
    apart = np.corrcoef(weights[:, 10], weights[:, 40])[0, 1]
    assert beside > 0.5 > abs(apart) + 0.3  # three of four neighbours are drawn together


def test_one_seed_gives_the_same_intervals():
    seconds = [Histogram.of(np.random.default_rng(i).integers(1, 10**9, 300)) for i in range(20)]
    one, other = (blocks.intervals(seconds, QUANTILES, np.random.default_rng(4)) for _ in range(2))
    assert one == other
    counts, first = blocks.stacked(seconds)
    low, high = blocks.quantile_interval(counts, 0.5, np.random.default_rng(4))
    whole = Histogram.merge(seconds)
    assert first + low <= bucket_of(round(whole.quantile(0.5))) <= first + high


@given(st.integers(0, 2**50))
def test_a_bucket_holds_what_lies_between_its_edges(duration):
    low, high = blocks.bucket_edges(int(bucket_of(duration)))
    assert low <= duration <= high
    assert bucket_of([int(low), int(high)]).tolist() == [bucket_of(duration)] * 2
    assert bucket_of(int(high) + 1) == bucket_of(duration) + 1 or duration < 127


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_between_the_p_values_and_bonferroni_and_keeps_their_order(p_values):
    corrected = blocks.holm(p_values)
    for raw, mended in zip(p_values, corrected, strict=True):
        assert raw <= mended <= min(1.0, raw * len(p_values)) + 1e-12
    assert min(corrected) == pytest.approx(min(1.0, min(p_values) * len(p_values)))
    ranked = [corrected[i] for i in sorted(range(len(p_values)), key=p_values.__getitem__)]
    assert ranked == sorted(ranked)


def test_shares_are_compared_by_block_and_never_more_surely_than_by_the_binomial():
    rng = np.random.default_rng(5)
    whole = np.full(60, 500)
    fine, broken = whole - rng.binomial(500, 0.001, 60), whole - rng.binomial(500, 0.01, 60)
    worse = blocks.compare_shares((fine, whole), (broken, whole), rng)
    better = blocks.compare_shares((broken, whole), (fine, whole), rng)
    assert worse.p_value < 1e-6 < 0.999 < better.p_value
    assert worse.lower < worse.change < worse.upper < 0 < better.lower
    perfect = blocks.compare_shares((whole, whole), (whole, whole), rng)
    assert perfect.change == 0
    assert perfect.p_value == pytest.approx(0.5)
    lump = whole - np.where(np.arange(60) == 30, 300, 0)  # as many failures, all in one second: once is no rule
    assert blocks.compare_shares((whole, whole), (lump, whole), rng).p_value > 0.05
    assert blocks.compare_shares((whole[:5], whole[:5]), (lump[:5], whole[:5]), rng).p_value is None
    assert blocks.compare_shares((whole[:0], whole[:0]), (whole, whole), rng) is None


def test_tests_that_are_short_have_differences_only():
    rng = np.random.default_rng(6)
    short = [Histogram.of(rng.integers(10**6, 10**7, 500)) for _ in range(9)]
    change = blocks.compare(short, short, QUANTILES, rng)["p95"]
    assert (change.change, change.lower, change.upper, change.p_value) == (0, None, None, None)
    assert blocks.compare(short, [Histogram()], QUANTILES, rng) == {}


def test_what_buckets_do_not_resolve_is_no_difference():
    """All answers of either test in one bucket, next to each other: no resample varies, and nothing is proven."""
    rng = np.random.default_rng(7)
    first, second = ([Histogram.of([ns] * 100)] * 30 for ns in (1_000_000, 1_010_000))
    found = blocks.compare(first, second, {"p50": 0.5}, rng)["p50"]
    assert found.change > 0.005
    assert found.p_value > 0.05


@pytest.mark.parametrize("wrong", [{"quantiles": {"p": 1.5}}, {"level": 1.0}])
def test_what_is_no_share_is_refused(wrong):
    with pytest.raises(ValueError, match=r"share from 0 to 1|between 0 and 1"):
        blocks.intervals([Histogram.of([1])], **({"quantiles": {"p": 0.5}, "rng": np.random.default_rng(0)} | wrong))
