"""Trying again, with ever longer pauses in between, and giving up in time."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Final, TypeVar

import anyio

from harness.domain.attempts import Attempts
from harness.domain.units import MINUTE, SECOND, duration_text
from harness.errors import BackendError
from harness.seeds import Stream

T = TypeVar("T")

LONGEST_NS: Final = 5 * MINUTE
"""No pause is longer."""


class TimeLimitError(BackendError):
    """A stage took as long as it may, and was given up on."""


def pauses(attempts: Attempts, draws: Stream) -> Iterator[int]:
    """How long to wait before each attempt after the first, in ns: twice as long each time, and at most `LONGEST_NS`.

    Each is shortened at random by up to half ("equal jitter"), so that those who failed together do not come back
    together.

    >>> from harness.seeds import stream
    >>> len(list(pauses(Attempts(retries=3), stream(1, "x"))))
    3
    """
    for number in range(attempts.retries):
        longest = min(attempts.backoff_ns * 2**number, LONGEST_NS)
        yield round(longest * (0.5 + 0.5 * float(draws.generator(number).random())))


async def limited(what: str, work: Callable[[], Awaitable[T]], timeout_ns: int | None) -> T:
    """What the work answers, unless it takes as long as its limit.

    Raises:
        TimeLimitError: it did.
    """
    with anyio.move_on_after(None if timeout_ns is None else timeout_ns / SECOND):
        return await work()
    raise TimeLimitError(f"{what} was given up after {duration_text(timeout_ns or 0)}, its time limit")


async def tried(
    what: str,
    work: Callable[[], Awaitable[T]],
    attempts: Attempts,
    draws: Stream,
    *,
    retryable: tuple[type[Exception], ...] = (BackendError,),
    again: Callable[[int, Exception, int], None] = lambda number, error, waits_ns: None,
) -> T:
    """What the work answers, tried again where an error is one that may pass.

    Args:
        what: is done, as the subject of a sentence.
        work: begins anew with each call.
        attempts: how often, and how long.
        draws: what pauses are drawn from.
        retryable: errors that may pass. A time limit is none of them, unless `TimeLimitError` itself is named.
        again: told of the attempt that failed (from 1), why, and how many ns the pause is.

    Raises:
        Exception: what the last attempt raised.
    """
    waiting = pauses(attempts, draws)
    number = 0
    while True:
        number += 1
        try:
            return await limited(what, work, attempts.timeout_ns)
        except retryable as error:
            waits_ns = None if _final(error, retryable) else next(waiting, None)
            if waits_ns is None:
                raise
            again(number, error, waits_ns)
        await anyio.sleep(waits_ns / SECOND)


def _final(error: Exception, retryable: tuple[type[Exception], ...]) -> bool:
    return isinstance(error, TimeLimitError) and TimeLimitError not in retryable
