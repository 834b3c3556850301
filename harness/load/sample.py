"""A sample of a file's rows in one pass: as many as asked for, in bounded memory, each row as likely as any other."""

import heapq
import math
from typing import Final, Generic, TypeVar

from harness import seeds

Item = TypeVar("Item")

BLOCK: Final = 4096
"""Rows whose priorities are drawn at once."""


class Sample(Generic[Item]):
    """The rows of the lowest priorities, which are drawn by the row's number alone: the same seed keeps the same rows.

    What is kept is always a beginning of one random order of all rows. Where it grows too large in bytes, it is cut to
    a shorter beginning, and so stays a fair sample (bottom-k sampling; Cohen and Kaplan 2007).

    Args:
        most: rows that are kept.
        most_bytes: of all that is kept.
        seed: of the draws.

    >>> sample = Sample(3, 1000, seed=1)
    >>> for row in range(100):
    ...     sample.offer(row, f"row {row}", 10)
    >>> sample.seen, len(sample.taken()), sample.taken() == sorted(sample.taken())
    (100, 3, True)
    """

    def __init__(self, most: int, most_bytes: int, seed: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._stream = seeds.stream(seed, "load/rows")
        self._block = -1
        self._drawn: list[float] = []
        self._bytes = 0
        self._heap: list[tuple[float, int, Item, int]] = []
        """The highest priority first, so negated."""
        self._below = math.inf
        """Rows of this priority, or a higher one, are out for good."""
        self.seen = 0
        self.cut = False
        """Whether bytes, and not rows, were what ended it."""

    def wants(self, row: int) -> bool:
        """Whether a row would be kept as things stand: what is not wanted now never will be."""
        return self._priority(row) < self._below

    def offer(self, row: int, item: Item, size: int) -> None:
        """See one more row.

        Args:
            row: its number, from 0; each is offered once.
            item: what to keep of it.
            size: of the item, bytes.
        """
        self.seen += 1
        priority = self._priority(row)
        if priority >= self._below:
            return
        heapq.heappush(self._heap, (-priority, row, item, size))
        self._bytes += size
        while len(self._heap) > self._most or (self._bytes > self._most_bytes and len(self._heap) > 1):
            self.cut = self.cut or len(self._heap) <= self._most
            negated, _, _, gone = heapq.heappop(self._heap)
            self._bytes -= gone
            self._below = -negated

    def passed(self, rows: int) -> None:
        """Count rows that were not wanted, and so not offered."""
        self.seen += rows

    def taken(self) -> list[tuple[int, Item]]:
        """What was kept, in the order of the file."""
        return sorted(((row, item) for _, row, item, _ in self._heap), key=lambda pair: pair[0])

    def _priority(self, row: int) -> float:
        block, place = divmod(row, BLOCK)
        if block != self._block:
            self._block = block
            self._drawn = self._stream.generator(block).random(BLOCK).tolist()
        return self._drawn[place]
