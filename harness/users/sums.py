"""What each arm did since traffic began, added up for ever."""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.domain.model import Role
from harness.sim.ledger import Rows, add_rows
from harness.sim.population import Answers
from harness.sim.tally import ClassTally
from harness.stats.histogram import Histogram
from harness.users.quality import Labelled, labelled, worse
from harness.users.records import Table

MET: Final = 1
"""What a user has met at an arm, in bits: any answer or failure."""
FAILED: Final = 2
WRONG: Final = 4
"""An answer worse than stable's would have been."""
LATELY: Final = 8
"""Anything since shares last changed."""


@dataclass(slots=True)
class Sums:
    """One arm's.

    Args:
        role: the arm.
        users: how many there are.
        kinds: names of the classes of requests.
        delay_ns: after which labels are known.
    """

    role: Role
    users: int
    kinds: Sequence[str]
    delay_ns: int
    ok: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    latency: Histogram = field(default_factory=Histogram)
    classes: list[ClassTally] = field(default_factory=list)
    answered: Rows = field(default_factory=dict)
    """Successes by level of drift and row, of the present models."""
    worse: int = 0
    first_ns: int | None = None
    """When the first request that it answered was due; of the present candidate."""
    met: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    quality: Labelled | None = None
    _pending: deque[Table] = field(default_factory=deque)
    """Answers whose labels have not arrived, and will."""

    def __post_init__(self) -> None:
        self.met = np.zeros(self.users, np.uint8)
        self.classes = [ClassTally() for _ in self.kinds]

    @property
    def failed(self) -> int:
        """Failures of every kind."""
        return self.errors.total()

    def add(self, table: Table, answers: Answers | None, changed_ns: int) -> None:
        """Add what came of requests to this arm.

        Args:
            table: its records.
            answers: of the present models; None where there are none.
            changed_ns: when shares last changed: requests due before it are not of these.
        """
        if not len(table):
            return
        self.ok += int(table.ok.sum())
        self.errors.update(table.errors)
        self.latency += table.latency
        first = int(table["due_ns"].min())
        self.first_ns = first if self.first_ns is None else min(self.first_ns, first)
        for number in range(len(self.kinds)):
            self.classes[number] += tally_of(table.where(table["cls"] == number))
        wrong = np.zeros(len(table), np.bool_)
        if answers is not None:
            add_rows(self.answered, table.rows(answers.rows, table.ok))
            self._pending.append(labelled(answers, table))
            if self.role is Role.CANDIDATE:
                wrong = worse(answers, table)
        self.worse += int(wrong.sum())
        self._meet(table, wrong, changed_ns)

    def _meet(self, table: Table, wrong: NDArray[np.bool_], changed_ns: int) -> None:
        if not self.users:
            return
        user = table["user"]
        self.met[user] |= MET
        self.met[user[~table.ok]] |= FAILED
        self.met[user[wrong]] |= WRONG
        self.met[user[table["due_ns"] >= changed_ns]] |= LATELY

    def having(self, bits: int) -> int | None:
        """How many users have met one of these; None where users are not known."""
        return int((self.met & bits > 0).sum()) if self.users else None

    def changed(self) -> None:
        """Shares have changed: whom the arm meets lately is counted from now on."""
        self.met &= 0xFF ^ LATELY

    def labels(self, now_ns: int, answers: Answers) -> Labelled:
        """The quality of all answers whose labels have arrived by now."""
        quality = self.quality = self.quality or Labelled(answers)
        arrived_ns = now_ns - self.delay_ns
        while self._pending:
            table = self._pending[0]
            cut = int(np.searchsorted(table["done_ns"], arrived_ns))
            places = np.arange(len(table))
            quality.add(table.where(places < cut))
            if cut < len(table):
                self._pending[0] = table.where(places >= cut)
                break
            self._pending.popleft()
        return quality

    def another(self) -> None:
        """There is another candidate: answers of earlier models say nothing of these."""
        self.answered, self.quality = {}, None
        self._pending.clear()
        if self.role is Role.CANDIDATE:
            self.first_ns = None


def tally_of(table: Table) -> ClassTally:
    """What requests of a class met."""
    ok = int(table.ok.sum())
    return ClassTally(len(table), ok, len(table) - ok, table.latency)
