"""The scenario file: what an HTTPRoute of the Gateway API cannot do of a rollout (``router: httproute``)."""

from collections.abc import Iterable
from typing import Final

from harness.manifests.routes import MOST_ROUTES
from harness.scenario.inputs import At, ContradictionError, Loc
from harness.scenario.rollouts import RolloutInput

INSIDE: Final = ("builtin", "haproxy")
"""Routers that ask each replica at its own address."""
OUTSIDE: Final = ("local", "http")
"""Servers that no Gateway of a cluster stands before."""


def unroutable(rollout: RolloutInput, serving: str, router: str) -> Iterable[At]:
    """What of it would fail in the middle of a run."""
    if serving == "kubernetes" and router in INSIDE:
        told = f"is {router}, which runs on this machine; pods are reached through their Gateway: take httproute"
        yield At(("backends", "router"), ContradictionError(told))
    if router != "httproute":
        return
    if serving in OUTSIDE:
        told = f"is httproute, which needs `serving: kubernetes`; with `serving: {serving}` take builtin or haproxy"
        yield At(("backends", "router"), ContradictionError(told))
    if rollout.sticky or rollout.strategy == "ab_test":
        key = ("rollout", "sticky") if rollout.sticky else ("rollout", "strategy")
        what = "is on" if rollout.sticky else "is ab_test, which keeps users to their arm"
        yield At(
            key,
            ContradictionError(
                f"{what}: the Gateway API's standard channel has no field for it; leave it out, or rehearse it with "
                "`serving: local`"
            ),
        )
    steps = list(enumerate(rollout.steps or ()))
    mirrored: list[Loc] = [("rollout", "steps", index, "mirror") for index, step in steps if step.mirror]
    for place in (*([("rollout", "mirror")] if rollout.mirror is not None else []), *mirrored):
        yield At(
            place,
            ContradictionError(
                "copies requests: an HTTPRoute can (RequestMirror), but nobody learns what copies met; give the "
                "candidate a small weight, or mirror with `serving: local`"
            ),
        )
    led = {step.route.name for _, step in steps if step.route is not None}
    if len(led) > MOST_ROUTES:
        told = f"lead {len(led)} headers; an HTTPRoute has room for {MOST_ROUTES}"
        yield At(("rollout", "steps"), ContradictionError(told))
