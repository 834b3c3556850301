"""What went out of service under a run on real time, and for how long it was seen to be."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from harness.domain.analysis import UNKNOWN, Verdict
from harness.domain.event import Noticed
from harness.report import text as words
from harness.report.chapter import NONE, Chapter, Line
from harness.report.result import Look, Outage

KINDS: Final = {
    "replica_crashed": "replica",
    "replica_down": "replica",
    "router_died": "router",
    "router_back": "router",
    "deaf": "orders",
    "left_undone": "left undone",
}
"""Notices that tell of one, and what they tell of it."""
METRICS: Final = "metrics"


def found(noticed: Sequence[tuple[float, Noticed]], looks: Sequence[Look]) -> tuple[Outage, ...]:
    """All of them, in the order in which they began.

    Args:
        noticed: what was noticed, and when (s since traffic began).
        looks: all that were taken.
    """
    told: dict[tuple[str, str], Outage] = {}
    for at_s, event in noticed:
        if (what := KINDS.get(event.kind)) is not None:
            key = (event.kind, event.text)
            before = told.get(key, Outage(at_s, at_s, what, event.text, 0))
            told[key] = replace(before, until_s=at_s, times=before.times + 1)
    return tuple(sorted([*told.values(), *_blind(looks)], key=lambda each: each.at_s))


def _blind(looks: Iterable[Look]) -> list[Outage]:
    """Stretches of looks at which the metrics were not to be had; a look of several rules is one."""
    stretches: list[Outage] = []
    open_at: float | None = None
    for at_s, together in _by_time(looks):
        bad = next((look for look in together if blind(look)), None)
        if bad is None:
            open_at = None
        elif open_at is None:
            open_at = at_s
            stretches.append(Outage(at_s, at_s, METRICS, bad.reason, 1))
        else:
            last = stretches[-1]
            stretches[-1] = replace(last, until_s=at_s, times=last.times + 1)
    return stretches


def blind(look: Look) -> bool:
    """Whether the metric source gave no answer, or one that says nothing."""
    unknown = look.verdict is Verdict.INCONCLUSIVE and look.reason.startswith(UNKNOWN)
    return look.verdict is Verdict.ERROR or unknown


def _by_time(looks: Iterable[Look]) -> Iterable[tuple[float, list[Look]]]:
    """Looks of one instant together: rules are judged one after the other, within a moment."""
    together: list[Look] = []
    seen: set[tuple[str, int | None]] = set()
    for look in looks:
        key = (look.rule, look.step)
        if key in seen:
            yield together[0].at_s, together
            together, seen = [], set()
        together.append(look)
        seen.add(key)
    if together:
        yield together[0].at_s, together


def chapter(outages: Sequence[Outage]) -> Chapter | None:
    """A table of them; None where there were none."""
    if not outages:
        return None
    lines = [Line(_line(each), passed=None if each.what == "left undone" else False) for each in outages]
    note = "What was not there, or said nothing, for a while: when it was seen first and last, since traffic began."
    return Chapter("Outages", ("from", "to", "what", "times", "told"), lines, frozenset({0, 1, 3}), note)


def _line(each: Outage) -> tuple[str, ...]:
    until = words.clock_time(each.until_s) if each.times > 1 else NONE
    return (words.clock_time(each.at_s), until, each.what, words.count(each.times), each.text)


def as_json(outages: Sequence[Outage]) -> list[dict[str, Any]]:
    """As programs read them."""
    return [
        {"at_s": each.at_s, "until_s": each.until_s, "what": each.what, "times": each.times, "text": each.text}
        for each in outages
    ]
