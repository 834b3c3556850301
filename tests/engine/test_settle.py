"""The end of a run on backends that fail as they like: the log has its end, and traffic is where it says."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from fakes.cluster import SimulatedCluster
from fakes.registry import MemoryRegistry
from harness.domain.event import Decided, Escalated, Noticed, Promoted, Routed, RunEnded, StepHeld, Verified
from harness.domain.fault import Errors, LatencyFactor
from harness.domain.model import Revision, Role
from harness.domain.rollout import Outcome, Routing, SetWeight
from harness.domain.units import MINUTE, SECOND, WHOLE
from harness.errors import RegistryError, ServingError
from harness.log import Events
from tests.build import fault, parts, policy, rehearse, scenario

ON_STABLE = {Role.STABLE: WHOLE, Role.CANDIDATE: 0}
ON_CANDIDATE = {Role.STABLE: 0, Role.CANDIDATE: WHOLE}
BAD = scenario(faults=(fault(Errors(0.2), at_ns=3 * MINUTE),))


class Failing:
    """A part of a platform whose method fails at the calls that `when` picks, counted from 0."""

    def __init__(self, part: Any, method: str, error: Exception, when: Callable[[int, Any], bool]) -> None:
        self._part, self._method, self._error, self._when = part, method, error, when
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if name != self._method:
            return found

        async def fails(*args: Any) -> Any:
            number, self.calls = self.calls, self.calls + 1
            if self._when(number, args):
                raise self._error
            return await found(*args)

        return fails


class Around(SimulatedCluster):
    """A cluster with some of its sides replaced."""

    def __init__(self, of: Any, **sides: Callable[[Any], Any]) -> None:
        super().__init__(of)
        self._sides = {name: wrap(getattr(super(Around, self), name)) for name, wrap in sides.items()}

    @property
    def router(self) -> Any:
        return self._sides.get("router", super().router)

    @property
    def serving(self) -> Any:
        return self._sides.get("serving", super().serving)


def back_to_stable(_: int, args: tuple[Routing]) -> bool:
    return not args[0].weights[Role.CANDIDATE]


def ended(events: Events, outcome: Outcome, weights: Mapping[Role, int]) -> RunEnded:
    last = events[-1]
    assert isinstance(last, RunEnded)
    assert (last.outcome, dict(last.weights)) == (outcome, dict(weights)), last.reason
    return last


@pytest.mark.parametrize("error", [ConnectionError("reset by peer"), KeyError("weights"), ServingError("busy")])
def test_a_router_that_fails_once_on_the_way_back_is_asked_again(error: Exception) -> None:
    def first_back(number: int, args: tuple[Routing]) -> bool:
        return back_to_stable(number, args) and not [v for v in seen if isinstance(v, Verified)]

    seen: list[Any] = []
    platform = Around(BAD, router=lambda part: Failing(part, "apply", error, first_back))
    outcome, events = rehearse(BAD, parts(BAD, platform), watch=lambda _, event: seen.append(event))
    assert outcome is Outcome.ROLLED_BACK
    ended(events, Outcome.ROLLED_BACK, ON_STABLE)
    attempts = [(verified.attempt, verified.passed) for verified in events.of(Verified)]
    assert attempts == [(1, False), (2, True)]


def test_a_router_that_never_goes_back_is_escalated_and_the_log_has_its_end() -> None:
    platform = Around(BAD, router=lambda part: Failing(part, "apply", OSError("gone"), back_to_stable))
    outcome, events = rehearse(BAD, parts(BAD, platform))
    assert outcome is Outcome.FAILED
    assert events.of(Escalated)
    ended(events, Outcome.FAILED, {Role.STABLE: 9000, Role.CANDIDATE: 1000})


def test_a_platform_that_cannot_be_stopped_changes_no_outcome() -> None:
    class Unstoppable(SimulatedCluster):
        async def stop(self) -> None:
            await super().stop()
            raise ServingError("it will not stop")

    outcome, events = rehearse(BAD, parts(BAD, Unstoppable(BAD)))
    assert outcome is Outcome.ROLLED_BACK
    ended(events, Outcome.ROLLED_BACK, ON_STABLE)
    assert any("it will not stop" in noticed.text for noticed in events.of(Noticed))


@pytest.mark.parametrize(("of", "outcome", "weights"), [
    (BAD, Outcome.ROLLED_BACK, ON_STABLE), (scenario(), Outcome.PROMOTED, ON_CANDIDATE),
])  # fmt: skip
def test_replicas_that_cannot_be_taken_down_are_told_and_change_no_outcome(
    of: Any, outcome: Outcome, weights: Mapping[Role, int]
) -> None:
    def down(_: int, args: tuple[Mapping[Role, int]]) -> bool:
        return 0 in args[0].values()

    platform = Around(of, serving=lambda part: Failing(part, "apply", ServingError("no quota"), down))
    made, events = rehearse(of, parts(of, platform))
    assert made is outcome
    ended(events, outcome, weights)
    assert not events.of(Escalated)
    assert [noticed.text for noticed in events.of(Noticed) if noticed.kind == "left_undone"] == [
        "scale was left undone: no quota"
    ]


class Refusing(MemoryRegistry):
    """Will not name version 2 stable, so many times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    async def set_alias(self, revision: Revision, alias: str) -> None:
        if (revision.version, alias) == (2, "stable") and self.times:
            self.times -= 1
            raise RegistryError("the registry is read-only")
        await super().set_alias(revision, alias)


async def test_a_registry_that_refuses_for_a_while_is_asked_again() -> None:
    registry = Refusing(2)
    outcome, events = await _on(registry)
    assert outcome is Outcome.PROMOTED
    assert (await registry.resolve("m", "stable")).version == 2
    ended(events, Outcome.PROMOTED, ON_CANDIDATE)


async def test_where_the_registry_refuses_for_good_router_and_registry_agree_on_stable() -> None:
    registry = Refusing(10**6)
    outcome, events = await _on(registry)
    assert outcome is Outcome.ERROR
    assert "the registry is read-only" in ended(events, Outcome.ERROR, ON_STABLE).reason
    assert (await registry.resolve("m", "stable")).version == 1
    assert not events.of(Promoted)


async def _on(registry: MemoryRegistry) -> tuple[Outcome, Events]:
    import anyio

    return await anyio.to_thread.run_sync(lambda: rehearse(scenario(), parts(scenario(), registry=registry)))


# --- steps without a pause --------------------------------------------------------------------------------------------


def test_a_weight_without_a_pause_is_not_left_before_it_was_judged() -> None:
    slow = policy(scenario(faults=(fault(LatencyFactor(3.0)),)), steps=(SetWeight(1000), SetWeight(WHOLE)))
    outcome, events = rehearse(slow)
    assert outcome is Outcome.ROLLED_BACK
    assert max(routed.weights[Role.CANDIDATE] for routed in events.of(Routed)) == 1000
    assert "p95" in events.only(Decided).reason


def test_a_good_candidate_leaves_it_when_every_rule_has_passed() -> None:
    outcome, events = rehearse(policy(scenario(), steps=(SetWeight(1000), SetWeight(5000))))
    assert outcome is Outcome.PROMOTED
    changes = [(routed.at_ns, routed.weights[Role.CANDIDATE]) for routed in events.of(Routed)]
    # The replicas take 30 s; looks come each minute from the first weight on, and one is enough for each step.
    assert changes[:3] == [(30 * SECOND, 1000), (90 * SECOND, 5000), (150 * SECOND, WHOLE)]
    assert len(events.of(StepHeld)) == 2


def test_a_candidate_that_breaks_at_the_last_moment_is_not_left_with_the_users() -> None:
    """It fails from the instant on at which it gets all traffic: three attempts to verify it, and stable is back."""
    broken = fault(Errors(1.0), at_ns=20 * MINUTE + 30 * SECOND)
    outcome, events = rehearse(scenario(faults=(broken,)))
    assert outcome is Outcome.ROLLED_BACK
    verified = [(v.role, v.passed) for v in events.of(Verified)]
    assert verified == [(Role.CANDIDATE, False)] * 3 + [(Role.STABLE, True)]
    shares = [(routed.at_ns, routed.weights[Role.CANDIDATE]) for routed in events.of(Routed)]
    alone = [at for at, share in shares if share == WHOLE]
    assert shares[-1][1] == 0
    assert shares[-1][0] - alone[0] < 10 * SECOND
