"""What `harness plan` foresees of rollouts that go by counts of replicas is what a run then does."""

from collections.abc import Mapping
from typing import Any

import pytest

from harness.domain.event import Decided, Routed, Totalled
from harness.domain.model import ARMS, Role
from harness.domain.rollout import Outcome, Pause, SetWeight
from harness.domain.units import MINUTE, SECOND
from harness.strategies import STRATEGIES
from harness.strategies.plan import timeline
from tests.build import analysis, parts, policy, rehearse, scenario

KINDS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "rolling at once": ("rolling", {"steps": (), "max_surge": "1", "max_unavailable": "0"}),
    "rolling in batches": ("rolling", {"steps": (), "max_surge": "1", "batch_pause_ns": 3 * MINUTE}),
    "rolling, ripened": ("rolling", {"steps": (), "max_surge": "2", "min_ready_ns": 20 * SECOND}),
    "a canary without a router": (
        "canary",
        {"by_replicas": True, "steps": (SetWeight(1000), Pause(5 * MINUTE), SetWeight(5000), Pause(5 * MINUTE))},
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_by_replicas_is_what_the_run_does(kind: str) -> None:
    strategy, changes = KINDS[kind]
    of = policy(scenario(), strategy=strategy, analysis=analysis(), **changes)
    sizes = {role: of.service[role].replicas for role in ARMS}
    foreseen = timeline(of, lambda start, stop: 50.0 * (stop - start) / SECOND, dict.fromkeys(ARMS, 0.02))
    outcome, events = rehearse(of, parts(of, machine=STRATEGIES[strategy](of.rollout, sizes)))
    assert outcome is Outcome.PROMOTED
    assert foreseen.total_ns == events.only(Decided).at_ns
    shares = [(row.at_ns, row.weight) for row in foreseen.rows if "ready replicas" in row.step]
    routed = {each.weights[Role.CANDIDATE]: each.at_ns for each in reversed(events.of(Routed))}  # when each came first
    assert shares == sorted((at_ns, weight) for weight, at_ns in routed.items() if weight)
    assert len(shares) >= 2
    requests = sum(row.requests for row in foreseen.rows)
    assert requests == pytest.approx(events.only(Totalled).arms[Role.CANDIDATE].arrived, rel=0.1, abs=200)
