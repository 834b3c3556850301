"""MLPerf's rules held against a load test that was run by them (mlcommons/inference, loadgen)."""

from dataclasses import asdict, replace
from typing import Any, Final

from harness.analysis.conditions import comparisons
from harness.domain.analysis import Absolute, Op
from harness.domain.load import ClosedLoop, LoadPlan, OpenLoop
from harness.domain.load_event import LoadMeasured
from harness.domain.traffic import Process
from harness.domain.units import SECOND
from harness.errors import InputError
from harness.load.record import PERCENTILES, Record
from harness.stats import mlperf

SERVER: Final = "server"
SINGLE_STREAM: Final = "single_stream"


def by_rules(plan: LoadPlan, rules: str) -> LoadPlan:
    """The plan, to be judged by MLPerf's rules of that scenario.

    Raises:
        InputError: the plan is not what the rules ask for.
    """
    pace = plan.pace
    if rules == SERVER:
        if not isinstance(pace, OpenLoop) or pace.traffic.process is not Process.POISSON or pace.rate_per_s is None:
            raise InputError(
                "--mlperf server asks at random times of a fixed rate: give --rate, and --arrivals poisson"
            )
        bound_of(plan)
    elif not isinstance(pace, ClosedLoop) or pace.users != 1 or pace.think_ns:
        raise InputError("--mlperf single-stream asks again as soon as it was answered: give --users 1 without --think")
    return replace(plan, rules=rules)


def bound_of(plan: LoadPlan) -> tuple[float, int]:
    """The percentile that a server's rules hold, as a share, and its bound, ns: that of the first SLO that has one."""
    for rule in plan.slos:
        for each in comparisons(rule.condition):
            if each.metric in PERCENTILES and each.op in {Op.LE, Op.LT} and isinstance(each.bound, Absolute):
                return PERCENTILES[each.metric], round(float(each.bound.value) * SECOND)
    raise InputError("--mlperf server holds a percentile to a bound: give it as --slo 'p99 <= 15ms'")


def judged_by_rules(plan: LoadPlan, measured: LoadMeasured, record: Record) -> dict[str, Any]:
    """What the rules make of what was measured; empty where the plan is not one of theirs."""
    if not plan.rules:
        return {}
    total, queries = record.total, measured.counts.scheduled
    if plan.rules == SINGLE_STREAM:
        found = mlperf.judge_single_stream(total.latency.histogram, elapsed_ns=measured.elapsed_ns)
    else:
        percentile, bound_ns = bound_of(plan)
        over = queries - measured.counts.succeeded + mlperf.over_bound(total.answered.histogram, bound_ns)
        rate = plan.pace.rate_per_s if isinstance(plan.pace, OpenLoop) else None
        found = mlperf.judge_server(
            over,
            queries,
            rate_per_s=rate or 0.0,
            bound_ns=bound_ns,
            elapsed_ns=measured.elapsed_ns,
            percentile=percentile,
        )
    return asdict(found) | {"reasons": list(found.reasons)}
