"""A load test of a live endpoint, as a stage of a run on real time: real generators and sockets, signals, consent."""

import multiprocessing
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import app, canary_steps
from harness.app.loadstage import live_test
from harness.domain.event import Checked, LoadTested, RunEnded, StageStarted, TrafficStarted
from harness.domain.lifecycle import LoadStagePlan
from harness.domain.load import ClosedLoop, OpenLoop
from harness.domain.rollout import RolloutPolicy
from harness.domain.scenario import Scenario
from harness.domain.traffic import Knots, Process, Traffic
from harness.domain.units import SECOND
from harness.errors import InputError
from harness.load.crew import LocalCrew
from harness.load.record import Durations, Record
from harness.log import Events
from harness.serving.fake import stand_in
from tests.faulty_servers import refused

BODY = '{"tenure": 12}'


@pytest.fixture
def payload(tmp_path: Path) -> str:
    (tmp_path / "row.json").write_text(BODY)
    return str(tmp_path / "row.json")


def plan_of(url: str, payload: str | None, *slos: str, users: int = 0, **changes: Any) -> LoadStagePlan:
    from harness.app.loadplan import rules

    steady = Traffic("constant", Process.CONSTANT, Knots((0,), (40.0,)), users=0)
    pace = ClosedLoop(users) if users else OpenLoop(steady, "constant", 40.0)
    found = rules(slos, "slo", streamed=False)
    given = {"pace": pace, "duration_ns": SECOND, "slos": found, "url": url, "payload": payload, **changes}
    return LoadStagePlan(**given)


def rehearsal(plan: LoadStagePlan, clock: str = "real", seconds: float = 1.0) -> Scenario:
    """A canary whose candidate meets users for a second."""
    policy = RolloutPolicy("canary", canary_steps([5000], round(seconds * SECOND)), None)
    from harness.domain.service import Service

    return app.rehearsal(
        policy, name="live", traffic="20/s", load=plan, clock=clock, service=Service(startup_ns=0), seed=3
    )


class Calm:
    """The generators of every load test, on a machine that is said to be idle: how busy this one is decides nothing."""

    def run(self, *args: Any) -> Record:
        record = LocalCrew().run(*args)
        targets = tuple(replace(tally, prompt=tally.latency) for tally in record.targets)
        return replace(record, targets=targets, loads={}, pulse=Durations())


def events_of(of: Scenario, tmp_path: Path, stop: Any = None, **options: Any) -> tuple[str, Events]:
    made = app.rehearse(of, app.Options(reports=tmp_path / "reports", crew=Calm(), **options), stop)
    return made.outcome.value, Events(made.log.events)


def test_a_live_endpoint_is_asked_and_the_candidate_goes_on(tmp_path: Path, payload: str) -> None:
    with stand_in({"latency": "10ms"}) as url:
        plan = plan_of(url, payload, "p50 < 9s", "error_rate < 1%", warmup_ns=SECOND // 2)
        outcome, events = events_of(rehearsal(plan), tmp_path)
    assert outcome == "promoted"
    met = events.only(LoadTested)
    assert (met.sent, met.failed, met.url, met.warmup_ns) == (40, 0, f"{url}/predict", SECOND // 2)
    assert met.figures["min"] >= 0.009  # type: ignore[operator]
    assert met.service["p50"] is not None
    assert met.lag["p99"] is not None
    assert [slo.passed for slo in met.slos] == [True, True]
    assert events.only(TrafficStarted).at_ns >= met.at_ns


def test_an_objective_that_a_live_endpoint_misses_rejects(tmp_path: Path, payload: str) -> None:
    with stand_in({"error_rate": "100%", "error_status": 500}) as url:
        outcome, events = events_of(rehearsal(plan_of(url, payload, "error_rate < 1%", min_grade="C")), tmp_path)
    assert outcome == "rejected"
    assert events.only(LoadTested).errors == {"http_500": 40}
    reason = events.only(RunEnded).reason
    assert reason.startswith("in the load test: error_rate is 100%, and error_rate < 1% was promised; grade F, and at")
    assert not events.of(TrafficStarted)
    assert any(not check.passed for check in events.of(Checked))


def test_what_it_sends_is_made_of_what_the_endpoint_says_of_itself(tmp_path: Path) -> None:
    with stand_in() as url:
        outcome, events = events_of(rehearsal(plan_of(url, None)), tmp_path)
    assert outcome == "promoted"
    assert events.only(LoadTested).failed == 0


def test_a_closed_loop_is_live(tmp_path: Path, payload: str) -> None:
    with stand_in({"latency": "20ms"}) as url:
        _, events = events_of(rehearsal(plan_of(url, payload, users=2)), tmp_path)
        virtual = rehearsal(plan_of(url, payload, users=2), "virtual")
    met = events.only(LoadTested)
    assert (met.users, met.rate_per_s, met.arrivals) == (2, None, "")
    assert 2 <= met.sent <= 2 * 50 + 2  # two users, 20 ms each, for a second
    assert any("closed loop" in note for note in met.notes)
    with pytest.raises(InputError, match="a closed loop, which is not simulated"):
        app.rehearse(virtual, app.Options(reports=tmp_path / "reports"))


def test_on_virtual_time_the_same_scenario_asks_simulated_servers(tmp_path: Path, payload: str) -> None:
    with refused() as port:
        outcome, events = events_of(rehearsal(plan_of(f"http://127.0.0.1:{port}", payload), "virtual"), tmp_path)
    assert outcome == "promoted"
    assert events.only(LoadTested).url == ""
    assert (events.only(LoadTested).sent, events.only(LoadTested).failed) == (40, 0)


def test_an_endpoint_where_nobody_listens(tmp_path: Path, payload: str) -> None:
    with refused() as port:
        outcome, events = events_of(rehearsal(plan_of(f"http://127.0.0.1:{port}", payload)), tmp_path)
        assert outcome == "rejected"
        assert events.only(LoadTested).errors == {"refused": 40}
        assert events.only(RunEnded).reason == "in the load test: no request succeeded"
        outcome, events = events_of(rehearsal(plan_of(f"http://127.0.0.1:{port}", None)), tmp_path)
        assert outcome == "error"  # nothing could be made to be sent, so nothing is known of the candidate
        assert f"127.0.0.1:{port}" in events.only(RunEnded).reason


def test_one_elsewhere_needs_consent_and_has_a_ceiling(tmp_path: Path, payload: str) -> None:
    of = rehearsal(plan_of("http://198.51.100.7:9", payload))
    assert of.load
    with pytest.raises(InputError, match=r"http://198\.51\.100\.7:9 is not on this machine.*--yes"):
        events_of(of, tmp_path)
    assert not list((tmp_path / "reports").glob("live/*"))
    assert live_test(of, of.load, app.Options(yes=True))
    assert live_test(of, of.load, app.Options(allow_targets=("198.51.100.7",)))
    with pytest.raises(InputError, match=r"asked at most 10/s, and this test asks up to 40/s"):
        live_test(of, of.load, app.Options(yes=True, max_rate="10/s"))


@pytest.fixture
def nothing_left() -> Iterator[None]:
    before = {thread for thread in threading.enumerate() if not thread.daemon}
    yield
    assert not multiprocessing.active_children()
    assert not {thread for thread in threading.enumerate() if not thread.daemon} - before


@pytest.mark.usefixtures("nothing_left")
def test_a_run_that_is_stopped_within_the_test_stops_it_and_leaves_nothing(tmp_path: Path, payload: str) -> None:
    stop = app.Stop()
    with stand_in() as url:
        of = rehearsal(plan_of(url, payload, duration_ns=600 * SECOND))

        def watch(number: int, event: Any) -> None:
            del number
            if isinstance(event, StageStarted) and event.stage == "load":
                threading.Timer(0.2, stop, ["a test"]).start()

        outcome, events = events_of(of, tmp_path, stop, watchers=[watch])
    assert outcome == "aborted"
    assert not events.of(LoadTested)
    assert events.only(RunEnded).at_ns < 120 * SECOND


def test_the_loop_goes_on_while_the_generator_asks(tmp_path: Path, payload: str) -> None:
    """Its own process asks, in a thread it is waited for: the run's loop has time for others."""
    import anyio

    async def main(url: str) -> tuple[int, Any]:
        of = rehearsal(plan_of(url, payload))
        assert of.load
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                await anyio.sleep(0.05)
                beats += 1

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(beat)
            finished = await live_test(of, of.load, app.Options()).test(None, None)  # type: ignore[arg-type]
            tasks.cancel_scope.cancel()
        return beats, finished

    with stand_in() as url:
        beats, finished = anyio.run(main, url)
    assert finished.record.total.counts.succeeded == 40
    assert beats >= 5
