"""A harness that has lost its lease: it does nothing more, writes nothing more, and does not settle."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness import engine
from harness.clock import run_virtual
from harness.errors import LeaseLost
from harness.log import EventLog
from tests.build import policy, scenario
from tests.engine.test_resume import RULE, STEPS
from tests.surviving import World, in_memory, made_of, told

CANARY = policy(scenario(), steps=STEPS, analysis=RULE)


def outside(world: World) -> object:
    """What others can see of a world."""
    kept = world.registry.kept("m") if world.registry._shelves else ()
    versions = [(each.revision.version, each.aliases, each.status) for each in kept]
    return world.wanted, world.routing, world.down, versions


class Taken:
    """A lease that is taken over once so many lines were written."""

    def __init__(self, lines: int) -> None:
        self.left = lines

    def see(self, *_: object) -> None:
        self.left -= 1

    @contextmanager
    def guard(self) -> Iterator[None]:
        if self.left <= 0:
            raise LeaseLost("another harness drives it now")
        yield


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory."""
    with in_memory() as folder:
        yield folder


@pytest.mark.parametrize("errors", [0.0, 0.5])
def test_from_the_line_that_it_could_not_write_nothing_changes(errors: float, tmp_path: Path) -> None:
    whole = told(CANARY, tmp_path / "whole.jsonl", errors)
    for number in range(1, len(whole.lines), 3):
        world, path, taken = World(), tmp_path / f"{number}.jsonl", Taken(number)
        log = EventLog(path, durable=True, guard=taken.guard)
        log.watch(taken.see)
        with pytest.raises(LeaseLost):
            run_virtual(engine.run, CANARY, made_of(CANARY, world, errors), log)
        log.close()
        assert path.read_bytes().count(b"\n") == number
        assert world.left == (b'"deploy"' in path.read_bytes())
        assert outside(world) in (outside(whole.late(number - 1)), outside(whole.worlds[number - 1]))
