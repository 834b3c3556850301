"""Load tests and searches folded from their logs: whole, cut off anywhere, read back from their file, at a glance."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import log
from harness.domain.event import Event
from harness.domain.load import Counts
from harness.domain.load_event import LoadEnded, LoadJudged, LoadMeasured, LoadProgressed, LoadSeries
from harness.errors import LogError
from harness.log import EventLog
from harness.report import Result, fold_any, fold_capacity, fold_load, glance, load_json
from harness.stats.histogram import Histogram
from tests.report.load_logs import Second, added, capacity_log, load_log, seconds_of
from tests.report.test_fold import promoted


def written(path: Path, events: Sequence[Event]) -> Path:
    made = EventLog(path / "events.jsonl")
    for event in events:
        made.append(event)
    made.close()
    return path / "events.jsonl"


def held(counts: Counts) -> bool:
    whole = counts.scheduled == counts.sent + counts.not_sent
    parts = counts.sent == counts.succeeded + counts.failed + counts.in_flight
    return whole and parts and sum(counts.errors.values()) == counts.failed


KINDS = st.dictionaries(st.sampled_from(["http_503", "reset", "timeout"]), st.integers(1, 20), max_size=3)
UNSENT = st.dictionaries(st.sampled_from(["in_flight_limit", "deadline"]), st.integers(1, 20), max_size=2)


@st.composite
def tests_of_some_seconds(draw: st.DrawFn) -> list[Second]:
    found = []
    for _ in range(draw(st.integers(3, 8))):
        errors, answered = draw(KINDS), draw(st.integers(0, 40))
        times = np.full(answered + errors.get("timeout", 0), draw(st.integers(1, 10**10)), np.int64)
        found.append(Second(times, times // 2, times // 100, errors, draw(UNSENT)))
    return found


tests_of_some_seconds.__test__ = False  # type: ignore[attr-defined]


@settings(deadline=None, max_examples=40)
@given(tests_of_some_seconds(), st.integers(0, 30))
def test_the_two_sums_hold_wherever_the_log_stops(seconds: list[Second], cut: int) -> None:
    events = load_log(seconds, warmup=1)
    result = fold_load(events[: max(1, cut)])
    assert held(result.counts)
    told = load_json.plain(result)
    assert told["scheduled"] == told["sent"] + told["not_sent"]
    assert told["sent"] == told["succeeded"] + told["failed"] + told["in_flight_at_stop"]
    assert sum(told["errors"].values()) == told["failed"]
    assert sum(told["not_sent_kinds"].values()) == told["not_sent"]
    assert result.passed == any(isinstance(event, LoadEnded) for event in events[: max(1, cut)])
    assert all(held(each.counts) for each, _ in result.timeline)


def test_a_whole_log_says_all_and_the_same_from_its_file(tmp_path: Path) -> None:
    seconds = seconds_of(np.random.default_rng(1), 32, 500, fail=0.002, limit=545)
    events = load_log(seconds, targets=True, stream=True, min_grade="A")
    path = written(tmp_path, events)
    read = fold_any(log.read(path), log_path=path)
    assert read == fold_load(log.read(path), log_path=path)
    assert read.event_digest == log.digest(log.read(path))
    figures = np.concatenate([second.latency_ns for second in seconds[2:]]) / 1e9
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        assert read.latency.figures[name] == pytest.approx(
            np.quantile(figures, share, method="inverted_cdf"), rel=0.008
        )
    assert read.counts == added([second.counts for second in seconds[2:]])
    assert (read.grade, read.grade_held, read.status, read.passed) == ("A+", True, "done", True)
    assert read.missed is None
    assert read.counts.success_rate == pytest.approx(1 - read.figures["error_rate"])
    assert len(read.measured) == 30
    assert sum(Histogram.from_dict(each.histogram).count for each in read.measured) == read.latency.count


def test_the_figures_of_a_log_that_was_cut_off_are_those_told_last() -> None:
    events = load_log()
    cut = events[:15]
    told = cut[-1]
    assert isinstance(told, LoadProgressed)
    result = fold_load(cut)
    assert result.counts == told.counts
    assert {name: result.latency.figures[name] for name in ("p50", "p95", "p99")} == {
        name: told.so_far[name] for name in ("p50", "p95", "p99")
    }
    assert (result.status, result.grade, result.passed) == (None, None, False)
    assert result.elapsed_s == 12
    assert result.outcome_text == "cut off"
    assert len(result.timeline) == 14
    assert [warmup for _, warmup in result.timeline] == [True] * 2 + [False] * 12
    assert "told last" in result.notes[-1]


def test_a_log_without_any_second_has_nothing_measured() -> None:
    result = fold_load(load_log()[:1])
    assert (result.counts, result.latency.count, result.timeline) == (Counts(), 0, ())
    assert result.counts.success_rate is None


def test_a_spoiled_test_has_no_grade() -> None:
    result = fold_load(load_log(spoiled="the generator was late"))
    assert (result.grade, result.spoiled, result.passed) == (None, "the generator was late", False)
    # Even where a log grades what it calls spoiled.
    events = [
        replace(event, grade="A+") if isinstance(event, LoadJudged) else event for event in load_log(spoiled="late")
    ]
    assert fold_load(events).grade is None


@pytest.mark.parametrize("grade", ["B", "F"])
def test_the_next_rung_and_what_of_it_is_missing(grade: str) -> None:
    slow = {"B": 300.0, "F": 3000.0}[grade]
    result = fold_load(load_log(seconds_of(np.random.default_rng(2), 12, 200, median_ms=slow, sigma=0.1, wander=0.0)))
    assert result.grade == grade
    assert result.missed is not None
    assert result.missed.grade == {"B": "A", "F": "C"}[grade]
    for condition in result.missed.conditions:
        assert condition.value is not None
        assert condition.value >= condition.bound
    assert "mean" in [condition.metric for condition in result.missed.conditions]


def test_a_ladder_of_ones_own() -> None:
    ladder = (("gold", 0.99, 0.001, 0.002, 0.003), ("silver", 0.9, 1.0, 1.0, 1.0))
    events = [
        replace(event, grade="silver") if isinstance(event, LoadJudged) else event
        for event in load_log(grades=ladder, min_grade="gold")
    ]
    result = fold_load(events)
    assert [rung.grade for rung in result.ladder] == ["gold", "silver"]
    assert result.grade_held is False
    assert result.missed is not None
    assert result.missed.grade == "gold"


def test_a_glance_tells_the_same_without_the_series(tmp_path: Path) -> None:
    whole = load_log(targets=True)
    path = written(tmp_path, whole)
    gist = log.read_gist(path)
    kinds = [type(event) for _, event in gist]
    assert kinds.count(LoadProgressed) == 1
    assert LoadSeries not in kinds
    assert LoadMeasured in kinds
    seen, folded = glance(gist), fold_any(log.read(path))
    for name in ("kind", "grade", "passed", "status", "counts", "latency", "started"):
        assert getattr(seen, name) == getattr(folded, name)


@pytest.mark.parametrize("cut", [1, 2, 20, 35])
def test_a_glance_at_a_log_that_was_cut_off(tmp_path: Path, cut: int) -> None:
    path = written(tmp_path, load_log()[:cut])
    seen, folded = glance(log.read_gist(path)), fold_any(log.read(path))
    assert (seen.counts, seen.outcome, seen.passed) == (folded.counts, None, False)


def test_a_search_whole_and_cut_off(tmp_path: Path) -> None:
    path = written(tmp_path, capacity_log())
    found = fold_any(log.read(path))
    assert found == fold_capacity(log.read(path))
    assert (found.low, found.high, found.status, found.passed, len(found.trials)) == (750, 775, "found", True, 10)
    assert found.width == pytest.approx(25 / 762.5)
    cut = fold_capacity(capacity_log()[:6])
    assert (cut.low, cut.high, cut.status, cut.passed) == (600, 800, None, False)
    assert fold_capacity(capacity_log()[:1]).low is None
    assert glance(log.read_gist(path)).low == 750


def test_each_log_is_told_apart_by_its_first_event() -> None:
    kinds = [fold_any(events).kind for events in (promoted(), load_log(), capacity_log())]
    assert kinds == ["rehearsal", "load", "capacity"]
    assert isinstance(fold_any(promoted()), Result)
    for wrong in (fold_load, fold_capacity):
        with pytest.raises(LogError, match="empty, or not the log of"):
            wrong(promoted())
