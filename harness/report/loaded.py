"""The load tests that a candidate stood before it met users: as a table, and as a program reads them."""

from typing import Any, Final

from harness.report import text as words
from harness.report.chapter import NONE, Chapter, Line
from harness.report.lifecycle import LoadTest
from harness.report.result import Result

SHOWN: Final = ("mean", "p95", "p99")


def load_tests(result: Result) -> Chapter:
    """What they asked, what they met, and the grade; empty where there was none."""
    lines = [Line(_cells(test), _held(test)) for test in result.load_tests]
    columns = ("load test", "asked", "for", "requests", "failed", *SHOWN, "grade", "objectives")
    told = [f"{each.stage}: {each.spoiled}" for each in result.load_tests if each.spoiled]
    told += list(dict.fromkeys(note for each in result.load_tests for note in each.notes))
    note = "Latencies run from the moment that a request was due; a warm-up is left out."
    return Chapter(
        "Load tests", columns, lines, frozenset({2, *range(3, 5 + len(SHOWN))}), " ".join([note, *map(_sentence, told)])
    )


def _sentence(told: str) -> str:
    return f"{told[:1].upper()}{told[1:]}{'' if told.endswith('.') else '.'}"


def _cells(test: LoadTest) -> tuple[str, ...]:
    failed = words.count(test.failed + test.not_sent)
    if test.errors:
        failed += f" ({', '.join(f'{kind} {count:,}' for kind, count in test.errors.items())})"
    where = f"{test.stage}, {test.url}" if test.url else test.stage
    warm = f" after {words.span(test.warmup_s)}" if test.warmup_s else ""
    return (
        where,
        test.asked,
        f"{words.span(test.duration_s)}{warm}",
        words.count(test.sent + test.not_sent),
        failed,
        *(words.figure(name, test.figures.get(name)) for name in SHOWN),
        _grade(test),
        f"{sum(each.passed for each in test.slos)} of {len(test.slos)} met" if test.slos else NONE,
    )


def _grade(test: LoadTest) -> str:
    given = test.grade or ("not graded" if test.spoiled else NONE)
    return f"{given} (at least {test.min_grade})" if test.min_grade else given


def _held(test: LoadTest) -> bool | None:
    """Whether its objectives were met; what came of the grade stands in the checks."""
    if any(not each.passed for each in test.slos) or test.spoiled:
        return False
    return True if test.slos else None


def as_json(test: LoadTest) -> dict[str, Any]:
    """Times and latencies in seconds, shares in 0..1; the keys that ``harness load --json`` has too mean the same."""
    rates = ("success_rate", "error_rate", "rate", "requests")
    return {
        "stage": test.stage,
        "url": test.url or None,
        "mode": test.mode,
        "arrivals": test.arrivals or None,
        "target_rate": test.rate_per_s,
        "users": test.users,
        "think_s": test.think_s if test.users else None,
        "duration_s": test.duration_s,
        "warmup_s": test.warmup_s,
        "scheduled": test.sent + test.not_sent,
        "not_sent": test.not_sent,
        "sent": test.sent,
        "succeeded": test.succeeded,
        "failed": test.failed,
        "in_flight_at_stop": test.in_flight,
        "errors": dict(test.errors),
        "success_rate": test.figures.get("success_rate"),
        "achieved_rate": test.achieved_rate,
        "latency_s": {name: value for name, value in test.figures.items() if name not in rates},
        "service_time_s": dict(test.service) or None,
        "send_lag_s": dict(test.lag) or None,
        "grade": test.grade,
        "min_grade": test.min_grade,
        "slo": [{"text": each.text, "passed": each.passed, "actual": each.actual} for each in test.slos],
        "spoiled": test.spoiled or None,
    }
