r"""What people say to a run from another terminal: orders in a database, each taken once and answered.

    given --take--> taken --answer--> answered
      \\--withdraw--> answered (whoever gave it has waited long enough; the run never sees it)

Taking and withdrawing exclude each other. An order that was taken and not answered when its harness died is found again
by the one that takes the run up (`unanswered`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread

from harness import clock
from harness.domain.order_event import Spoken
from harness.domain.rollout import Order
from harness.errors import BackendError
from harness.state.database import StateDatabase


def run_key(folder: Path) -> str:
    """A run's name among all that report to one folder: two scenarios may have runs of the same second and seed.

    >>> run_key(Path("reports/local-canary/20260101T120000-7"))
    'local-canary/20260101T120000-7'
    """
    folder = folder.resolve()
    return f"{folder.parent.name}/{folder.name}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an order."""

    taken: bool
    accepted: bool | None = None
    """It had an effect; None: not answered yet."""
    text: str = ""


class Giving:
    """The side of whoever gives orders; everything blocks for milliseconds.

    Args:
        state: `Place.state`.
        run: `run_key` of the run.

    Its methods raise BackendError where the database cannot be used.
    """

    def __init__(self, state: Path, run: str) -> None:
        self._database = StateDatabase(state)
        self._run = run

    def give(self, order: Order, by: str, note: str = "") -> int:
        """Put an order in the inbox; its number. The same one that is still there is not given twice."""
        with self._database.transaction() as connection:
            there = connection.execute(
                "SELECT id FROM orders WHERE run = ? AND word = ? AND taken_at IS NULL", (self._run, order.value)
            ).fetchone()
            if there:
                return int(there["id"])
            made = connection.execute(
                "INSERT INTO orders (run, word, said_by, note, said_at) VALUES (?, ?, ?, ?, ?)",
                (self._run, order.value, by, note, _now()),
            )
            return int(made.lastrowid or 0)

    def answer(self, number: int) -> Answer:
        """What has become of it by now."""
        with self._database.transaction() as connection:
            row = connection.execute("SELECT * FROM orders WHERE id = ?", (number,)).fetchone()
        if row is None or row["answer"] is None:
            return Answer(taken=row is not None and row["taken_at"] is not None)
        return Answer(taken=True, accepted=bool(row["accepted"]), text=row["answer"])

    def withdraw(self, number: int) -> bool:
        """Take it back; False where the run has taken it already."""
        with self._database.transaction() as connection:
            done = connection.execute(
                "UPDATE orders SET taken_at = ?, accepted = 0, answer = 'withdrawn' WHERE id = ? AND taken_at IS NULL",
                (_now(), number),
            )
            return done.rowcount == 1


class Inbox:
    """The side of the run (`protocols.Orders`): each call waits for the database in a thread.

    Args:
        state: `Place.state`.
        run: `run_key` of the run.
        trouble: says why nothing can be written where orders are, as far as that is known; empty: it can.
    """

    def __init__(self, state: Path, run: str, trouble: Callable[[], str] = str) -> None:
        self._database = StateDatabase(state)
        self._run, self._trouble = run, trouble

    async def take(self) -> Sequence[Spoken]:
        """Orders that have come since, oldest first; nobody can withdraw them any more.

        Raises:
            BackendError: the database cannot be used, or nobody can put an order there.
        """
        if trouble := self._trouble():
            raise BackendError(trouble)
        return await anyio.to_thread.run_sync(self._take)

    async def unanswered(self) -> Sequence[Spoken]:
        """Those that were taken and never answered: by a harness that is dead."""
        return await anyio.to_thread.run_sync(self._unanswered)

    async def answer(self, number: int, text: str, *, accepted: bool) -> None:
        """Tell whoever gave an order what became of it."""
        await anyio.to_thread.run_sync(self._answer, number, text, accepted)

    async def give_back(self, number: int) -> None:
        """Leave an order to the harness that has the run now."""
        await anyio.to_thread.run_sync(self._give_back, number)

    def _take(self) -> Sequence[Spoken]:
        if not self._database.path.exists():
            return ()
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT * FROM orders WHERE run = ? AND taken_at IS NULL ORDER BY id", (self._run,)
            ).fetchall()
            for row in rows:
                connection.execute("UPDATE orders SET taken_at = ? WHERE id = ?", (_now(), row["id"]))
        return [Spoken(row["id"], Order(row["word"]), row["said_by"], row["note"]) for row in rows]

    def _unanswered(self) -> Sequence[Spoken]:
        if not self._database.path.exists():
            return ()
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT * FROM orders WHERE run = ? AND taken_at IS NOT NULL AND answer IS NULL ORDER BY id",
                (self._run,),
            ).fetchall()
        return [Spoken(row["id"], Order(row["word"]), row["said_by"], row["note"]) for row in rows]

    def _answer(self, number: int, text: str, accepted: bool) -> None:
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE orders SET answer = ?, accepted = ? WHERE id = ? AND answer IS NULL",
                (text, int(accepted), number),
            )

    def _give_back(self, number: int) -> None:
        with self._database.transaction() as connection:
            connection.execute("UPDATE orders SET taken_at = NULL WHERE id = ? AND answer IS NULL", (number,))


def _now() -> str:
    return clock.utc_now().isoformat()
