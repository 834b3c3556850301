"""The stage: deploy to staging, contract tests, a graded load test; and nothing is left of it, whatever happened."""

from collections.abc import Sequence
from typing import Final

import anyio

from harness.analysis.figures import figure_text
from harness.domain.event import Checked, LoadTested, Noticed, StagingAsked, StagingEnded
from harness.domain.lifecycle import StagingPlan
from harness.domain.model import Role, Source
from harness.domain.units import SECOND, duration_text
from harness.errors import Rejected, ServingError
from harness.protocols import Case, Endpoint, LoadResult, StagingPlatform, Tell
from harness.staging.contract import Finding, contract, golden
from harness.stats.grade import conditions, grade, rung_of

POLL_S: Final = 1.0
"""From one look at an endpoint that is coming up to the next."""
GRACE_S: Final = 300.0
"""A load test may take so much longer than it was asked to."""
STOP_S: Final = 20.0
"""Each attempt to tear the environment down is given so long."""
AGAIN_S: Final = (0.0, 1.0, 4.0)
"""Waits before each of them."""


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
            await self._tear_down(tell)
        if failed:
            raise Rejected(f"in staging: {'; '.join(failed)}")
        return case

    async def _checks(self, case: Case, tell: Tell) -> list[str]:
        endpoint = None
        with anyio.move_on_after(self.plan.ready_within_ns / SECOND):
            endpoint = await self._ready(case)
        within = duration_text(self.plan.ready_within_ns)
        detail = f"the endpoint is {'' if endpoint else 'not '}ready within {within}"
        found = [Finding("staging_ready", "the endpoint becomes ready", endpoint is not None, None, within, detail)]
        _tell_all(tell, found)
        if endpoint is not None:
            tested = await self._contract(endpoint, case, tell)
            _tell_all(tell, tested)
            found += tested
            found += await self._load(tell)
        return [f"{check.name}: {check.detail}" for check in found if not check.passed]

    async def _ready(self, case: Case) -> Endpoint:
        model, revision = case.models[Role.CANDIDATE], case.revisions[Role.CANDIDATE]
        endpoint = await self.platform.start(model, revision, case.population, self.plan.replicas)
        while not await endpoint.ready():  # noqa: ASYNC110 - only asking tells
            await anyio.sleep(POLL_S)
        return endpoint

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
        found = _graded(met, given, plan.min_grade)
        _tell_all(tell, found)
        return found

    async def _tear_down(self, tell: Tell) -> None:
        """Shielded and bounded: a cancelled run cleans up too, and one whose environment hangs ends all the same."""
        said = ""
        with anyio.CancelScope(shield=True):
            for wait_s in AGAIN_S:
                await anyio.sleep(wait_s)
                try:
                    with anyio.fail_after(STOP_S):
                        await self.platform.stop()
                except TimeoutError:
                    said = f"stopping took more than {STOP_S:g} s"
                except Exception as error:  # noqa: BLE001 - whatever a backend raises: it is told, and tried again
                    said = str(error) or repr(error)
                else:
                    tell(StagingEnded, True, "")  # noqa: FBT003 - an event's field
                    return
        tell(StagingEnded, False, f"something may be left of it: {said}")  # noqa: FBT003


def _graded(met: LoadResult, given: str | None, least: str) -> list[Finding]:
    """One finding for each condition of the least grade that will do."""
    rung = rung_of(least)
    if rung is None:
        return []
    found = []
    for condition in conditions(rung, met.figures()):
        bound = f"{condition.op} {figure_text(condition.metric, condition.bound)}"
        if condition.value is None:
            detail = f"{condition.metric} has no figure: {met.sent} requests were sent, {met.failed} failed"
        else:
            detail = f"{condition.metric} is {figure_text(condition.metric, condition.value)}"
        if not condition.met:
            detail = f"the load test has grade {given or 'none'}, and {least} is wanted: {detail}, not {bound}"
        text = f"grade {least}: {condition.metric} {bound}"
        found.append(Finding(condition.metric, text, condition.met, condition.value, bound, detail))
    return found


def _tell_all(tell: Tell, found: Sequence[Finding]) -> None:
    for check in found:
        tell(Checked, check.name, check.text, check.passed, check.value, check.bound, check.detail)
