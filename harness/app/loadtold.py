"""What a scenario's load tests ask, in words: for its timeline and for those who check it."""

from collections.abc import Iterator

from harness.domain.lifecycle import LoadStagePlan
from harness.domain.load import OpenLoop
from harness.domain.model import Role
from harness.domain.scenario import Clock, Scenario
from harness.domain.units import SECOND, duration_text
from harness.strategies.plan import NEARLY


def load_tests(scenario: Scenario, mean_s: float) -> Iterator[str]:
    """A sentence for each load test that a candidate must stand before the timeline begins.

    Args:
        scenario: whose.
        mean_s: how long its candidate serves a request on average, in seconds.
    """
    if scenario.staging:
        at = f"{scenario.staging.rate_per_s:.4g}/s for {duration_text(scenario.staging.duration_ns)}"
        yield f"before it, staging: contract tests and a load test at {at}; grade {scenario.staging.min_grade} at least"
    if scenario.load:
        plan = scenario.load
        held = [rule.text for rule in plan.slos] + [f"grade {plan.min_grade} at least"] * bool(plan.min_grade)
        yield f"before it, a load test {asked(scenario, plan)}; {', '.join(held) or 'nothing is asked of its figures'}"
        yield from _overload(scenario, plan, mean_s)


def is_live(scenario: Scenario) -> bool:
    """Whether the scenario's load test asks a real endpoint: one is named, and time is real."""
    return scenario.load is not None and scenario.load.url is not None and scenario.clock is Clock.REAL


def replicas_of(scenario: Scenario, plan: LoadStagePlan) -> int:
    """How many simulated servers are asked."""
    return plan.replicas or scenario.service[Role.CANDIDATE].replicas


def asked(scenario: Scenario, plan: LoadStagePlan) -> str:
    """What a load test asks, whom, and for how long."""
    if isinstance(plan.pace, OpenLoop):
        average = ", on average" if plan.pace.rate_per_s is None else ""
        often = f"at {_mean_rate(plan.pace, plan):.4g}/s ({plan.pace.arrivals}{average})"
    else:
        often = f"by {plan.pace.users} user{'s' * (plan.pace.users != 1)}"
    count = replicas_of(scenario, plan)
    kind = "simulated replica" if scenario.backends.staging == "simulated" else "real replica"
    whom = "the live endpoint" if is_live(scenario) else f"{count} {kind}{'s' * (count != 1)}"
    warm = f" after {duration_text(plan.warmup_ns)} of warm-up" if plan.warmup_ns else ""
    return f"of {whom} {often} for {duration_text(plan.duration_ns)}{warm}"


def _mean_rate(pace: OpenLoop, plan: LoadStagePlan) -> float:
    """Over the measured time, in 1/s."""
    from harness import arrivals

    ends_ns = plan.warmup_ns + plan.duration_ns
    first, last = arrivals.of(pace.traffic).curve.expected([plan.warmup_ns, ends_ns]).tolist()
    return float((last - first) * SECOND / plan.duration_ns)


def _overload(scenario: Scenario, plan: LoadStagePlan, mean_s: float) -> Iterator[str]:
    """Where simulated servers cannot do, or hardly, what is asked of them on average."""
    simulated = scenario.backends.staging == "simulated" and not is_live(scenario)
    if not simulated or not isinstance(plan.pace, OpenLoop):
        return
    rate, slots = _mean_rate(plan.pace, plan), replicas_of(scenario, plan) * scenario.service[Role.CANDIDATE].slots
    if rate * mean_s >= NEARLY * slots:
        yield f"the load test asks {rate:.4g}/s of servers that can do {slots / mean_s:.4g}/s"
