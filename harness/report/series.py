"""What the plots draw: both arms look by look, shares and bounds, folded from what was seen."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from harness.domain.event import Observed
from harness.domain.model import ARMS, Role
from harness.domain.units import MINUTE, WHOLE
from harness.report.folding import Folding
from harness.report.numbers import kept
from harness.report.result import Look, Points, Series


def series(seen: Folding) -> Series:
    """Of the run so far; empty before traffic began."""
    if seen.traffic_ns is None:
        return Series()
    looks = _distinct(seen)
    share = [(seen.since_traffic_s(at_ns), weight / WHOLE) for at_ns, weight in seen.shares]
    return Series(
        at_s=tuple(seen.since_traffic_s(observed.at_ns) for observed in looks),
        arms={role: _columns(looks, role) for role in _present(looks)},
        share=(*share, (seen.since_traffic_s(seen.now_ns), seen.candidate_weight / WHOLE)),
        copied=tuple((seen.since_traffic_s(at_ns), mirror / WHOLE) for at_ns, mirror in seen.copies),
        bounds=_bounds(seen.looks),
    )


def _distinct(seen: Folding) -> list[Observed]:
    """One look for each instant: where several analyses looked, the one whose window is nearest to the policy's."""
    usual = (seen.started.window_ns if seen.started else 0) or MINUTE
    best: dict[int, Observed] = {}
    for observed in seen.observed:
        other = best.get(observed.at_ns)
        if other is None or abs(observed.window_ns - usual) <= abs(other.window_ns - usual):
            best[observed.at_ns] = observed
    return list(best.values())


def _present(looks: Sequence[Observed]) -> list[Role]:
    """The two arms of every rollout, and those that this one had besides."""
    beside = {role for observed in looks for role, arm in observed.arms.items() if arm.requests}
    return [role for role in Role if role in ARMS or role in beside]


def _columns(looks: Sequence[Observed], role: Role) -> Mapping[str, tuple[float | None, ...]]:
    rows: list[dict[str, float | None]] = []
    for observed in looks:
        arm = observed.arms.get(role)
        if arm is None:
            rows.append({})
            continue
        counts = {"requests": arm.requests, "failed": arm.failed, "labelled": arm.labelled}
        rows.append({**kept(arm.figures), "weight": arm.weight / WHOLE, **counts})
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: tuple(row.get(name) for row in rows) for name in names}


def _bounds(looks: list[Look]) -> dict[str, Points]:
    points: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for look in looks:
        if look.bound is not None:
            points[look.rule].append((look.at_s, look.bound))
    return {rule: tuple(found) for rule, found in points.items()}
