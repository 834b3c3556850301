"""A model registry in a database of our own: SQLite by default, PostgreSQL where several machines share one.

    sql_schema.py     the tables
    sql_database.py   transactions, and errors in our words
    sql_store.py      versions and their files
    artifacts.py      files by their content, in a folder or an object store
    manifest.py       what a version consists of; signing.py: who says so

Models are saved as skops archives, which hold no code. docs/registry.md tells what is kept where.
"""

import getpass
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

import anyio

from harness.backends.manifest import Manifest, file_problem, mismatch, parsed
from harness.backends.signing import Signature, trust
from harness.backends.sql_store import GRACE_S, Entry, Store, Swept, check_digest
from harness.backends.told import model_of, told_of
from harness.backends.uri import ModelUriError, model_uri
from harness.clock import is_virtual
from harness.domain.lineage import Deployment, Lineage, Origin, with_replaced
from harness.domain.model import Revision, Role, Source, TrainedModel
from harness.errors import ArtifactError, NotRegistered, RegistryError
from harness.protocols import Fetched, IntentId, Version
from harness.realtime import Ours

T = TypeVar("T")

MODEL: Final = "model.skops"
METADATA: Final = "metadata.json"
TOLD: Final = frozenset({"role", "algorithm", "params", "task", "features", "classes", "data_digest", "metrics"})


class SqlRegistry:
    """Versions of models and their aliases in a database.

    Args:
        uri: ``sqlite:///PATH`` or ``postgresql://[USER@]HOST[:PORT]/DATABASE``.
        artifacts: where files are kept, a path or a URL of fsspec; None: as the database says.

    Raises:
        BackendError: it is no such URI, or the driver is not installed.
    """

    def __init__(self, uri: str, artifacts: str | None = None) -> None:
        self.store = Store(uri, artifacts)
        self._binary = True

    def allow_many_classes(self) -> None:
        """Load classifiers of more than two classes too, for a server; until this is called they are refused."""
        self._binary = False

    def guard(self, ours: Ours) -> None:
        """Changes are committed inside `ours`: nobody takes a rollout over between the look and the commit."""
        self.store.database.ours = ours

    async def create(self) -> None:
        """Make the tables, where they are not there yet; registering does so by itself."""
        await self._call("making the registry", self.store.database.ensure)

    async def register(self, model: TrainedModel, intent: IntentId) -> Revision:
        """Add a version; the same intent twice is one version.

        Raises:
            RegistryError: the intent has registered another model, the model is not here or cannot be saved without
                code, or the database refused.
            InputError: the key that is to sign it cannot be used.
        """
        if model.source is Source.RECORDED:
            raise RegistryError(
                f"{model.name} answers by recorded predictions, and a database keeps models that can be served; "
                "register in memory"
            )
        return await self._call(f"registering {model.name}", lambda: self._register(model, intent))

    async def resolve(self, name: str, alias: str) -> Revision:
        """The version an alias names.

        Raises:
            NotRegistered: no such model or alias.
            RegistryError: the database refused.
        """
        return await self._call(f"looking up {name}@{alias}", lambda: self.store.resolve(name, alias))

    async def set_alias(self, revision: Revision, alias: str) -> None:
        """Let the alias name this version; it then names no other.

        Raises:
            NotRegistered: there is no such version.
            RegistryError: the database refused.
        """
        await self._call(f"setting the alias {alias} of {revision}", lambda: self.store.set_alias(revision, alias))

    async def load(self, revision: Revision) -> TrainedModel:
        """The model of a version, once its manifest, signature and every file were found to be what they should be.

        Raises:
            NotRegistered: there is no such version.
            RegistryError: something was changed or is missing, which is named, and nothing was loaded.
        """
        return await self._call(f"loading {revision}", lambda: self._load(revision))

    async def remove_alias(self, name: str, alias: str) -> None:
        """Let the alias name nothing; one that names nothing already is left so.

        Raises:
            NotRegistered: no such model.
            RegistryError: the database refused.
        """
        await self._call(f"removing the alias {alias} of {name}", lambda: self.store.remove_alias(name, alias))

    async def mark(self, revision: Revision, status: str) -> None:
        """Say how a version stands; a second mark replaces the first.

        Raises:
            NotRegistered: there is no such version.
            RegistryError: the database refused.
        """
        await self._call(f"marking {revision} {status}", lambda: self.store.change(revision, status=status))

    async def versions(self, name: str) -> tuple[Version, ...]:
        """All versions of a model, oldest first; no file is read.

        Raises:
            NotRegistered: no such model.
            RegistryError: the database refused.
        """
        return await self._call(f"listing the versions of {name}", lambda: self.store.versions(name))

    async def names(self) -> tuple[str, ...]:
        """The names of all models, sorted.

        Raises:
            NotRegistered: there is no such database.
            RegistryError: the database refused.
        """
        return await self._call("listing the models", self.store.names)

    async def fetch(self, uri: str) -> Fetched:
        """The model that ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION`` names.

        Raises:
            NotRegistered: there is no such model, alias or version.
            RegistryError: it cannot be loaded.
        """
        return await self._call(f"loading {uri}", lambda: self._fetch(uri))

    async def record_deployment(self, revision: Revision, deployment: Deployment) -> None:
        """Keep what became of a version in a rollout; the same one twice is one.

        Raises:
            NotRegistered: there is no such version.
            RegistryError: the database refused.
        """
        await self._call(f"recording a deployment of {revision}", lambda: self.store.deploy(revision, deployment))

    async def lineage(self, revision: Revision) -> Lineage:
        """Where a version comes from, and what became of it.

        Raises:
            NotRegistered: there is no such version.
            RegistryError: the database refused.
        """
        return await self._call(f"tracing {revision}", lambda: self._lineage(revision))

    async def verify(self, revision: Revision) -> tuple[str, ...]:
        """Everything that is wrong with a version: its manifest, its signature, its files; empty where nothing is.

        Nothing is loaded.

        Raises:
            NotRegistered: there is no such version.
            RegistryError: the database refused.
            InputError: the trusted keys cannot be read.
        """
        return await self._call(f"verifying {revision}", lambda: self._verified(revision)[1])

    async def signed_by(self, revision: Revision) -> str:
        """The id of the key that signed a version's manifest; empty where nobody has."""
        found = await self._call(f"looking up {revision}", lambda: self.store.row(revision.name, revision.version))
        return str(found.signed_by)

    async def sweep(self, older_than_s: int = GRACE_S, *, only_look: bool = False) -> Swept:
        """Take away files that no version names.

        Raises:
            RegistryError: the database or the files refused.
        """
        return await self._call("sweeping the artifacts", lambda: self.store.sweep(older_than_s, only_look=only_look))

    async def _call(self, doing: str, work: Callable[[], T]) -> T:
        """Do something that blocks; off the event loop on real time, inline on virtual time, which stands still."""

        def told() -> T:
            with self.store.database.told(doing):
                return work()

        return told() if is_virtual() else await anyio.to_thread.run_sync(told)

    # --- what blocks ---

    def _register(self, model: TrainedModel, intent: IntentId) -> Revision:
        if found := self.store.known(intent, model.name, model.artifact_digest):
            return found
        entry = Entry(
            name=model.name,
            digest=model.artifact_digest,
            intent=intent,
            run=intent.rpartition("/")[0] or intent,
            algorithm=model.algorithm,
            params=model.params,
            metrics={name: float(value) for name, value in model.metrics.items()},
            data_digest=model.data_digest,
            features_digest=model.features_digest,
            created_by=user(),
        )
        return self.store.register(entry, {MODEL: _archive(model), METADATA: _metadata(model)})

    def _fetch(self, uri: str) -> Fetched:
        try:
            named = model_uri(uri)
        except ModelUriError as error:
            raise RegistryError(f"{uri}: {error}") from None
        if named.run:
            raise NotRegistered(
                f"{uri}: a registry in a database holds versions, and no runs; write models:/NAME@ALIAS"
            )
        if named.alias:
            revision = self.store.resolve(named.name, named.alias)
        else:
            revision = Revision(named.name, named.version, self.store.row(named.name, named.version).digest)
        return Fetched(self._load(revision), revision)

    def _verified(self, revision: Revision) -> tuple[Mapping[str, bytes], tuple[str, ...]]:
        """The files of a version as they are, and everything that is wrong with them, or with what names them."""
        row = self.store.row(revision.name, revision.version)
        check_digest(row, revision)
        try:
            manifest = parsed(row.manifest)
        except ArtifactError as error:
            return {}, (str(error),)
        wrong = [mismatch(manifest, revision), trust().problem(row.manifest, Signature(row.signed_by, row.signature))]
        wrong += [_disagreement(manifest, row)]
        files = {}
        for path, expected in manifest.files.items():
            files[path], problem = file_problem(path, expected, self.store.artifacts.get)
            wrong.append(problem)
        if not any(wrong) and (known := _known(files)):
            wrong.append(_otherwise(known, row))
        return files, tuple(filter(None, wrong))

    def files(self, revision: Revision) -> Mapping[str, bytes]:
        """The files of a version by name, once all of them were found to be what they should be; blocks.

        Raises:
            NotRegistered: there is no such version.
            RegistryError: something was changed or is missing, which is named.
        """
        files, wrong = self._verified(revision)
        if wrong:
            raise RegistryError(f"{revision} is not loaded: {'; '.join(wrong)}")
        return files

    def _load(self, revision: Revision) -> TrainedModel:
        files = self.files(revision)
        archives = [path for path in files if path.endswith(".skops")]
        if MODEL not in files and len(archives) != 1:
            raise RegistryError(
                f"{revision} holds no model of skops that could be loaded, but {', '.join(files) or 'nothing'}"
            )
        archive = MODEL if MODEL in files else archives[0]
        known = _known(files)
        model = _read(files[archive], known, revision, binary=self._binary)
        if known and model.artifact_digest != revision.digest:
            raise RegistryError(
                f"{revision} is not what was registered: its artifact is {model.artifact_digest}, not {revision.digest}"
            )
        return replace(model, artifact_digest=revision.digest)

    def _lineage(self, revision: Revision) -> Lineage:
        row = self.store.row(revision.name, revision.version)
        check_digest(row, revision)
        deployments = self.store.deployments(revision)
        facts = json.loads(row.facts)
        source = next((each.data for each in reversed(deployments) if each.data), facts.get("data_source", ""))
        features = str(facts.get("feature_set", ""))
        return Lineage(
            revision=revision,
            data=Origin(row.data_digest or "", source) if row.data_digest or source else None,
            features=Origin(row.features_digest or "", features) if row.features_digest or features else None,
            run=row.run,
            algorithm=row.algorithm,
            params=json.loads(row.params),
            metrics=json.loads(row.metrics),
            parents=with_replaced(self.store.parents(revision), deployments),
            deployments=deployments,
            created_at=row.created_at,
            created_by=row.created_by,
        )


# --- what is kept of a model ------------------------------------------------------------------------------------------


def _archive(model: TrainedModel) -> bytes:
    """A model as a skops archive.

    Raises:
        ArtifactError: a skops archive cannot hold it without types that are not known to be harmless.
    """
    import skops.io

    from harness.training.algorithms import calm
    from harness.training.artifact import TRUSTED

    try:
        with calm():
            data: bytes = skops.io.dumps(model.estimator)
            unknown: Sequence[str] = sorted(set(skops.io.get_untrusted_types(data=data)) - TRUSTED)
    except Exception as error:  # noqa: BLE001 - what others' estimators do when they are taken apart, nobody knows
        raise _no_skops(f"{type(error).__name__}: {error}") from None
    if unknown:
        raise _no_skops(f"it holds types that are not known to be harmless: {', '.join(unknown)}")
    return data


def _no_skops(reason: str) -> ArtifactError:
    return ArtifactError(
        f"models are kept as skops, and this one cannot be: {reason}; build it of scikit-learn's own estimators, or "
        "keep this run's models in memory (--registry memory:)"
    )


def _metadata(model: TrainedModel) -> bytes:
    """What is known of a model, as JSON; it stands in the manifest as a file, so that a change of it is seen."""
    return json.dumps(told_of(model), default=repr, indent=1, ensure_ascii=False).encode()


def _known(files: Mapping[str, bytes]) -> Mapping[str, Any] | None:
    """What a run has told of its model; None where others registered files, which may have the same name."""
    try:
        told = json.loads(files.get(METADATA, b"null"))
    except ValueError:
        return None
    return told if isinstance(told, dict) and told.keys() >= TOLD else None


def _read(archive: bytes, known: Mapping[str, Any] | None, revision: Revision, *, binary: bool) -> TrainedModel:
    """The model of files that were found to be what they should be."""
    from harness.training import artifact
    from harness.training.brought import brought

    notes: list[str] = []
    with tempfile.TemporaryDirectory(prefix="harness-") as folder:
        path = Path(folder, MODEL)
        path.write_bytes(archive)
        try:
            estimator = artifact.load(path, notes)
        except ArtifactError as error:
            raise ArtifactError(str(error).replace(str(path), str(revision))) from None
    if known is None:
        found = brought(estimator, revision.name, Role.STABLE, str(revision), binary=binary)
        return replace(found, notes=tuple(notes), source=Source.REGISTERED)
    return model_of(known, revision.name, estimator, notes)


def _disagreement(manifest: Manifest, row: Any) -> str:
    """Where the row of a version says of its data what the manifest does not."""
    said = (row.data_digest, row.features_digest)
    if said == (manifest.data_digest, manifest.features_digest):
        return ""
    return "the digests of its data or features in the database are not those of its manifest"


def _otherwise(told: Mapping[str, Any], row: Any) -> str:
    """Where the row of a version says of its training what its files do not: lists and lineage are told by the row."""
    said = {"algorithm": row.algorithm, "params": json.loads(row.params), "metrics": json.loads(row.metrics)}
    wrong = [name for name in said if json.dumps(said[name], sort_keys=True) != json.dumps(told[name], sort_keys=True)]
    return f"in the database its {' and '.join(wrong)} are not what {METADATA} says" if wrong else ""


def user() -> str:
    """Who is registering, as this machine knows them; empty where it does not."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return ""
