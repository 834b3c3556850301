"""Two load tests held against each other: a regression is found, chance is not taken for one, a lump not for a rule."""

import json
from dataclasses import replace

import numpy as np
import pytest

from harness.domain.load_event import LoadSeries
from harness.errors import InputError
from harness.report import LoadResult, fold_load
from harness.report.load_compare import as_json, chapter, compare_load
from harness.stats.blocks import holm
from tests.report.load_logs import load_log, seconds_of


def trial(seed: int, seconds: int = 40, rate: float = 500.0, **what: float) -> LoadResult:
    rng = np.random.default_rng(seed)
    return fold_load(load_log(seconds_of(rng, seconds + 2, rate, wander=0.03, **what), seed=seed))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def usual() -> LoadResult:
    return trial(1)


def test_a_slower_second_is_a_regression(usual: LoadResult) -> None:
    slower = trial(2, median_ms=5.0)
    compared = compare_load(usual, slower)
    assert compared.regressed
    worse = {each.name for each in compared.figures if each.regressed}
    assert {"p50", "mean"} <= worse
    assert "success rate" not in worse
    median = next(each for each in compared.figures if each.name == "p50").change
    assert median.lower < 0.25 < median.upper  # the truth: 5 ms after 4 ms
    assert median.first == usual.latency.figures["p50"]
    assert median.second == slower.latency.figures["p50"]
    assert not compare_load(slower, usual).regressed


def test_two_tests_of_one_server_are_no_regression(usual: LoadResult) -> None:
    assert not compare_load(usual, usual).regressed
    alarms = sum(compare_load(trial(seed), trial(seed + 100)).regressed for seed in range(10, 17))
    assert alarms <= 1


def test_what_is_worse_within_the_tolerance_is_told_and_allowed(usual: LoadResult) -> None:
    slower = trial(2, median_ms=5.0)
    compared = compare_load(usual, slower, tolerance=0.5)
    assert not compared.regressed
    assert any(each.significant for each in compared.figures)
    assert "within the tolerance" in compared.sentence


def test_more_failures_are_a_regression_beyond_their_own_tolerance(usual: LoadResult) -> None:
    failing = trial(3, fail=0.01)
    compared = compare_load(usual, failing)
    assert [each.name for each in compared.figures if each.regressed] == ["success rate"]
    assert not compare_load(usual, failing, failed_tolerance=0.05).regressed


def test_p_values_are_corrected_for_their_number(usual: LoadResult) -> None:
    compared = compare_load(usual, trial(2, median_ms=4.3))
    known = [each for each in compared.figures if each.p_corrected is not None]
    assert len(known) == 6
    assert [each.p_corrected for each in known] == holm([each.change.p_value for each in known])


def test_short_tests_have_differences_and_no_verdict() -> None:
    compared = compare_load(trial(1, seconds=8), trial(2, seconds=8, median_ms=9.0))
    assert not compared.tested
    assert not compared.regressed
    assert "No test can be made" in compared.sentence
    assert all(each.change.change > 0.5 for each in compared.figures if each.name.startswith("p"))


def test_what_cannot_be_trusted_is_not_compared(usual: LoadResult) -> None:
    with pytest.raises(InputError, match="its figures are spoiled"):
        compare_load(usual, fold_load(load_log(spoiled="late")))
    with pytest.raises(InputError, match="cut off before its figures"):
        compare_load(fold_load(load_log()[:9]), usual)


def test_plans_that_differ_are_told(usual: LoadResult) -> None:
    other = fold_load(load_log(target_rate=300.0, payload="others"))
    assert any("differ in rate, duration, payload" in note for note in compare_load(usual, other).notes)


def test_without_service_times_by_interval_theirs_are_not_tested(usual: LoadResult) -> None:
    events = [
        replace(event, intervals=tuple(replace(each, service={}) for each in event.intervals))
        if isinstance(event, LoadSeries)
        else event
        for event in load_log()
    ]
    compared = compare_load(usual, fold_load(events))
    service = next(each for each in compared.figures if each.name == "service p99")
    assert service.p_corrected is None
    assert service.change.second == pytest.approx(fold_load(events).service.figures["p99"])
    assert any("Too little for a test of service p99" in note for note in compared.notes)


def test_the_forms_say_the_same_each_time(usual: LoadResult) -> None:
    slower = trial(2, median_ms=5.0)
    one, other = compare_load(usual, slower), compare_load(usual, slower)
    assert json.dumps(as_json(one)) == json.dumps(as_json(other))
    told = as_json(one)
    assert told["regressed"] is True
    assert [figure["name"] for figure in told["figures"]] == [
        "p50",
        "p95",
        "p99",
        "mean",
        "success_rate",
        "service_p99",
    ]
    lines = {line.cells[0]: line for line in chapter(one).lines}
    assert lines["p50"].cells[-1] == "worse"
    assert lines["p50"].passed is False
