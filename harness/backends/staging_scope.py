"""What of a staging environment can be real, seen before anything runs there."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from harness.domain.fault import Crash, Errors, Fault, LatencyAdd, LatencyFactor
from harness.domain.lifecycle import StagingPlan
from harness.domain.model import Role
from harness.domain.scenario import Scenario
from harness.errors import InputError

OF_PROCESSES: Final = (LatencyFactor, LatencyAdd, Errors, Crash)
"""Effects that servers of our own can be made to have."""
REMEDY: Final = "leave it out, or rehearse it with --clock virtual"


def check(scenario: Scenario) -> None:
    """Refuse a staging environment that cannot be made as the scenario says.

    Raises:
        InputError: what, and what to do instead.
    """
    plan = scenario.staging or StagingPlan()
    if scenario.backends.staging == "local":
        check_local(plan)
    elif scenario.backends.staging == "kubernetes":
        check_kubernetes(scenario, plan)


def check_local(plan: StagingPlan) -> None:
    """Refuse what befalls no process of ours."""
    for fault in plan.faults:
        if not isinstance(fault.effect, OF_PROCESSES):
            raise InputError(f"staging.inject: {fault.text}: real replicas in staging are not spoilt so; {REMEDY}")


def check_kubernetes(scenario: Scenario, plan: StagingPlan) -> None:
    """Refuse what befalls no pod, and a place that is production's, or that nobody can ask."""
    told = scenario.real.kubernetes
    for fault in plan.faults:
        raise InputError(f"staging.inject: {fault.text}: pods are not spoilt on purpose; {REMEDY}")
    if told.staging_namespace == told.namespace:
        raise InputError(
            f"production and staging are both in the namespace {told.namespace}; give staging one of its own under "
            "real.kubernetes.staging_namespace"
        )
    if told.staging_front is None:
        raise InputError(
            "nobody knows where the candidate is asked in staging; give the URL of the Gateway in the namespace "
            f"{told.staging_namespace} as real.kubernetes.staging_front, or leave staging out"
        )


def on_stable(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    """What befalls the candidate, where it stands as stable.

    >>> from harness.domain.fault import Errors
    >>> both, other = frozenset({Role.STABLE, Role.CANDIDATE}), frozenset({Role.STABLE})
    >>> [sorted(fault.on) for fault in on_stable([Fault("", both, Errors(0.5)), Fault("", other, Errors(0.5))])]
    [[<Role.STABLE: 'stable'>]]
    """
    return tuple(replace(fault, on=frozenset({Role.STABLE})) for fault in faults if Role.CANDIDATE in fault.on)
