"""The recorder against numpy: figures within 1 %, exact merging, every request counted, memory that does not grow."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.domain.load import Transport
from harness.domain.units import MILLISECOND, SECOND
from harness.load.exchange import ABOUT, IN_FLIGHT, UNSENT, Exchange
from harness.load.record import Durations, Record, Tally, settled
from harness.load.recorder import Recorder
from harness.stats.histogram import Histogram
from tests.load.asking import conserved, plan_of

FATES = ["", "timeout", "http_503", "refused", "no_connection", IN_FLIGHT]
times = st.integers(0, 5 * SECOND)


def record_of(recorder):
    return Record(cells=recorder.cells(), targets=recorder.targets(), reached_ns=0, last_ns=recorder.last_ns)


def exchange(due, taken=0, sent=0, lasted=0, fault="", target=0):
    made = Exchange(0, due, due + taken, target, 0, b"")
    made.sent_ns = 0 if fault in UNSENT else made.taken_ns + sent
    made.done_ns = made.taken_ns + sent + lasted
    made.first_ns = made.done_ns
    made.fault = fault
    return made


exchanges = st.lists(
    st.builds(
        exchange,
        times,
        st.integers(0, 10**7),
        st.integers(0, 10**7),
        st.integers(0, 3 * SECOND),
        st.sampled_from(FATES),
    ),
    max_size=60,
)


@settings(max_examples=80, deadline=None)
@given(exchanges, st.integers(1, 3))
def test_what_several_recorded_merges_to_what_one_would_have(made, generators):
    plan = plan_of(1, duration_s=5.0, warmup_ns=500 * MILLISECOND)
    one, several = Recorder(plan, 0), [Recorder(plan, 0) for _ in range(generators)]
    for number, each in enumerate(made):
        one.take(each)
        several[number % generators].take(each)
    whole, merged = record_of(one), Record.merge(record_of(each) for each in several)
    for left, right in ((whole.total, merged.total), *zip(whole.cells.values(), merged.cells.values(), strict=True)):
        assert left.counts == right.counts
        for name in ("latency", "service", "lag", "waited", "prompt"):
            assert getattr(left, name) == getattr(right, name) or same(getattr(left, name), getattr(right, name))
    conserved(merged)
    # The whole is its intervals after the warm-up.
    later = Tally.merge(tally for (number, _), tally in merged.cells.items() if number >= 1)
    assert same(later.latency, merged.total.latency)


def same(left: Durations, right: Durations) -> bool:
    return (left.histogram, left.least_ns, left.most_ns) == (right.histogram, right.least_ns, right.most_ns)


@pytest.mark.parametrize("q", [0.5, 0.9, 0.95, 0.99, 0.999])
def test_percentiles_are_within_one_per_cent_of_the_samples_own(q):
    plan = plan_of(1, duration_s=60.0)
    recorder = Recorder(plan, 0)
    lasted = np.random.default_rng(3).lognormal(15, 1.0, 20_000).astype(np.int64)
    for number, each in enumerate(lasted.tolist()):
        recorder.take(exchange(number * 1_000_000, lasted=each))
    found = record_of(recorder).total.latency
    truth = np.quantile(lasted, q, method="inverted_cdf")
    assert found.quantile_ns(q) == pytest.approx(truth, rel=0.01)
    assert (found.least_ns, found.most_ns) == (lasted.min(), lasted.max())
    assert found.histogram == Histogram.of(lasted)
    assert found.histogram.mean_s == pytest.approx(lasted.mean() / 1e9, rel=1e-9)


def test_what_got_no_answer_counts_with_the_time_it_was_waited_for_and_what_failed_at_once_does_not():
    recorder = Recorder(plan_of(1), 0)
    for fault, lasted in (("", 5), ("timeout", 900), ("no_connection", 800), ("http_503", 1), ("refused", 1)):
        recorder.take(exchange(0, lasted=lasted, fault=fault))
    total = record_of(recorder).total
    assert total.latency.histogram == Histogram.of([5, 900, 800])
    assert total.service.histogram == Histogram.of([5])
    assert (total.counts.scheduled, total.counts.not_sent, total.counts.sent) == (5, 1, 4)
    assert total.counts.success_rate == pytest.approx(1 / 5)


def test_the_lag_is_told_apart_from_what_the_target_took():
    recorder = Recorder(plan_of(1), 0)
    recorder.take(exchange(0, taken=2_000_000, sent=30_000, lasted=1_000_000))
    total = record_of(recorder).total
    assert (total.latency.most_ns, total.lag.most_ns) == (3_030_000, 2_000_000)
    assert (total.service.most_ns, total.waited.most_ns, total.prompt.most_ns) == (1_000_000, 30_000, 1_030_000)


def test_ten_times_as_many_requests_take_no_more_memory():
    plan = plan_of(1, duration_s=100.0)
    held = []
    lasted = np.random.default_rng(1).lognormal(15, 1.0, 2000).astype(np.int64).tolist()
    for requests in (20_000, 200_000):
        tracemalloc.start()
        recorder = Recorder(plan, 0)
        each = exchange(0)
        for number in range(requests):
            each.due_ns = number * (100 * SECOND // requests)
            each.taken_ns = each.sent_ns = each.due_ns
            each.done_ns = each.due_ns + lasted[number % 2000]
            recorder.take(each)
            if number % 5000 == 4999:
                recorder.lately()
        recorder.lately()
        held.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    assert held[1] < held[0] * 1.5 + 200_000


def test_the_last_second_is_told_once():
    recorder = Recorder(plan_of(1, warmup_ns=SECOND, duration_s=5.0), 0)
    for due in (0, 2 * SECOND, 3 * SECOND):
        recorder.take(exchange(due, lasted=7))
    counts, latency, _, measured = recorder.lately()
    assert (counts.scheduled, measured.scheduled, latency.count) == (3, 2, 3)
    assert recorder.lately()[0].scheduled == 0


def test_the_gaps_of_a_warm_up_s_answers_do_not_count():
    recorder = Recorder(plan_of(1, warmup_ns=SECOND, duration_s=5.0, transport=Transport(stream=True)), 0)
    for due, gaps in ((0, [1, 2, 3]), (2 * SECOND, [50, 60])):
        each = exchange(due, lasted=1000)
        each.gaps = gaps
        recorder.take(each)
    assert record_of(recorder).total.gap.histogram == Histogram.of([50, 60])


def test_every_kind_of_failure_is_explained():
    assert all(text and not text.endswith(".") for text in ABOUT.values())


def test_a_failure_that_came_late_made_its_user_wait_and_one_that_came_at_once_makes_nothing_look_better():
    recorder = Recorder(plan_of(1), 0)
    for fault, lasted, count in (
        ("", 10**6, 90),
        ("", 2 * 10**6, 6),
        ("http_504", 3 * 10**9, 4),
        ("http_503", 1000, 900),
    ):
        for _ in range(count):
            recorder.take(exchange(0, lasted=lasted, fault=fault))
    record = record_of(recorder)
    assert record.total.latency.histogram.count == 96
    found = settled(record)
    for tally in (found.total, found.intervals[0]):
        assert tally.latency.histogram.count == 100
        assert tally.latency.quantile_ns(0.99) == pytest.approx(3e9, rel=0.01)
        assert tally.latency.quantile_ns(0.5) == pytest.approx(1e6, rel=0.01)
    assert found.total.counts == record.total.counts
    assert settled(found).total.latency.histogram == found.total.latency.histogram


@settings(max_examples=60, deadline=None)
@given(exchanges)
def test_no_failure_makes_the_median_look_better(made):
    recorder = Recorder(plan_of(1, duration_s=5.0), 0)
    for each in made:
        recorder.take(each)
    record = record_of(recorder)
    before, after = record.total.latency, settled(record).total.latency
    if (seen := before.quantile_ns(0.5)) is not None:
        assert after.quantile_ns(0.5) >= seen
        assert after.most_ns >= before.most_ns
