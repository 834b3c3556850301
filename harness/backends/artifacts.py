"""Files kept by their content: the name of each is the SHA-256 of its bytes, so the same bytes are kept once.

A file appears whole or not at all: it is written beside its place, synced to disk and renamed. What a crash leaves
behind is a file that nobody names, and `Artifacts.listed` finds those for whoever sweeps.
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from harness.backends.uri import masked
from harness.clock import epoch_ns
from harness.errors import ArtifactError, InputError

CHUNK: Final = 1 << 20
PARTIAL: Final = ".partial-"
KIND: Final = "sha256"


@dataclass(frozen=True, slots=True)
class Stored:
    """A file by its content."""

    sha256: str
    """64 hexadecimal digits."""
    size: int
    """Bytes."""


class Artifacts(Protocol):
    """A place for files by their content."""

    place: str
    """A path or a URL, for people."""

    def put(self, source: bytes | Path) -> Stored:
        """Keep a file; the same bytes again are the same file."""
        ...

    def get(self, sha256: str) -> bytes:
        """Its bytes, as they are now; ArtifactError where it is missing."""
        ...

    def holds(self, sha256: str) -> bool:
        """Whether it is there."""
        ...

    def listed(self) -> Iterator[tuple[str, int]]:
        """Every file, and how long ago it was put (s); also those that were never finished."""
        ...

    def remove(self, named: str) -> None:
        """Let go of one that `listed` has named."""
        ...


def opened(place: str) -> Artifacts:
    """The files at a path or a URL of fsspec (``file://``, ``memory://``, ``s3://`` where s3fs is installed).

    Raises:
        InputError: nothing here can open such a URL.
    """
    if "://" not in place:
        return FolderArtifacts(Path(place))
    if place.startswith("file://"):
        return FolderArtifacts(Path(place.removeprefix("file://")))
    return UrlArtifacts(place)


class FolderArtifacts:
    """Files in a folder of this machine.

    Args:
        folder: made when the first file is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = str(folder)

    def put(self, source: bytes | Path) -> Stored:
        """Keep a file, whole and synced, or not at all.

        Raises:
            ArtifactError: it cannot be read, or not be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(prefix=PARTIAL, dir=self.folder)
            beside = Path(name)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    stored = _copied(source, file)
                    file.flush()
                    os.fsync(file.fileno())
                self._name(beside, stored)
            finally:
                beside.unlink(missing_ok=True)
        except OSError as error:
            raise ArtifactError(f"{self.place}: a file cannot be kept there: {error}") from error
        return stored

    def _name(self, beside: Path, stored: Stored) -> None:
        # Also where it is there already: one that was damaged is whole again, and no sweep takes it for forgotten.
        path = self.path(stored.sha256)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.chmod(0o444)
        beside.replace(path)
        for folder in (path.parent, path.parent.parent, self.folder):
            _sync(folder)

    def path(self, sha256: str) -> Path:
        """Where a file is, or would be."""
        return self.folder / KIND / sha256[:2] / sha256

    def get(self, sha256: str) -> bytes:
        """Its bytes, as they are now.

        Raises:
            ArtifactError: it is missing, or cannot be read.
        """
        path = self.path(sha256)
        try:
            if path.exists() and not path.is_file():  # a device or a pipe may never end
                raise ArtifactError(f"the file is no ordinary file any more in {self.place}")
            return path.read_bytes()
        except FileNotFoundError:
            raise ArtifactError(f"the file is missing from {self.place}") from None
        except OSError as error:
            raise ArtifactError(f"the file cannot be read from {self.place}: {error}") from error

    def holds(self, sha256: str) -> bool:
        """Whether it is there."""
        return self.path(sha256).is_file()

    def listed(self) -> Iterator[tuple[str, int]]:
        """Every file and how long ago it was put (s), and those that were never finished."""
        now_s = epoch_ns() // 10**9
        for path in (*self.folder.glob(f"{KIND}/*/*"), *self.folder.glob(f"{PARTIAL}*")):
            with contextlib.suppress(FileNotFoundError):  # another one sweeps too
                yield path.name, now_s - int(path.stat().st_mtime)

    def remove(self, named: str) -> None:
        """Let go of one; one that is gone already is left so."""
        (self.folder / named if named.startswith(PARTIAL) else self.path(named)).unlink(missing_ok=True)


class UrlArtifacts:
    """Files in an object store, by fsspec; such a store shows an object whole or not at all.

    Args:
        url: ``memory://…``, ``s3://BUCKET/PREFIX`` … Credentials come from the vendor's variables.

    Raises:
        InputError: fsspec knows no such kind of URL, or lacks what it needs for it.
    """

    def __init__(self, url: str) -> None:
        import fsspec

        self.place = masked(url.rstrip("/"))
        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise InputError(f"{self.place}: artifacts cannot be kept there: {masked(str(error))}") from None
        self._root = f"{str(root).rstrip('/')}/{KIND}"

    def put(self, source: bytes | Path) -> Stored:
        """Keep a file.

        Raises:
            ArtifactError: it cannot be read, or not be written.
        """
        with self._told("a file cannot be kept there"):
            data = source if isinstance(source, bytes) else source.read_bytes()
            stored = Stored(hashlib.sha256(data).hexdigest(), len(data))
            if not self.holds(stored.sha256):
                self._files.makedirs(self._path(stored.sha256).rpartition("/")[0], exist_ok=True)
                self._files.pipe_file(self._path(stored.sha256), data)
        return stored

    def get(self, sha256: str) -> bytes:
        """Its bytes, as they are now.

        Raises:
            ArtifactError: it is missing, or cannot be read.
        """
        try:
            with self._told("a file cannot be read"):
                return bytes(self._files.cat_file(self._path(sha256)))
        except FileNotFoundError:
            raise ArtifactError(f"the file is missing from {self.place}") from None

    def holds(self, sha256: str) -> bool:
        """Whether it is there."""
        return bool(self._files.exists(self._path(sha256)))

    def listed(self) -> Iterator[tuple[str, int]]:
        """Every file and how long ago it was written (s)."""
        if not self._files.exists(self._root):
            return
        now_s = epoch_ns() / 1e9
        for path in self._files.find(self._root):
            yield path.rpartition("/")[2], int(now_s - self._files.modified(path).timestamp())

    def remove(self, named: str) -> None:
        """Let go of one; one that is gone already is left so."""
        with contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._path(named))

    def _path(self, sha256: str) -> str:
        return f"{self._root}/{sha256[:2]}/{sha256}"

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except Exception as error:  # noqa: BLE001 - each vendor's library raises errors of its own
            raise ArtifactError(f"{self.place}: {what}: {masked(str(error) or repr(error))}") from None


def _copied(source: bytes | Path, target: Any) -> Stored:
    sha, size = hashlib.sha256(), 0
    for part in (source,) if isinstance(source, bytes) else _parts(source):
        sha.update(part)
        target.write(part)
        size += len(part)
    return Stored(sha.hexdigest(), size)


def _parts(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while part := file.read(CHUNK):
            yield part


def _sync(folder: Path) -> None:
    """The name of a file is on disk only once its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
