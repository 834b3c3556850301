"""Checks that a step asks for: smoke tests of the candidate, and the criteria of an approval."""

from collections.abc import Mapping

from harness.analysis.conditions import comparisons
from harness.analysis.measure import GateFinding, compared, judge_gate, judged
from harness.analysis.vocabulary import METRICS, QUALITY
from harness.clock import now_ns
from harness.domain.analysis import Rule
from harness.domain.event import Checked
from harness.domain.model import Role
from harness.domain.rollout import Approve, HookAnswer, Smoke, Step
from harness.engine.calls import answered
from harness.engine.executor import Executor
from harness.engine.looks import DEFAULT_EVERY_NS, observed
from harness.errors import BackendError
from harness.protocols import Case

Figures = Mapping[str, float | None]


async def answer(executor: Executor, case: Case, hook: str, step: Step) -> HookAnswer:
    """Make the check of a step; a backend that fails is a check that is not passed."""
    first = executor.last + 1
    try:
        match step:
            case Smoke(probes):
                passed, reason = await _smoke(executor, probes)
            case Approve(_, criteria):
                passed, reason = await _criteria(executor, case, criteria)
            case _:
                raise AssertionError(f"{step} asks for no check")
    except BackendError as error:
        passed, reason = False, f"the check {hook} could not be made: {error}"
        executor.tell(Checked, hook, str(step), passed, None, "", reason)
    made = tuple(n for n in range(first, executor.last + 1) if isinstance(executor.log.events[n], Checked))
    return HookAnswer(hook, passed, reason, made)


async def _smoke(executor: Executor, probes: int) -> tuple[bool, str]:
    serving = executor.parts.platform.serving
    good = sum([await answered("a smoke test", serving.probe(Role.CANDIDATE)) for _ in range(probes)])
    detail = f"{good} of {probes} smoke tests of the candidate were answered well and in time"
    passed = good == probes
    executor.tell(Checked, "smoke", f"{probes} smoke tests", passed, float(good), f"== {probes}", detail)
    return passed, detail


async def _criteria(executor: Executor, case: Case, criteria: tuple[Rule, ...]) -> tuple[bool, str]:
    """Quality is judged on the held-out rows, everything else on a look that is taken now."""
    held = {role: model.metrics for role, model in case.models.items()}
    live = await _live(executor) if any(not _offline(rule) for rule in criteria) else {}
    failed = []
    for rule in criteria:
        found: GateFinding = judge_gate(rule, held if _offline(rule) else live)
        executor.tell(Checked, found.metric, rule.text, found.passed, found.value, found.bound, found.reason)
        if not found.passed:
            failed.append(found.reason.removeprefix("gate "))
    return (
        not failed,
        f"the criteria of the approval are not met: {'; '.join(failed)}" if failed else "all criteria hold",
    )


def _offline(rule: Rule) -> bool:
    return all(METRICS[comparison.metric].kind in QUALITY for comparison in comparisons(rule.condition))


async def _live(executor: Executor) -> Mapping[Role, Figures]:
    policy = executor.scenario.rollout.analysis
    window_ns = policy.window_ns if policy else DEFAULT_EVERY_NS
    sample = await observed(executor, min(window_ns, max(now_ns() - executor.live_ns, 1)))
    return {Role.STABLE: sample[compared(sample)].figures(), Role.CANDIDATE: sample[judged(sample)].figures()}
