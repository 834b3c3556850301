"""What a run has to tell beside its rules, as tables that every form of a report shows, the most asked for first."""

from typing import Final

from harness.domain.event import ArmTotals, ClassTotals
from harness.domain.model import Role
from harness.domain.rollout import Outcome
from harness.report import evaluation, outages
from harness.report import text as words
from harness.report.chapter import NONE, Chapter, Line
from harness.report.data_drift import drift_chapter
from harness.report.data_quality import quality_chapter
from harness.report.gating import gate_chapters
from harness.report.lifecycle import Answer, Approval, Passage
from harness.report.loaded import load_tests
from harness.report.result import Result
from harness.report.training import training_chapters
from harness.report.trials import trials

SHOWN: Final = ("p50", "p95", "p99", "error_rate")
"""What copies are held against stable's own requests by."""
LEADS_TO: Final = {"rollback": "the way back", "retrain": "a retraining", "notify": "word to people"}
ANSWERS: Final = {
    Answer.APPROVED: "approved",
    Answer.REFUSED: "refused",
    Answer.PROMOTED: "ordered the promotion",
    Answer.ABORTED: "aborted",
    Answer.EXPIRED: "expired",
    Answer.OVERTAKEN: "something else decided first",
    Answer.OPEN: "still waiting",
}


def first(result: Result) -> list[Chapter]:
    """What decided the run, or came of it: told before its time line."""
    told = [
        quality_chapter(result.data_quality),
        drift_chapter(result.data_drift),
        *evaluation.chapters(result.examined),
        *training_chapters(result.training),
        _rollouts(result),
        outages.chapter(result.outages),
        _alarms(result),
        _retrainings(result),
        load_tests(result),
        *trials(result),
        _shadow(result),
        _approvals(result),
    ]
    return [chapter for chapter in told if chapter is not None and chapter.lines]


def then(result: Result) -> list[Chapter]:
    """What else there was: told after its time line."""
    told = [*gate_chapters(result.gate_details), _checks(result), _classes(result), _undelivered(result)]
    return [chapter for chapter in told if chapter.lines]


def chapters(result: Result) -> list[Chapter]:
    """All of them."""
    return [*first(result), *then(result)]


# --- what decided ----------------------------------------------------------------------------------------------------


def _rollouts(result: Result) -> Chapter | None:
    if not result.several:
        return None
    columns = ("rollout", "stable", "candidate", "began", "largest share", "ended", "why")
    lines = [Line(_rollout(passage), _good(passage)) for passage in result.rollouts]
    return Chapter("Rollouts", columns, lines, frozenset({3, 4}))


def _rollout(passage: Passage) -> tuple[str, ...]:
    came = " (trained anew)" if passage.challenger else ""
    number = NONE if passage.number is None else str(passage.number)
    return (
        number,
        passage.stable or NONE,
        f"{passage.candidate or NONE}{came}",
        words.clock_time(passage.began_s),
        words.share(passage.share_max) if passage.number else NONE,
        passage.ending,
        passage.undone_reason or passage.reason,
    )


def _good(passage: Passage) -> bool | None:
    if passage.undone or passage.outcome in {Outcome.FAILED, Outcome.ERROR, Outcome.ROLLED_BACK, Outcome.REJECTED}:
        return False
    return True if passage.promoted else None


def _alarms(result: Result) -> Chapter:
    revisions = {passage.number: passage.candidate for passage in result.rollouts}
    lines = [
        Line(
            (
                words.clock_time(alarm.at_s),
                alarm.monitor,
                revisions.get(alarm.rollout) or NONE,
                LEADS_TO.get(alarm.leads_to, alarm.leads_to),
                alarm.reason,
            ),
            passed=False,
        )
        for alarm in result.alarms
    ]
    note = "Raised by the monitors that watch what was promoted."
    return Chapter("Alarms", ("time", "monitor", "watching", "led to", "because"), lines, frozenset({0}), note)


def _retrainings(result: Result) -> Chapter:
    lines = [
        Line(
            (
                words.clock_time(each.at_s),
                words.count(each.rows),
                words.count(each.newest),
                "better" if each.better else "no better, the champion stays",
                each.detail or NONE,
            ),
            each.better or None,
        )
        for each in result.retrainings
    ]
    columns = ("time", "rows learned from", "newest row", "challenger", "detail")
    return Chapter("Retrainings", columns, lines, frozenset({0, 1, 2}))


def _shadow(result: Result) -> Chapter | None:
    copies, stable = result.totals.get(Role.SHADOW), result.totals.get(Role.STABLE)
    if copies is None or not copies.arrived:
        return None
    lines = [Line(("requests", words.count(copies.arrived), words.count(stable.arrived if stable else None)))]
    for metric, name in (("agreement", "answered alike"), ("score_distance", "distance of scores, on average")):
        value = copies.figures.get(metric)
        if value is not None:
            lines.append(Line((name, words.figure(metric, value), "")))
    lines += [
        Line((name.replace("_", " "), words.figure(name, copies.figures.get(name)), _of(stable, name)))
        for name in SHOWN
        if copies.figures.get(name) is not None
    ]
    note = "Copies of stable's requests, answered by the candidate: no user got such an answer."
    return Chapter("Shadow", ("", "candidate, on copies", "stable, to users"), lines, frozenset({1, 2}), note)


def _of(arm: ArmTotals | None, metric: str) -> str:
    return words.figure(metric, arm.figures.get(metric)) if arm else NONE


# --- people, and what else there was ---------------------------------------------------------------------------------


def _approvals(result: Result) -> Chapter:
    columns = ("waited for", "asked", "until", "came to", "by", "at")
    lines = [Line(_approval(each), _granted(each)) for each in result.approvals]
    return Chapter("Approvals and orders", columns, lines, frozenset({1, 2, 5}))


def _approval(each: Approval) -> tuple[str, ...]:
    def at(seconds: float | None) -> str:
        return NONE if seconds is None else words.clock_time(seconds)

    until = "no end" if each.until_s is None and each.asked_s is not None else at(each.until_s)
    return (
        each.what or "nothing: it came unasked",
        at(each.asked_s),
        until,
        ANSWERS[each.answer],
        each.by or NONE,
        at(each.answered_s),
    )


def _granted(each: Approval) -> bool | None:
    if each.answer in {Answer.APPROVED, Answer.PROMOTED}:
        return True
    return False if each.answer in {Answer.REFUSED, Answer.EXPIRED, Answer.ABORTED} else None


def _checks(result: Result) -> Chapter:
    lines = [
        Line(
            (
                words.clock_time(check.at_s) if check.rollout else NONE,
                check.text or check.name,
                words.figure(check.name, check.value),
                check.bound or NONE,
                "✓ passed" if check.passed else "✗ failed",
                check.detail or NONE,
            ),
            check.passed,
        )
        for check in result.checks
    ]
    return Chapter("Checks", ("time", "check", "value", "bound", "", "detail"), lines, frozenset({0, 2}))


def _classes(result: Result) -> Chapter:
    names = dict.fromkeys(name for arm in result.totals.values() for name in arm.classes)
    lines = [
        _class(name, role, arm.classes[name])
        for name in names
        for role, arm in result.totals.items()
        if name in arm.classes
    ]
    columns = ("class", "arm", "requests", "failed", "p50", "p95")
    return Chapter("Classes of requests", columns, lines, frozenset(range(2, 6)), "Over the whole run.")


def _class(name: str, role: Role, totals: ClassTotals) -> Line:
    failed = words.count(totals.failed)
    if totals.failed and totals.arrived:
        failed += f" ({words.share(totals.failed / totals.arrived)})"
    latencies = words.figure("p50", totals.p50), words.figure("p95", totals.p95)
    return Line((name, role.value, words.count(totals.arrived), failed, *latencies))


def _undelivered(result: Result) -> Chapter:
    lines = [
        Line((words.clock_time(each.at_s), each.channel, each.what, each.detail or NONE), passed=False)
        for each in result.undelivered
    ]
    return Chapter("Notifications that failed", ("time", "channel", "message", "detail"), lines, frozenset({0}))
