"""The stand-in behind ``harness serve --fake``: an endpoint whose speed and faults are set by hand, also while it runs.

settings.py   what can be set, in the words of a scenario; read with all errors at once
fate.py       what becomes of request number n: drawn from the seed, whatever came before
still.py      standing still for a while in every period
alarm.py      waking at a nanosecond, where loops keep milliseconds
workers.py    some servers with one queue before them
bodies.py     what is answered, in each protocol; the OpenAPI document
pieces.py     answers that come slowly, in chunks, or not to their end
metrics.py    what is counted
app.py        the application over them
beside.py     the application in a thread, beside a program
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from harness.serving.fake.settings import FLAGS, FakeSettings, Flag, from_flags, read, shown

if TYPE_CHECKING:
    from harness.serving.fake.app import application
    from harness.serving.fake.beside import stand_in

_SERVING = {"application": "app", "stand_in": "beside"}

__all__ = ["FLAGS", "FakeSettings", "Flag", "application", "from_flags", "read", "shown", "stand_in"]


def __getattr__(name: str) -> Any:
    """Import what serves when it is first used: `--help` reads the flags, and need not wait for aiohttp."""
    if name not in _SERVING:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"harness.serving.fake.{_SERVING[name]}"), name)
