"""`harness approve`, `reject`, `promote` and `abort`: what takes no orders is refused; what does answers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from harness import app
from harness.clock import run_real
from harness.domain.event import RunEnded, RunStarted
from harness.domain.faster import TimeScaled, faster
from harness.domain.order_event import Spoken
from harness.domain.rollout import Outcome
from harness.log import EventLog
from harness.state import lease as leases
from harness.state.inbox import Inbox
from tests.shipped import SCENARIOS

WORDS = ("approve", "reject", "promote", "abort")


def begun(name: str, clock: str = "real", **host: Any) -> Path:
    """A run's folder, whose log has begun."""
    folder = Path("reports/s") / name
    folder.mkdir(parents=True)
    log = EventLog(folder / "events.jsonl")
    log.append(RunStarted(0, 1, "s", "", 7, clock, 10**9, "canary", (), (), (), 0, 0, (), (), **host))
    log.close()
    return folder


def ended(folder: Path) -> None:
    log, _ = EventLog.reopen(folder / "events.jsonl")
    log.append(RunEnded(5, Outcome.PROMOTED, "every step was passed", {}, 1.0))
    log.close()


@contextmanager
def driven(name: str, answer: str | None = None, *, accepted: bool = True) -> Iterator[list[Spoken]]:
    """A harness in small: it has the lease, and answers what it takes; None: it never looks."""
    heard: list[Spoken] = []
    over = threading.Event()

    state = Path("reports/.state").resolve()

    async def listen() -> None:
        inbox = Inbox(state, f"s/{name}")
        while not over.is_set():
            for spoken in await inbox.take() if answer is not None else ():
                heard.append(spoken)
                await inbox.answer(spoken.number, answer or "", accepted=accepted)
            await anyio.sleep(0.02)

    lease = leases.acquire(state, f"simulated/{name}", name)
    listening = threading.Thread(target=run_real, args=(listen,))
    listening.start()
    try:
        yield heard
    finally:
        over.set()
        listening.join()
        lease.release()


@pytest.mark.parametrize("word", WORDS)
def test_a_run_that_is_driven_answers(word: str, call: Any) -> None:
    begun("20260101T000000-7")
    with driven("20260101T000000-7", "so be it") as heard:
        done = call(word, "20260101T000000-7", "--by", "ann", "--reason", "looks right")
        assert (done.code, done.out) == (0, f"20260101T000000-7: so be it ({word} by ann)\n")
        assert call(word, "latest").code == 0  # the one that is under way, though no link names it
    assert [(each.order.value, each.note) for each in heard] == [(word, "looks right"), (word, "")]
    assert heard[0].by == "ann"
    assert heard[1].by  # whoever runs this


def test_an_order_that_changes_nothing_is_told(call: Any) -> None:
    begun("20260101T000000-7")
    with driven("20260101T000000-7", "nothing waits for an approval now", accepted=False):
        done = call("approve", "latest")
    assert (done.code, done.err) == (2, "20260101T000000-7: nothing waits for an approval now\n")


def test_what_is_not_taken_in_time_is_withdrawn(call: Any) -> None:
    begun("20260101T000000-7")
    with driven("20260101T000000-7"):
        done = call("abort", "latest", "--wait", "300ms")
        assert (done.code, "did not take the order within 300ms" in done.err) == (3, True)
        assert call("abort", "latest", "--wait", "0s").out == "20260101T000000-7: the order is in its inbox\n"
    state = Path("reports/.state").resolve()
    assert len(run_real(Inbox(state, "s/20260101T000000-7").take)) == 1  # the one that was left there


def test_a_run_that_takes_no_orders_is_refused_with_what_to_do(call: Any) -> None:
    ended(begun("20260101T000000-7"))
    begun("20260101T000001-7", "virtual")
    begun("20260101T000002-7")
    told = {
        "20260101T000000-7": "20260101T000000-7 has ended: promoted, every step was passed",
        "20260101T000001-7": "virtual time, which waits for nobody; script what people say in its scenario: approvals:",
        "20260101T000002-7": "the harness that drove 20260101T000002-7 is gone; take it up again with `harness resume",
        "nobody": "no run 'nobody' below reports",
    }
    for run, text in told.items():
        done = call("approve", run)
        assert (done.code, text in done.err) == (2, True), done.err
    assert call("approve", "20260101T000000-7", "--by", " ").code == 2
    assert "one line" in call("approve", "20260101T000000-7", "--reason", "a\nb").err


def test_latest_among_several_that_are_under_way_names_them(call: Any) -> None:
    for name in ("20260101T000000-7", "20260101T000001-7"):
        begun(name)
    with driven("20260101T000000-7"), driven("20260101T000001-7"):
        done = call("promote", "latest")
    assert done.code == 2
    assert "name one of 20260101T000000-7, 20260101T000001-7" in done.err


def test_waiting_is_shortened_on_real_time_only(call: Any) -> None:
    done = call("run", SCENARIOS / "canary_regression.yaml", "--time-scale", "60")
    assert (done.code, "leave --time-scale out, or add --clock real" in done.err) == (2, True)
    assert not Path("reports").exists()
    assert call("run", SCENARIOS / "canary_regression.yaml", "--time-scale", "0.5").code == 2


def test_a_run_that_was_cut_off_keeps_its_time_scale(call: Any) -> None:
    del call  # an empty folder
    path = str(SCENARIOS / "canary_regression.yaml")
    scenario = app.load_scenario(path, clock="real", quick=True)
    folder = begun("20260101T000000-7", path=path, text=scenario.text, run_id="r", overrides=scenario.overrides)
    assert app.cut_off(folder).scenario == scenario
    log, _ = EventLog.reopen(folder / "events.jsonl")
    log.append(TimeScaled(1, 60.0))
    log.close()
    assert app.cut_off(folder).scenario == faster(scenario, 60.0)
