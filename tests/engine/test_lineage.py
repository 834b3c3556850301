"""What became of a candidate is told to the registry; that it could not be told changes nothing of the run."""

from dataclasses import replace
from typing import Any

import anyio
import pytest

from fakes.registry import MemoryRegistry
from harness.clock import run_virtual
from harness.domain.event import Decided, Noticed, RunEnded
from harness.domain.fault import Errors
from harness.domain.lineage import REPLACED, Deployment, Lineage
from harness.domain.model import Role
from harness.domain.rollout import Outcome
from harness.errors import RegistryError, Rejected
from tests.build import Models, fault, parts, rehearse, scenario


def told(registry: MemoryRegistry, of: Any, role: Role = Role.CANDIDATE) -> Lineage:
    return run_virtual(_lineage, registry, of.model.name, role)


async def _lineage(registry: MemoryRegistry, name: str, role: Role) -> Lineage:
    return await registry.lineage(await registry.resolve(name, role.value))


def test_a_promotion_and_what_it_replaced_are_told() -> None:
    of, registry = scenario(), MemoryRegistry()
    outcome, _ = rehearse(of, parts(of, registry=registry))
    assert outcome is Outcome.PROMOTED
    found = told(registry, of)
    [deployment] = found.deployments
    assert (deployment.outcome, deployment.scenario, deployment.run, deployment.number, deployment.strategy) == (
        "promoted", of.name, "test", 1, "canary",
    )  # fmt: skip
    assert deployment.stable == f"{of.model.name}:1"
    assert [(each.kind, each.what) for each in found.parents] == [(REPLACED, f"{of.model.name}:1")]


def test_a_rollback_is_told_with_its_reason() -> None:
    of, registry = scenario(faults=(fault(Errors(0.5)),)), MemoryRegistry()
    outcome, events = rehearse(of, parts(of, registry=registry))
    assert outcome is Outcome.ROLLED_BACK
    [deployment] = told(registry, of).deployments
    assert (deployment.outcome, deployment.reason) == ("rolled_back", events.last(RunEnded).reason)
    assert told(registry, of).parents == ()


class No:
    """A stage that refuses every candidate, in staging."""

    name = "staging"
    realtime = False

    async def run(self, case: Any, tell: Any) -> Any:
        raise Rejected("not this one")


@pytest.mark.parametrize("where", ["stages", "staging"])
def test_a_refusal_is_told_of_what_was_registered(where: str) -> None:
    of, registry = scenario(), MemoryRegistry()
    stages = {"stages": [Models(), No()]} if where == "stages" else {"staging": [No()]}
    outcome, _ = rehearse(of, parts(of, registry=registry, **stages))
    assert outcome is Outcome.REJECTED
    if where == "stages":
        assert run_virtual(registry.names) == ()
    else:
        assert [each.outcome for each in told(registry, of).deployments] == ["rejected"]


class Deaf(MemoryRegistry):
    async def record_deployment(self, revision: Any, deployment: Deployment) -> None:
        raise RegistryError("the disk is full")


class Silent(MemoryRegistry):
    async def record_deployment(self, revision: Any, deployment: Deployment) -> None:
        await anyio.sleep_forever()


@pytest.mark.parametrize(("kind", "why"), [(Deaf, "the disk is full"), (Silent, "did not answer within 60 s")])
def test_a_registry_that_cannot_be_told_changes_no_outcome(kind: type[MemoryRegistry], why: str) -> None:
    of = scenario()
    outcome, events = rehearse(of, parts(of, registry=kind()))
    assert outcome is events.last(Decided).outcome is Outcome.PROMOTED
    notes = [each.text for each in events.of(Noticed) if "lineage" in each.text]
    assert len(notes) == 1
    assert why in notes[0]


def test_a_registry_that_keeps_no_lineage_is_asked_nothing() -> None:
    class Plain:
        """Only what every registry promises."""

        def __init__(self) -> None:
            inner = MemoryRegistry()
            for name in ("register", "resolve", "set_alias", "load", "remove_alias", "mark", "versions", "names"):
                setattr(self, name, getattr(inner, name))

    of = scenario()
    plain, full = rehearse(of, parts(of, registry=Plain())), rehearse(of, parts(of))
    assert plain[0] is full[0] is Outcome.PROMOTED
    same = [[replace(event, **_unhosted(event)) for event in events] for _, events in (plain, full)]
    assert same[0] == same[1]


def _unhosted(event: Any) -> dict[str, Any]:
    """Real durations are no part of what happened."""
    return {name: 0.0 for name in ("wall_s", "took_s") if name in getattr(event, "__dataclass_fields__", {})}
