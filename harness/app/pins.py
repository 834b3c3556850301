"""A registry in which a run that is taken up again finds what it had found, whatever its aliases name by now."""

from collections.abc import Mapping
from typing import Any

from harness.domain.model import Revision
from harness.errors import NotRegistered
from harness.protocols import Registry


class Pinned:
    """Another registry, but for what some aliases name.

    A promotion moves the alias ``stable`` to the candidate: who asks for it after a crash must get what was stable
    before.

    Args:
        registry: that is asked for everything else.
        pins: the version that an alias names, by model and alias.
    """

    def __init__(self, registry: Registry, pins: Mapping[tuple[str, str], Revision]) -> None:
        self._registry = registry
        self._pins = pins

    async def resolve(self, name: str, alias: str) -> Revision:
        """The version that the alias named; NotRegistered where it is not there any more."""
        pinned = self._pins.get((name, alias))
        if pinned is None:
            return await self._registry.resolve(name, alias)
        listed = await self._registry.versions(name)
        if all(each.revision.version != pinned.version for each in listed):
            raise NotRegistered(f"the registry holds no {pinned} any more")
        return pinned

    def __getattr__(self, name: str) -> Any:
        return getattr(self._registry, name)
