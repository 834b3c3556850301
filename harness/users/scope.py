"""What a scenario says that users must know before they ask."""

from harness.domain.fault import Missing, Scale, Shift, Swap
from harness.domain.model import ARMS, Role
from harness.domain.rollout import Analyze, Decide, SetMirror
from harness.domain.scenario import Scenario
from harness.domain.units import MINUTE
from harness.errors import InputError
from harness.realtime import ARM_HEADER, MODEL_HEADER


def check(scenario: Scenario) -> None:
    """Refuse what users of real servers cannot do.

    Raises:
        InputError: the rows of one arm alone drift; who asks does not know which arm will answer.
    """
    for fault in scenario.faults:
        if isinstance(fault.effect, Shift | Scale | Swap | Missing) and not set(ARMS) <= fault.on:
            arm = ", ".join(sorted(fault.on))
            raise InputError(
                f"inject: {fault.text}: the rows of {arm} alone cannot drift on real servers, for users ask before it "
                "is known which arm will answer; say on: all, or rehearse it with serving: simulated"
            )


def arms(scenario: Scenario) -> tuple[Role, ...]:
    """Arms whose answers users get."""
    return (*ARMS, Role.BASELINE) if scenario.rollout.baseline else ARMS


def mirrors(scenario: Scenario) -> bool:
    """Whether requests are copied to the candidate at any time."""
    return any(isinstance(step, SetMirror) for step in scenario.rollout.steps)


def arm_headers(scenario: Scenario) -> tuple[str, ...]:
    """Headers of an answer that name its arm, the first that is there counts."""
    own = (MODEL_HEADER,) if scenario.backends.serving == "kubernetes" else ()  # its gateway names no arm
    return tuple(dict.fromkeys(name.lower() for name in (ARM_HEADER, scenario.real.http.arm_header, *own)))


def delay_ns(scenario: Scenario) -> int:
    """When labels are known, counted from the answer."""
    return scenario.labels.delay_ns if scenario.labels else 0


def keep_ns(scenario: Scenario) -> int:
    """How far back a window, and the answers whose labels arrive in it, may reach."""
    rollout, care = scenario.rollout, scenario.aftercare
    policies = [rollout.analysis, *(monitor.policy for monitor in (care.monitors if care else ()))]
    policies += [step.policy for step in rollout.steps if isinstance(step, Analyze)]
    windows = [policy.window_ns for policy in policies if policy]
    windows += [step.every_ns for step in rollout.steps if isinstance(step, Decide)]
    return max(windows, default=MINUTE) + delay_ns(scenario) + SLACK_NS


SLACK_NS = 5 * MINUTE
"""For windows that are asked for some time after they ended."""
