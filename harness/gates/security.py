"""``security``: what the candidate's artifact holds, found without loading it (`harness.gates.scanning`).

A file that the candidate was brought from is scanned as it lies there. A model that was trained in the run, or came
from a registry, is scanned as it would be handed on: saved by skops, which holds no code.
"""

from pathlib import Path
from typing import Final

from harness.domain.gates import Check, Details, Security
from harness.errors import ArtifactError, InputError
from harness.gates.scanning import Finding, scan
from harness.gates.scene import Scene
from harness.gates.size import dumped
from harness.gates.words import listed

NAME: Final = "security"


def judge(plan: Security, scene: Scene) -> tuple[Check, ...]:
    """Whether nothing is in the artifact that must not be.

    Raises:
        InputError: there is no artifact.
        ArtifactError: it cannot be read, or cannot be saved.
    """
    if scene.file is not None:
        return (check(scan_file(scene.file, plan)),)
    if scene.artifact_lacks:
        raise InputError(scene.artifact_lacks)
    return (check(scan(dumped(scene.candidate.estimator), f"{scene.candidate.name}.skops", plan)),)


def scan_file(path: Path, plan: Security) -> tuple[Finding, ...]:
    """Scan a file; one that is larger than the limit is not read.

    Raises:
        ArtifactError: it cannot be read.
    """
    try:
        size = path.stat().st_size
        if size > plan.max_bytes:
            return (Finding(path.name, f"{size:,} bytes, above the limit of {plan.max_bytes:,}", refused=True),)
        return scan(path.read_bytes(), path.name, plan)
    except OSError as error:
        raise ArtifactError(f"{path}: the model file cannot be read: {error.strerror}") from error


def check(found: tuple[Finding, ...]) -> Check:
    """What was found, judged; the count of what must not be there is the figure."""
    refused = [f"{each.where}: {each.what}" for each in found if each.refused]
    return Check(
        name=NAME,
        text="security scan of the artifact",
        passed=not refused,
        reason=f"security scan: {listed(refused)}" if refused else "nothing was found that is not known to be harmless",
        value=float(len(refused)),
        bound="== 0",
        details=Details(
            ("where", "finding", "refused"),
            tuple((each.where, each.what, "yes" if each.refused else "note") for each in found),
            "the artifact was not loaded to be looked at",
        ),
    )
