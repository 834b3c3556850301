"""The lease on a rollout: one harness at a time drives what others could drive too.

A lease has an owner (a run, and the very process), an end that the owner keeps moving on, and a fencing token that
rises with every acquisition (Kleppmann, 2016). It is taken over at once where its owner's process is dead on this
machine, else when it has ended. Who was only held up (a stopped process, a machine that slept) finds that it lost the
lease when it next writes: `Lease.guarded` holds the database's write lock, and so nobody takes it over meanwhile.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.clock import epoch_ns
from harness.domain.units import MILLISECOND, SECOND
from harness.errors import BackendError, LeaseError, LeaseLost
from harness.state import process
from harness.state.database import StateDatabase
from harness.state.process import Process

TTL_S: Final = 15.0
"""A lease that was not renewed for so long may be taken over, whether its owner lives or not."""
RENEWALS: Final = 3
"""Renewals in that time."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a lease."""

    run: str
    process: Process
    token: int
    until_ns: int
    """Since 1970."""

    @property
    def holds(self) -> bool:
        """Whether nobody else may take it."""
        return self.until_ns > epoch_ns() and (self.process.alive() if self.process.here() else True)

    def __str__(self) -> str:
        """As messages name it."""
        where = "" if self.process.here() else f" on {self.process.host}"
        return f"run {self.run} (process {self.process.pid}{where})"


def holder(state: Path, rollout: str) -> Holder | None:
    """Who drives a rollout now; None: nobody.

    Raises:
        BackendError: the database cannot be read.
    """
    found = last(state, rollout)
    return found if found and found.holds else None


def last(state: Path, rollout: str) -> Holder | None:
    """Who drove a rollout last, whether it still does or not; None: nobody ever did.

    Raises:
        BackendError: the database cannot be read.
    """
    with StateDatabase(state).reading() as connection:
        return _read(connection, rollout) if connection else None


def holders(state: Path) -> tuple[Holder, ...]:
    """All who drive a rollout now.

    Raises:
        BackendError: the database cannot be read.
    """
    with StateDatabase(state).reading() as connection:
        rows = connection.execute("SELECT * FROM leases").fetchall() if connection else ()
    return tuple(each for each in map(_holder, rows) if each.holds)


def acquire(state: Path, rollout: str, run: str, ttl_s: float = TTL_S) -> "Lease":
    """Take the lease on a rollout.

    Args:
        state: `Place.state`.
        rollout: what is driven: names the platform, its target and the model.
        run: that takes it.
        ttl_s: how long it lasts without being renewed.

    Raises:
        LeaseError: somebody else has it; the message says who, and what to do.
        BackendError: the database cannot be used.
    """
    owner = process.this()
    database = StateDatabase(state)
    with database.transaction() as connection:
        found = _read(connection, rollout)
        if found and found.holds:
            raise LeaseError(
                f"{found} drives {rollout} already; wait for it, end it with `harness abort {found.run}`, or stop its "
                "process: from then on this one may begin"
            )
        # From the time on, and not from 1: where the file was lost, what has seen a token still sees a higher one.
        token = found.token + 1 if found else epoch_ns() // MILLISECOND
        connection.execute(
            "INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (rollout, token, run, owner.pid, owner.began, owner.boot, owner.host, _until(ttl_s)),
        )
    return Lease(database, rollout, token, ttl_s)


class Lease:
    """A lease that was ours when it was taken.

    Args:
        database: where it stands.
        rollout: what it is on.
        token: of this acquisition.
        ttl_s: how long it lasts without being renewed.
    """

    def __init__(self, database: StateDatabase, rollout: str, token: int, ttl_s: float) -> None:
        self._database = database
        self.rollout, self.token, self.ttl_s = rollout, token, ttl_s
        self.trouble = ""
        """Why it could not be renewed when that was tried last; empty: it was."""

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """A while in which nobody can take it over: for one line of a log, not for anything that takes long.

        Raises:
            LeaseLost: somebody else has it.
            BackendError: it cannot be told: the database cannot be used.
        """
        with ExitStack() as held:
            try:
                connection = held.enter_context(self._database.transaction())
            except BackendError:
                self._mine(last(self._database.path.parent, self.rollout))  # to read it nobody waits for a lock
                raise
            self._mine(_read(connection, self.rollout))
            yield

    @contextmanager
    def ours(self) -> Iterator[None]:
        """As `guarded`, for an effect and not for a line; where it cannot be told, it is taken to be ours still.

        Traffic must be made safe also where the disk is full.

        Raises:
            LeaseLost: somebody else has it.
        """
        with ExitStack() as held:
            with suppress(BackendError):
                held.enter_context(self.guarded())
            yield

    def renew(self) -> None:
        """Move its end on; what has ended and was taken by nobody is ours again.

        Raises:
            LeaseLost: somebody else has it.
            BackendError: the database cannot be used.
        """
        with self._database.transaction() as connection:
            self._mine(_read(connection, self.rollout))
            connection.execute("UPDATE leases SET until_ns = ? WHERE rollout = ?", (_until(self.ttl_s), self.rollout))

    def release(self) -> None:
        """Give it back, if it still is ours."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE leases SET until_ns = 0 WHERE rollout = ? AND token = ?", (self.rollout, self.token)
            )

    @contextmanager
    def kept(self, lost: Callable[[str], object]) -> Iterator[None]:
        """Renew it meanwhile, and give it back at the end.

        By a thread, and not by a task of the run: a run whose loop is busy for long (training) has not let go of it.

        Args:
            lost: told once, from that thread, who has it now.
        """
        ended = threading.Event()
        renewing = threading.Thread(target=self._renewing, args=(ended, lost), name="lease", daemon=True)
        renewing.start()
        try:
            yield
        finally:
            ended.set()
            renewing.join()
            with suppress(BackendError):  # it ends by itself
                self.release()

    def _renewing(self, ended: threading.Event, lost: Callable[[str], object]) -> None:
        while not ended.wait(self.ttl_s / RENEWALS):
            try:
                self.renew()
                self.trouble = ""
            except LeaseLost as error:
                lost(str(error))
                return
            except BackendError as error:  # tried again; whose it is is found out at the next line of the log
                self.trouble = str(error)

    def _mine(self, found: Holder | None) -> None:
        if found is None or found.token != self.token:
            drives = "drives it now" if found and found.holds else "has driven it since"
            now = f"{found} {drives}" if found else "its lease is gone"
            raise LeaseLost(f"{self.rollout} was taken over: {now}; this run does and writes nothing more")


def _until(ttl_s: float) -> int:
    return epoch_ns() + round(ttl_s * SECOND)


def _read(connection: sqlite3.Connection, rollout: str) -> Holder | None:
    row = connection.execute("SELECT * FROM leases WHERE rollout = ?", (rollout,)).fetchone()
    return _holder(row) if row else None


def _holder(row: sqlite3.Row) -> Holder:
    owner = Process(row["pid"], row["began"], row["boot"], row["host"])
    return Holder(row["run"], owner, row["token"], row["until_ns"])
