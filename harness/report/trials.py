"""The A/B tests of a run as tables: the plan, where the test stood at last, and every look."""

from collections.abc import Iterator, Mapping
from typing import Final

from harness.domain.model import Role
from harness.domain.rollout import Finding
from harness.report import text as words
from harness.report.chapter import NONE, Chapter, Line
from harness.report.lifecycle import Trial, TrialLook
from harness.report.result import Result

LOOKS: Final = 240
"""A test's table of looks shows every n-th where there are more."""
FOUND: Final = {
    Finding.UNDECIDED: "undecided",
    Finding.BETTER: "candidate better",
    Finding.WORSE: "candidate not better",
    Finding.MISMATCH: "users not split as they should be",
}


def trials(result: Result) -> Iterator[Chapter]:
    """Two tables for each test: where it stood, and, in detail, every look."""
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
