"""What is counted: copies by window, agreement, latencies in buckets; who may change the routing."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from harness.domain.model import Role
from harness.domain.rollout import Routing
from harness.domain.units import SECOND, WHOLE
from harness.errors import RoutingError
from harness.routing import copying
from harness.routing.changes import KEPT, Control, Mark, Stale
from harness.routing.copying import DIFFERENT, FAULTS, SAME, Ended, Spreading, predictions
from harness.routing.headers import answer_head, request_head
from harness.routing.metrics import SECONDS, Latency, Metrics
from harness.routing.replicas import Replicas
from harness.stats import histogram

CANARY = Routing({Role.STABLE: 9000, Role.CANDIDATE: 1000})
numbers = st.floats(-1e6, 1e6)


def control(folder: Path) -> Control:
    return Control(folder, Replicas(), lambda: 0)


# --- copies -----------------------------------------------------------------------------------------------------------


@given(st.lists(numbers, min_size=2, max_size=50))
def test_the_deviation_is_numpys(values: list[float]) -> None:
    spreading = Spreading()
    for value in values:
        spreading.add(value)
    assert spreading.deviation == pytest.approx(float(np.std(values)), rel=1e-6, abs=1e-6)


ends = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 10), st.integers(0, 5), st.integers(0, 2)), max_size=40)


@given(ends, st.integers(0, 22), st.integers(0, 22))
def test_a_window_holds_what_ended_in_it(found: list[tuple[int, int, int, int]], start: int, stop: int) -> None:
    ended = Ended()
    for at_ns, took_ns, what, agreed in sorted(found):
        ended.begin(at_ns)
        ended.end(at_ns, took_ns, what, agreed)
    within = [each for each in found if start <= each[0] < stop]
    told = ended.window(start, max(start, stop))
    assert told["ended"] == told["begun"] == len(within)
    assert histogram.Histogram.from_dict(told["latency"]) == histogram.Histogram.of([each[1] for each in within])
    assert (told["same"], told["different"]) == tuple(sum(e[3] == kind for e in within) for kind in (SAME, DIFFERENT))
    assert sum(told["errors"].values()) == sum(each[2] > 0 for each in within)
    assert set(told["errors"]) <= set(FAULTS[1:])


def test_memory_of_copies_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "KEPT", 10)
    ended = Ended()
    for at_ns in range(1000):
        ended.begin(at_ns)
        ended.end(at_ns, 1, 0, SAME)
    assert len(ended.at_ns) == len(ended.agreed) <= 10
    assert ended.window(998, 1000)["ended"] == 2


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"prediction": "Yes", "confidence": 0.9}, ["Yes"]),
        ({"predictions": [1, 2]}, [1, 2]),
        ({"outputs": [{"name": "predict", "data": ["a"]}]}, ["a"]),
        ({"error": "no"}, None),
        ([1], None),
        ({"outputs": []}, None),
    ],
)
def test_predictions_are_read_in_each_protocol(body: object, said: object) -> None:
    assert predictions(json.dumps(body).encode()) == said


def test_what_is_no_json_predicts_nothing() -> None:
    assert predictions(b"<html>") is None
    assert predictions(b"\xff") is None


# --- changes ----------------------------------------------------------------------------------------------------------


def test_the_same_change_twice_is_one_and_an_older_one_is_refused(tmp_path: Path) -> None:
    made = control(tmp_path)
    made.route(CANARY, Mark(3, 7))
    made.route(Routing({Role.STABLE: WHOLE}), Mark(3, 7))  # asked again, for want of an answer
    assert made.routing == CANARY
    for mark, said in ((Mark(3, 6), "overtaken"), (Mark(2, 99), "lower than 3")):
        with pytest.raises(Stale, match=said):
            made.route(Routing({Role.STABLE: WHOLE}), mark)
        with pytest.raises(Stale):
            made.point({Role.STABLE: ("http://a",)}, mark)
        with pytest.raises(Stale):
            made.adopt(mark)
    assert (made.routing, made.replicas.behind) == (CANARY, {})


def test_a_wrong_change_is_no_change(tmp_path: Path) -> None:
    made = control(tmp_path)
    made.route(CANARY, Mark(1, 1))
    with pytest.raises(RoutingError):
        made.route(Routing({Role.STABLE: 1}), Mark(2, 1))
    assert (made.routing, made.mark) == (CANARY, Mark(1, 1))


def test_the_highest_token_is_kept_for_the_router_after_this_one(tmp_path: Path) -> None:
    control(tmp_path).route(CANARY, Mark(5, 1))
    after = control(tmp_path)
    assert after.routing.weights[Role.STABLE] == WHOLE  # traffic begins on stable
    with pytest.raises(Stale):
        after.route(CANARY, Mark(4, 9))
    (tmp_path / KEPT).write_text("{")
    control(tmp_path).route(CANARY, Mark(0, 1))  # what cannot be read fences nobody


def test_a_disk_that_takes_nothing_keeps_no_traffic_from_going_back(tmp_path: Path) -> None:
    made = control(tmp_path / "gone")
    made.route(CANARY, Mark(1, 1))
    made.route(Routing({Role.STABLE: WHOLE}), Mark(1, 2))
    assert made.table.at(0) is Role.STABLE


def test_adopting_again_changes_nothing(tmp_path: Path) -> None:
    made = control(tmp_path)
    made.point({Role.STABLE: ("http://a",), Role.CANDIDATE: ("http://b",)}, Mark(1, 1))
    for number in (2, 3):
        made.adopt(Mark(1, number))
        assert made.replicas.behind == {Role.STABLE: ("http://b",), Role.CANDIDATE: ()}


# --- metrics ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 40 * SECOND), max_size=50))
def test_buckets_are_those_of_prometheus_own_client(durations: list[int]) -> None:
    ours, registry = Latency(), CollectorRegistry()
    theirs = Histogram("latency", "As the library counts.", buckets=SECONDS, registry=registry)
    for took_ns in durations:
        ours.add(took_ns)
        theirs.observe(took_ns / SECOND)
    samples = [each for family in registry.collect() for each in family.samples if each.name == "latency_bucket"]
    assert [(float(bound), count) for bound, count in ours.buckets()] == [
        (float(s.labels["le"]), s.value) for s in samples
    ]
    assert generate_latest(registry)


def test_buckets_are_fine_enough_for_percentiles() -> None:
    assert all(1 < after / before <= 2 for before, after in pairwise(SECONDS))
    assert all(after / before < 1.29 for before, after in pairwise(SECONDS[:-3]))


def test_what_is_counted_is_told_in_prometheus_words(tmp_path: Path) -> None:
    made = control(tmp_path)
    metrics = Metrics(made)
    made.route(Routing(CANARY.weights, mirror=500), Mark(1, 1))
    for status in (200, 201, 502):
        metrics.answered(Role.CANDIDATE, status, 3_000_000)
    metrics.refused(Role.CANDIDATE, "unreachable")
    metrics.retried(Role.CANDIDATE)
    metrics.copied(1_000_000, failed=False, agreed=True)
    metrics.copied(1_000_000, failed=True, agreed=None)
    families = text_string_to_metric_families(metrics.text().decode())
    found = {(s.name, tuple(s.labels.values())): s.value for family in families for s in family.samples}
    told = {
        ("harness_router_requests_total", ("candidate", "2xx")): 2,
        ("harness_router_requests_total", ("candidate", "5xx")): 1,
        ("harness_router_request_duration_seconds_count", ("candidate",)): 3,
        ("harness_router_request_duration_seconds_sum", ("candidate",)): 0.009,
        ("harness_router_own_answers_total", ("candidate", "unreachable")): 1,
        ("harness_router_retries_total", ("candidate",)): 1,
        ("harness_router_copies_total", ("answered",)): 1,
        ("harness_router_copies_total", ("failed",)): 1,
        ("harness_router_copies_compared_total", ("true",)): 1,
        ("harness_router_weight", ("candidate",)): 1000,
        ("harness_router_mirror", ()): 500,
        ("harness_router_in_flight", ()): 0,
    }
    assert {key: found[key] for key in told} == told


# --- headers ----------------------------------------------------------------------------------------------------------


def test_what_is_between_neighbours_goes_no_further() -> None:
    asked = [
        ("Host", "us"), ("Connection", "keep-alive, X-Mine"), ("X-Mine", "1"), ("Keep-Alive", "5"), ("TE", "trailers"),
        ("Transfer-Encoding", "chunked"), ("Content-Length", "3"), ("x-harness-copy", "1"),
        ("Accept", "a"), ("Accept", "b"),
        ("X-Forwarded-For", "10.0.0.1"), ("X-Forwarded-For", "10.0.0.2"),
    ]  # fmt: skip
    head = request_head(asked, "10.0.0.3")
    assert sorted(head.items()) == [
        ("Accept", "a"), ("Accept", "b"), ("Host", "us"), ("X-Forwarded-For", "10.0.0.1, 10.0.0.2, 10.0.0.3"),
        ("X-Forwarded-Host", "us"), ("X-Forwarded-Proto", "http"),
    ]  # fmt: skip
    assert request_head([], None) == {}
    told = [("Host", "us"), ("X-Forwarded-Host", "a.example"), ("X-Forwarded-Proto", "https")]
    assert sorted(request_head(told, "::1").items())[2:] == told[1:]  # a proxy before us knows better


def test_which_arm_answered_is_the_routers_to_say() -> None:
    said = [("x-harness-arm", "stable"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Connection", "close")]
    head = answer_head(said, "candidate", "http://c")
    assert head.getall("Set-Cookie") == ["a=1", "b=2"]
    assert dict(head.items()) == {"Set-Cookie": "b=2", "x-harness-arm": "candidate", "x-harness-replica": "http://c"}
