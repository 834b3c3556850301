"""How a run ended where more than steps and rules decided it: people, an A/B test, a shadow, what came after."""

import re
from typing import Final

from harness.domain.model import Role
from harness.domain.rollout import Finding, Outcome
from harness.report import text as words
from harness.report.lifecycle import Alarm, Answer, Approval, Passage, Trial
from harness.report.result import Result

STAYS: Final = ": traffic stays"
"""What an escalation says after its cause."""
HINT: Final = re.compile(r" \([^()]*(\([^()]*\)[^()]*)*\)$")
"""What a backend says besides, in brackets."""


def trial_of(result: Result) -> Trial | None:
    """The A/B test of the last rollout that looked at least once."""
    trials = [trial for trial in result.trials if trial.last and trial.rollout == _number(result)]
    return trials[-1] if trials else None


def tested(trial: Trial) -> str:
    """Where an A/B test stood at last: both figures, and the effect with its interval."""
    last = trial.last
    if last is None:
        return f"no look was taken at {trial.metric}"
    candidate, stable = (words.figure(trial.metric, value) for value in (last.candidate, last.stable))
    arms = f"{trial.metric} was {candidate} on candidate and {stable} on stable"
    if last.effect is None:
        return f"{arms}, which says nothing yet"
    low, high = (words.effect(trial.metric, value) for value in (last.lower, last.upper))
    return f"{arms}, a difference between {low} and {high}"


def shadowed(result: Result) -> str:
    """What a shadow has shown on copies; empty where there was none."""
    copies = result.totals.get(Role.SHADOW)
    if copies is None or not copies.arrived:
        return ""
    stable = result.totals.get(Role.STABLE)
    said = [f"{words.count(copies.arrived)} copies answered"]
    agreement = copies.figures.get("agreement")
    if agreement is not None:
        said.append(f"{words.share(agreement)} of them as stable did")
    for metric in ("p95", "error_rate"):
        if copies.figures.get(metric) is not None:
            beside = words.figure(metric, stable.figures.get(metric)) if stable else "–"
            said.append(f"{metric} {words.figure(metric, copies.figures[metric])} beside {beside} on stable")
    return ", ".join(said)


def kept_stable(result: Result) -> str | None:
    """Of a run that ended as planned without a promotion; None where nothing is to be added to its reason."""
    if trial := trial_of(result):
        last = trial.last
        if last and last.mismatched:
            split = last.reason.split("; ")[0].removeprefix("sample ratio mismatch: ")
            return f"Kept stable: the A/B test says nothing, for users were not split as they should be: {split}."
        if last and last.finding == Finding.WORSE:
            least = words.effect(trial.metric, trial.least_effect, signed=False)
            return f"Kept stable: the candidate is not better by {least}: {tested(trial)}."
        if last and last.finding == Finding.BETTER:
            return f"Kept stable, as planned, though the candidate is better: {tested(trial)}."
        return f"Kept stable: the A/B test found no difference in its time: {tested(trial)}."
    told = shadowed(result)
    return f"Kept stable, as planned: the shadow ended with {told}." if told else None


def by_person(result: Result) -> str | None:
    """Why an approval ended the rollout, or what it still waits for; None where none did."""
    last = _asked(result)
    if last is None:
        return None
    asked = "" if last.asked_s is None else f", asked for {words.span(last.asked_s)} after traffic began,"
    match last.answer:
        case Answer.REFUSED:
            return (
                f"{last.by} refused {last.what}{asked.removesuffix(',')}" if last.what else f"{last.by} ordered it back"
            )
        case Answer.EXPIRED:
            took = "" if last.until_s is None or last.asked_s is None else words.span(last.until_s - last.asked_s)
            return f"{last.what}{asked} was not given within {took}"
        case Answer.OPEN:
            return f"waiting for a person ({last.what}){asked.removesuffix(',')}"
    return None


def after_promotion(result: Result) -> str | None:
    """Of a run that took a promotion back, or tried to; None where it did not."""
    last = result.rollout
    if last is None or last.undone is None:
        return None
    then = ""
    if last.undone_s is not None and last.decided_s is not None:
        then = f" {words.span(last.undone_s - last.decided_s)}"
    candidate, stable = last.candidate or "the candidate", last.stable or "the version before"
    if last.undone == Outcome.ROLLED_BACK:
        return f"Rolled back{then} after its promotion, from {candidate} to {stable}: {_alarm_text(result)}."
    if last.undone == Outcome.ABORTED:
        return f"Aborted{then} after the promotion ({last.undone_reason.rstrip('.')}): {candidate} keeps all traffic."
    cause = HINT.sub("", last.undone_reason.split(STAYS)[0].rstrip("."))
    alarm = _last_alarm(result)
    why = cause.removeprefix(f"{alarm.reason} ({alarm.monitor}); and ") if alarm else cause
    heard = f" {_alarm_text(result)}, and" if alarm else ""
    return f"Failed{then} after the promotion of {candidate}, a person must look:{heard} {why}; traffic stays."


def before(result: Result) -> str:
    """What came of the rollouts before the last; empty where there was none, with a blank before it else."""
    told = [_came_to(passage) for passage in result.rollouts[:-1]]
    return f" Before that, {'; then '.join(told)}." if told else ""


def _came_to(passage: Passage) -> str:
    name = passage.candidate or "another candidate"
    if passage.superseded:
        return f"{name} was {passage.reason}"
    said = {
        "promoted": "was promoted",
        "rolled_back": "was rolled back",
        "kept_stable": "was not promoted, as planned",
        "rejected": "was rejected",
        None: "was under way",
    }.get(passage.outcome, f"ended {passage.outcome}")
    return f"{name} {said}" + (f" and later {passage.undone.replace('_', ' ')}" if passage.undone else "")


def _alarm_text(result: Result) -> str:
    from harness.report.why import evidence

    alarm = _last_alarm(result)
    if alarm is None:
        return evidence(result)
    if not alarm.because:
        return alarm.reason
    return f"monitor {alarm.monitor} raised an alarm, for {evidence(result)}"


def _last_alarm(result: Result) -> Alarm | None:
    return result.alarms[-1] if result.alarms else None


def _number(result: Result) -> int:
    return next((passage.number for passage in reversed(result.rollouts) if passage.number), 0)


def _asked(result: Result) -> Approval | None:
    asked = [approval for approval in result.approvals if approval.rollout == _number(result)]
    return asked[-1] if asked else None
