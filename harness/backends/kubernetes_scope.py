"""What of a scenario can be done in a cluster, seen before anything runs there."""

from typing import Final

from harness.domain.fault import Crash, Errors, LatencyAdd, LatencyFactor, Lost
from harness.domain.scenario import Scenario
from harness.errors import InputError
from harness.manifests.common import registry_uri

OF_SERVERS: Final = (LatencyFactor, LatencyAdd, Errors, Lost, Crash)
"""Effects on servers: those of a cluster are spoilt by nobody here."""


def check_faults(scenario: Scenario) -> None:
    """Refuse faults that nobody would inject, so that a run cannot pass without them.

    Raises:
        InputError: which, and what to do.
    """
    for fault in scenario.faults:
        if isinstance(fault.effect, OF_SERVERS):
            raise InputError(
                f"inject: {fault.text}: servers of a cluster are not made slow, wrong or dead on purpose; leave it out "
                "(--set 'inject=[]'), spoil the training instead, or rehearse it with --clock virtual"
            )


def check_models(scenario: Scenario) -> None:
    """Refuse models that pods could not find.

    Raises:
        InputError: there is neither a volume claim nor a registry that they reach.
    """
    if scenario.real.kubernetes.claim:
        return
    try:
        registry_uri(scenario)
    except InputError as error:
        raise InputError(str(error).removeprefix(f"{scenario.path}: ")) from None  # whoever tells it knows the place


def check(scenario: Scenario) -> None:
    """All of it.

    Raises:
        InputError: the first that cannot be done.
    """
    check_faults(scenario)
    check_models(scenario)
