"""The load test that a scenario asks for as a stage: of its simulated servers, or of a live endpoint."""

from collections.abc import Callable
from typing import Any

from harness.app.loadtold import is_live, replicas_of
from harness.domain.lifecycle import LoadStagePlan, StagingPlan
from harness.domain.scenario import Scenario
from harness.errors import InputError
from harness.load.beside import beside
from harness.protocols import Case, PacedPlatform, Tell

WORKERS = 1
"""Generators of a live test: the rates of a rehearsal are far below what one can do."""


def load_stage(scenario: Scenario, options: Any) -> Any:
    """The stage.

    Args:
        scenario: it has a load test.
        options: of the run; what they consent to.

    Raises:
        InputError: the endpoint is neither on this machine nor consented to, or what stands behind staging takes no
            such load test.
    """
    from harness.staging.load import LoadStage

    plan = scenario.load
    if plan is None:
        raise TypeError("the scenario has no load test")
    tester = live_test(scenario, plan, options) if is_live(scenario) else _simulated(scenario, plan)
    return LoadStage(plan, tester)


def _simulated(scenario: Scenario, plan: LoadStagePlan) -> Any:
    from harness.app.installed import backend
    from harness.domain.load import ClosedLoop
    from harness.staging.load import SimulatedTest

    if isinstance(plan.pace, ClosedLoop):
        raise InputError(
            "load.users is a closed loop, which is not simulated: give load.url, and clock: real; or a rate"
        )
    replicas = replicas_of(scenario, plan)
    word = scenario.backends.staging
    platform = backend("staging", word)(scenario, StagingPlan(replicas=replicas))
    if not isinstance(platform, PacedPlatform):
        raise InputError(
            f"the staging backend {word} takes no load test but at a constant rate (it has no load_paced); "
            "leave load out, or give it a url and clock: real"
        )
    return SimulatedTest(platform, plan, replicas, scenario.seed)


# --- a live endpoint --------------------------------------------------------------------------------------------------


def live_test(scenario: Scenario, plan: LoadStagePlan, options: Any) -> "LiveTest":
    """The test of a live endpoint, once it may be asked.

    Args:
        scenario: for its seed.
        plan: of the stage; it has a URL.
        options: of the run; what they consent to, and the crew.

    Raises:
        InputError: the endpoint is neither on this machine nor consented to; says how to.
    """
    from harness.app.loadpace import check_ceiling
    from harness.app.loadwanted import Wanted
    from harness.load import consent

    url = plan.url or ""
    if not consent.check_target(url, options.allow_targets, options.yes):
        check_ceiling(plan.pace, plan.warmup_ns + plan.duration_ns, options.max_rate)
    wanted = Wanted(
        urls=(url,),
        protocol=plan.speech.value,
        model=plan.model,
        payload=plan.payload,
        slos=tuple(rule.text for rule in plan.slos),
        min_grade=plan.min_grade,
        seed=scenario.seed,
        yes=options.yes,
        allow_targets=tuple(options.allow_targets),
        max_rate=options.max_rate,
    )
    return LiveTest(wanted, plan, options.crew)


class LiveTest:
    """Asks a live endpoint with the generator of `harness load`, in processes of its own, beside the run's loop.

    Args:
        wanted: whom, and with what.
        plan: of the stage.
        crew: runs the generators; None: in processes on this machine.
    """

    realtime = True

    def __init__(self, wanted: Any, plan: LoadStagePlan, crew: Any = None) -> None:
        self.wanted, self.plan, self.crew = wanted, plan, crew

    async def test(self, case: Case, tell: Tell) -> Any:
        """Run it in a thread; cancelled, the generators stop, and end, before this returns.

        Raises:
            InputError: the endpoint cannot be asked as is wanted.
            BackendError: a generator died.
        """
        del case, tell
        from harness.app.running import Stop

        stop, found = Stop(), []

        def work() -> None:
            try:
                found.append(self._tested(lambda: bool(stop.by)))
            except Exception as error:  # noqa: BLE001 - raised again where the test was asked for
                found.append(error)

        await beside(work, stop)
        tested = found[0]
        if isinstance(tested, Exception):
            raise tested
        return tested

    def _tested(self, stopped: Callable[[], bool]) -> Any:
        from harness.app.loadplan import prepare
        from harness.load.crew import LocalCrew
        from harness.load.record import settled
        from harness.staging.load import Finished

        pace = self.plan.pace, self.plan.duration_ns, self.plan.warmup_ns
        try:
            plan = prepare(self.wanted, pace).plan
        except InputError as error:
            raise InputError(f"load: {error}") from None
        crew = self.crew or LocalCrew()
        record = settled(crew.run(plan, WORKERS, lambda *_: None, stopped, lambda: None))
        return Finished(plan, record, plan.targets[0].name)
