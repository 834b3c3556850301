"""The replicas of each arm: which of them is asked next, and when one that was left out has nothing left to answer."""

import asyncio
from collections.abc import Collection, Iterable
from typing import Final

from harness.domain.model import Role
from harness.domain.units import SECOND
from harness.realtime import Behind

AILING_NS: Final = SECOND
"""How long a replica that could not be reached is asked only where there is no other: one that is dead has the fewest
requests under way, and would be asked first every time."""


class Replica:
    """One of them; written for speed, since it is chosen for every request."""

    __slots__ = ("ailing_until_ns", "outstanding", "url")

    def __init__(self, url: str) -> None:
        self.url = url
        self.outstanding = 0
        """Requests that it has not answered yet, copies too."""
        self.ailing_until_ns = 0


class Replicas:
    """All that may be asked, by arm, and those that were let go of but still answer."""

    def __init__(self) -> None:
        self._arms: dict[Role, list[Replica]] = {}
        self._known: dict[str, Replica] = {}
        self._turns: dict[Role, int] = {}
        self._leaving: set[Replica] = set()
        self._left = asyncio.Event()

    @property
    def behind(self) -> Behind:
        """Base URLs by arm."""
        return {role: tuple(each.url for each in arm) for role, arm in self._arms.items()}

    def point(self, behind: Behind) -> None:
        """From now on these are asked, and no others."""
        before = set(self._known.values())
        known = {url: self._known.get(url) or self._returned(url) for urls in behind.values() for url in urls}
        self._arms = {role: [known[url] for url in dict.fromkeys(urls)] for role, urls in behind.items()}
        self._known = known
        now = set(known.values())
        self._leaving = {each for each in (self._leaving | before) - now if each.outstanding}

    def _returned(self, url: str) -> Replica:
        return next((each for each in self._leaving if each.url == url), None) or Replica(url)

    def choose(self, role: Role, now_ns: int, tried: Collection[Replica] = ()) -> Replica | None:
        """The replica of an arm with the fewest requests under way, of those alike the next in turn.

        Those that were tried for this request, or could not be reached lately, come last. None: the arm has none.
        """
        arm = self._arms.get(role)
        if not arm:
            return None
        count, first = len(arm), self._turns.get(role, 0)
        if count == 1:
            return arm[0]
        best, found = None, arm[0]
        for step in range(count):
            each = arm[(first + step) % count]
            key = (each in tried, each.ailing_until_ns > now_ns, each.outstanding)
            if best is None or key < best:
                best, found, turn = key, each, first + step
        self._turns[role] = (turn + 1) % count
        return found

    def has(self, role: Role) -> bool:
        """Whether the arm has any."""
        return bool(self._arms.get(role))

    def done(self, replica: Replica) -> None:
        """It has answered one request, or will not."""
        replica.outstanding -= 1
        if not replica.outstanding and replica in self._leaving:
            self._leaving.discard(replica)
            self._left.set()

    async def drained(self, within_s: float) -> bool:
        """Whether those that were let go of have nothing left to answer, by then at the latest."""
        try:
            async with asyncio.timeout(within_s):
                while self._leaving:
                    self._left.clear()
                    await self._left.wait()
        except TimeoutError:
            return False
        return True

    def leaving(self) -> Iterable[str]:
        """Those that were let go of and still answer."""
        return sorted(each.url for each in self._leaving)
