"""Stages as a graph, on virtual time: what runs when, what is tried again, kept, skipped and cancelled."""

import asyncio
import heapq
import threading

import anyio
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.clock import now_ns, run_real, run_virtual
from harness.domain.attempts import Attempts
from harness.domain.units import MINUTE, SECOND
from harness.engine.attempts import LONGEST_NS, TimeLimitError, pauses
from harness.engine.graph import Node, Pipeline, Status, ordered, run_graph
from harness.engine.store import Damaged, FolderStore, MemoryStore, digest_of
from harness.errors import BackendError, HarnessError, InputError
from harness.seeds import stream


def sleeping(seconds, answer=None):
    async def work(*given):
        await anyio.sleep(seconds)
        return answer if answer is not None else given

    return work


AWAY = BackendError("the registry is away")


def failing(times, error=AWAY, answer="done", seconds=1):
    """Fails so many times, then answers."""
    calls = []

    async def work(*_):
        calls.append(now_ns())
        await anyio.sleep(seconds)
        if len(calls) <= times:
            raise error
        return answer

    work.calls = calls
    return work


def on(nodes, **set_up):
    told = []
    pipeline = Pipeline(nodes, tell=told.append, **set_up)
    return pipeline.run_sync(virtual=True), told


# --- the graph --------------------------------------------------------------------------------------------------------


def test_results_flow_to_what_needs_them():
    result = run_virtual(
        run_graph,
        [
            Node("sum", lambda a, b: a + b, ("left", "right")),
            Node("left", sleeping(1, 20)),
            Node("right", sleeping(2, 22)),
        ],
    )
    assert result.value("sum") == 42
    assert result.ok
    assert [done.name for done in result.nodes] == ["sum", "left", "right"]


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([Node("a", None), Node("a", None)], "two stages are called a"),
        ([Node("train", None), Node("b", None, ("trian",))], "b needs trian, and there is no such stage; did you mean"),
        ([Node("b", None, ("zzz",))], "b needs zzz, and there is no such stage; there are b"),
        (
            [Node("a", None, ("b",)), Node("b", None, ("c",)), Node("c", None, ("a",)), Node("d", None)],
            "in a circle: (a needs b needs c needs a|b needs c needs a needs b|c needs a needs b needs c)",
        ),
        ([Node("a", None, ("a",))], "in a circle: a needs a"),
        ([Node("a", None), Node("b", None, ("a",), key="k")], "b has a fixed key, but needs a without one"),
    ],
)
def test_what_is_no_graph_is_refused_when_it_is_built(nodes, said):
    with pytest.raises(InputError, match=said):
        Pipeline(nodes)


def test_at_least_one_stage_runs_at_a_time():
    with pytest.raises(InputError, match="parallel is 0"):
        Pipeline([], parallel=0)


def test_a_chain_takes_the_sum_and_a_diamond_its_longer_side():
    chain = [Node(f"n{i}", sleeping(i + 1), (f"n{i - 1}",) if i else ()) for i in range(5)]
    assert _makespan(on(chain)[0]) == 15 * SECOND
    diamond = [
        Node("top", sleeping(2)),
        Node("short", sleeping(3), ("top",)),
        Node("long", sleeping(7), ("top",)),
        Node("end", sleeping(1), ("short", "long")),
    ]
    assert _makespan(on(diamond)[0]) == 10 * SECOND
    assert _makespan(on(diamond, parallel=1)[0]) == 13 * SECOND


def _makespan(result):
    return max((done.began_ns + done.took_ns for done in result.nodes if done.began_ns is not None), default=0)


@st.composite
def graphs(draw):
    """Nodes in any order, each with a duration (s) and what it needs."""
    count = draw(st.integers(1, 8))
    durations = draw(st.lists(st.integers(1, 9), min_size=count, max_size=count))
    needs = [sorted(draw(st.sets(st.integers(0, i - 1)))) if i else [] for i in range(count)]
    order = draw(st.permutations(range(count)))
    return [(f"n{i}", durations[i], tuple(f"n{need}" for need in needs[i])) for i in order]


def listed(graph, parallel):
    """List scheduling (Graham, 1966), simulated apart: start and end (s) of each node."""
    now, running, ended, began = 0, [], set(), {}
    for _ in range(len(graph) + 1):
        for place, (name, lasts, needs) in enumerate(graph):
            if len(running) < parallel and name not in began and ended.issuperset(needs):
                began[name] = now
                heapq.heappush(running, (now + lasts, len(began), place))
        if not running:
            break
        now, _, place = heapq.heappop(running)
        ended.add(graph[place][0])
    return {name: (began[name], began[name] + lasts) for name, lasts, _ in graph}


@settings(max_examples=120, deadline=None)
@given(graphs(), st.integers(1, 4))
def test_any_graph_runs_as_list_scheduling_says(graph, parallel):
    ran = []

    def noting(name, lasts):
        async def work(*_):
            ran.append(name)
            await anyio.sleep(lasts)

        return work

    result, _ = on([Node(name, noting(name, lasts), needs) for name, lasts, needs in graph], parallel=parallel)
    assert result.ok
    assert sorted(ran) == sorted(name for name, _, _ in graph)  # each once
    times = {done.name: (done.began_ns // SECOND, (done.began_ns + done.took_ns) // SECOND) for done in result.nodes}
    assert times == listed(graph, parallel)
    for name, _, needs in graph:
        assert all(times[need][1] <= times[name][0] for need in needs)
    for at in {began for began, _ in times.values()}:
        assert sum(began <= at < ended for began, ended in times.values()) <= parallel


@settings(max_examples=80, deadline=None)
@given(graphs(), st.integers(1, 3), st.integers(0, 90))
def test_a_cancellation_at_any_instant_leaves_nothing_running(graph, parallel, halves):
    store, told, ran, cut_s = MemoryStore(), [], [], halves / 2

    def noting(name, lasts):
        async def work(*_):
            ran.append(name)
            await anyio.sleep(lasts)
            return name

        return work

    nodes = [Node(name, noting(name, lasts), needs, key=name) for name, lasts, needs in graph]
    pipeline = Pipeline(nodes, parallel=parallel, store=store, tell=told.append)

    async def main():
        with anyio.move_on_after(cut_s) as limit:
            await pipeline.run()
        at_ns, left, known = now_ns(), asyncio.all_tasks() - {asyncio.current_task()}, len(told)
        await anyio.sleep(100)
        return limit.cancelled_caught, at_ns, left, known

    cut, at_ns, left, known = run_virtual(main)
    expected = listed(graph, parallel)
    finished = {name for name, (_, end) in expected.items() if end < cut_s}
    assert cut == (len(finished) < len(graph))
    assert not left
    assert len(told) == known  # nothing is told, done or kept afterwards
    assert set(store._kept.values()) == finished
    assert {done.name for done in pipeline.result.nodes if done.status is Status.OK} == finished
    assert {done.status for done in pipeline.result.nodes if done.name not in finished} <= {Status.CANCELLED}
    assert sorted(ran) == sorted(name for name, (began, _) in expected.items() if began < cut_s)
    assert len(pipeline.result.nodes) == len(graph)
    assert at_ns <= cut_s * SECOND


@given(graphs())
def test_the_order_is_one_in_which_each_comes_after_what_it_needs(graph):
    order = ordered([Node(name, None, needs) for name, _, needs in graph])
    assert all(order.index(need) < order.index(name) for name, _, needs in graph for need in needs)


# --- failures ---------------------------------------------------------------------------------------------------------


def test_what_a_backend_failed_is_tried_again_with_longer_and_longer_pauses():
    work = failing(3)
    result, told = on([Node("train", work, retries=3, backoff_s=10)], seed=4)
    assert (result["train"].status, result["train"].attempts, result.value("train")) == (Status.OK, 4, "done")
    waits = list(pauses(Attempts(retries=3, backoff_ns=10 * SECOND), stream(4, "graph/train")))
    assert np.diff(work.calls).tolist() == [SECOND + wait for wait in waits]
    assert all(5 * 2**n <= wait / SECOND <= 10 * 2**n for n, wait in enumerate(waits))
    retried = [each for each in told if each.what == "retried"]
    assert len(retried) == 3
    assert retried[0].detail.startswith("attempt 1 failed: the registry is away; the next in ")


def test_pauses_are_drawn_from_the_seed_and_have_an_end():
    many = Attempts(retries=12, backoff_ns=MINUTE)
    first, again, other = (list(pauses(many, stream(seed, "graph/a"))) for seed in (1, 1, 2))
    assert first == again != other
    assert max(first) <= LONGEST_NS
    assert len(set(first)) == 12


def test_only_what_may_pass_is_tried_again():
    broken = failing(1, ValueError("no such column"))
    result, _ = on([Node("a", broken, retries=5)])
    assert (result["a"].status, result["a"].attempts) == (Status.FAILED, 1)
    assert result["a"].reason == "ValueError: no such column"
    with pytest.raises(ValueError, match="no such column"):
        result.value("a")
    assert on([Node("a", failing(1, ValueError()), retries=1, retryable=(ValueError,))])[0].ok


def test_a_stage_that_reaches_its_limit_has_failed_and_says_so():
    result, _ = on([Node("slow", sleeping(100), timeout_s=30, retries=2), Node("quick", sleeping(29.9), timeout_s=30)])
    assert result["slow"].reason == "slow was given up after 30s, its time limit"
    assert (result["slow"].took_ns, result["slow"].attempts) == (30 * SECOND, 1)
    assert result["quick"].status is Status.OK
    named = Node("slow", sleeping(100), timeout_s=30, retries=1, backoff_s=0, retryable=(TimeLimitError,))
    assert on([named])[0]["slow"].attempts == 2


BRANCHES = [
    Node("data", sleeping(1)),
    Node("bad", failing(9, seconds=1), ("data",)),
    Node("after", sleeping(1), ("bad",)),
    Node("last", sleeping(1), ("after",)),
    Node("other", sleeping(5), ("data",)),
    Node("report", sleeping(1), ("other",)),
]


def test_what_needs_a_failed_stage_is_skipped_and_other_branches_finish():
    result, told = on(BRANCHES)
    assert {done.name: done.status.value for done in result.nodes} == {
        "data": "ok", "bad": "failed", "after": "skipped", "last": "skipped", "other": "ok", "report": "ok",
    }  # fmt: skip
    assert (result["after"].reason, result["last"].reason) == ("bad was failed", "after was skipped")
    assert (result["after"].attempts, result["after"].began_ns) == (0, None)
    assert not result.ok
    with pytest.raises(HarnessError, match="last has no result: it was skipped: after was skipped"):
        result.value("last")
    assert [each.what for each in told if each.name == "last"] == ["skipped"]


def test_a_failure_may_cancel_the_other_branches():
    result, _ = on(BRANCHES, on_failure="cancel")
    assert {done.name: done.status.value for done in result.nodes} == {
        "data": "ok",
        "bad": "failed",
        "after": "skipped",
        "last": "skipped",
        "other": "cancelled",
        "report": "cancelled",
    }
    assert result["other"].reason == "bad failed"
    assert result["other"].took_ns == SECOND


def test_a_listener_that_raises_is_heard():
    def tell(happened):
        raise RuntimeError(f"heard of {happened.name}")

    with pytest.raises(RuntimeError, match="heard of a"):
        run_virtual(Pipeline([Node("a", sleeping(1))], tell=tell).run)


# --- reuse ------------------------------------------------------------------------------------------------------------


def counted(answer):
    calls = []

    async def work(*given):
        calls.append(given)
        await anyio.sleep(5)
        return answer

    work.calls = calls
    return work


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_what_is_known_is_not_done_again(kind, tmp_path):
    store = MemoryStore() if kind == "memory" else FolderStore(tmp_path / "kept")
    data, train = counted([1, 2]), counted({"f1": 0.5})

    def nodes(data_key="d1", train_key="t1"):
        return [Node("data", data, key=data_key), Node("train", train, ("data",), key=train_key)]

    first, _ = on(nodes(), store=store)
    again, _ = on(nodes(), store=store)
    assert {done.status for done in again.nodes} == {Status.REUSED}
    assert (again.value("train"), again["train"].attempts, _makespan(again)) == ({"f1": 0.5}, 0, 0)
    assert (len(data.calls), len(train.calls)) == (1, 1)
    changed, _ = on(nodes(train_key="t2"), store=store)
    assert [done.status for done in changed.nodes] == [Status.REUSED, Status.OK]
    other, _ = on(nodes(data_key="d2"), store=store)  # what it needs is another: train is done again
    assert [done.status for done in other.nodes] == [Status.OK, Status.OK]
    assert first.value("data") == again.value("data") == [1, 2]


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_what_is_kept_is_a_copy(kind, tmp_path):
    store, made = MemoryStore() if kind == "memory" else FolderStore(tmp_path / "kept"), {"f1": [0.5]}
    store.put("k", made)
    made["f1"].append(1.0)
    store.get("k")["f1"].append(2.0)
    assert store.get("k") == {"f1": [0.5]}


def test_what_cannot_be_copied_is_not_kept():
    store = MemoryStore()
    with pytest.raises(InputError, match="a lock cannot be kept, for it cannot be copied"):
        store.put("k", threading.Lock())
    with pytest.raises(KeyError):
        store.get("k")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"retries": -1}, "retries is -1: give a whole number from 0 to 100"),
        ({"retries": 101}, "retries is 101"),
        ({"retries": 1.5}, "retries is 1.5"),
        ({"backoff_s": -1}, "backoff_s is -1: give seconds, 0 or more"),
        ({"backoff_s": float("nan")}, "backoff_s is nan"),
        ({"takes_s": -1}, "takes_s is -1"),
        ({"timeout_s": -1}, "timeout_s is -1: give seconds above 0, or None"),
        ({"timeout_s": 0}, "timeout_s is 0"),
    ],
)
def test_a_number_that_no_attempt_can_keep_is_refused(given, told):
    with pytest.raises(InputError, match=f"fetch: {told}"):
        Node("fetch", sleeping(1), **given)


def test_a_key_may_be_made_of_what_came_before():
    store, train = MemoryStore(), counted("model")

    def nodes(rows):
        return [Node("data", sleeping(1, rows)), Node("train", train, ("data",), key=digest_of)]

    on(nodes([1, 2]), store=store)
    assert on(nodes([1, 2]), store=store)[0]["train"].status is Status.REUSED
    assert on(nodes([1, 3]), store=store)[0]["train"].status is Status.OK


@pytest.mark.parametrize("damage", [b"", b"x" * 70, None])
def test_what_is_damaged_is_made_anew(tmp_path, damage):
    store, work = FolderStore(tmp_path), counted([1.5])
    on([Node("a", work, key="k")], store=store)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-1] if damage is None else damage)
    result, told = on([Node("a", work, key="k")], store=store)
    assert (result["a"].status, result.value("a"), len(work.calls)) == (Status.OK, [1.5], 2)
    assert [each.what for each in told] == ["started", "remade", "ok"]
    assert on([Node("a", work, key="k")], store=store)[0]["a"].status is Status.REUSED


def test_a_result_is_written_whole_or_not_at_all(tmp_path):
    store = FolderStore(tmp_path)
    with pytest.raises(InputError, match="a object cannot be kept as JSON"):
        store.put("k", object())
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyError):
        store.get("k")
    unread = FolderStore(tmp_path, dump=lambda value: b"?", load=lambda held: 1 / 0)
    unread.put("k", 1)
    with pytest.raises(Damaged, match="cannot be read: division by zero"):
        unread.get("k")


def test_failures_are_not_kept():
    store = MemoryStore()
    assert on([Node("a", failing(1), key="k")], store=store)[0]["a"].status is Status.FAILED
    assert store._kept == {}


def test_a_digest_tells_values_apart_and_holds_still(tmp_path):
    file = tmp_path / "data.csv"
    file.write_text("a\n1\n")
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    values = [
        None, True, 1, 1.0, "1", b"1", [1], ["1", "2"], ["12"], [["1"], "2"], {"a": 1}, np.arange(3), np.arange(3.0),
        frame, frame.iloc[::-1], frame[["b", "a"]], file,
    ]  # fmt: skip
    digests = [digest_of(value) for value in values]
    assert len(set(digests)) == len(values)
    assert digests == [digest_of(value) for value in values]
    file.write_text("a\n2\n")
    assert digest_of(file) != digests[-1]
    with pytest.raises(InputError, match="a object has no digest here"):
        digest_of(object())
    with pytest.raises(InputError, match="cannot be read for a digest"):
        digest_of(tmp_path / "absent")


# --- blocking work ----------------------------------------------------------------------------------------------------


def test_blocking_work_runs_in_a_thread_on_real_time_and_inline_on_virtual_time():
    where = []

    def work(*given):
        import threadpoolctl

        where.append((threading.current_thread(), {pool["num_threads"] for pool in threadpoolctl.threadpool_info()}))
        return len(given)

    nodes = [Node("a", work, takes_s=600), Node("b", work, ("a",), takes_s=60)]
    real = run_real(Pipeline(nodes).run)
    assert real.value("b") == 1
    assert all(thread is not threading.main_thread() and pools <= {1} for thread, pools in where)
    where.clear()
    virtual, _ = on(nodes)
    assert _makespan(virtual) == 660 * SECOND
    assert {thread for thread, _ in where} == {threading.current_thread()}


def test_a_thread_that_reaches_its_limit_is_left_alone_and_its_answer_dropped():
    release, store = threading.Event(), MemoryStore()
    nodes = [Node("stuck", lambda: release.wait(30), timeout_s=0.01, key="k")]
    result = run_real(Pipeline(nodes, store=store).run)
    release.set()
    assert result["stuck"].reason == "stuck was given up after 10ms, its time limit"
    assert store._kept == {}
