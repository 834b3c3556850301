"""Calls of backends: each has an end, and whatever one raises is an error of that backend and no defect of ours."""

from collections.abc import Awaitable
from typing import Final, TypeVar

import anyio

from harness.errors import BackendError, HarnessError

T = TypeVar("T")

ANSWER_S: Final = 60.0
"""A backend that has not answered a call by then is given up on. What it was asked may have been done."""


async def answered(what: str, call: Awaitable[T], within_s: float = ANSWER_S) -> T:
    """The answer of a backend.

    Args:
        what: was asked, as the subject of a sentence.
        call: under way.
        within_s: it must have answered by then.

    Raises:
        BackendError: it raised something of its own, or gave no answer in time.
    """
    with anyio.move_on_after(within_s):
        try:
            return await call
        except HarnessError:
            raise
        except Exception as error:
            raise BackendError(f"{what} failed: {str(error) or repr(error)}") from error
    raise BackendError(f"{what} was not answered within {within_s:g} s")
