"""Every notifier keeps the promises, and each check notices one that breaks its own."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from fakes.notifier import MemoryNotifier
from harness import seeds
from harness.backends.log import LogNotifier
from harness.backends.webhook import WebhookNotifier
from harness.contracts import NOTIFIER_CHECKS, Heard, check_notifier
from harness.protocols import Notifier
from tests.hooks import Hook


def memory(kind: type[MemoryNotifier] = MemoryNotifier) -> tuple[Notifier, Heard]:
    notifier = kind()
    return notifier, lambda: notifier.texts


async def test_the_notifier_in_memory_keeps_every_promise() -> None:
    await check_notifier(memory)


@pytest.mark.parametrize("name", NOTIFIER_CHECKS)
async def test_a_webhook_keeps_every_promise(name: str, hook: Hook) -> None:
    notifier = WebhookNotifier(hook.url, seeds.stream(1, "jitter"))
    # Slack reads entities back as the three letters that they stand for.
    await NOTIFIER_CHECKS[name](notifier, lambda: [html.unescape(body["text"]) for body in hook.taken])


async def test_the_log_as_a_channel_takes_everything() -> None:
    assert LogNotifier.realtime is False
    await LogNotifier().notify({"text": "anything"})


class Loses(MemoryNotifier):
    """Takes the same text for the same message."""

    async def notify(self, message: Mapping[str, Any]) -> None:
        if message["text"] not in self.texts:
            await super().notify(message)


class Shortens(MemoryNotifier):
    async def notify(self, message: Mapping[str, Any]) -> None:
        await super().notify({**message, "text": message["text"][:80]})


class KeepsTheirs(MemoryNotifier):
    """Keeps the caller's message instead of what it said."""

    async def notify(self, message: Mapping[str, Any]) -> None:
        self.told.append(message)


class OneAtATime(MemoryNotifier):
    """Overwrites what another task has put there."""

    async def notify(self, message: Mapping[str, Any]) -> None:
        import anyio

        before: Sequence[Mapping[str, Any]] = tuple(self.told)
        await anyio.lowlevel.checkpoint()
        self.told = [*before, dict(message)]


BROKEN = [
    (Loses, "what_is_told_arrives_in_order", "has arrived, in order"),
    (Shortens, "a_text_arrives_whole", "a text arrives whole"),
    (KeepsTheirs, "a_message_is_left_as_it_was", "stays as it was told"),
    (OneAtATime, "several_at_once_all_arrive", "each arrives once"),
]


@pytest.mark.parametrize(("broken", "name", "sentence"), BROKEN)
async def test_a_broken_notifier_is_told_which_promise_it_breaks(
    broken: type[MemoryNotifier], name: str, sentence: str
) -> None:
    with pytest.raises(AssertionError, match=sentence):
        await NOTIFIER_CHECKS[name](*memory(broken))


def test_every_check_has_been_seen_to_fail() -> None:
    assert {name for _, name, _ in BROKEN} == set(NOTIFIER_CHECKS)
