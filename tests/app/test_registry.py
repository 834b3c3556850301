"""Promoting and going back by hand, whatever is asked in whatever order, and wherever it is cut off."""

import asyncio
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.registry import MemoryRegistry
from harness.app.registry import Moved, Named, promote, rollback
from harness.contracts import sample_model
from harness.errors import RegistryError
from harness.protocols import Version

NAME = "checked-model"
VERSIONS = 4
Command = int
"""A version to promote; 0: go back."""
COMMANDS = st.lists(st.integers(0, VERSIONS), max_size=12)


class Fragile(MemoryRegistry):
    """Fails at the call of a number, before its effect or after it."""

    def __init__(self) -> None:
        super().__init__()
        self.fails_in, self.after = -1, False

    async def _do(self, effect: Any) -> None:
        self.fails_in -= 1
        failing = self.fails_in == -1
        if failing and not self.after:
            effect.close()
            raise RegistryError("cut")
        await effect
        if failing:
            raise RegistryError("cut")

    async def set_alias(self, revision: Any, alias: str) -> None:
        await self._do(super().set_alias(revision, alias))

    async def remove_alias(self, name: str, alias: str) -> None:
        await self._do(super().remove_alias(name, alias))

    async def mark(self, revision: Any, status: str) -> None:
        await self._do(super().mark(revision, status))


async def filled() -> Fragile:
    registry = Fragile()
    for number in range(1, VERSIONS + 1):
        await registry.register(sample_model(number), f"intent-{number}")
    return registry


async def ask(registry: Fragile, command: Command) -> Moved:
    return await (promote(registry, Named(NAME, version=command)) if command else rollback(registry, NAME))


def alias(versions: Sequence[Version], wanted: str) -> int:
    return next((each.revision.version for each in versions if wanted in each.aliases), 0)


def picture(versions: Sequence[Version]) -> tuple[int, int, tuple[str, ...]]:
    """What is stable, what is previous (0: nothing), and all marks."""
    return alias(versions, "stable"), alias(versions, "previous"), tuple(each.status for each in versions)


def expected(before: tuple[int, int, tuple[str, ...]], command: Command) -> tuple[int, int, tuple[str, ...]]:
    """The whole of it in a few words: what a command makes of a state."""
    stable, previous, told = before
    marks = dict(enumerate(told, start=1))
    if command:
        if marks[command] == "bad":
            return before
        if command != stable:
            stable, previous = command, stable if marks.get(stable) != "bad" else 0
        marks[command] = "verified"
    elif stable and previous and marks[previous] != "bad":
        marks[stable] = "bad"
        stable, previous = previous, 0
    return stable, previous, tuple(marks.values())


@settings(deadline=None)  # the first call fits the models
@given(COMMANDS)
def test_every_sequence_of_commands_comes_to_what_the_rules_say(commands: list[Command]) -> None:
    async def work() -> None:
        registry = await filled()
        state = picture(await registry.versions(NAME))
        for command in commands:
            moved = await ask(registry, command)
            found = picture(await registry.versions(NAME))
            assert found == expected(state, command)
            assert moved.changed == (found != state)
            assert (moved.stable.revision.version if moved.stable else 0) == found[0]
            # Neither what serves nor the way back is known to be bad, and they are two.
            stable, previous, marks = found
            assert not any(number and marks[number - 1] == "bad" for number in (stable, previous))
            assert not stable or stable != previous
            state = found

    asyncio.run(work())


@settings(deadline=None)  # the first call fits the models
@given(COMMANDS, st.integers(0, VERSIONS), st.integers(0, 3), st.booleans())
def test_a_command_that_was_cut_off_is_finished_by_asking_again(
    commands: list[Command], last: Command, call: int, after: bool
) -> None:
    async def work() -> None:
        registry = await filled()
        for command in commands:
            await ask(registry, command)
        whole = expected(picture(await registry.versions(NAME)), last)
        registry.fails_in, registry.after = call, after
        try:
            await ask(registry, last)
        except RegistryError:
            registry.fails_in = -1
            await ask(registry, last)
        assert picture(await registry.versions(NAME)) == whole

    asyncio.run(work())


@settings(deadline=None)  # the first call fits the models
@given(COMMANDS)
def test_going_back_twice_goes_back_once(commands: list[Command]) -> None:
    async def work() -> None:
        registry = await filled()
        for command in commands:
            await ask(registry, command)
        await rollback(registry, NAME)
        once = picture(await registry.versions(NAME))
        again = await rollback(registry, NAME)
        assert again.refused
        assert picture(await registry.versions(NAME)) == once

    asyncio.run(work())
