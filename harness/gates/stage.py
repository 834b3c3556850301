"""The stage ``checks``: all that a scenario's ``model.gates`` asks besides rules, judged and told together."""

from pathlib import Path

from harness.domain.event import GateChecked, GateDetails
from harness.domain.gates import Check, GatePlan, History
from harness.domain.model import ArtifactPlan, Role
from harness.errors import NotRegistered
from harness.gates.scene import Scene
from harness.gates.table import judge
from harness.protocols import Case, Registry, Tell, Version
from harness.training.algorithms import calm


class Gates:
    """Judges the candidate after its evaluation; the engine rejects it with all that refuses it, rules included.

    Args:
        plans: what is asked, in order.
        registry: where earlier versions stand; None: there are none.
    """

    name = "checks"

    def __init__(self, plans: tuple[GatePlan, ...], registry: Registry | None = None) -> None:
        self.plans = plans
        self.registry = registry

    async def run(self, case: Case, tell: Tell) -> Case:
        """Tell each check, and add to the case why those that failed refuse the candidate."""
        scene = scene_of(case, await self._versions(case))
        refusals = []
        for plan in self.plans:
            with calm():  # one thread: figures, and times above all, must not hang on how many cores are free
                checks = judge(plan, scene)
            for check in checks:
                told(check, tell)
                if not check.passed:
                    refusals.append(f"gate {check.text}: {check.reason}")
        return case.having(refusals=(*case.refusals, *refusals))

    async def _versions(self, case: Case) -> tuple[Version, ...]:
        """The versions before this run's, where a gate asks for them."""
        if self.registry is None or not any(isinstance(plan, History) for plan in self.plans):
            return ()
        try:
            return await self.registry.versions(case.scenario.model.name)
        except NotRegistered:
            return ()


def scene_of(case: Case, versions: tuple[Version, ...] = ()) -> Scene:
    """What is known of a case."""
    plan = case.scenario.model.candidate
    return Scene(
        candidate=case.models[Role.CANDIDATE],
        stable=case.models.get(Role.STABLE),
        population=case.population,
        versions=versions,
        seed=case.scenario.seed,
        file=Path(plan.path) if isinstance(plan, ArtifactPlan) else None,
    )


def told(check: Check, tell: Tell) -> None:
    """Tell a check: its answer, and what that rests on."""
    tell(GateChecked, check.name, check.text, check.passed, check.value, check.stable, check.bound)
    details = check.details
    tell(
        GateDetails,
        name=check.name,
        text=check.text,
        passed=check.passed,
        reason=check.reason,
        interval=check.interval,
        columns=details.columns if details else (),
        rows=details.rows if details else (),
        note=details.note if details else "",
        measured=dict(check.measured) or None,
    )
