"""What a run is about to do is on disk before it is done: seen at the file's own sync, and at every effect."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from fakes.registry import MemoryRegistry
from fakes.tracker import MemoryTracker
from harness import engine
from harness.clock import run_virtual
from harness.domain.event import Intended
from harness.domain.model import Role
from harness.domain.rollout import Outcome, Pause, Routing, SetWeight, Weights
from harness.domain.units import MINUTE, SECOND
from harness.log import EventLog, read
from tests.build import Models, analysis, parts, policy, scenario
from tests.surviving import Router, Surviving, World, in_memory

EFFECTS = {
    "register": "register", "set_alias": "alias", "remove_alias": "unalias", "mark": "mark", "record": "track",
}  # fmt: skip
"""What a registry and a tracker are asked, and how the intent of it is called."""


class Recorder:
    """Syncs of the log and effects of the run, in their order.

    Args:
        path: of the log.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.synced: dict[int, str] = {}
        """Intents that stood in the file when it was synced last: number and action."""
        self.log: EventLog | None = None
        self.done: list[tuple[str, int, bool]] = []
        """Effects: the action, the intent that was logged last, and whether it was on disk."""

    def sync(self, descriptor: int) -> None:
        """In the place of `os.fsync`."""
        if self.path.exists() and os.path.samestat(os.fstat(descriptor), self.path.stat()):
            self.synced = {each.intent: each.action for each in read(self.path).of(Intended)}

    def effect(self, action: str) -> None:
        """One is about to be had."""
        assert self.log is not None
        intended = [each for each in self.log.events if isinstance(each, Intended)][-1]
        self.done.append((action, intended.intent, self.synced.get(intended.intent) == action))


class Seen:
    """A registry or tracker whose effects are recorded."""

    def __init__(self, inner: Any, recorder: Recorder) -> None:
        self._inner, self._recorder = inner, recorder

    def __getattr__(self, name: str) -> Any:
        if name in EFFECTS:
            self._recorder.effect(EFFECTS[name])
        return getattr(self._inner, name)


class SeenRouter(Router):
    recorder: Recorder

    async def apply(self, want: Routing) -> Weights:
        self.recorder.effect("route")
        return await super().apply(want)


class SeenPlatform(Surviving):
    """A platform whose changes are recorded."""

    def __init__(self, recorder: Recorder, errors: float) -> None:
        super().__init__(World(), errors)
        self.recorder = recorder

    @property
    def router(self) -> SeenRouter:
        made = SeenRouter(self.world)
        made.recorder = self.recorder
        return made

    async def apply(self, replicas: Mapping[Role, int]) -> None:
        self.recorder.effect("scale")
        await super().apply(replicas)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    with in_memory() as folder:
        found = Recorder(folder / "events.jsonl")
        monkeypatch.setattr("harness.log.os.fsync", found.sync)
        yield found


@pytest.mark.parametrize(("errors", "outcome"), [(0.0, Outcome.PROMOTED), (0.9, Outcome.ROLLED_BACK)])
def test_every_intent_is_on_disk_before_its_effect(recorder: Recorder, errors: float, outcome: Outcome) -> None:
    rule = analysis("error_rate <= stable + 5%", every_ns=20 * SECOND, window_ns=20 * SECOND, min_requests=10)
    of = policy(scenario(), steps=(SetWeight(1000), Pause(MINUTE)), analysis=rule)
    log = recorder.log = EventLog(recorder.path, durable=True)
    made = parts(
        of,
        SeenPlatform(recorder, errors),
        stages=[Models()],
        registry=Seen(MemoryRegistry(), recorder),
        tracker=Seen(MemoryTracker(), recorder),
    )
    try:
        assert run_virtual(engine.run, of, made, log) is outcome
    finally:
        log.close()
    assert [each for each in recorder.done if not each[2]] == []
    intents = Counter(each.action for each in read(recorder.path).of(Intended))
    assert Counter(action for action, _, _ in recorder.done) == intents
    assert {"register", "alias", "scale", "route"} <= set(intents)
