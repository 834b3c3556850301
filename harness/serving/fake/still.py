"""Standing still: in every period the server works for a while, and then does nothing for the rest of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stillness:
    """When a server stands still: the last `for_ns` of every `every_ns`, counted from `origin_ns`.

    A request that comes in a stall waits until it is over; one that is worked on is carried on with after it.
    """

    every_ns: int = 0
    """0: never."""
    for_ns: int = 0
    origin_ns: int = 0

    def advance(self, at_ns: int, work_ns: int = 0) -> int:
        """When so much work is done that is begun at a time; without work: when it can begin.

        >>> still = Stillness(every_ns=10, for_ns=3)
        >>> [still.advance(at) for at in (0, 6, 7, 9, 10)]
        [0, 6, 10, 10, 10]
        >>> still.advance(5, 2), still.advance(5, 3), still.advance(8, 7), still.advance(8, 8)
        (7, 11, 17, 21)
        """
        if not self.every_ns:
            return at_ns + work_ns
        works_ns = self.every_ns - self.for_ns
        periods, into_ns = divmod(at_ns - self.origin_ns, self.every_ns)
        done_ns = periods * works_ns + min(into_ns, works_ns) + work_ns
        periods, into_ns = divmod(done_ns, works_ns)
        if work_ns and not into_ns:  # done as the stall begins, not after it
            periods, into_ns = periods - 1, works_ns
        return self.origin_ns + periods * self.every_ns + into_ns
