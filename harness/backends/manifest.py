"""What a version consists of, file by file, in a form that can be signed: canonical JSON.

Canonical: keys sorted, no spaces, UTF-8, and no numbers but whole ones, so that it is RFC 8785 for what stands in it.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from harness.backends.artifacts import Stored
from harness.domain.model import Revision
from harness.errors import ArtifactError

FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a version consists of."""

    name: str
    version: int
    digest: str
    data_digest: str | None
    features_digest: str | None
    files: Mapping[str, Stored]
    """By the name that each has in the version."""

    def text(self) -> str:
        """Canonical JSON."""
        files = [{"path": path, **asdict(stored)} for path, stored in sorted(self.files.items())]
        told = {
            "manifest": FORMAT, "name": self.name, "version": self.version, "digest": self.digest,
            "data_digest": self.data_digest, "features_digest": self.features_digest, "files": files,
        }  # fmt: skip
        return json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def parsed(text: str) -> Manifest:
    """A manifest read.

    Raises:
        ArtifactError: it is none, or of a newer format.
    """
    try:
        told: dict[str, Any] = json.loads(text)
        if told["manifest"] != FORMAT:
            raise ArtifactError(f"its manifest is of format {told['manifest']!r}; this program reads {FORMAT}")
        files = {str(each["path"]): Stored(_sha256(each["sha256"]), int(each["size"])) for each in told["files"]}
        return Manifest(
            told["name"], told["version"], told["digest"], told["data_digest"], told["features_digest"], files
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"its manifest cannot be read ({type(error).__name__}: {error})") from None


def _sha256(text: Any) -> str:
    if not re.fullmatch("[0-9a-f]{64}", text):  # it becomes a path
        raise ValueError(f"{text!r} is no SHA-256")
    return str(text)


def mismatch(manifest: Manifest, revision: Revision) -> str:
    """Why a manifest is not of that version; empty where it is."""
    if (manifest.name, manifest.version) != (revision.name, revision.version):
        return f"its manifest is of {manifest.name}:{manifest.version}"
    if manifest.digest != revision.digest:
        return f"its manifest is of {manifest.digest}, and it is registered as {revision.digest}"
    return ""


def file_problem(path: str, expected: Stored, read: Callable[[str], bytes]) -> tuple[bytes, str]:
    """The bytes of a file of a version, and what is wrong with them; empty where nothing is.

    Args:
        path: its name in the version.
        expected: as the manifest has it.
        read: what reads a file by its SHA-256.
    """
    try:
        data = read(expected.sha256)
    except ArtifactError as error:
        return b"", f"{path}: {error}"
    if len(data) != expected.size:
        return data, f"{path} has {len(data):,} bytes, not {expected.size:,}: someone has changed the file"
    found = hashlib.sha256(data).hexdigest()
    if found != expected.sha256:
        return data, f"{path} is sha256:{found[:12]}…, not sha256:{expected.sha256[:12]}…: someone has changed the file"
    return data, ""


def content_digest(files: Mapping[str, Stored]) -> str:
    """The digest of files by their names and contents, for what is no model that could be asked for its own."""
    told = "".join(f"{stored.sha256} {path}\n" for path, stored in sorted(files.items()))
    return f"sha256:{hashlib.sha256(told.encode()).hexdigest()}"
