"""What a program reads of the lifecycle: times in seconds since traffic began, shares in 0..1; unknown is null."""

from typing import Any

from harness.domain.model import Role
from harness.report import loaded
from harness.report.lifecycle import Trial
from harness.report.result import Result

LISTS = ("checks", "load_tests", "approvals", "classes", "rollouts", "alarms", "retrainings")


def plain(result: Result) -> dict[str, Any]:
    """Checks, approvals, the last A/B test, classes of requests, rollouts, alarms and retrainings."""
    return {
        "checks": [
            {
                "at_s": check.at_s,
                "name": check.name,
                "text": check.text,
                "passed": check.passed,
                "value": check.value,
                "bound": check.bound,
                "detail": check.detail,
            }
            for check in result.checks
        ],
        "load_tests": [loaded.as_json(each) for each in result.load_tests],
        "approvals": [
            {
                "what": each.what,
                "asked_s": each.asked_s,
                "until_s": each.until_s,
                "answer": each.answer.value,
                "by": each.by,
                "answered_s": each.answered_s,
            }
            for each in result.approvals
        ],
        "experiment": _trial(result.trials[-1]) if result.trials else None,
        "classes": _classes(result),
        "rollouts": _rollouts(result),
        "alarms": [
            {
                "at_s": alarm.at_s,
                "rollout": alarm.rollout,
                "monitor": alarm.monitor,
                "leads_to": alarm.leads_to,
                "reason": alarm.reason,
            }
            for alarm in result.alarms
        ],
        "retrainings": [
            {
                "at_s": each.at_s,
                "rows": each.rows,
                "newest": each.newest,
                "better": each.better,
                "detail": each.detail,
            }
            for each in result.retrainings
        ],
    }


def unknown() -> dict[str, Any]:
    """The same keys, of a run that never began."""
    return {name: [] for name in LISTS} | {"experiment": None}


def _trial(trial: Trial) -> dict[str, Any]:
    """The plan, and where the test stood at its last look."""
    last = trial.last
    return {
        "metric": trial.metric,
        "least_effect": trial.least_effect,
        "level": trial.level,
        "power": trial.power,
        "baseline": trial.baseline,
        "needed": trial.needed,
        "needed_s": trial.needed_s,
        "looks": len(trial.looks),
        "candidate": last.candidate if last else None,
        "stable": last.stable if last else None,
        "answers": _counts(last.answers if last else {}),
        "effect": last.effect if last else None,
        "interval": [last.lower, last.upper] if last and last.lower is not None else None,
        "p_value": last.p_value if last else None,
        "users": _counts(last.users if last else {}),
        "mismatch_p": last.mismatch_p if last else None,
        "finding": last.finding if last else None,
        "reason": last.reason if last else None,
    }


def _counts(counts: Any) -> dict[str, int]:
    return {role.value: counts[role] for role in Role if role in counts}


def _classes(result: Result) -> list[dict[str, Any]]:
    names = dict.fromkeys(name for arm in result.totals.values() for name in arm.classes)
    return [
        {
            "class": name,
            "arm": role.value,
            "requests": arm.classes[name].arrived,
            "failed": arm.classes[name].failed,
            "p50": arm.classes[name].p50,
            "p95": arm.classes[name].p95,
        }
        for name in names
        for role, arm in result.totals.items()
        if name in arm.classes
    ]


def _rollouts(result: Result) -> list[dict[str, Any]]:
    return [
        {
            "number": each.number,
            "began_s": each.began_s,
            "stable": each.stable,
            "candidate": each.candidate,
            "challenger": each.challenger,
            "candidate_share_max": each.share_max,
            "outcome": each.outcome,
            "reason": each.reason,
            "decided_s": each.decided_s,
            "undone": each.undone,
            "undone_reason": each.undone_reason or None,
            "undone_s": each.undone_s,
        }
        for each in result.rollouts
    ]
