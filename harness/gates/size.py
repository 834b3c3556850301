"""``size``: how many bytes the artifact comes to.

A skops archive numbers objects by their addresses in memory, so that two dumps of one model differ by some bytes. The
size that is judged is that of the archive without these numbers, its files numbered in the order of their coming,
uncompressed and undated: the same model has the same size everywhere that the same libraries are installed, whether it
was trained just now or read from a file, which shares other objects than training does.
"""

import io
import re
import zipfile
from typing import Any, Final

from harness.domain.gates import Check, Size
from harness.errors import ArtifactError, InputError
from harness.gates.scene import Scene

NAME: Final = "size"
SCHEMA: Final = "schema.json"
UNDATED: Final = (1980, 1, 1, 0, 0, 0)
_NUMBERS: Final = re.compile(r'("__id__": )\d+')
_FILES: Final = re.compile(r'("file": ")(\d+)')


def judge(plan: Size, scene: Scene) -> tuple[Check, ...]:
    """Whether the artifact is small enough.

    Raises:
        InputError: there is no artifact.
        ArtifactError: it cannot be saved.
    """
    if scene.artifact_lacks:
        raise InputError(scene.artifact_lacks)
    size = artifact_bytes(scene.candidate.estimator)
    return (
        Check(
            name=NAME,
            text=f"size {plan.limit.text}",
            passed=plan.limit.holds(size),
            reason=f"the artifact has {size:,} bytes (bound: {plan.limit.text})",
            value=float(size),
            bound=plan.limit.text,
        ),
    )


def artifact_bytes(estimator: Any) -> int:
    """Bytes of the canonical archive of a fitted model.

    Raises:
        ArtifactError: skops cannot save it.
    """
    return len(canonical(dumped(estimator)))


def dumped(estimator: Any) -> bytes:
    """The skops archive of a fitted model.

    Raises:
        ArtifactError: skops cannot save it.
    """
    import skops.io

    try:
        return bytes(skops.io.dumps(estimator))
    except Exception as error:
        # An estimator of the user's own may raise anything as it is taken apart.
        raise ArtifactError(f"the model cannot be saved by skops ({type(error).__name__}: {error})") from error


def canonical(archive: bytes) -> bytes:
    """A skops archive with its files numbered in the order of their coming, uncompressed and undated."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as found, zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as made:
        numbers: dict[str, str] = {}

        def numbered(seen: "re.Match[str]") -> str:
            return seen[1] + numbers.setdefault(seen[2], str(len(numbers)))

        schema = _FILES.sub(numbered, _NUMBERS.sub(r"\g<1>0", found.read(SCHEMA).decode()))
        members = {SCHEMA: schema.encode()}
        for name in found.namelist():
            if name != SCHEMA:
                stem, dot, ending = name.partition(".")
                members[numbers.setdefault(stem, str(len(numbers))) + dot + ending] = found.read(name)
        for name in sorted(members):
            made.writestr(zipfile.ZipInfo(name, UNDATED), members[name])
    return written.getvalue()
