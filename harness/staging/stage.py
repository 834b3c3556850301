"""The stage: deploy to staging, contract tests, a graded load test; and nothing is left of it, whatever happened."""

from collections.abc import Sequence
from typing import Final

import anyio

from harness.domain.event import LoadTested, Noticed, StagingAsked
from harness.domain.lifecycle import StagingPlan
from harness.domain.model import Role, Source
from harness.domain.units import SECOND
from harness.errors import Rejected, ServingError
from harness.protocols import Case, Endpoint, StagingPlatform, Tell
from harness.staging.contract import Finding, contract, golden
from harness.staging.environment import bring_up, tear_down, tell_all
from harness.staging.graded import graded
from harness.stats.grade import grade

GRACE_S: Final = 300.0
"""A load test may take so much longer than it was asked to."""


class Staging:
    """A `Stage`: the candidate in a staging environment of its own.

    Every check is made before the first that failed rejects the candidate, but for an endpoint that never came up:
    that cannot be asked anything.

    Args:
        platform: where the environment is.
        plan: what the candidate must stand.
    """

    name = "staging"

    def __init__(self, platform: StagingPlatform, plan: StagingPlan) -> None:
        self.platform = platform
        self.plan = plan

    @property
    def realtime(self) -> bool:
        """The environment waits for the outside world."""
        return self.platform.realtime

    async def run(self, case: Case, tell: Tell) -> Case:
        """Try the candidate.

        Raises:
            Rejected: naming each check that failed.
            BackendError: the environment failed, and nothing is known of the candidate.
        """
        revision = case.revisions[Role.CANDIDATE]
        tell(StagingAsked, revision.name, revision.version, self.plan.replicas)
        try:
            failed = await self._checks(case, tell)
        finally:
            await tear_down(self.platform, tell)
        if failed:
            raise Rejected(f"in staging: {'; '.join(failed)}")
        return case

    async def _checks(self, case: Case, tell: Tell) -> list[str]:
        endpoint, ready = await bring_up(self.platform, case, self.plan.replicas, self.plan.ready_within_ns)
        found = [ready]
        tell_all(tell, found)
        if endpoint is not None:
            tested = await self._contract(endpoint, case, tell)
            tell_all(tell, tested)
            found += tested
            found += await self._load(tell)
        return [f"{check.name}: {check.detail}" for check in found if not check.passed]

    async def _contract(self, endpoint: Endpoint, case: Case, tell: Tell) -> Sequence[Finding]:
        model = case.models[Role.CANDIDATE]
        if not self.plan.golden_rows:
            return ()
        if case.population is None or not len(case.population.rows):
            tell(
                Noticed, "left_undone", (), "no contract tests in staging: there are no rows to ask without a data set"
            )
            return ()
        if model.source is Source.RECORDED:
            tell(
                Noticed, "left_undone", (), "no contract tests in staging: of the candidate only its answers are known"
            )
            return ()
        rows = golden(model, case.population, self.plan.golden_rows)
        return await contract(endpoint, model, case.revisions[Role.CANDIDATE], rows)

    async def _load(self, tell: Tell) -> Sequence[Finding]:
        plan, met = self.plan, None
        with anyio.move_on_after(plan.duration_ns / SECOND + GRACE_S):
            met = await self.platform.load(plan.rate_per_s, plan.duration_ns)
        if met is None:
            raise ServingError(f"the load test in staging did not end {GRACE_S:g} s after it should have")
        figures = met.figures()
        given = grade(figures)
        tell(
            LoadTested, plan.rate_per_s, plan.duration_ns, met.sent, met.failed, dict(met.errors), figures, given
        )  # fmt: skip
        found = graded(figures, given, plan.min_grade, met.sent, met.failed)
        tell_all(tell, found)
        if met.spoiled and not all(check.passed for check in found):  # what passed in spite of it has passed
            raise ServingError(f"the load test's figures cannot be trusted: {met.spoiled}")
        return found
