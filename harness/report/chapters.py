"""What a run has to tell beside its rules, as tables that every form of a report shows, the most asked for first."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from harness.domain.event import ArmTotals, ClassTotals
from harness.domain.model import Role
from harness.domain.rollout import Finding, Outcome
from harness.report import text as words
from harness.report.lifecycle import Answer, Approval, Passage, Trial, TrialLook
from harness.report.result import Result

NONE: Final = "–"
SHOWN: Final = ("p50", "p95", "p99", "error_rate")
"""What copies are held against stable's own requests by."""
LOOKS: Final = 240
"""A test's table of looks shows every n-th where there are more."""
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
FOUND: Final = {
    Finding.UNDECIDED: "undecided",
    Finding.BETTER: "candidate better",
    Finding.WORSE: "candidate not better",
    Finding.MISMATCH: "users not split as they should be",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a table; `passed` says whether it is good news, None that it is neither."""

    cells: tuple[str, ...]
    passed: bool | None = None


@dataclass(frozen=True, slots=True)
class Chapter:
    """A table with its title, and a note on what its figures are."""

    title: str
    columns: tuple[str, ...]
    lines: Sequence[Line]
    figures: frozenset[int] = frozenset()
    """Which columns hold figures, and stand to the right."""
    note: str = ""
    detail: bool = False
    """Every look of a test, say: for those who want to see all, and only on a page."""


def first(result: Result) -> list[Chapter]:
    """What decided the run, or came of it: told before its time line."""
    told = [
        _rollouts(result),
        _alarms(result),
        _retrainings(result),
        *_trials(result),
        _shadow(result),
        _approvals(result),
    ]
    return [chapter for chapter in told if chapter is not None and chapter.lines]


def then(result: Result) -> list[Chapter]:
    """What else there was: told after its time line."""
    told = [_checks(result), _classes(result), _undelivered(result)]
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


def _trials(result: Result) -> Iterator[Chapter]:
    for trial in result.trials:
        several = f" of rollout {trial.rollout}" if len(result.trials) > 1 else ""
        lines = [*_plan(trial), *(_standing(trial, trial.last) if trial.last else ())]
        yield Chapter(f"A/B test{several}", ("", "", ""), lines, frozenset({1}), _asks(trial))
        columns = ("time", "candidate", "stable", "effect", "interval", "p", "users", "mismatch p", "found")
        every = -(-len(trial.looks) // LOOKS) or 1
        looks = [*trial.looks[:-1:every], *trial.looks[-1:]]
        told = [_look(trial, look) for look in looks]
        title = f"Every look at the A/B test{several}" if every == 1 else f"Looks at the A/B test{several}"
        yield Chapter(title, columns, told, frozenset(range(8)), detail=True)


def _asks(trial: Trial) -> str:
    least = words.effect(trial.metric, trial.least_effect, signed=False)
    return (
        f"Is the candidate better by {trial.metric}? Decided so that looking does no harm: the interval holds the "
        f"true difference at every look at once, at level {trial.level:g}. The smallest difference sought is {least}."
    )


def _plan(trial: Trial) -> Iterator[Line]:
    yield Line(("stable before the test", words.figure(trial.metric, trial.baseline), trial.metric))
    if trial.needed is None:
        yield Line(("answers needed, as planned", NONE, f"nothing was known of {trial.metric} before the test"))
        return
    takes = f"in {words.span(trial.needed_s)} at the rate before it, " if trial.needed_s else ""
    note = f"{takes}power {words.share(trial.power)} in a test of fixed sample"
    yield Line(("answers needed, as planned", words.count(trial.needed), note))


def _standing(trial: Trial, last: TrialLook) -> Iterator[Line]:
    answers, users = _arms(last.answers), _arms(last.users)
    seen = sum(last.answers.values())
    share = f"{words.share(seen / trial.needed)} of the plan; {answers}" if trial.needed else answers
    yield Line(("answers seen", words.count(seen), share))
    yield Line(("candidate", words.figure(trial.metric, last.candidate), "at the last look"))
    yield Line(("stable", words.figure(trial.metric, last.stable), "at the last look"))
    yield Line(("effect", words.effect(trial.metric, last.effect), f"{_interval(trial, last)}, candidate less stable"))
    yield Line(("p", words.probability(last.p_value), "of no difference; valid at every look"))
    if last.users:
        yield Line(("users", words.count(sum(last.users.values())), f"{users}, at the last look"))
    if last.mismatch_p is not None:
        note = "of users being split as they should be"
        yield Line(("mismatch p", words.probability(last.mismatch_p), note), False if last.mismatched else None)
    found = FOUND.get(Finding(last.finding), last.finding) if last.finding in set(Finding) else last.finding
    yield Line(("found", found, last.reason), last.finding == Finding.BETTER or None)


def _arms(counts: Mapping[Role, int]) -> str:
    return ", ".join(f"{role.value} {words.count(number)}" for role, number in counts.items())


def _interval(trial: Trial, look: TrialLook) -> str:
    low, high = (words.effect(trial.metric, value) for value in (look.lower, look.upper))
    return NONE if look.lower is None else f"{low} to {high}"


def _look(trial: Trial, look: TrialLook) -> Line:
    return Line(
        (
            words.clock_time(look.at_s),
            words.figure(trial.metric, look.candidate),
            words.figure(trial.metric, look.stable),
            words.effect(trial.metric, look.effect),
            _interval(trial, look),
            words.probability(look.p_value),
            words.count(sum(look.users.values())) if look.users else NONE,
            words.probability(look.mismatch_p),
            look.finding,
        )
    )


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
