"""A load test as a program reads it: the shape that ``harness load --json`` promises, key by key; and a search.

Durations in seconds, shares in 0..1, rates per second; what is not known is null.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.domain.load import SloVerdict, Spread, TargetSeen
from harness.domain.units import SECOND
from harness.report import output
from harness.report.load_result import CapacityResult, LoadResult
from harness.report.numbers import figure

VERSION = 1
LATENCIES = ("mean", "min", "p50", "p90", "p95", "p99", "p999", "max")


def plain(result: LoadResult | CapacityResult) -> dict[str, Any]:
    """One load test, or one search."""
    return _load(result) if isinstance(result, LoadResult) else _capacity(result)


def render(result: LoadResult | CapacityResult) -> str:
    """The document as text."""
    return json.dumps(plain(result), ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def write(result: LoadResult | CapacityResult, file: str) -> None:
    """Write the document; ``-`` is standard output.

    Raises:
        InputError: the file cannot be written.
    """
    output.write("--json", file, render(result))


def _load(result: LoadResult) -> dict[str, Any]:
    asked, counts = result.asked, result.counts
    return {
        "version": VERSION,
        "url": asked.url,
        "mode": asked.mode,
        "arrivals": asked.arrivals or None,
        "target_rate": figure(result.asked_rate),
        "users": asked.users,
        "think_s": None if asked.think_ns is None else asked.think_ns / SECOND,
        "duration_s": result.elapsed_s,
        "planned_duration_s": asked.duration_ns / SECOND,
        "warmup_s": asked.warmup_ns / SECOND,
        "scheduled": counts.scheduled,
        "not_sent": counts.not_sent,
        "sent": counts.sent,
        "succeeded": counts.succeeded,
        "failed": counts.failed,
        "in_flight_at_stop": counts.in_flight,
        "errors": dict(counts.errors),
        "not_sent_kinds": dict(counts.unsent),
        "success_rate": figure(counts.success_rate),
        "achieved_rate": figure(result.achieved_rate),
        "latency_s": _spread(result.latency, LATENCIES),
        "service_time_s": _spread(result.service, LATENCIES),
        "send_lag_s": _spread(result.lag, ("mean", "p50", "p99", "max")),
        "waited_s": _spread(result.waited, ("mean", "p50", "p99", "max")),
        "first_byte_s": _spread(result.first_byte, LATENCIES) if result.first_byte else None,
        "gap_s": _spread(result.gap, LATENCIES) if result.gap else None,
        "ci95": _intervals(result.intervals),
        "grade": result.grade,
        "spoiled": result.spoiled or None,
        "slo": [_slo(slo) for slo in result.slos],
        "min_grade": asked.min_grade,
        "next_grade": _next(result),
        "passed": result.passed,
        "status": result.outcome_text,
        "reason": result.reason,
        "targets": [_target(target) for target in result.targets],
        "mlperf": dict(result.rules) or None,
        "protocol": asked.protocol,
        "client": asked.client,
        "workers": asked.workers,
        "engine": asked.engine,
        "seed": asked.seed,
        "connections": dict(result.connections),
        "redirects": dict(result.locations),
        "examples": dict(result.examples),
        "cpu_s": result.cpu_s,
        "peak_memory_bytes": result.peak_memory,
        "notes": list(result.notes),
        "run": asked.run,
        "started": asked.started or None,
        "event_log": result.event_log,
        "event_digest": result.event_digest,
        "report": result.report,
    }


def _spread(spread: Spread, names: Sequence[str]) -> dict[str, float | None]:
    return {name: figure(spread.figures.get(name)) for name in names}


def _intervals(intervals: Mapping[str, tuple[float, float]]) -> dict[str, list[float | None]]:
    return {name: [figure(end) for end in ends] for name, ends in intervals.items()}


def _slo(slo: SloVerdict) -> dict[str, Any]:
    return {"text": slo.text, "passed": slo.passed, "actual": slo.actual}


def _next(result: LoadResult) -> dict[str, Any] | None:
    missed = result.missed
    if missed is None:
        return None
    unmet = [
        {"metric": each.metric, "op": each.op, "bound": each.bound, "actual": each.value} for each in missed.conditions
    ]
    return {"grade": missed.grade, "missed": unmet}


def _target(target: TargetSeen) -> dict[str, Any]:
    counts = target.counts
    return {
        "name": target.name,
        "share": target.share,
        "scheduled": counts.scheduled,
        "not_sent": counts.not_sent,
        "sent": counts.sent,
        "succeeded": counts.succeeded,
        "failed": counts.failed,
        "in_flight_at_stop": counts.in_flight,
        "errors": dict(counts.errors),
        "success_rate": figure(counts.success_rate),
        "latency_s": _spread(target.latency, LATENCIES),
        "service_time_s": _spread(target.service, LATENCIES),
        "ci95": _intervals(target.intervals),
    }


def _capacity(result: CapacityResult) -> dict[str, Any]:
    asked = result.asked
    return {
        "version": VERSION,
        "url": asked.url,
        "slos": list(asked.slos),
        "low": result.low,
        "high": result.high,
        "estimate": result.estimate,
        "width": figure(result.width),
        "precision": asked.precision,
        "confidence": result.confidence,
        "knee": result.knee,
        "status": result.outcome_text,
        "reason": result.reason,
        "passed": result.passed,
        "requests": result.requests,
        "elapsed_s": result.elapsed_s,
        "trials": [
            {
                "number": trial.number,
                "rate": trial.rate_per_s,
                "duration_s": trial.duration_ns / SECOND,
                "requests": trial.requests,
                "held": trial.held,
                "figures": dict(trial.figures),
                "slo": [_slo(slo) for slo in trial.slos],
                "low": trial.low,
                "high": trial.high,
                "detail": trial.detail,
            }
            for trial in result.trials
        ],
        "curve": [{"rate": rate, "latency_s": latency_s} for rate, latency_s in result.curve],
        "arrivals": asked.arrivals,
        "first_rate": asked.first_rate,
        "most_rate": asked.most_rate,
        "trial_s": result.trial_s,
        "seed": asked.seed,
        "run": asked.run,
        "started": asked.started or None,
        "event_log": result.event_log,
        "event_digest": result.event_digest,
        "report": result.report,
    }
