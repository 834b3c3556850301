"""The SQLite file that holds what several processes must agree on; it is small, and holds nothing that is history.

Each transaction takes the file for itself from its first statement (``BEGIN IMMEDIATE``), so that what is read in it is
still true when it writes. Others wait up to `BUSY_S`; who only reads waits for nobody (WAL). Everything blocks, and is
over in milliseconds: it is called inline. Whoever adds tables adds a version to `VERSIONS`; a file made by a newer
program is refused.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from harness.errors import BackendError

FILE: Final = "harness.db"
BUSY_S: Final = 10.0
"""How long a transaction waits for those before it."""
PRIVATE: Final = 0o600
"""Nobody but the user who runs the harness may give orders, or take a lease."""
ORDERS: Final = (
    """
    CREATE TABLE orders (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        run TEXT NOT NULL,
        word TEXT NOT NULL,
        said_by TEXT NOT NULL,
        note TEXT NOT NULL,
        said_at TEXT NOT NULL,
        taken_at TEXT,
        accepted INTEGER,
        answer TEXT
    )
    """,
    "CREATE INDEX orders_open ON orders (run) WHERE taken_at IS NULL",
)
LEASES: Final = (
    """
    CREATE TABLE leases (
        rollout TEXT PRIMARY KEY,
        token INTEGER NOT NULL,
        run TEXT NOT NULL,
        pid INTEGER NOT NULL,
        began TEXT NOT NULL,
        boot TEXT NOT NULL,
        host TEXT NOT NULL,
        until_ns INTEGER NOT NULL
    )
    """,
)
VERSIONS: Sequence[Sequence[str]] = (ORDERS, LEASES)
"""What makes each version out of the one before it; a file's version is how many of these it has seen."""


class StateDatabase:
    """The file in a folder of state; made when it is first written to.

    Args:
        folder: `Place.state`.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Statements that all happen or none; rows answer by name.

        Raises:
            BackendError: the file cannot be made, read or written, or a newer program made it.
        """
        try:
            connection = self._opened()
            try:
                connection.execute("BEGIN IMMEDIATE")
                self._made(connection)
                with connection:  # commits, or rolls back what an exception cuts short
                    yield connection
            finally:
                connection.close()
        except (sqlite3.Error, OSError) as error:
            raise BackendError(f"{self.path}: what runs agree on cannot be kept there: {_told(error)}") from error

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection | None]:
        """What was last agreed on, also while another process holds the file; None: nothing ever was.

        Raises:
            BackendError: the file cannot be read.
        """
        if not self.path.exists():
            yield None
            return
        try:
            with closing(sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)) as connection:
                connection.row_factory = sqlite3.Row
                (version,) = connection.execute("PRAGMA user_version").fetchone()
                yield connection if version == len(VERSIONS) else None
        except (sqlite3.Error, OSError) as error:
            raise BackendError(f"{self.path}: what runs agree on cannot be read there: {_told(error)}") from error

    def _opened(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, PRIVATE))
        connection = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")  # a lease that was given must outlive a power cut
        except BaseException:
            connection.close()
            raise
        return connection

    def _made(self, connection: sqlite3.Connection) -> None:
        """Bring the tables to this program's version, in the transaction that first finds them older."""
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(VERSIONS):
            raise BackendError(f"{self.path}: made by a newer harness; update this one, or choose another --report")
        for statements in VERSIONS[version:]:
            for statement in statements:
                connection.execute(statement)
        if version < len(VERSIONS):
            connection.execute(f"PRAGMA user_version = {len(VERSIONS)}")


def _told(error: Exception) -> str:
    """What went wrong, and what to do."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest says more of the same
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return (
            f"another process has held it for {BUSY_S:g} s; a harness that was stopped (Ctrl-Z, SIGSTOP) as it wrote "
            "does: have it go on, or kill it"
        )
    if code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
        return (
            f"it is damaged ({error}); it holds no history, only leases and orders: end the harnesses that report to "
            "this folder, and remove it"
        )
    return str(error)
