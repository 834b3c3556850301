"""A PostgreSQL of the tests' own: a private cluster on a Unix socket, made anew and stopped at the end.

PostgreSQL refuses to run as root; where the tests do, its own user runs it.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import pytest

from tests import requires

OWNER = "postgres"


def found(program: str) -> str | None:
    """A program of PostgreSQL: on the path, or where Debian keeps them; the newest."""
    kept = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda path: int(path.parts[4]))
    return shutil.which(program) or (str(kept[-1]) if kept else None)


@contextmanager
def cluster() -> Iterator[str]:
    """The URI of a running PostgreSQL, up to the name of a database: ``{uri}``, formatted with ``database``."""
    initdb, postgres = found("initdb"), found("postgres")
    assert initdb, "PostgreSQL is not installed"
    assert postgres, "PostgreSQL is not installed"
    folder = Path(tempfile.mkdtemp(prefix="harness-pg-", dir="/tmp"))  # a socket's path may have 107 bytes
    before: list[str] = []
    if os.getuid() == 0:
        owner = pwd.getpwnam(OWNER)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        before = ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
        before += ["--pdeathsig", "INT"]  # tests that are killed leave no server behind
    data = folder / "data"
    made = subprocess.run(
        [*before, initdb, "-D", data, "-U", OWNER, "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    settings = {"listen_addresses": "", "unix_socket_directories": str(folder), "fsync": "off", "max_connections": "60"}
    told = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([*before, postgres, "-D", data, *told], cwd=folder, stdout=log, stderr=log)
    try:
        _wait_for(folder / ".s.PGSQL.5432", server, folder / "log")
        yield f"postgresql://{OWNER}@/{{database}}?host={folder}"
    finally:
        server.send_signal(signal.SIGINT)  # fast: sessions are ended, and it shuts down
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.send_signal(signal.SIGQUIT)
            server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(socket: Path, server: subprocess.Popen[bytes], log: Path) -> None:
    import psycopg

    deadline = monotonic() + 60
    while monotonic() < deadline and server.poll() is None:
        try:
            if socket.exists():
                psycopg.connect(f"postgresql://{OWNER}@/postgres?host={socket.parent}").close()
                return
        except psycopg.OperationalError:
            pass
        sleep(0.05)
    raise AssertionError(f"PostgreSQL did not come up:\n{log.read_text()[-2000:]}")


def new_database(uri: str) -> str:
    """A new, empty database in a cluster; its URI."""
    import psycopg

    name = f"registry_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(uri.format(database="postgres"), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return uri.format(database=name)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """A running cluster; what uses it belongs to the xdist group ``postgresql``, so that there is one."""
    requires.module("psycopg")
    if not (found("initdb") and found("postgres")):
        requires.missing("PostgreSQL is not installed (Debian: postgresql)")
    with cluster() as uri:
        yield uri


@pytest.fixture
def postgresql_database(postgresql: str) -> Callable[[], str]:
    """Makes new databases."""
    return lambda: new_database(postgresql)
