"""A webhook against a real server on loopback: delivered, tried again, given up on, and never shown."""

from datetime import timedelta
from email.utils import format_datetime

import pytest

from harness import seeds
from harness.backends import webhook
from harness.backends.webhook import Patience, WebhookNotifier
from harness.clock import run_virtual, utc_now
from harness.errors import BackendError, NotificationError
from tests.hooks import SECRET, Hook

QUICK = Patience(attempts=4, attempt_s=5, within_s=30, base_s=0.01)
MESSAGE = {"text": "p95 <= stable & <!channel>", "number": 3, "scenario": "s", "model": "m", "run": "r"}


def notifier(hook: Hook, patience: Patience = QUICK) -> WebhookNotifier:
    return WebhookNotifier(hook.url, seeds.stream(1, "jitter"), patience)


async def test_a_message_arrives_as_slack_takes_it(hook: Hook) -> None:
    await notifier(hook).notify(MESSAGE)
    assert hook.taken == [{**MESSAGE, "text": "p95 &lt;= stable &amp; &lt;!channel&gt;", "mrkdwn": False}]
    assert hook.headers[0]["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "first", [(500, {}, ""), (503, {}, "busy"), (429, {}, "slow down"), "drop"], ids=["500", "503", "429", "dropped"]
)
async def test_what_fails_for_a_while_is_tried_again(first: object, hook: Hook) -> None:
    hook.script = [first, first]
    await notifier(hook).notify(MESSAGE)
    assert (len(hook.attempts), len(hook.taken)) == (3, 1)


async def test_a_server_that_fails_for_good_is_given_up_on_after_so_many_attempts(hook: Hook) -> None:
    hook.script = [(500, {}, "out of order")] * 10
    with pytest.raises(NotificationError, match=r"did not take it in 4 attempts: HTTP 500, out of order") as told:
        await notifier(hook).notify(MESSAGE)
    assert len(hook.attempts) == 4
    assert SECRET not in str(told.value)


@pytest.mark.parametrize("status", [301, 400, 403, 404, 410])
async def test_a_refusal_is_told_at_once(status: int, hook: Hook) -> None:
    hook.script = [(status, {"Location": "/elsewhere"}, f"no_service at /{SECRET}")]
    with pytest.raises(NotificationError, match=rf"refused it: HTTP {status}, no_service at /\*\*\*") as told:
        await notifier(hook).notify(MESSAGE)
    assert len(hook.attempts) == 1
    assert SECRET not in f"{told.value}{notifier(hook)!r}"


async def test_retry_after_is_honoured(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(webhook.anyio, "sleep", sleep)
    later = format_datetime(utc_now() + timedelta(seconds=20), usegmt=True)
    hook.script = [(429, {"Retry-After": "7"}, ""), (503, {"Retry-After": later}, ""), (500, {}, "")]
    await notifier(hook).notify(MESSAGE)
    assert len(hook.taken) == 1
    assert slept[0] == 7
    assert 15 < slept[1] <= 20
    assert slept[2] == pytest.approx(0.03, rel=0.34)  # third back-off of 10 ms: between 20 and 40 ms


async def test_a_server_that_wants_more_time_than_there_is_is_not_waited_for(hook: Hook) -> None:
    hook.script = [(429, {"Retry-After": "3600"}, "rate_limited")]
    with pytest.raises(NotificationError, match="in 1 attempts: HTTP 429, rate_limited"):
        await notifier(hook).notify(MESSAGE)


async def test_a_server_that_never_answers_has_its_time_and_no_more(hook: Hook) -> None:
    hook.script = ["hang"] * 3
    with pytest.raises(NotificationError, match=r"in 2 attempts: no answer within 0\.05 s"):
        await notifier(hook, Patience(attempts=2, attempt_s=0.05, base_s=0.001)).notify(MESSAGE)
    assert not hook.taken


async def test_nobody_there_is_told_without_the_url(hook: Hook) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        url = f"http://someone:pass-word@127.0.0.1:{taken.getsockname()[1]}/{SECRET}"
        with pytest.raises(NotificationError, match="did not take it in 4 attempts") as told:
            await WebhookNotifier(url, patience=QUICK).notify(MESSAGE)
    assert SECRET not in str(told.value)
    assert "pass-word" not in str(told.value)


def test_waits_double_and_scatter() -> None:
    waits = [[Patience().wait_s(attempt, drawn) for drawn in (0.0, 0.999)] for attempt in range(1, 8)]
    assert [round(low, 9) for low, _ in waits] == [0.25, 0.5, 1, 2, 4, 8, 10]
    assert all(low < high < 2 * low for low, high in waits)


def test_two_webhooks_of_one_stream_draw_alike() -> None:
    first, second = (WebhookNotifier("http://h/x", seeds.stream(7, "jitter")) for _ in range(2))
    drawn = [first._drawn() for _ in range(5)]
    assert drawn == [second._drawn() for _ in range(5)]
    assert len(set(drawn)) == 5


def test_virtual_time_has_no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotificationError, match="--clock real"):
        run_virtual(WebhookNotifier("http://127.0.0.1:9/x").notify, MESSAGE)


@pytest.mark.parametrize(
    "url", ["ftp://h/s3cr3t", "https:///s3cr3t", "s3cr3t", "http://h:99999/s3cr3t", "http://h/s3c r3t"]
)
def test_what_is_no_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(BackendError, match="http") as told:
        WebhookNotifier(url)
    assert "s3c" not in str(told.value)


def test_the_url_may_stand_in_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(webhook.VARIABLE, raising=False)
    with pytest.raises(BackendError, match="HARNESS_WEBHOOK_URL"):
        WebhookNotifier()
    monkeypatch.setenv(webhook.VARIABLE, f"https://hooks.example.org/{SECRET}")
    assert WebhookNotifier().place == "https://hooks.example.org/***"
