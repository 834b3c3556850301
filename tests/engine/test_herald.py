"""People are told beside everything else: what is told when, and that nothing waits for it."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import anyio
import pytest

from fakes.notifier import MemoryNotifier
from harness import engine
from harness.backends.log import LogNotifier
from harness.backends.webhook import WebhookNotifier
from harness.clock import run_real, run_virtual
from harness.domain.event import Escalated, Notified, RolledBack, RunEnded
from harness.domain.fault import Errors
from harness.domain.rollout import Outcome, Pause, SetWeight
from harness.domain.scenario import Clock
from harness.domain.units import SECOND
from harness.engine import herald
from harness.engine.herald import Herald
from harness.errors import LogError
from harness.log import EventLog, Events
from tests.build import analysis, fault, parts, policy, rehearse, scenario

BAD = scenario(faults=(fault(Errors(0.5)),))


class Hangs:
    """Takes no message, ever."""

    realtime = False

    def __init__(self) -> None:
        self.asked = 0

    async def notify(self, message: Mapping[str, Any]) -> None:
        del message
        self.asked += 1
        await anyio.sleep_forever()


class Breaks:
    """A defect of somebody else."""

    realtime = False

    async def notify(self, message: Mapping[str, Any]) -> None:
        raise ZeroDivisionError("whatever")


def told(events: Events, channel: str) -> list[tuple[str, bool, str]]:
    return [(each.what, each.delivered, each.detail) for each in events.of(Notified) if each.channel == channel]


def test_what_matters_is_told_on_every_channel_and_stands_in_the_log() -> None:
    memory = MemoryNotifier()
    outcome, events = rehearse(BAD, parts(BAD, notifiers={"log": LogNotifier(), "memory": memory}))
    assert outcome is Outcome.ROLLED_BACK
    assert memory.texts
    assert memory.texts[-1] == f"{BAD.name}: rolled_back, {events.only(RunEnded).reason}"
    assert [message["number"] for message in memory.told] == list(range(1, len(memory.told) + 1))
    assert {(message["scenario"], message["model"]) for message in memory.told} == {(BAD.name, "m")}
    for channel in ("log", "memory"):
        assert told(events, channel) == [(text, True, "") for text in memory.texts]


def test_nobody_to_tell_changes_nothing() -> None:
    _, events = rehearse(BAD)
    assert not events.of(Notified)


@pytest.mark.parametrize("broken", [Hangs, Breaks])
def test_a_channel_that_hangs_or_breaks_changes_no_other_event(broken: type[Any]) -> None:
    _, without = rehearse(BAD)
    memory = MemoryNotifier()
    outcome, events = rehearse(BAD, parts(BAD, notifiers={"broken": broken(), "memory": memory}))
    assert outcome is Outcome.ROLLED_BACK

    def decided(of: Events) -> list[object]:
        return [each for each in of if not isinstance(each, Notified | RunEnded)]

    when = {type(each): each.at_ns for each in decided(without)}
    assert {type(each): each.at_ns for each in decided(events)} == when
    assert told(events, "memory")[-1][1]
    undelivered = told(events, "broken")
    assert [text for text, *_ in undelivered] == list(memory.texts)
    assert not any(delivered for _, delivered, _ in undelivered)
    later = events.only(RunEnded).at_ns - without.only(RunEnded).at_ns
    assert later == (herald.LAST_S * SECOND if broken is Hangs else 0)


def test_on_virtual_time_a_webhook_is_not_sent_and_that_is_told_once() -> None:
    of = policy(BAD)
    _, events = rehearse(
        of, parts(of, notifiers={"webhook": WebhookNotifier("http://127.0.0.1:9/x"), "log": LogNotifier()})
    )
    [(_, delivered, detail)] = told(events, "webhook")
    assert not delivered
    assert "--clock real" in detail


def test_the_oldest_message_is_given_up_for_a_newer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(herald, "WAITING", 2)
    heard: list[tuple[str, str, bool, str]] = []

    async def work() -> None:
        made = Herald({}, {"hung": Hangs()}, lambda *words: heard.append(words))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(made.run)
            for text in ("one", "two", "three"):
                made.say(text)
            await made.finish()
            tasks.cancel_scope.cancel()

    run_virtual(work)
    assert heard == [
        ("hung", "one", False, "2 newer messages wait"),
        ("hung", "two", False, "the run has ended"),
        ("hung", "three", False, "the run has ended"),
    ]


def test_a_hung_channel_is_asked_anew_for_the_next_message() -> None:
    heard: list[tuple[str, str, bool, str]] = []
    hung = Hangs()

    async def work() -> None:
        made = Herald({}, {"hung": hung}, lambda *words: heard.append(words))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(made.run)
            made.say("one")
            made.say("two")
            await anyio.sleep(herald.WITHIN_S * 2 + 1)
            tasks.cancel_scope.cancel()

    run_virtual(work)
    assert hung.asked == 2
    assert [(text, detail) for _, text, _, detail in heard] == [
        ("one", "not taken within 60 s"),
        ("two", "not taken within 60 s"),
    ]


def test_what_the_log_hides_no_channel_tells() -> None:
    memory, heard = MemoryNotifier(), []

    async def work() -> None:
        log = EventLog(secrets=["hunter2"])
        made = Herald({}, {"memory": memory}, lambda *words: heard.append(words), log.masked)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(made.run)
            made.say("https://ann:swordfish@registry refuses hunter2")
            await anyio.sleep(1)
            tasks.cancel_scope.cancel()

    run_virtual(work)
    (text,) = memory.texts
    assert text == "https://***@registry refuses ***"
    assert [said for _, said, *_ in heard] == [text]


class FullDisk(EventLog):
    """Cannot be written where somebody was told."""

    def append(self, event: Any) -> int:
        if isinstance(event, Notified):
            raise LogError("no room")
        return super().append(event)


def test_a_log_that_fails_where_people_are_told_ends_the_run_as_such() -> None:
    paused = policy(scenario(), steps=(SetWeight(1000), Pause(None)))
    with pytest.raises(LogError, match="no room"):
        run_virtual(engine.run, paused, parts(paused, notifiers={"log": LogNotifier()}), FullDisk())


# --- on real time, against real sockets -------------------------------------------------------------------------------


REAL = replace(
    policy(
        scenario(clock=Clock.REAL, horizon_ns=30 * SECOND, faults=(fault(Errors(0.9)),)),
        steps=(SetWeight(5000), Pause(20 * SECOND)),
        analysis=analysis(every_ns=SECOND // 5, window_ns=SECOND // 5, min_requests=3, failure_limit=0),
    )
)


def test_a_server_that_never_answers_delays_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rollback is over before the server, which waits for that, answers for the first time."""
    monkeypatch.setattr(herald, "LAST_S", 0.2)
    quick = {role: replace(service, startup_ns=SECOND // 10) for role, service in REAL.service.items()}
    of = replace(REAL, service=quick)
    log, memory = EventLog(), MemoryNotifier()
    waiting: list[object] = []

    async def work() -> Outcome:
        async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            waiting.append(await reader.readline())
            await reader.read()  # until the other side has given up
            writer.close()

        server = await asyncio.start_server(never, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        webhook = WebhookNotifier(f"http://127.0.0.1:{port}/hook")
        try:
            return await engine.run(of, parts(of, notifiers={"webhook": webhook, "memory": memory}), log)
        finally:
            server.close()

    assert run_real(work) is Outcome.ROLLED_BACK
    events = Events(log.events)
    assert waiting
    assert events.of(RolledBack)
    assert not events.of(Escalated)
    assert told(events, "memory") == [(text, True, "") for text in memory.texts]
    assert [(delivered, detail) for _, delivered, detail in told(events, "webhook")] == [
        (False, "the run has ended")
    ] * len(memory.texts)
