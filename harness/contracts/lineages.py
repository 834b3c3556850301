"""What a registry must keep that promises lineage, or files that nobody can change unseen."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.contracts.checks import hold, refuses, sample_model
from harness.domain.lineage import REPLACED, Deployment, Parent
from harness.domain.model import Revision
from harness.errors import NotRegistered, RegistryError
from harness.protocols import LineageKeeper, Registry

PROMOTED = Deployment(
    "20260101-120000-7", 1, "promoted", "canary-healthy", "the last step was held", "canary",
    "2026-01-01T12:00:00+00:00", "checked-model:1", "sha256:1", "telco_churn.csv.gz",
)  # fmt: skip


async def lineage_says_what_a_version_is_made_of(registry: Registry) -> None:
    """Data, features, algorithm, parameters and metrics of a version come back as they were registered."""
    if not isinstance(registry, LineageKeeper):
        return
    model = replace(sample_model(1), features_digest=f"sha256:{'f' * 64}")
    revision = await registry.register(model, "run-1/3")
    await registry.register(sample_model(2), "run-2/1")
    found = await registry.lineage(revision)
    hold(found.revision == revision, f"lineage is of the version that was asked for, not of {found.revision}")
    for what, told, expected in (
        ("data", found.data and found.data.digest, model.data_digest),
        ("features", found.features and found.features.digest, model.features_digest),
        ("algorithm", found.algorithm, model.algorithm),
        ("parameters", {name: str(value) for name, value in found.params.items()}, _texts(model.params)),
        ("metrics", dict(found.metrics), dict(model.metrics)),
    ):
        hold(told == expected, f"lineage keeps the {what} of a version: {expected!r} became {told!r}")
    hold(bool(found.run), "lineage names the training run")
    hold(found.deployments == (), "a version that was never deployed has no deployments")
    absent = replace(revision, version=99)
    await refuses(registry.lineage(absent), "the lineage of a version that is not there", NotRegistered)


async def deployments_stay_with_their_version(registry: Registry) -> None:
    """Each deployment is kept whole, once, in its order, at its version alone; a promotion has replaced another one."""
    if not isinstance(registry, LineageKeeper):
        return
    first = await registry.register(sample_model(1), "intent-1")
    second = await registry.register(sample_model(2), "intent-2")
    back = replace(PROMOTED, outcome="rolled_back", reason="error_rate 4% > 3% (monitor)")
    for _ in range(2):
        await registry.record_deployment(second, PROMOTED)
    await registry.record_deployment(second, back)
    await registry.record_deployment(first, replace(PROMOTED, number=2, outcome="kept_stable"))
    found = await registry.lineage(second)
    hold(found.deployments == (PROMOTED, back), f"deployments are kept, each once, in order: {found.deployments}")
    hold(
        Parent(REPLACED, "checked-model:1", "sha256:1") in found.parents,
        f"what was promoted has replaced what was stable: {found.parents}",
    )
    hold(found.data is not None and found.data.name == PROMOTED.data, "a deployment tells what file the data are")
    others = (await registry.lineage(first)).deployments
    hold([each.outcome for each in others] == ["kept_stable"], "deployments are of one version alone")
    absent = replace(first, version=99)
    await refuses(
        registry.record_deployment(absent, back), "a deployment of a version that is not there", NotRegistered
    )


async def check_tampering(registry: Registry, files: Callable[[Revision], Sequence[Path]]) -> int:
    """Check that nothing is loaded of a version of which a byte was changed or a file is gone.

    Args:
        registry: new and empty; its files are on this machine.
        files: of a version, those that are guarded.

    Returns:
        How many files were tried.

    Raises:
        AssertionError: a promise is broken; the message says which.
    """
    revision = await registry.register(sample_model(1), "intent-1")
    guarded = files(revision)
    hold(bool(guarded), "a version has files")
    for path in guarded:
        whole = path.read_bytes()
        path.chmod(0o644)
        middle = len(whole) // 2
        for what, changed in (
            ("a byte was changed", whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :]),
            ("the end was cut off", whole[:middle]),
            ("nothing was left", b""),
        ):
            path.write_bytes(changed)
            await refuses(registry.load(revision), f"loading a version where {what} of {path.name}", RegistryError)
        path.unlink()
        await refuses(registry.load(revision), f"loading a version that lacks {path.name}", RegistryError)
        path.write_bytes(whole)
        hold((await registry.load(revision)).name == revision.name, "a version whose files are whole again is loaded")
    return len(guarded)


def _texts(params: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in params.items()}
