"""The search for capacity on queues and limiters whose limit is known, and on endpoints that have none."""

import math
from itertools import pairwise

import numpy as np
import pytest

from harness import arrivals
from harness.analysis.grammar import parse
from harness.domain.traffic import Knots, Process, Traffic
from harness.domain.units import MINUTE, SECOND
from harness.errors import InputError
from harness.seeds import stream
from harness.stats.capacity import Search
from harness.stats.histogram import Histogram
from harness.stats.objective import Interval, Outcome, objectives, over

MU = 500.0


def queue(mu):
    """One server with exponential service (Lindley 1952): sojourn times in seconds, nobody refused."""

    def serve(at, draw):
        service = draw.exponential(1 / mu, at.size)
        work = np.cumsum(service)
        return work + np.maximum.accumulate(at - work + service) - at, np.zeros(at.size, bool)

    return serve


def limiter(rate, window_s=0.1):
    """Lets so many pass in each window, and refuses the others; an answer takes 5 ms."""

    def serve(at, _draw):
        _, first, number = np.unique((at / window_s).astype(int), return_index=True, return_inverse=True)
        return np.full(at.size, 0.005), np.arange(at.size) - first[number] >= rate * window_s

    return serve


def measured(trial, serve, rng, process=Process.POISSON):
    stop_ns = trial.warmup_ns + trial.duration_ns
    source = arrivals.of(Traffic("", process, Knots((0,), (trial.rate_per_s,))))
    at_ns = source.times(0, stop_ns, rng.child("arrivals"))
    sojourn, failed = serve(at_ns / SECOND, rng.child("service").generator())
    latency_ns = (sojourn * SECOND).astype(np.int64)
    edges = np.searchsorted(at_ns, np.arange(trial.warmup_ns, stop_ns + 1, SECOND))
    return Outcome(
        [
            Interval(
                stop - start, Histogram.of(latency_ns[start:stop][~failed[start:stop]]), int(failed[start:stop].sum())
            )
            for start, stop in pairwise(edges)
        ]
    )


def searched(slos, serve, seed=1, *, spoil=lambda trial, number: False, process=Process.POISSON, **options):
    """A search that is over, and the trials that it asked for."""
    search = Search([parse(slo) for slo in slos], **{"first_rate": 17.0} | options)
    trials = []
    while (trial := search.next()) is not None:
        spoiled = spoil(trial, len(trials))
        rng = stream(seed, f"trial/{len(trials)}")
        search.tell(trial.rate_per_s, None if spoiled else measured(trial, serve, rng, process))
        trials.append(trial)
    return search, trials


# --- the limit is known -----------------------------------------------------------------------------------------------


def test_brackets_of_a_queue_cover_its_limit_and_are_narrow():
    """Of M/M/1 ``P(sojourn > t) = exp(-(mu - rate) t)``. Nine of ten is what 36 of 40 come to."""
    limit = MU - math.log(20) / 0.030
    found = [searched(["p95 < 30ms"], queue(MU), seed)[0].found for seed in range(1, 11)]
    assert all(2 * (each.high - each.low) / (each.high + each.low) <= 0.05 for each in found)
    assert sum(each.low <= limit <= each.high for each in found) >= 9
    assert all(each.status == "found" and each.low < each.estimate < each.high for each in found)


@pytest.mark.parametrize(
    ("slo", "limit"),
    [("mean < 10ms", MU - 100), ("p50 < 8ms", MU - math.log(2) / 0.008), ("p999 < 80ms", MU - math.log(1000) / 0.08)],
)
def test_other_figures_of_a_queue(slo, limit):
    # Wide trials, so that it is quick; the bracket is as wide as it says.
    found = searched([slo], queue(MU), 3, precision=0.12)[0].found
    assert found.low <= limit <= found.high
    assert found.high / found.low < 1.13


def test_the_least_of_several_limits_counts():
    """The mean allows 450/s, the 95th percentile 400/s; no request fails."""
    slos = ["mean < 20ms and p95 < 30ms", "error_rate < 1%"]
    search, _ = searched(slos, queue(MU), 2, precision=0.1)
    assert search.found.low <= MU - math.log(20) / 0.030 <= search.found.high
    assert search.found.high < 440


@pytest.mark.parametrize("slo", ["error_rate < 1%", "success_rate >= 99%"])
def test_a_cliff_is_found_between_what_never_fails_and_what_often_does(slo):
    """Evenly spaced requests pass at 300/s to the last, and of more than that the surplus fails."""
    search, trials = searched([slo, "p99 < 1s"], limiter(300), process=Process.CONSTANT)
    assert search.found.status == "found"
    assert search.found.low <= 300 / 0.99 <= search.found.high
    assert search.found.high / search.found.low < 1.052
    assert len(trials) < 30


def test_where_latency_has_no_steady_state_the_slo_is_missed_whatever_the_figure():
    """An SLO of a minute cannot be missed within a trial; but beyond 200/s the queue grows as long as anybody sends."""
    search, _ = searched(["p95 < 1m"], queue(200.0), precision=0.1, most_ns=10 * MINUTE)
    assert search.found.high is not None
    assert 0.85 * 200 < search.found.high < 1.25 * 200


def test_arrivals_that_scatter_less_hold_longer():
    """D/M/1: the sojourn is exponential with rate mu (1 - s), where s = exp(-(1 - s) mu / rate) (Kendall 1953)."""

    def beyond(rate):
        s = 0.5
        for _ in range(200):
            s = math.exp(-(1 - s) * MU / rate)
        return math.exp(-MU * (1 - s) * 0.03)

    low, high = 100.0, 499.0
    for _ in range(60):
        low, high = (low, (low + high) / 2) if beyond((low + high) / 2) > 0.05 else ((low + high) / 2, high)
    found = searched(["p95 < 30ms"], queue(MU), process=Process.CONSTANT)[0].found
    assert found.low <= low <= found.high
    assert found.low > 420


# --- there is no limit, or none to be found ---------------------------------------------------------------------------


def test_an_endpoint_that_fails_at_the_lowest_rate_has_none():
    search, trials = searched(["p95 < 1ms"], queue(MU))
    assert (search.found.status, search.found.low, search.found.high) == ("none", None, 17.0)
    assert [trial.rate_per_s for trial in trials] == [17.0, 17.0]
    assert search.found.reason == "the SLO is missed at 17/s, the lowest rate to be tried"


def test_an_endpoint_that_holds_at_the_highest_rate_is_unbounded():
    search, trials = searched(["p95 < 30ms"], queue(MU), most_rate=150.0)
    assert (search.found.status, search.found.low, search.found.high) == ("unbounded", 150.0, None)
    assert [trial.rate_per_s for trial in trials] == [17.0, 34.0, 68.0, 136.0, 150.0, 150.0, 150.0]


def test_a_generator_that_gives_out_first_is_named():
    search, trials = searched(["p95 < 30ms"], queue(MU), spoil=lambda trial, _: trial.rate_per_s > 100)
    assert (search.found.status, search.found.high) == ("generator", None)
    assert 100 / 1.1 / 1.1 < search.found.low <= 100
    assert [trial.settle_ns // SECOND for trial in trials if trial.rate_per_s == 136.0] == [0, 5, 10]
    never = searched(["p95 < 30ms"], queue(MU), spoil=lambda *_: True)[0].found
    assert (never.status, never.low, never.high) == ("generator", None, None)


def test_trials_spoiled_now_and_then_are_tried_again():
    search, _ = searched(["p95 < 30ms"], queue(MU), spoil=lambda _, number: number % 5 == 2, precision=0.1)
    assert search.found.status == "found"
    assert search.found.low <= MU - math.log(20) / 0.030 <= search.found.high


def test_a_hiccup_far_below_the_limit_is_seen_through():
    """The endpoint stands still for two seconds, in one trial at 68/s."""
    plain, seen = queue(MU), []

    def serve(at, draw):
        sojourn, failed = plain(at, draw)
        seen.append(at.size)
        if len(seen) == 3:
            sojourn = sojourn + np.clip(4 - at, 0, 2) * (at > 2)
        return sojourn, failed

    search, trials = searched(["p95 < 30ms"], serve, precision=0.1)
    assert search.found.low <= MU - math.log(20) / 0.030 <= search.found.high
    assert sum(trial.rate_per_s < 300 for trial in trials) < 20


def test_a_budget_ends_it_with_the_bracket_as_it_is():
    search, trials = searched(["p99 < 46ms"], queue(MU), most_ns=2 * MINUTE)
    assert search.found.status == "wide"
    assert search.found.low < MU - math.log(100) / 0.046 < search.found.high
    assert search.found.high / search.found.low > 1.05
    assert search.spent_ns == sum(trial.takes_ns for trial in trials) < 3 * MINUTE
    assert searched(["p99 < 46ms"], queue(MU), most_trials=9)[0].found.reason.startswith("9 trials in")


# --- trials -----------------------------------------------------------------------------------------------------------


def test_a_queue_that_remembers_long_gets_long_trials():
    """A server of 20/s at load 0.85 remembers for some 8 s: a warm-up of one would show it half empty."""
    _, slow = searched(["p95 < 1s"], queue(20.0), first_rate=2.0, most_ns=5 * MINUTE)
    _, quick = searched(["p95 < 30ms"], queue(MU), precision=0.1)
    assert max(trial.warmup_ns for trial in slow) >= 6 * SECOND
    assert max(trial.duration_ns for trial in slow) >= 30 * SECOND
    assert quick[-1].warmup_ns == SECOND
    assert all(trial.duration_ns % SECOND == trial.warmup_ns % SECOND == 0 for trial in (*slow, *quick))


def test_after_an_overload_the_endpoint_may_drain():
    _, trials = searched(["p95 < 60ms"], queue(300.0), precision=0.1, first_rate=11.9)
    overload = next(number for number, trial in enumerate(trials) if trial.rate_per_s > 300)
    # At 381/s for 6 s some 480 requests are left behind, which take 1.6 s.
    assert trials[overload].rate_per_s == pytest.approx(381, abs=1)
    assert trials[overload + 1].settle_ns > 1.6 * SECOND
    assert all(trial.settle_ns == 0 for trial in trials[:overload])


def test_the_same_outcomes_lead_to_the_same_trials():
    first, second = (searched(["p95 < 30ms"], queue(MU), 5, precision=0.1) for _ in range(2))
    assert first[1] == second[1]
    assert first[0].found == second[0].found


def test_the_bracket_is_told_on_the_way():
    search = Search([parse("p95 < 30ms")], first_rate=100.0)
    assert search.bracket == (None, None)
    told = []
    while (trial := search.next()) is not None and len(told) < 5:
        search.tell(trial.rate_per_s, measured(trial, queue(MU), stream(1, f"trial/{len(told)}")))
        told.append(search.bracket)
    assert told[:3] == [(100.0, None), (200.0, None), (400.0, None)] or told[2][1] is not None
    assert told[-1][0] < MU - math.log(20) / 0.030 < told[-1][1]


def test_verdicts_name_each_slo_with_its_first_figure():
    search = Search([parse("p95 < 30ms and error_rate < 1%"), parse("success_rate > 99%")], first_rate=10.0)
    latency = Histogram.of([10_000_000] * 90 + [50_000_000] * 5)
    verdicts = search.judge(Outcome([Interval(100, latency, failed=5)]))
    assert [(each.text, each.passed) for each in verdicts] == [
        ("p95 < 30ms and error_rate < 1%", False),
        ("success_rate > 99%", False),
    ]
    assert verdicts[0].actual == pytest.approx(0.05, rel=0.008)
    assert verdicts[1].actual == pytest.approx(0.95)


def test_points_leave_out_what_did_not_keep_up():
    search, _ = searched(["p95 < 30ms"], queue(MU), 2, precision=0.1)
    points = search.points()
    assert max(rate for rate, _ in points) < 1.11 * search.found.high
    exact = {rate: math.log(20) / (MU - rate) for rate, _ in points if rate < 350}
    assert len(exact) >= 4
    assert all(latency == pytest.approx(exact[rate], rel=0.35) for rate, latency in points if rate in exact)


# --- what may be asked ------------------------------------------------------------------------------------------------


def test_durations_over_a_bound_are_counted_within_its_bucket():
    samples = np.random.default_rng(5).exponential(20_000_000, 200_000).astype(np.int64)
    histogram = Histogram.of(samples)
    for bound in (1_000_000, 7_654_321, 60_000_000, 123_456_789):
        assert over(histogram, bound) == pytest.approx((samples >= bound).sum(), abs=5 + 0.002 * samples.size / 10)
    assert over(Histogram(), 5) == 0
    assert over(histogram, 10**18) == 0
    assert over(histogram, 0) == samples.size


def test_streams_have_objectives_of_their_own():
    (aim,) = objectives([parse("ttfb_p95 < 1s")])
    assert (aim.durations, aim.bound_s, aim.quantile) == ("ttfb", 1.0, 0.95)
    first_byte = Histogram.of([500_000_000] * 9 + [2_000_000_000])
    series = aim.series(Outcome([Interval(10, Histogram(), others={"ttfb": first_byte}), Interval(10, Histogram())]))
    assert series.over.tolist() == [1.0, 0.0]
    assert series.count.tolist() == [10.0, 0.0]


@pytest.mark.parametrize(
    ("slo", "message"),
    [
        ("p95 < 1s or p99 < 2s", "has an 'or' or a 'not'"),
        ("not p95 > 1s", "has an 'or' or a 'not'"),
        ("p95 > 1s", "bounds p95 in a way"),
        ("error_rate <= 0%", "allows some"),
        ("success_rate >= 100%", "allows some"),
        ("rate > 100/s", "bounds rate in a way"),
    ],
)
def test_slos_without_a_highest_rate_are_refused(slo, message):
    with pytest.raises(InputError, match=message):
        Search([parse(slo)], first_rate=10.0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"first_rate": 0.0}, "the first is above 0/s"),
        ({"first_rate": math.inf}, "the first is above 0/s"),
        ({"first_rate": 50.0, "most_rate": 20.0}, "no higher than the highest"),
        ({"precision": 0.001}, "precision lies between"),
        ({"confidence": 1.0}, "confidence between"),
        ({"trial_ns": SECOND}, "too short"),
    ],
)
def test_numbers_out_of_bounds_are_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        Search([parse("p95 < 1s")], **{"first_rate": 10.0} | wrong)
    with pytest.raises(InputError, match="needs an SLO"):
        Search([], first_rate=10.0)
