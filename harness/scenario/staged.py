"""The scenario file: what stands behind `staging`, and what it needs to be told."""

from collections.abc import Iterable
from typing import Final

from harness.scenario.inputs import At, ContradictionError
from harness.scenario.real import KubernetesInput

KINDS: Final = ("local", "kubernetes")
"""Words of `backends.serving` that there is a staging environment of the same kind for."""
SIMULATED: Final = "simulated"


def staging_word(given: str | None, serving: str, clock: str) -> str:
    """What stands behind staging: what is named, else on real time servers of the same kind as production's.

    >>> staging_word(None, "local", "real"), staging_word(None, "local", "virtual"), staging_word("x", "local", "real")
    ('local', 'simulated', 'x')
    """
    return given or (serving if serving in KINDS and clock == "real" else SIMULATED)


def unstaged(
    word: str, serving: str, clock: str, *, deploys: bool, named: bool, cluster: KubernetesInput
) -> Iterable[At]:
    """What a scenario that tries its candidate in staging lacks.

    Args:
        word: as `staging_word` has it.
        serving: the word of `backends.serving`.
        clock: virtual or real.
        deploys: it has `staging`; without, only a load test of the candidate's own servers.
        named: it says itself what stands behind staging.
        cluster: where pods run.
    """
    if deploys and clock == "real" and serving == "http" and not named:
        yield At(
            ("staging",),
            ContradictionError(
                "deploys the candidate, and with `serving: http` nothing can be deployed; leave it out, or say "
                "`backends: {staging: local}` to try the candidate in processes of this machine first"
            ),
        )
    if word != "kubernetes":
        return
    if cluster.staging_front is None:
        told = (
            f"lacks staging_front: the URL of the Gateway in the namespace {cluster.staging_namespace}, where the "
            "candidate is asked in staging"
        )
        yield At(("real", "kubernetes"), ContradictionError(told))
    if cluster.staging_namespace == cluster.namespace:
        told = f"is {cluster.namespace}, which is production's; give staging one of its own"
        yield At(("real", "kubernetes", "staging_namespace"), ContradictionError(told))
