"""What any backend must keep, as checks that its author can run.

    async def test_my_registry():
        await check_registry(lambda: MyRegistry(fresh_database()))

Each check gets a backend of its own, new and empty, and raises AssertionError with the promise that was broken. A check
asks only through the protocol, so it holds for a fake in memory and for a server far away alike.
"""

from harness.contracts.checks import sample_model
from harness.contracts.fleets import FLEET_CHECKS, FleetBench, check_fleet
from harness.contracts.lineages import check_tampering
from harness.contracts.notifiers import NOTIFIER_CHECKS, Heard, check_notifier
from harness.contracts.platforms import PLATFORM_CHECKS, Patience, check_platform
from harness.contracts.registries import REGISTRY_CHECKS, check_registry, check_tracker
from harness.contracts.router_checks import GATEWAY_CHECKS
from harness.contracts.routers import Ran, check_gateway, passed_of
from harness.contracts.sources import SOURCE_CHECKS, check_source
from harness.contracts.staging import check_staging

__all__ = [
    "FLEET_CHECKS",
    "GATEWAY_CHECKS",
    "NOTIFIER_CHECKS",
    "PLATFORM_CHECKS",
    "REGISTRY_CHECKS",
    "SOURCE_CHECKS",
    "FleetBench",
    "Heard",
    "Patience",
    "Ran",
    "check_fleet",
    "check_gateway",
    "check_notifier",
    "check_platform",
    "check_registry",
    "check_source",
    "check_staging",
    "check_tampering",
    "check_tracker",
    "passed_of",
    "sample_model",
]
