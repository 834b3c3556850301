"""MLPerf's rules against LoadGen's own values, and against what they promise."""

import numpy as np
import pytest
from scipy import stats

from harness.domain.units import MINUTE
from harness.stats.histogram import Histogram
from harness.stats.mlperf import (
    Judgement,
    judge_server,
    judge_single_stream,
    over_allowed,
    over_bound,
    queries_needed,
    within_needed,
)

MS = 1_000_000

# What LoadGen's MinPassingQueriesFinder gives at confidence 0.99 (mlcommons/inference, loadgen/early_stopping.cc as of
# version 6.0.17, compiled and run), by (percentile, tolerance): for each of OVER.
OVER = (0, 1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)
LOADGEN = {
    (0.5, 0): (7, 10, 12, 14, 17, 25, 39, 78, 137, 251, 578, 1108),
    (0.9, 0): (44, 63, 79, 94, 122, 187, 305, 631, 1146, 2137, 5018, 9722),
    (0.95, 0): (90, 129, 163, 195, 254, 388, 636, 1322, 2404, 4491, 10564, 20483),
    (0.97, 0): (152, 218, 275, 329, 428, 657, 1077, 2243, 4082, 7631, 17958, 34831),
    (0.99, 0): (459, 661, 836, 998, 1302, 2000, 3284, 6848, 12471, 23327, 54927, 106569),
    (0.999, 0): (4603, 6635, 8401, 10039, 13100, 20130, 33077, 69008, 125726, 235227, 554010, 1075032),
    (0.99, 0.005): (305, 439, 556, 664, 865, 1328, 2181, 4545, 8277, 15479, 36442, 70700),
    (0.9, 0.02): (37, 52, 65, 78, 101, 153, 250, 516, 936, 1744, 4094, 7929),
}
# How many LoadGen's single-stream loop (results.cc, EarlyStopping) counts back from the highest latency.
COUNTED_BACK = [
    (0.9, 64, 1),
    (0.9, 100, 3),
    (0.9, 663, 48),
    (0.9, 1000, 78),
    (0.9, 5000, 450),
    (0.9, 24576, 2348),
    (0.99, 663, 1),
    (0.99, 1000, 2),
    (0.99, 5000, 33),
    (0.99, 24576, 209),
]


@pytest.mark.parametrize(("percentile", "queries"), [(0.9, 24_576), (0.95, 57_344), (0.99, 270_336)])
def test_the_published_numbers_of_queries(percentile, queries):
    """MLPerf Inference Benchmark (Reddi et al. 2020), its table of query requirements."""
    assert queries_needed(percentile) == queries


@pytest.mark.parametrize("rule", LOADGEN)
def test_early_stopping_takes_as_many_queries_as_loadgen(rule):
    percentile, tolerance = rule
    assert tuple(within_needed(over, percentile, tolerance=tolerance) for over in OVER) == LOADGEN[rule]


@pytest.mark.parametrize(("percentile", "queries", "back"), COUNTED_BACK)
def test_single_stream_counts_back_as_loadgen_does(percentile, queries, back):
    assert over_allowed(queries, percentile) == back
    latencies = np.arange(1, queries + 1) * MS
    judged = judge_single_stream(latencies, elapsed_ns=10 * MINUTE, percentile=percentile)
    assert judged.valid
    assert judged.metric == pytest.approx((queries - back + 1) / 1000)


def test_a_histogram_is_judged_as_its_samples():
    latencies = np.sort(np.random.default_rng(3).lognormal(17, 0.4, 5000).astype(np.int64))
    exact = judge_single_stream(latencies, elapsed_ns=10 * MINUTE)
    binned = judge_single_stream(Histogram.of(latencies), elapsed_ns=10 * MINUTE)
    assert binned.metric == pytest.approx(exact.metric, rel=0.008)
    # More than the plain percentile: it is what early stopping costs.
    assert exact.metric > np.quantile(latencies, 0.9) / 1e9


def test_a_server_that_misses_its_percentile_passes_less_often_than_once_in_a_hundred():
    """The promise of early stopping, for one that is a hair too slow: exact, by the binomial law of the slow ones."""
    percentile, queries = 0.9, 2000
    allowed = over_allowed(queries, percentile)
    passes = stats.binom.cdf(allowed, queries, 1 - percentile)
    assert passes < 0.01 < stats.binom.cdf(allowed + 1, queries, 1 - percentile)


def server(over, queries, **more):
    return judge_server(over, queries, rate_per_s=50.0, bound_ns=15 * MS, **{"elapsed_ns": 10 * MINUTE} | more)


def test_a_server_without_slow_queries_needs_459():
    assert server(0, 459) == Judgement(valid=True, metric=50.0, queries=459, needed=459, reasons=())
    judged = server(0, 458)
    assert (judged.valid, judged.needed) == (False, 459)
    assert judged.reasons == ("0 of 458 queries were over 15ms, which needs 459 queries; run 1 more",)


def test_a_server_may_hold_its_percentile_and_need_more_queries():
    judged = server(9, 1000)
    assert (judged.valid, judged.queries, judged.needed) == (False, 1000, within_needed(9, 0.99) + 9)
    assert "run" in judged.reasons[0]
    assert server(9, judged.needed).valid


def test_a_server_that_misses_its_percentile_is_told_so():
    # Of 1,000 in order, counted from 0, LoadGen's p99 is the one at place 990: over the bound from the tenth on.
    judged = server(10, 1000)
    assert not judged.valid
    assert judged.reasons == ("p99 is above 15ms: 10 of 1,000 queries took longer",)


def test_short_runs_are_not_valid():
    judged = server(0, 500, elapsed_ns=9 * MINUTE, least_queries=600)
    assert judged.reasons == (
        "the run lasted 9m; it lasts 10m at least",
        "500 queries were issued; it takes 600 at least",
    )
    alone = judge_single_stream([MS] * 63, elapsed_ns=10 * MINUTE)
    assert (alone.valid, alone.metric, alone.needed) == (False, None, 64)
    assert alone.reasons == ("63 queries are too few for p90; it takes 64 at least",)


def test_queries_over_a_bound_are_counted_from_buckets():
    latencies = np.random.default_rng(4).exponential(20 * MS, 50_000).astype(np.int64)
    bound = 60 * MS
    near = np.abs(latencies / bound - 1) < 0.017
    counted = over_bound(Histogram.of(latencies), bound)
    assert abs(counted - int((latencies > bound).sum())) <= int(near.sum())


@pytest.mark.parametrize("wrong", [{"percentile": 1.0}, {"percentile": 0.9, "tolerance": 0.9}, {"percentile": 0.0}])
def test_percentiles_that_are_none_are_refused(wrong):
    with pytest.raises(ValueError, match="between"):
        within_needed(3, **wrong)
    with pytest.raises(ValueError, match="over the bound"):
        within_needed(-1, 0.9)
    with pytest.raises(ValueError, match="over the bound"):
        server(5, 4)
