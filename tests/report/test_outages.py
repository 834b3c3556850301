"""Outages, folded: what is told of them, how often, and of which runs."""

from dataclasses import replace

from harness.domain import event as e
from harness.domain.analysis import UNKNOWN, Verdict
from harness.domain.event import Event, Measured, Noticed, RunStarted
from harness.domain.model import Role
from harness.report import fold
from harness.report import json as report_json
from tests.report.stories import long_canary

RULES = ("error_rate <= 1%", "p95 <= 1s")


def told(*seen: Event, clock: str = "real") -> list[tuple[float, float, str, int, str]]:
    """The outages of a run in which these things were seen."""
    started = long_canary().only(RunStarted)
    result = fold([replace(started, clock=clock), e.TrafficStarted(0, {Role.STABLE: 10_000}), *seen])
    plain = report_json.plain(result).get("outages", [])
    return [(each["at_s"], each["until_s"], each["what"], each["times"], each["text"]) for each in plain]


def look(at_s: float, *verdicts: Verdict, reason: str = "nothing there") -> list[Event]:
    """A look of two rules, the second a moment after the first."""
    return [
        Measured(round(at_s * 1e9) + number, rule, "p95", verdict, reason, None, None, None, {}, 0)
        for number, (rule, verdict) in enumerate(zip(RULES, verdicts, strict=True))
    ]


def notice(at_s: int, kind: str, text: str) -> Event:
    return Noticed(at_s * 10**9, kind, (), text)


def test_a_stretch_of_looks_that_saw_nothing_is_one_outage() -> None:
    bad, good = (Verdict.ERROR, Verdict.ERROR), (Verdict.PASS, Verdict.PASS)
    looks = [*look(1, *good), *look(2, *bad), *look(3, *bad), *look(4, *good), *look(5, *bad)]
    assert told(*looks) == [(2.0, 3.0, "metrics", 2, "nothing there"), (5.0, 5.0, "metrics", 1, "nothing there")]


def test_one_rule_of_a_look_is_enough_and_too_few_answers_are_none() -> None:
    mixed = look(1, Verdict.PASS, Verdict.INCONCLUSIVE, reason=f"{UNKNOWN} stable")
    few = look(2, Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE, reason="too few answers: candidate 2 of 5")
    assert told(*mixed, *few) == [(1.0, 1.0, "metrics", 1, f"{UNKNOWN} stable")]


def test_what_is_noticed_again_is_counted_and_what_is_good_news_is_none() -> None:
    seen = [
        notice(1, "router_died", "the router has died"),
        notice(2, "replica_ready", "it is ready"),
        notice(3, "router_died", "the router has died"),
        notice(4, "replica_crashed", "it crashed"),
    ]
    assert told(*seen) == [(1.0, 3.0, "router", 2, "the router has died"), (4.0, 4.0, "replica", 1, "it crashed")]


def test_a_rehearsal_has_none() -> None:
    assert told(notice(1, "replica_crashed", "as was injected"), clock="virtual") == []
