"""The result as a program reads it: the shape that ``harness run --json`` promises, key by key."""

import json
from collections.abc import Sequence
from typing import Any, Final

from harness.domain.model import ARMS
from harness.domain.resume_event import Resumed
from harness.domain.units import SECOND
from harness.report import data_drift, data_quality, evaluation, gating, json_lifecycle, outages, output, training
from harness.report.result import Result, Unstarted

VERSION: Final = 1
UNKNOWN: Final = (
    "stable", "candidate", "simulated_s", "wall_s", "timing_s", "requests", "detected_after_s", "candidate_requests",
    "candidate_share_max", "bad_responses", "failed_requests", "users_exposed", "users_harmed",
)  # fmt: skip
KEPT: Final = ("event_log", "event_digest", "report")
"""Keys that a run has no value for where it never began."""


def suite(
    results: Sequence[Result | Unstarted],
    skipped: Sequence[str],
    *,
    passed: bool | None = None,
    page: str | None = None,
) -> dict[str, Any]:
    """Several runs as one document.

    Args:
        results: one for each scenario that ran or should have.
        skipped: paths of those that were not to run, or were not reached.
        passed: what the exit code says; if not given, whether every run passed.
        page: where the suite's page is; None where there is none.
    """
    return {
        "version": VERSION,
        "passed": all(result.passed for result in results) if passed is None else passed,
        "skipped": list(skipped),
        "scenarios": [plain(result) for result in results],
        "page": page,
    }


def plain(result: Result | Unstarted) -> dict[str, Any]:
    """One run. Times and latencies in seconds, shares in 0..1; what is not known is null."""
    if isinstance(result, Unstarted):
        return _unstarted(result)
    return {
        "name": result.name,
        "path": result.path,
        "seed": result.seed,
        "clock": result.clock,
        "passed": result.passed,
        "outcome": result.outcome,
        "reason": result.reason,
        "stable": result.stable,
        "candidate": result.candidate,
        "simulated_s": result.simulated_s,
        "wall_s": result.wall_s,
        "timing_s": dict(result.timing_s),
        "requests": result.requests,
        "detected_after_s": result.detected_after_s,
        "candidate_requests": result.candidate_requests,
        "candidate_share_max": result.candidate_share_max,
        "bad_responses": result.bad_responses,
        "failed_requests": result.failed_requests,
        "users_exposed": result.users_exposed,
        "users_harmed": result.users_harmed,
        "expectations": [
            {"text": expectation.text, "passed": expectation.passed, "actual": expectation.actual}
            for expectation in result.expectations
        ],
        "gates": [
            {"name": gate.name, "passed": gate.passed, "value": gate.value, "bound": gate.bound, "stable": gate.stable}
            for gate in result.gates
        ],
        "analysis": [
            {
                "at_s": look.at_s,
                "metric": look.metric,
                "verdict": look.verdict.value,
                "candidate": look.candidate,
                "stable": look.stable,
                "rule": look.rule,
                "bound": look.bound,
                "reason": look.reason,
            }
            for look in result.analysis
        ],
        "inputs": [
            {"column": column.name, **{role.value: column.drift.get(role) for role in ARMS}} for column in result.inputs
        ],
        **({"training": training.as_json(result.training)} if result.training else {}),
        **({"data_quality": [*map(data_quality.as_json, result.data_quality)]} if result.data_quality else {}),
        **({"data_drift": data_drift.as_json(result.data_drift)} if result.data_drift else {}),
        **({"evaluation": evaluation.as_json(result.examined)} if result.examined else {}),
        **({"gate_details": gating.as_json(result.gate_details)} if result.gate_details else {}),
        **({"resumed": [_resumed(each) for each in result.resumed]} if result.resumed else {}),
        **({"outages": outages.as_json(result.outages)} if result.outages else {}),
        **json_lifecycle.plain(result),
        "event_log": result.event_log,
        "event_digest": result.event_digest,
        "report": result.report,
    }


def _resumed(event: Resumed) -> dict[str, Any]:
    at_s, away_s = event.at_ns / SECOND, event.away_s
    return {"at_s": at_s, "stood": event.stood, "doing": event.doing, "away_s": away_s, "torn": event.torn}


def _unstarted(result: Unstarted) -> dict[str, Any]:
    known = {name: getattr(result, name) for name in ("name", "path", "seed", "clock", "passed", "outcome", "reason")}
    empty: dict[str, Any] = dict.fromkeys(UNKNOWN) | {"timing_s": {}}
    lists: dict[str, Any] = {name: [] for name in ("expectations", "gates", "analysis", "inputs")}
    return known | empty | lists | json_lifecycle.unknown() | dict.fromkeys(KEPT)


def dumps(document: dict[str, Any]) -> str:
    """The document as text, with a line break at its end."""
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def check(file: str | None) -> None:
    """Whether `write` will be able to, so that a run of an hour does not find out at its end.

    Raises:
        InputError: its folder does not exist, or it may not be written there.
    """
    output.check("--json", file)


def write(document: dict[str, Any], file: str) -> None:
    """Write the document to a file; ``-`` is standard output.

    Raises:
        InputError: the file cannot be written.
    """
    output.write("--json", file, dumps(document))
