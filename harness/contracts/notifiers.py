"""What a notifier must keep."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import anyio

from harness.contracts.checks import hold
from harness.protocols import Notifier

Heard = Callable[[], Sequence[str]]
"""The texts that have arrived where a notifier delivers to, in order."""


async def check_notifier(make: Callable[[], tuple[Notifier, Heard]]) -> None:
    """Run every check of a notifier, on a loop in which it works.

    Args:
        make: gives a new notifier each time, and what tells which texts have arrived at the other end since.

    Raises:
        AssertionError: a promise is broken; the message says which.
    """
    for check in NOTIFIER_CHECKS.values():
        await check(*make())


async def what_is_told_arrives_in_order(notifier: Notifier, heard: Heard) -> None:
    """A message has arrived when `notify` returns; the same text told twice arrives twice."""
    hold(isinstance(notifier.realtime, bool), "a notifier says whether it reaches into the outside world")
    told: list[str] = []
    for text in ("one", "two", "two", "three"):
        await notifier.notify(_message(text))
        told.append(text)
        hold(list(heard()) == told, f"what was told has arrived, in order: {told} became {list(heard())}")


async def a_text_arrives_whole(notifier: Notifier, heard: Heard) -> None:
    """Whatever letters it has, and however long it is."""
    texts = ['p95 <= stable * 1.5 & "f1" > 0.5', "zurück auf Version 1 · ✓ 🙂", "two\nlines\t_and_ `marks`", "a" * 3000]
    for text in texts:
        await notifier.notify(_message(text))
    for text, arrived in zip(texts, heard(), strict=True):
        hold(arrived == text, f"a text arrives whole: {text[:40]!r} became {arrived[:40]!r}")


async def a_message_is_left_as_it_was(notifier: Notifier, heard: Heard) -> None:
    """It is the caller's: the notifier does not change it, and what the caller does to it later changes nothing."""
    message = _message("as it was")
    before = dict(message)
    await notifier.notify(MappingProxyType(message))
    hold(message == before, "a message is not changed by the notifier")
    message["text"] = "changed since"
    hold(list(heard()) == ["as it was"], "what was told stays as it was told")


async def several_at_once_all_arrive(notifier: Notifier, heard: Heard) -> None:
    """Told at the same time, each arrives once."""
    texts = [f"number {number}" for number in range(8)]
    async with anyio.create_task_group() as tasks:
        for text in texts:
            tasks.start_soon(notifier.notify, _message(text))
    hold(sorted(heard()) == texts, f"of {len(texts)} told at once each arrives once: {sorted(heard())}")


NotifierCheck = Callable[[Notifier, Heard], Awaitable[None]]
NOTIFIER_CHECKS: Final[Mapping[str, NotifierCheck]] = {
    check.__name__: check
    for check in (
        what_is_told_arrives_in_order,
        a_text_arrives_whole,
        a_message_is_left_as_it_was,
        several_at_once_all_arrive,
    )
}
"""By name; each gets a notifier that nobody has told anything."""


def _message(text: str) -> dict[str, Any]:
    return {"text": text, "number": 1, "scenario": "checked", "model": "checked-model", "run": "checked-run"}
