"""Generators in processes of their own, here and on a Dask cluster: one test between them, stopped and merged."""

import json
import os
import pickle
import queue
import re
import signal
import threading
from contextlib import suppress
from dataclasses import replace

import pytest

from harness.domain.load import AnswerChecks, Limits, Target, Transport
from harness.domain.traffic import Process
from harness.domain.units import MILLISECOND, SECOND
from harness.errors import BackendError, InputError
from harness.load import cluster as clusters
from harness.load import crew as crews
from harness.load.cluster import DaskCrew
from harness.load.crew import LocalCrew
from tests import faulty_servers as faulty
from tests import requires
from tests.load.asking import conserved, open_loop, plan_of


class Told:
    """What a crew tells."""

    def __init__(self, stop_after=10**9):
        self.snapshots = []
        self.begun = 0
        self.stop_after = stop_after

    def __call__(self, number, snapshot):
        self.snapshots.append((number, snapshot))

    def stopped(self):
        return len(self.snapshots) >= self.stop_after

    def began(self):
        self.begun += 1

    def run(self, crew, plan, workers):
        return crew.run(plan, workers, self, self.stopped, self.began)


def test_two_processes_send_one_test_between_them():
    server = faulty.Server()
    with faulty.in_thread(server) as port:
        plan = plan_of(
            port, duration_s=1.5, pace=open_loop(100.0, Process.POISSON), seed=4, transport=Transport(request_ids=True)
        )
        told = Told()
        record = told.run(LocalCrew(), plan, 2)
    ids = sorted(int(request.header("X-Request-Id")) for request in server.requests)
    assert ids == list(range(len(ids)))
    counts = record.total.counts
    assert counts.scheduled == counts.succeeded == len(ids)
    conserved(record)
    assert told.begun == 1
    assert {number for number, _ in told.snapshots} == {0, 1}
    assert sum(snapshot.counts.succeeded for _, snapshot in told.snapshots) == len(ids)
    assert record.cpu_ns > 0
    assert record.peak_memory > 10_000_000


def test_a_record_may_be_larger_than_a_pipe_holds():
    with faulty.in_thread(faulty.Server()) as port:
        plan = plan_of(port, duration_s=1.5, pace=open_loop(400.0, Process.POISSON))
        targets = tuple(replace(plan.targets[0], name=str(number)) for number in range(60))
        limits = replace(plan.limits, max_connections=60, max_in_flight=60)
        record = Told().run(LocalCrew(), replace(plan, targets=targets, limits=limits), 1)
    assert len(pickle.dumps(record)) > 65_536
    assert len(record.targets) == 60


def test_stopped_both_end_and_tell_what_there_is():
    with faulty.in_thread(faulty.Server()) as port:
        record = Told(stop_after=2).run(LocalCrew(), plan_of(port, duration_s=60.0, pace=open_loop(50.0)), 2)
    conserved(record)
    assert 0 < record.total.counts.scheduled < 50 * 20
    assert record.reached_ns < 20 * SECOND


def test_what_answers_are_held_to_is_checked_in_each():
    with faulty.in_thread(faulty.Server()) as port:
        checks = AnswerChecks(conditions=("prediction == 2",), schema=json.dumps({"type": "object"}))
        record = Told().run(LocalCrew(), plan_of(port, duration_s=0.4, checks=checks), 2)
    assert record.total.counts.errors == {"condition": 20}
    assert "prediction is 1" in record.examples["condition"]


def test_a_host_that_is_none_is_told_before_anything_is_sent():
    plan = plan_of(1)
    unknown = replace(plan, targets=(Target("t", "http://no-such-host.invalid/predict"),))
    with pytest.raises(InputError, match=r"no-such-host\.invalid.* cannot be resolved"):
        Told().run(LocalCrew(), unknown, 1)


def _dies(plan, share, ear, mouth):
    mouth.send(crews.Ready())
    ear.recv()
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_generator_that_dies_is_told_and_the_others_end(monkeypatch):
    monkeypatch.setattr(crews, "work", _dies)
    with (
        faulty.in_thread(faulty.Server()) as port,
        pytest.raises(BackendError, match=r"generator \d died \(exit code -9\)"),
    ):
        Told().run(LocalCrew(), plan_of(port, duration_s=30.0), 2)


def _tells_its_mask(plan, share, ear, mouth):
    """Before it could have set anything itself."""
    pending = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    mouth.send(crews.Broken(BackendError(f"blocked: {sorted(pending)}")))


def test_signals_are_kept_from_a_generator_from_its_first_instruction_on(monkeypatch):
    monkeypatch.setattr(crews, "work", _tells_its_mask)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with pytest.raises(BackendError, match=re.escape(f"blocked: {[signal.SIGINT, signal.SIGTERM]}")):
        Told().run(LocalCrew(), plan_of(1), 1)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def _never_ready(plan, share, ear, mouth):
    with suppress(EOFError):
        ear.recv()


def test_stopped_while_generators_start_nothing_is_measured(monkeypatch):
    monkeypatch.setattr(crews, "work", _never_ready)
    looks = iter(range(1000))
    told = Told()
    record = LocalCrew().run(plan_of(1), 2, told, lambda: next(looks) > 4, told.began)
    assert (record.total.counts.scheduled, len(record.targets), record.reached_ns) == (0, 1, 0)
    assert (told.begun, told.snapshots) == (0, [])


def test_stopped_at_once_no_generator_is_started():
    record = Told(stop_after=0).run(LocalCrew(), plan_of(1), 2)
    assert record.total.counts.scheduled == 0


# --- Dask -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster():
    requires.module("distributed")
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as started:
        yield started.scheduler_address


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_two_dask_workers_send_one_test_between_them(cluster):
    server = faulty.Server()
    with faulty.in_thread(server) as port:
        limits = Limits(max_connections=16, timeout_ns=5 * SECOND)
        plan = plan_of(port, duration_s=1.2, pace=open_loop(60.0), transport=Transport(request_ids=True), limits=limits)
        told = Told()
        record = told.run(DaskCrew(cluster), plan, 2)
    assert sorted(int(request.header("X-Request-Id")) for request in server.requests) == list(range(72))
    assert record.total.counts.succeeded == 72
    conserved(record)
    assert {number for number, _ in told.snapshots} == {0, 1}
    # Both were there when it began.
    assert record.began_late_ns == 0


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_dask_workers_stop_when_asked(cluster):
    with faulty.in_thread(faulty.Server()) as port:
        record = Told(stop_after=1).run(DaskCrew(cluster), plan_of(port, duration_s=60.0), 2)
    assert record.reached_ns < 30 * SECOND
    conserved(record)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_a_scheduler_that_is_not_there_is_told(monkeypatch):
    requires.module("distributed")
    monkeypatch.setattr(clusters, "CONNECT_S", 0.5)
    with faulty.refused() as port, pytest.raises(BackendError, match="no Dask scheduler answers there"):
        Told().run(DaskCrew(f"tcp://127.0.0.1:{port}"), plan_of(1, duration_s=MILLISECOND / SECOND), 1)


def _killed_at_the_first_word(address, plan, pick):
    """Run it on the cluster, and kill a worker when the first generator tells how it stands."""
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        pids = client.run(os.getpid)
    told = Told()
    killed = []

    def tell(number, snapshot):
        told(number, snapshot)
        if not killed:
            killed.append(pick(pids))
            os.kill(pids[killed[0]], signal.SIGKILL)

    try:
        DaskCrew(address).run(plan, 2, tell, told.stopped, told.began)
    finally:
        assert killed
    return killed[0]


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_a_dask_worker_that_is_killed_ends_the_test_and_is_named_and_the_others_stop(cluster):
    server = faulty.Server()
    with faulty.in_thread(server) as port:
        plan = plan_of(port, duration_s=120.0, pace=open_loop(50.0))
        with pytest.raises(BackendError, match=r"a Dask worker was lost.*: tcp://127\.0\.0\.1:\d+; look") as lost:
            _killed_at_the_first_word(cluster, plan, min)
        assert str(lost.value).count("tcp://") == 1
        # The other one hears it within its half second; then nothing is asked any more.
        asked = -1
        while asked < len(server.requests):
            asked = len(server.requests)
            threading.Event().wait(1.0)
        assert asked < 50 * 60


class _Hangs:
    """A task that never ends."""

    status = "pending"

    @staticmethod
    def done():
        return False


class _Place:
    """A cluster whose workers are there, and which notes what it is told."""

    def __init__(self, there=("a", "b"), stopped=False):
        self.there, self.told = there, []
        self.stopped = lambda: stopped

    def workers(self):
        if self.there is None:
            raise OSError("refused")
        return self.there

    def tell_to_stop(self, topic):
        self.told.append(topic)


@pytest.mark.parametrize("stopped", [True, False])
def test_workers_that_hang_are_waited_for_within_bounds(monkeypatch, stopped):
    monkeypatch.setattr(clusters, "TURN_S", 0.01)
    monkeypatch.setattr(clusters, "SPARE_NS", 50 * MILLISECOND)
    place = _Place(stopped=stopped)
    following = clusters._Following(
        place, "topic", ("a", "b"), (_Hangs(), _Hangs()), 3600 * SECOND if stopped else 50 * MILLISECOND
    )
    with pytest.raises(BackendError, match="no result came in time from Dask workers, as if they hung: a, b"):
        following.to_the_end(queue.SimpleQueue(), print)
    assert place.told == ["topic"] * stopped


def test_a_scheduler_that_falls_silent_ends_the_test(monkeypatch):
    monkeypatch.setattr(clusters, "TURN_S", 0.01)
    monkeypatch.setattr(clusters, "LOOK_NS", 1)
    monkeypatch.setattr(clusters, "SILENT_NS", 50 * MILLISECOND)
    following = clusters._Following(_Place(there=None), "topic", ("a",), (_Hangs(),), 3600 * SECOND)
    with pytest.raises(BackendError, match="the Dask scheduler was lost, and with it the test: refused"):
        following.to_the_end(queue.SimpleQueue(), print)


def test_no_generator_goes_on_for_longer_than_a_dask_cluster_is_waited_for():
    plan = plan_of(1, duration_s=60.0)
    assert clusters._bound_ns(plan) > (60 + 2 * 10 + 10 + 2) * SECOND
    limits = replace(plan.limits, deadline_ns=20 * SECOND)
    assert 20 * SECOND < clusters._bound_ns(replace(plan, limits=limits)) < 60 * SECOND


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_stopped_before_the_dask_workers_are_there_nothing_is_measured(cluster):
    told = Told(stop_after=0)
    record = told.run(DaskCrew(cluster), plan_of(1), 9)
    assert (record.total.counts.scheduled, told.begun) == (0, 0)
