"""Staging environments that keep something outside: where, and what of theirs a killed harness left."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import clock


def environments(stages: Any) -> Iterator[Any]:
    """The staging platforms behind a run's stages, each in its turn the only one that is up."""
    for stage in stages:
        for holder in (stage, getattr(stage, "tester", None)):
            platform = getattr(holder, "platform", None)
            if hasattr(platform, "place"):
                yield platform


def cleared(state: Path, run: str) -> None:
    """End what a killed harness left in a run's staging: a candidate is tried anew there, and from the start.

    Args:
        state: `Place.state`.
        run: that is taken up again; its lease is held.

    Raises:
        BackendError: a process is still there.
    """
    from harness.backends import processes
    from harness.backends.staging import ENDS

    async def end() -> None:
        for note in processes.notes(state, run + ENDS):
            await processes.stop(note)

    if (state / "processes").exists():
        clock.run_real(end)
