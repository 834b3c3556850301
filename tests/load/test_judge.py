"""What figures come to: trust, SLOs, grade. Records are made by hand, so that nothing hangs on this machine's speed."""

from dataclasses import replace

import numpy as np
import pytest

from harness.analysis.grammar import parse
from harness.analysis.vocabulary import Scope, Standing
from harness.domain.load import ClosedLoop
from harness.domain.units import MILLISECOND, MINUTE, SECOND
from harness.errors import InputError
from harness.load.exchange import Exchange
from harness.load.judge import judge
from harness.load.record import Durations, Load, Record
from harness.load.recorder import Recorder
from harness.load.rules import SERVER, SINGLE_STREAM, by_rules
from harness.load.summary import measured, planned, series, target_rate
from harness.stats.grade import Rung
from tests.load.asking import open_loop, plan_of

LOAD = Scope(Standing.LOAD, task=None)


def slo(text):
    return parse(text, LOAD)


def record_of(plan, latencies_ms, *, lag_ms=0.0, failed=0, machine=0.3, busy=0.2, pulse_ms=0.01):
    """A record of requests that were due a millisecond apart, each answered after so long."""
    recorder = Recorder(plan, 0)
    for number, latency in enumerate(latencies_ms):
        due = number * MILLISECOND
        made = Exchange(number, due, due + int(lag_ms * MILLISECOND), 0, 0, b"")
        made.sent_ns = made.taken_ns
        made.done_ns = due + int(latency * MILLISECOND)
        made.fault = "http_500" if number < failed else ""
        recorder.take(made)
    pulse = Durations.of(np.array([int(pulse_ms * MILLISECOND)] * 100))
    return Record(
        cells=recorder.cells(),
        targets=recorder.targets(),
        reached_ns=plan.ends_ns,
        last_ns=recorder.last_ns,
        loads={0: Load(busy, machine)},
        pulse=pulse,
    )


def judged(plan, record, **how):
    return judge(plan, measured(0, plan, record), record, **how)


def test_the_best_rung_of_which_every_condition_holds():
    plan = plan_of(1, duration_s=1.0)
    found = judged(plan, record_of(plan, [50.0] * 970 + [300.0] * 30))
    assert (found.grade, found.passed, found.spoiled) == ("A+", True, "")
    slower = judged(plan, record_of(plan, [50.0] * 940 + [300.0] * 60))
    assert slower.grade == "A"  # p95 is 300 ms
    failing = judged(plan, record_of(plan, [50.0] * 1000, failed=30))
    assert failing.grade == "B"  # 97 % succeeded


def test_a_least_grade_and_slos_are_told_when_missed():
    plan = plan_of(1, duration_s=1.0, slos=(slo("p99 < 250ms"), slo("error_rate <= 1%")), min_grade="A+")
    found = judged(plan, record_of(plan, [50.0] * 900 + [300.0] * 100))
    assert [(each.text, each.passed) for each in found.slos] == [("p99 < 250ms", False), ("error_rate <= 1%", True)]
    assert found.slos[0].actual == pytest.approx(0.3, rel=0.01)
    assert (found.passed, found.grade) == (False, "A")
    assert found.reason == "not met: p99 < 250ms; grade A, at least A+ was asked for"


def test_a_ladder_of_one_s_own():
    plan = plan_of(1, duration_s=1.0, min_grade="silver")
    rungs = (Rung("gold", 0.999, 0.01, 0.02, 0.03), Rung("silver", 0.99, 0.1, 0.2, 0.3))
    assert judged(plan, record_of(plan, [50.0] * 1000), rungs=rungs).grade == "silver"
    assert judged(plan, record_of(plan, [5.0] * 1000), rungs=rungs).grade == "gold"
    assert not judged(plan, record_of(plan, [500.0] * 1000), rungs=rungs).passed


def test_lag_that_shifts_the_percentiles_spoils_them_and_the_cause_is_told():
    plan = plan_of(1, duration_s=1.0, min_grade="C")
    spoiled = judged(plan, record_of(plan, [12.0] * 1000, lag_ms=10.0, busy=0.99))
    assert spoiled.grade is None
    assert not spoiled.passed
    assert "lag makes up 10" in spoiled.spoiled
    assert "99% of its core: add --workers" in spoiled.spoiled
    elsewhere = judged(plan, record_of(plan, [12.0] * 1000, lag_ms=10.0, machine=0.99))
    assert "the machine was 99% busy" in elsewhere.spoiled
    neither = judged(plan, record_of(plan, [12.0] * 1000, lag_ms=10.0))
    assert "was it suspended" in neither.spoiled


@pytest.mark.parametrize("lag_ms", [0.5, 4.0])
def test_lag_below_a_millisecond_or_a_twentieth_spoils_nothing(lag_ms):
    plan = plan_of(1, duration_s=1.0)
    assert judged(plan, record_of(plan, [100.0] * 1000, lag_ms=lag_ms)).spoiled == ""


def test_a_saturated_machine_spoils_an_open_loop_and_is_told_of_a_closed_one():
    plan = plan_of(1, duration_s=1.0)
    assert "the machine was saturated (99% busy" in judged(plan, record_of(plan, [5.0] * 100, machine=0.99)).spoiled
    closed = replace(plan, pace=ClosedLoop(4))
    found = judged(closed, record_of(closed, [5.0] * 100, machine=0.99))
    assert (found.spoiled, found.grade) == ("", "A+")
    assert any("99% busy" in note for note in found.notes)


def test_a_late_loop_spoils_a_closed_test():
    plan = plan_of(1, duration_s=1.0, pace=ClosedLoop(4))
    found = judged(plan, record_of(plan, [5.0] * 100, pulse_ms=20.0))
    assert "came 20ms late" in found.spoiled.replace(" ms", "ms")


def test_no_success_is_no_pass_whatever_was_asked_for():
    plan = plan_of(1, duration_s=1.0)
    found = judged(plan, record_of(plan, [5.0] * 100, failed=100))
    assert (found.grade, found.passed, found.reason) == ("F", False, "no request succeeded")


def test_a_test_that_was_cut_short_has_figures_and_does_not_pass():
    plan = plan_of(1, duration_s=1.0)
    found = judged(plan, record_of(plan, [5.0] * 100), cut_short="stopped by SIGINT")
    assert (found.grade, found.passed, found.reason) == ("A+", False, "stopped by SIGINT")


def test_the_series_is_the_test_by_due_time_the_warm_up_first():
    plan = plan_of(1, duration_s=2.0, warmup_ns=1500 * MILLISECOND)
    record = record_of(plan, [5.0] * 3500)
    found = series(0, plan, record)
    assert [(each.start_s, each.stop_s) for each in found.intervals] == [(0.0, 0.5), (0.5, 1.5), (1.5, 2.5), (2.5, 3.5)]
    assert [each.counts.scheduled for each in found.intervals] == [500, 1000, 1000, 1000]
    assert found.warmup == 2
    assert measured(0, plan, record).counts.scheduled == 2000


def test_the_rate_asked_for_is_the_curve_s_own():
    plan = plan_of(1, duration_s=10.0, pace=open_loop(200.0), warmup_ns=SECOND)
    assert target_rate(plan) == pytest.approx(200.0)
    points = planned(plan)
    assert points[0] == (0.0, pytest.approx(200.0))
    assert points[-1] == (11.0, pytest.approx(200.0))


def test_intervals_hold_the_figures():
    plan = plan_of(1, duration_s=30.0)
    latencies = np.random.default_rng(2).lognormal(3, 0.5, 30_000)
    found = measured(0, plan, record_of(plan, latencies.tolist()))
    for name in ("mean", "p50", "p95", "p99"):
        low, high = found.intervals[name]
        assert low < found.latency.figures[name] < high
    assert found.intervals["success_rate"][1] == 1.0


# --- MLPerf's rules ---------------------------------------------------------------------------------------------------


def test_mlperf_s_server_rules_ask_for_a_rate_and_a_bound():
    plan = plan_of(1, duration_s=700.0, pace=open_loop(10.0))
    with pytest.raises(InputError, match="--arrivals poisson"):
        by_rules(plan, SERVER)
    poisson = replace(plan, pace=open_loop(10.0, plan.pace.traffic.process.POISSON))
    with pytest.raises(InputError, match="p99 <= 15ms"):
        by_rules(poisson, SERVER)
    with pytest.raises(InputError, match="--users 1"):
        by_rules(plan, SINGLE_STREAM)


def test_mlperf_s_server_rules_count_what_was_late_or_never_came():
    pace = open_loop(10.0, plan_of(1).pace.traffic.process.POISSON)
    plan = by_rules(plan_of(1, duration_s=700.0, pace=pace, slos=(slo("p99 <= 15ms"),)), SERVER)
    good = judged(plan, record_of(plan, [5.0] * 459))
    assert good.rules["valid"] is True
    assert (good.rules["queries"], good.rules["needed"], good.rules["metric"]) == (459, 459, 10.0)
    few = judged(plan, record_of(plan, [5.0] * 458))
    assert few.rules["valid"] is False
    assert not few.passed
    late = judged(plan, record_of(plan, [5.0] * 450 + [50.0] * 9))
    failed = judged(plan, record_of(plan, [5.0] * 459, failed=9))
    assert late.rules["needed"] == failed.rules["needed"] > 459


def test_mlperf_s_single_stream_estimates_a_percentile_from_above():
    plan = by_rules(plan_of(1, duration_s=700.0, pace=ClosedLoop(1)), SINGLE_STREAM)
    latencies = np.random.default_rng(2).lognormal(3, 0.5, 3_000)
    found = judged(plan, record_of(plan, latencies.tolist()))
    assert found.rules["valid"] is True
    assert np.quantile(latencies, 0.9) < found.rules["metric"] * 1000 < np.quantile(latencies, 0.93)
    short = replace(plan, duration_ns=MINUTE)
    assert any("lasts" in reason for reason in judged(short, record_of(short, [5.0] * 3000)).rules["reasons"])


# --- notes ------------------------------------------------------------------------------------------------------------


def test_waiting_for_one_s_own_connections_is_told():
    limits = replace(plan_of(1).limits, max_connections=2, max_in_flight=2)
    plan = plan_of(1, duration_s=1.0, pace=ClosedLoop(20), limits=limits)
    recorder = Recorder(plan, 0)
    for number in range(200):
        made = Exchange(number, 0, 0, 0, 0, b"")
        made.sent_ns, made.done_ns = 47 * MILLISECOND, 53 * MILLISECOND
        recorder.take(made)
    record = replace(record_of(plan, []), cells=recorder.cells(), targets=recorder.targets())
    notes = " ".join(judged(plan, record).notes)
    assert "waited for one of 2 connections, up to 47ms at p99" in notes.replace(" ms", "ms")
    assert "20 users share 2 connections" in notes


def test_a_p99_of_a_few_requests_is_told():
    plan = plan_of(1, duration_s=1.0)
    assert any("p99 rests on 17 requests" in note for note in judged(plan, record_of(plan, [5.0] * 17)).notes)
