"""What a registry in a database keeps beyond the contract: signatures, several processes, kills, sweeps, errors."""

import base64
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from harness.backends import sql_database, sql_schema
from harness.backends.artifacts import FolderArtifacts
from harness.backends.signing import make_key
from harness.backends.sql import SqlRegistry
from harness.clock import run_real
from harness.contracts import sample_model
from harness.domain.lineage import Deployment
from harness.domain.model import Revision, Source
from harness.errors import (
    ArtifactError,
    BackendError,
    InputError,
    LeaseLost,
    NotRegistered,
    RegistryError,
    Unreachable,
)
from tests import requires

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "registry.db"


@pytest.fixture
def registry(path: Path) -> SqlRegistry:
    return SqlRegistry(f"sqlite:///{path}")


def changed(path: Path, statement: str, *values: Any) -> None:
    """What somebody else does to the database."""
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement, values)
    connection.close()


def text_of(path: Path) -> str:
    return path.read_text()


def put(path: Path, text: str) -> None:
    path.chmod(0o644)
    path.write_text(text)


# --- a rollout that another harness has taken over ---


async def test_what_is_changed_is_committed_while_nobody_can_take_over(path: Path, registry: SqlRegistry) -> None:
    first, second = [await registry.register(sample_model(seed), f"run/{seed}") for seed in (1, 2)]
    await registry.set_alias(first, "stable")
    seen: list[int | None] = []

    def names() -> int | None:
        """What another process sees."""
        with closing(sqlite3.connect(path)) as other:
            found = other.execute("SELECT number FROM harness_aliases WHERE alias = 'stable'").fetchone()
            return int(found[0]) if found else None

    @contextmanager
    def ours() -> Iterator[None]:
        seen.append(names())
        yield
        seen.append(names())

    registry.guard(ours)
    await registry.set_alias(second, "stable")
    assert seen == [first.version, second.version]


async def test_what_was_begun_before_another_took_over_is_not_done_after_it(registry: SqlRegistry) -> None:
    first, second = [await registry.register(sample_model(seed), f"run/{seed}") for seed in (1, 2)]
    await registry.set_alias(first, "stable")
    await registry.set_alias(first, "previous")

    @contextmanager
    def lost() -> Iterator[None]:
        raise LeaseLost("another harness drives it now")
        yield

    registry.guard(lost)
    for late in (
        registry.set_alias(second, "stable"), registry.remove_alias(first.name, "previous"),
        registry.mark(first, "bad"), registry.register(sample_model(3), "run/3"),
    ):  # fmt: skip
        with pytest.raises(LeaseLost):
            await late
    registry.guard(nullcontext)
    versions = {each.revision: each for each in await registry.versions(first.name)}
    assert set(versions) == {first, second}
    assert (set(versions[first].aliases), set(versions[second].aliases)) == ({"stable", "previous"}, set())
    assert versions[first].status == versions[second].status


# --- several processes, and kills -------------------------------------------------------------------------------------


def spoken(*words: object) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.registering", *map(str, words)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def uris(postgresql_database: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return f"sqlite:///{tmp_path}/registry.db", postgresql_database()


@pytest.mark.xdist_group("postgresql")
def test_of_registrations_by_several_processes_none_is_lost_or_doubled(uris: tuple[str, str]) -> None:
    for told in spoken("many", 3, 3, *uris):
        assert told["codes"] == [0] * 3
        assert told["numbers"] == list(range(1, 10))
        assert sorted(told["intents"]) == sorted(f"process-{one}/{two}" for one in range(3) for two in range(3))
        assert told["problems"] == []


@pytest.mark.xdist_group("postgresql")
def test_a_registration_that_is_killed_is_there_whole_or_not_at_all(uris: tuple[str, str]) -> None:
    for told in spoken("killed", 11, 4, *uris):
        for kill in told["kills"]:
            assert kill["code"] == -9, kill
            assert kill["wrong"] == [], kill
            assert kill["numbers"] == list(range(1, len(kill["numbers"]) + 1)), kill
            assert kill["of_intent"] == 1, kill
            assert kill["answers"], kill
        assert told["versions"] == 2 + len(told["kills"])
        assert told["swept"] > 0, "a kill after the files were kept leaves files that nobody names"
        assert told["left"] == [], "the sweep took nothing that a version names"


# --- signatures -------------------------------------------------------------------------------------------------------


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A key that signs."""
    make_key(tmp_path / "release.key")
    monkeypatch.setenv("HARNESS_SIGNING_KEY_FILE", str(tmp_path / "release.key"))
    return tmp_path / "release.key"


def trust(monkeypatch: pytest.MonkeyPatch, *keys: Path) -> None:
    monkeypatch.setenv("HARNESS_TRUSTED_KEYS", ":".join(f"{key}.pub" for key in keys))


async def test_what_a_trusted_key_signed_is_loaded(
    key: Path, registry: SqlRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    revision = await registry.register(sample_model(1), "one")
    trust(monkeypatch, key)
    assert (await registry.load(revision)).artifact_digest == revision.digest
    row = registry.store.row(revision.name, 1)
    public: Any = load_pem_public_key(text_of(Path(f"{key}.pub")).encode())
    public.verify(base64.b64decode(row.signature), row.manifest.encode())  # as anybody's tool for Ed25519 does
    assert json.dumps(json.loads(row.manifest), sort_keys=True, separators=(",", ":")) == row.manifest


async def test_a_key_in_a_variable_signs_as_one_in_a_file(
    key: Path, registry: SqlRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HARNESS_SIGNING_KEY_FILE")
    monkeypatch.setenv("HARNESS_SIGNING_KEY", text_of(key).replace("\n", "\\n"))
    revision = await registry.register(sample_model(1), "one")
    trust(monkeypatch, key)
    assert await registry.verify(revision) == ()


async def test_what_nobody_signed_or_another_one_did_is_not_loaded_where_trust_is_configured(
    key: Path, registry: SqlRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = await registry.register(sample_model(1), "one")
    monkeypatch.delenv("HARNESS_SIGNING_KEY_FILE")
    bare = await registry.register(sample_model(2), "two")
    assert (await registry.load(bare)).artifact_digest == bare.digest
    trust(monkeypatch, key)
    with pytest.raises(RegistryError, match="checked-model:2 is not loaded: it is not signed"):
        await registry.load(bare)
    make_key(tmp_path / "other.key")
    trust(monkeypatch, tmp_path / "other.key")
    with pytest.raises(RegistryError, match=r"is signed by ed25519:\w{16}, which is not among the trusted keys"):
        await registry.load(signed)
    trust(monkeypatch, tmp_path / "other.key", key)
    assert await registry.verify(signed) == ()


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE harness_versions SET signature = ''", "it is not signed"),
        ("UPDATE harness_versions SET signature = 'é'", "its signature by .* does not fit"),
        ("UPDATE harness_versions SET signature = 'AAAA'", "its signature by .* does not fit"),
        ("UPDATE harness_versions SET manifest = replace(manifest, '\"size\":', '\"size\":1')", "does not fit"),
        ("UPDATE harness_versions SET manifest = '{}'", "its manifest cannot be read"),
        ("UPDATE harness_versions SET data_digest = 'sha256:0'", "are not those of its manifest"),
        ("UPDATE harness_versions SET metrics = '{\"accuracy\": 1.0}'", "its metrics are not what metadata.json says"),
        (
            "UPDATE harness_versions SET manifest = (SELECT manifest FROM harness_versions WHERE number = 1), "
            "signature = (SELECT signature FROM harness_versions WHERE number = 1)",
            "its manifest is of checked-model:1",
        ),
    ],
)
async def test_a_forged_row_is_named_and_nothing_is_loaded(
    statement: str, told: str, key: Path, path: Path, registry: SqlRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    await registry.register(sample_model(1), "one")
    revision = await registry.register(sample_model(2), "two")
    trust(monkeypatch, key)
    changed(path, statement + " WHERE number = 2")
    assert await registry.verify(Revision(revision.name, 1, sample_model(1).artifact_digest)) == ()
    with pytest.raises(RegistryError, match=told):
        await registry.load(revision)


async def test_a_manifest_names_files_by_their_content_alone(path: Path, registry: SqlRegistry) -> None:
    revision = await registry.register(sample_model(1), "one")
    sha = json.loads(registry.store.row(revision.name, 1).manifest)["files"][0]["sha256"]
    changed(path, "UPDATE harness_versions SET manifest = replace(manifest, ?, '../../../secret')", sha)
    [problem] = await registry.verify(revision)
    assert "'../../../secret' is no SHA-256" in problem


async def test_to_name_no_trusted_key_is_not_to_trust_everybody(
    registry: SqlRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    revision = await registry.register(sample_model(1), "one")
    monkeypatch.setenv("HARNESS_TRUSTED_KEYS", " : ")
    with pytest.raises(InputError, match="is set and names no file"):
        await registry.load(revision)


@pytest.mark.xdist_group("postgresql")
def test_on_postgresql_nobody_waits_for_ever(uris: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    registry = SqlRegistry(uris[1])
    revision = run_real(registry.register, sample_model(1), "one")
    monkeypatch.setattr(sql_database, "BUSY_S", 0.05)

    def held(connection: Any) -> None:
        connection.execute(sql_schema.models.select().with_for_update())
        with pytest.raises(RegistryError, match=r"lock timeout.* another transaction holds"):
            run_real(SqlRegistry(uris[1]).set_alias, revision, "stable")

    registry.store.database.reading(held)
    run_real(registry.set_alias, revision, "stable")


@pytest.mark.parametrize("text", ["no key", "", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"])
async def test_a_key_that_is_none_registers_nothing(
    text: str, key: Path, registry: SqlRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(key, text)
    with pytest.raises(InputError, match="harness registry keygen -o FILE"):
        await registry.register(sample_model(1), "one")
    assert await registry.names() == ()
    monkeypatch.setenv("HARNESS_TRUSTED_KEYS", str(key))
    monkeypatch.delenv("HARNESS_SIGNING_KEY_FILE")
    revision = await registry.register(sample_model(1), "one")
    with pytest.raises(InputError, match="holds no public key"):
        await registry.load(revision)


# --- files ------------------------------------------------------------------------------------------------------------


async def test_a_sweep_leaves_what_is_young_and_what_is_named(registry: SqlRegistry) -> None:
    revision = await registry.register(sample_model(1), "one")
    artifacts = registry.store.artifacts
    assert isinstance(artifacts, FolderArtifacts)
    forgotten = artifacts.put(b"of a registration that was cut off")
    partial = artifacts.folder / ".partial-x"
    partial.write_bytes(b"half a fi")
    young = await registry.sweep()
    assert (young.removed, young.kept, young.waiting) == (0, 2, 2)
    assert (await registry.sweep(0, only_look=True)).removed == 2
    assert artifacts.holds(forgotten.sha256)
    assert (await registry.sweep(0)).removed == 2
    assert not artifacts.holds(forgotten.sha256)
    assert not partial.exists()
    assert await registry.verify(revision) == ()


async def test_a_sweep_between_the_files_and_the_database_takes_nothing_for_good(
    registry: SqlRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    await registry.create()
    writing = registry.store.database.writing

    def swept_first(work: Callable[[Any], Any]) -> Any:
        monkeypatch.setattr(registry.store.database, "writing", writing)
        assert registry.store.sweep(0).removed == 2
        return writing(work)

    monkeypatch.setattr(registry.store.database, "writing", swept_first)
    revision = await registry.register(sample_model(1), "one")
    assert await registry.verify(revision) == ()


async def test_the_database_remembers_where_its_files_are(path: Path, tmp_path: Path) -> None:
    first = SqlRegistry(f"sqlite:///{path}", artifacts=str(tmp_path / "elsewhere"))
    revision = await first.register(sample_model(1), "one")
    assert (await SqlRegistry(f"sqlite:///{path}").load(revision)).artifact_digest == revision.digest
    assert not path.with_name("registry.db.artifacts").exists()


async def test_registries_that_share_a_place_sweep_their_own_files_alone(tmp_path: Path) -> None:
    place = str(tmp_path / "shared")
    one, two = (SqlRegistry(f"sqlite:///{tmp_path}/{name}.db", artifacts=place) for name in ("one", "two"))
    kept = [await each.register(sample_model(number), "first") for number, each in enumerate((one, two), 1)]
    assert (await one.sweep(0)).removed == 0
    assert (await SqlRegistry(f"sqlite:///{tmp_path}/two.db", artifacts=place).verify(kept[1])) == ()


async def test_a_device_in_place_of_a_file_is_not_read(registry: SqlRegistry) -> None:
    revision = await registry.register(sample_model(1), "one")
    artifacts = registry.store.artifacts
    assert isinstance(artifacts, FolderArtifacts)
    for path in artifacts.folder.glob("sha256/*/*"):
        path.unlink()
        path.symlink_to("/dev/zero")
    assert ["no ordinary file" in each for each in await registry.verify(revision)] == [True, True]


async def test_a_file_that_was_damaged_is_whole_again_once_it_is_put_again(registry: SqlRegistry) -> None:
    artifacts = registry.store.artifacts if await registry.create() is None else None
    assert isinstance(artifacts, FolderArtifacts)
    kept = artifacts.put(b"content")
    put(artifacts.path(kept.sha256), "damaged")
    assert artifacts.put(b"content") == kept
    assert artifacts.get(kept.sha256) == b"content"
    artifacts.remove(kept.sha256)
    with pytest.raises(ArtifactError, match="the file is missing from"):
        artifacts.get(kept.sha256)


# --- models -----------------------------------------------------------------------------------------------------------


async def test_everything_known_of_a_model_comes_back(registry: SqlRegistry) -> None:
    model = replace(sample_model(3), features_digest="sha256:f")
    loaded = await registry.load(await registry.register(model, "intent"))
    for what in ("role", "algorithm", "params", "task", "features", "classes", "data_digest", "metrics",
                 "features_digest"):  # fmt: skip
        assert getattr(loaded, what) == getattr(model, what), what
    assert loaded.source is Source.REGISTERED


async def test_a_model_is_found_by_its_uri(registry: SqlRegistry) -> None:
    revision = await registry.register(sample_model(1), "one")
    await registry.set_alias(revision, "stable")
    for uri in ("models:/checked-model@stable", "models:/checked-model/1"):
        assert (await registry.fetch(uri)).revision == revision
    for uri in ("models:/checked-model@none", "models:/checked-model/2", "models:/nobody/1", "runs:/0a1b/model"):
        with pytest.raises(NotRegistered):
            await registry.fetch(uri)


class Own:
    """A type that nobody but its author knows."""


async def test_what_skops_cannot_hold_without_code_is_refused_and_leaves_nothing(registry: SqlRegistry) -> None:
    with pytest.raises(RegistryError, match=r"types that are not known to be harmless: .*Own; build it of"):
        await registry.register(replace(sample_model(1), estimator=Own()), "one")
    with pytest.raises(RegistryError, match="answers by recorded predictions"):
        await registry.register(replace(sample_model(1), source=Source.RECORDED), "one")
    assert await registry.names() == ()
    assert not list(registry.store.artifacts.listed())


async def test_what_a_version_is_made_of_and_became_is_told(registry: SqlRegistry) -> None:
    revision = await registry.register(sample_model(1), "20260101-7/4")
    await registry.record_deployment(revision, Deployment("20260101-7", 1, "rejected", "canary", data="churn.csv"))
    found = await registry.lineage(revision)
    assert found.run == "20260101-7"
    assert found.data is not None
    assert (found.data.digest, found.data.name) == (sample_model(1).data_digest, "churn.csv")
    assert [each.outcome for each in found.deployments] == ["rejected"]


# --- errors -----------------------------------------------------------------------------------------------------------


async def test_looking_makes_nothing(path: Path, registry: SqlRegistry) -> None:
    for look in (
        registry.names(),
        registry.versions("m"),
        registry.resolve("m", "stable"),
        registry.fetch("models:/m/1"),
    ):
        with pytest.raises(NotRegistered, match="there is no such database yet"):
            await look
    assert not list(path.parent.iterdir())


async def test_a_database_of_a_newer_program_is_left_alone(path: Path, registry: SqlRegistry) -> None:
    await registry.register(sample_model(1), "one")
    changed(path, "UPDATE harness_registry SET schema = 2")
    newer = SqlRegistry(f"sqlite:///{path}")
    for asked in (newer.names(), newer.register(sample_model(2), "two")):
        with pytest.raises(RegistryError, match=r"a newer harness made this registry .* upgrade harness"):
            await asked
    assert len(await registry.versions("checked-model")) == 1


async def test_what_no_database_could_hold_is_not_registered(registry: SqlRegistry) -> None:
    await registry.register(sample_model(1), "one")
    for number in (2**31, 10**20):
        with pytest.raises(NotRegistered, match=f"there is no checked-model:{number}; .* versions 1 to 1"):
            await registry.fetch(f"models:/checked-model/{number}")
    with pytest.raises(RegistryError, match="surrogates not allowed"):
        await registry.versions("\udcff")
    name = "x'; DROP TABLE harness_models; -- \u00e9 \U0001f600 " + "n" * 5000
    assert (await registry.register(replace(sample_model(2), name=name), "two")).version == 1
    assert await registry.names() == tuple(sorted(["checked-model", name]))


async def test_a_row_that_someone_has_spoiled_is_told(path: Path, registry: SqlRegistry) -> None:
    await registry.register(sample_model(1), "one")
    changed(path, "UPDATE harness_versions SET metrics = '{'")
    with pytest.raises(RegistryError, match="listing the versions of checked-model failed"):
        await registry.versions("checked-model")


async def test_who_waits_too_long_for_others_is_told_and_tries_no_more(
    path: Path, registry: SqlRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    revision = await registry.register(sample_model(1), "one")
    monkeypatch.setattr(sql_database, "BUSY_S", 0.05)
    late = SqlRegistry(f"sqlite:///{path}")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(RegistryError, match=r"database is locked; another program holds .* end it, or ask again"):
        await late.set_alias(revision, "stable")
    assert len(await late.versions("checked-model")) == 1, "readers do not wait"
    other.close()
    await late.set_alias(revision, "stable")


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(NotRegistered, match="this is a folder, and no database; name a file"):
        run_real(SqlRegistry(f"sqlite:///{tmp_path}").names)


def test_a_file_that_is_no_database_is_told(path: Path, registry: SqlRegistry) -> None:
    path.write_text("not a database, whatever its name says" * 100)
    for asked in (registry.names, lambda: registry.register(sample_model(1), "one")):
        with pytest.raises(RegistryError, match="is an SQLite file that can be written"):
            run_real(asked)
    assert path.read_text().startswith("not a database")


@pytest.mark.parametrize("uri", ["mysql://h/db", "postgresql+asyncpg//", "redis://h"])
def test_other_databases_are_refused(uri: str) -> None:
    with pytest.raises(BackendError, match="a registry in a database is found at sqlite:///PATH or postgresql://"):
        SqlRegistry(uri)


def test_a_postgresql_that_is_not_there_is_told_without_its_password(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    requires.module("psycopg")
    registry = SqlRegistry(f"postgresql://ann:s3cr3t-word@/models?host={tmp_path}")
    with pytest.raises(Unreachable, match="check that PostgreSQL answers there") as told:
        run_real(registry.names)
    assert "s3cr3t-word" not in f"{told.value!r}{told.value.__cause__}{capfd.readouterr()}"
    assert "s3cr3t-word" not in registry.store.database.uri
