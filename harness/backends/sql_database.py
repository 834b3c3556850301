"""A database of ours: SQLite or PostgreSQL, its transactions, and its errors in our words.

Everything blocks. A transaction that writes has the database (SQLite) or the rows it needs (PostgreSQL) to itself, and
is tried again for a while where another one was quicker.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from os import environ, getpid
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, insert, inspect, make_url, select, text
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool, StaticPool

from harness.backends import sql_schema as schema
from harness.backends.uri import POSTGRESQL, SQL_FORMS, masked
from harness.clock import wall_ns
from harness.errors import ArtifactError, BackendError, HarnessError, NotRegistered, RegistryError, Unreachable

T = TypeVar("T")

CONNECT_S: Final = 10
"""How long PostgreSQL is waited for until it answers, where neither the URI nor PGCONNECT_TIMEOUT says."""
BUSY_S: Final = 60.0
"""How long a transaction waits for those before it; after that it is not tried again."""
UNREADABLE: Final = (UnicodeError, OverflowError, json.JSONDecodeError)
"""What is asked for is no text or number that a database takes, or what it holds is not what was written."""
BACK_OFF_S: Final = (0.01, 0.03, 0.1, 0.3, 1.0, 2.0)
"""Waits before each further try of a transaction that was beaten by another one."""
PASSING: Final = frozenset({"40001", "40P01", "55P03", "23505"})
"""PostgreSQL: serialization failure, deadlock, lock not available, and a unique value that came at the same moment."""
MAKING: Final = 0x6861726E
"""The advisory lock under which tables are made: PostgreSQL's IF NOT EXISTS alone is no protection."""


class Database:
    """One database.

    Args:
        uri: ``sqlite:///PATH``, ``sqlite:///:memory:`` or ``postgresql://…``.

    Raises:
        BackendError: it is no URI of a database, or the driver is not installed.
    """

    def __init__(self, uri: str) -> None:
        self.url, self.given = _url(uri)
        self.shown = masked(uri.partition("?")[0])
        self.uri = uri if not self.url.password else _without_password(self.url)
        """As users name it, without a password."""
        self.artifacts = ""
        """Where files are kept, for the database to remember when its tables are made; empty: beside it."""
        self.ours: Callable[[], AbstractContextManager[None]] = nullcontext
        """Entered before a change is committed, and left after it: what raises in it leaves all as it was."""
        self._ready = False
        self._turn: AbstractContextManager[Any] = threading.RLock() if self.in_memory else nullcontext()
        self._engine = _engine(self.url, in_memory=self.in_memory)

    @property
    def in_memory(self) -> bool:
        """It lives as long as this object."""
        return self.url.drivername == "sqlite" and self.url.database in (None, "", ":memory:")

    @property
    def file(self) -> Path | None:
        """The SQLite file, where there is one."""
        return Path(str(self.url.database)) if self.url.drivername == "sqlite" and not self.in_memory else None

    # --- tables -------------------------------------------------------------------------------------------------------

    def ensure(self) -> None:
        """Make the tables, where they are not there yet.

        Raises:
            RegistryError: a newer program made them.
        """
        if self._ready:
            return
        if self.file:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self._retried(self._wal)
        self._retried(lambda: self._once(self._make, write=True))
        self._ready = True

    def demand(self) -> None:
        """Before anything is read: nothing is made for it.

        Raises:
            NotRegistered: there is no such database, or no registry in it.
            RegistryError: a newer program made it.
        """
        if self._ready or self.in_memory:
            return self.ensure()
        if self.file and self.file.is_dir():
            raise NotRegistered(f"{self.shown}: this is a folder, and no database; name a file")
        if self.file and not self.file.is_file():
            raise NotRegistered(
                f"{self.shown}: there is no such database yet, so it holds no model; check its path, or let a run that "
                "trains its models make it"
            )
        if not self._once(self._known, write=False):
            raise NotRegistered(f"{self.shown}: this database holds no registry of models yet; let a run make it")
        self._ready = True
        return None

    def _make(self, connection: Connection) -> None:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MAKING})
        if not self._known(connection):
            schema.tables.create_all(connection)
            connection.execute(insert(schema.about).values(schema=schema.VERSION, artifacts=self.artifacts))

    def _known(self, connection: Connection) -> bool:
        if not inspect(connection).has_table(schema.about.name):
            return False
        found = connection.execute(select(schema.about.c.schema)).scalar_one_or_none()
        if found is not None and found > schema.VERSION:
            raise RegistryError(
                f"{self.shown}: a newer harness made this registry (tables of version {found}; this program knows "
                f"{schema.VERSION}): upgrade harness, or name another database"
            )
        return found is not None

    def _wal(self) -> None:
        """Readers and a writer side by side; the file remembers it."""
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            if connection.execute(text("PRAGMA journal_mode")).scalar() != "wal":
                connection.execute(text("PRAGMA journal_mode=WAL"))

    def recorded_artifacts(self) -> str:
        """Where files are kept, as the database has it; empty: beside it."""
        return self.reading(lambda connection: str(connection.execute(select(schema.about.c.artifacts)).scalar() or ""))

    # --- transactions -------------------------------------------------------------------------------------------------

    def reading(self, work: Callable[[Connection], T]) -> T:
        """What is found, in one transaction."""
        self.demand()
        return self._once(work, write=False)

    def writing(self, work: Callable[[Connection], T]) -> T:
        """What is done whole or not at all; tried again for a while where another transaction was quicker."""
        self.ensure()
        return self._retried(lambda: self._once(work, write=True))

    def _once(self, work: Callable[[Connection], T], *, write: bool) -> T:
        opened = self._engine.connect().execution_options
        with self._turn, opened(harness_write=write) as connection, ExitStack() as until_committed, connection.begin():
            found = work(connection)
            if write:
                until_committed.enter_context(self.ours())
            return found

    def _retried(self, work: Callable[[], T]) -> T:
        apart = 1 + getpid() % 16 / 16  # processes that met once do not meet again
        began_ns = wall_ns()
        for wait_s in BACK_OFF_S:
            try:
                return work()
            except DBAPIError as error:
                if not _passes(error) or wall_ns() - began_ns > BUSY_S * 1e9:
                    raise
            threading.Event().wait(wait_s * apart)
        return work()

    @contextmanager
    def told(self, doing: str) -> Iterator[None]:
        """Whatever the database and the files raise is a RegistryError that says what to do, and shows no secret."""
        try:
            yield
        except ArtifactError as error:
            raise RegistryError(masked(f"{self.shown}: {doing}: {error}")) from None
        except HarnessError:
            raise
        except (SQLAlchemyError, OSError, *UNREADABLE) as error:
            cause = getattr(error, "orig", None) or error
            reason = " ".join(str(cause).split())[:400] or type(cause).__name__
            away = self.file is None and isinstance(error, (OperationalError, InterfaceError))
            kind = Unreachable if away and not getattr(cause, "sqlstate", None) else RegistryError
            raise kind(masked(f"{self.shown}: {doing} failed: {reason}; {self._remedy(reason)}")) from None

    def _remedy(self, reason: str) -> str:
        if "database is locked" in reason:
            return f"another program holds {self.file} for over {BUSY_S:g} s: end it, or ask again when it is done"
        if self.file:
            return f"check that {self.file} is an SQLite file that can be written, on a disk of this machine"
        if "lock timeout" in reason:
            return f"another transaction holds what is to be changed for over {BUSY_S:g} s (see pg_stat_activity)"
        if "password" in reason or "authentication" in reason:
            return "set PGUSER and PGPASSWORD, or PGPASSFILE"
        return "check that PostgreSQL answers there (`pg_isready`), and that this user may use the database"


def _passes(error: DBAPIError) -> bool:
    """Whether it came of another transaction at the same time, and may not come again."""
    return (
        isinstance(error, IntegrityError)
        or getattr(error.orig, "sqlstate", None) in PASSING
        or "database is locked" in str(error.orig)
    )


def _url(uri: str) -> tuple[URL, Mapping[str, str]]:
    """As SQLAlchemy takes it, and what of its query is ours."""
    if uri.startswith("sqlite://"):
        return URL.create("sqlite", database=uri.removeprefix("sqlite://").removeprefix("/")), {}
    try:
        url = make_url(uri)
    except ArgumentError:
        url = None
    if url is None or url.get_backend_name() != POSTGRESQL.removesuffix("://"):
        raise BackendError(f"{masked(uri)}: a registry in a database is found at {SQL_FORMS}")
    ours = {key: str(value) for key, value in url.query.items() if key == "artifacts"}
    return url.set(drivername="postgresql+psycopg").difference_update_query(["artifacts"]), ours


def _without_password(url: URL) -> str:
    plain = URL.create(POSTGRESQL.removesuffix("://"), url.username, None, url.host, url.port, url.database, url.query)
    return plain.render_as_string()


def _engine(url: URL, *, in_memory: bool) -> Engine:
    """No pool: a connection lives as long as its transaction, and none is left where a process forks or ends."""
    if url.drivername != "sqlite":
        try:
            return _patient(create_engine(url, poolclass=NullPool, connect_args=_within(url)))
        except ImportError:
            raise BackendError(
                "models are kept in PostgreSQL here, for which psycopg is not installed; in a clone: "
                ".venv/bin/python -m pip install -e '.[postgresql]'"
            ) from None
    return _sqlite(url, in_memory=in_memory)


def _within(url: URL) -> Mapping[str, int]:
    """A machine that does not answer is waited for as long as a user says, and no longer than that by default."""
    said = "connect_timeout" in url.query or "PGCONNECT_TIMEOUT" in environ
    return {} if said else {"connect_timeout": CONNECT_S}


def _patient(engine: Engine) -> Engine:
    """On PostgreSQL a transaction waits for those before it as long as on SQLite, and not for ever."""

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {int(BUSY_S * 1000)}")

    return engine


def _sqlite(url: URL, *, in_memory: bool) -> Engine:
    pool: Any = StaticPool if in_memory else NullPool
    engine = create_engine(url, poolclass=pool, connect_args={"timeout": BUSY_S, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions begin where we say so, not where Python's module thinks
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
            return
        immediate = connection.get_execution_options().get("harness_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine
