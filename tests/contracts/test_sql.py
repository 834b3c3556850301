"""A registry in a database keeps the promises of a registry: on SQLite, and on a real PostgreSQL."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness.backends.artifacts import FolderArtifacts
from harness.backends.manifest import parsed
from harness.backends.sql import SqlRegistry
from harness.clock import run_virtual
from harness.contracts import REGISTRY_CHECKS, check_tampering
from harness.domain.model import Revision

pytestmark = pytest.mark.usefixtures("an_empty_folder")


@pytest.fixture
def data_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PostgreSQL's artifacts go by default."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
async def on_sqlite(tmp_path: Path) -> SqlRegistry:
    registry = SqlRegistry(f"sqlite:///{tmp_path}/registry.db")
    await registry.create()
    return registry


@pytest.fixture
async def on_postgresql(postgresql_database: Callable[[], str], data_home: None) -> SqlRegistry:
    registry = SqlRegistry(postgresql_database())
    await registry.create()
    return registry


@pytest.mark.parametrize("name", REGISTRY_CHECKS)
async def test_on_sqlite_the_registry_keeps_every_promise(name: str, on_sqlite: SqlRegistry) -> None:
    await REGISTRY_CHECKS[name](on_sqlite)


@pytest.mark.parametrize("name", ["a_loaded_model_answers_as_the_one_registered", "registrations_at_once_lose_nothing"])
def test_on_virtual_time_it_keeps_them_too(name: str, tmp_path: Path) -> None:
    registry = SqlRegistry(f"sqlite:///{tmp_path}/registry.db")
    run_virtual(registry.create)
    run_virtual(REGISTRY_CHECKS[name], registry)


@pytest.mark.xdist_group("postgresql")
@pytest.mark.parametrize("name", REGISTRY_CHECKS)
async def test_on_postgresql_the_registry_keeps_every_promise(name: str, on_postgresql: SqlRegistry) -> None:
    await REGISTRY_CHECKS[name](on_postgresql)


def files_of(registry: SqlRegistry) -> Callable[[Revision], Sequence[Path]]:
    def files(revision: Revision) -> Sequence[Path]:
        kept = registry.store.artifacts
        assert isinstance(kept, FolderArtifacts)
        manifest = parsed(registry.store.row(revision.name, revision.version).manifest)
        return [kept.path(stored.sha256) for stored in manifest.files.values()]

    return files


async def test_on_sqlite_nothing_that_was_changed_is_loaded(on_sqlite: SqlRegistry) -> None:
    assert await check_tampering(on_sqlite, files_of(on_sqlite)) == 2


@pytest.mark.xdist_group("postgresql")
async def test_on_postgresql_nothing_that_was_changed_is_loaded(on_postgresql: SqlRegistry) -> None:
    assert await check_tampering(on_postgresql, files_of(on_postgresql)) == 2


async def test_a_registry_on_an_object_store_keeps_its_promises(tmp_path: Path) -> None:
    numbers = itertools.count()
    for name in ("a_loaded_model_answers_as_the_one_registered", "registrations_at_once_lose_nothing"):
        place = f"memory://{tmp_path.name}-{next(numbers)}"
        registry = SqlRegistry(f"sqlite:///{tmp_path}/{name}.db", artifacts=place)
        await REGISTRY_CHECKS[name](registry)
        assert not (tmp_path / f"{name}.db.artifacts").exists()
        assert list(registry.store.artifacts.listed())
