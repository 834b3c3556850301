"""Why a run ended as it did, in one sentence."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from harness.domain.analysis import Verdict
from harness.domain.model import Role
from harness.report import data_drift, endings
from harness.report import text as words
from harness.report.result import UNFINISHED, Gate, Look, Result, RuleTally

BEYOND: Final[Mapping[str, str]] = {"<": "not below", "<=": "above", ">": "not above", ">=": "below"}
"""How a figure lies to the bound of a rule that it fails."""


def why(result: Result) -> str:
    """One plain sentence: what became of the candidate, when, at what share of traffic, and on what evidence.

    Where a run had several rollouts, a second one says what became of those before.
    """
    said = endings.after_promotion(result)
    if said is None:
        say = SENTENCES.get(result.outcome or UNFINISHED)
        said = say(result) if say else f"{result.outcome_text.capitalize()}: {_clause(result.reason)}."
    return said + endings.before(result) + _cut_off(result)


def judged(look: Look) -> str:
    """The figures of a look that failed, beside its bound.

    A rule that joins several metrics speaks through its own reason.
    """
    rule = words.parts(look.rule)
    if rule is None or look.candidate is None:
        return f"{look.rule}: {_clause(look.reason)}"
    metric, op, bound = rule
    arms = f"{words.figure(metric, look.candidate)} on candidate"
    if look.stable is not None:
        arms += f" and {words.figure(metric, look.stable)} on stable"
    limit = f"the bound {bound}"
    if "stable" in bound and look.bound is not None:
        limit = f"the bound {words.figure(metric, look.bound)} ({bound})"
    return f"{metric} was {arms}, {BEYOND.get(op, 'beside')} {limit}"


def gate_reason(gate: Gate, result: Result) -> str:
    """What a gate asked for, and what it got."""
    told = next((each.reason for each in result.gate_details if each.text == gate.text), None)
    if told is not None:
        return told
    if result.data_drift and gate.name == data_drift.GATE:
        return data_drift.sentence(result.data_drift)
    rule = words.parts(gate.text)
    bound = f"{rule[1]} {rule[2]}" if rule else gate.text
    against = f", with {words.figure(gate.name, gate.stable)} on stable" if gate.stable is not None else ""
    return f"{gate.name} is {words.figure(gate.name, gate.value)}, and the gate asks for {bound}{against}"


def _clause(reason: str) -> str:
    return reason.strip().rstrip(".") or "no reason was given"


def evidence(result: Result) -> str:
    """The decisive looks, with how often their rule failed."""
    said = []
    for look in result.because[-1:]:
        tally = _tally_of(result, look)
        times = tally.errors if look.verdict is Verdict.ERROR else tally.failed
        said.append(f"{judged(look)}, on {times} of {words.plural(tally.looks, 'look')}")
    return said[0] if said else _clause(result.reason)


def _cut_off(result: Result) -> str:
    """That the harness was cut off on the way; empty where it was not."""
    if not result.resumed:
        return ""
    times = "once" if len(result.resumed) == 1 else words.plural(len(result.resumed), "time")
    last = result.resumed[-1]
    told = f" The harness was cut off {times} ({words.STOOD[last.stood]}), and the run taken up again: {last.doing}."
    return told + (" Requests are counted from then on." if result.requests is not None else "")


def _tally_of(result: Result, look: Look) -> RuleTally:
    """All looks at the same rule by the same analysis."""
    return next(t for t in result.tallies if t.rule == look.rule and t.shown.scope == look.scope)


def _after_exposure(result: Result) -> str:
    if result.exposed_at_s is None or result.decided_at_s is None:
        return "before it got a request"
    return f"{words.span(result.decided_at_s - result.exposed_at_s)} after its first {_met(result)}"


def _met(result: Result) -> str:
    """What the candidate got: requests of users, or copies of them."""
    return "copy" if result.candidate_requests == 0 and Role.SHADOW in result.totals else "request"


def _at(result: Result) -> str:
    return f"at {words.share(result.candidate_share_last)} of traffic"


def _and_traffic(result: Result) -> str:
    """Where traffic is now, for runs that did not end as planned."""
    if not result.ended_on:
        return "Traffic was never touched"
    if result.ended_on.get(Role.CANDIDATE):
        return f"The candidate still has {words.share(result.ended_on[Role.CANDIDATE] / 10_000)} of traffic"
    return f"Stable has all traffic{', verified' if result.verified else ''}"


def _rolled_back(result: Result) -> str:
    cause = (None if result.because else endings.by_person(result)) or evidence(result)
    if result.exposed_at_s is None:
        return f"Rolled back before it got a request: {cause}."
    at = "on copies alone" if _met(result) == "copy" else _at(result)
    return f"Rolled back {_after_exposure(result)}, {at}: {cause}."


def _promoted(result: Result) -> str:
    took = ""
    if result.exposed_at_s is not None and result.decided_at_s is not None:
        took = f" {_after_exposure(result)}"
    last = result.rollout
    what = f", the challenger {last.candidate} that was trained after an alarm," if last and last.challenger else ""
    said = f"Promoted{what}{took}"
    alarms = [alarm for alarm in result.alarms if last and alarm.rollout == last.number]
    after = f"; since then {words.plural(len(alarms), 'alarm')}, of monitor {alarms[-1].monitor} last" if alarms else ""
    if trial := endings.trial_of(result):
        return f"{said}: the A/B test found the candidate better: {endings.tested(trial)}{after}."
    if _met(result) == "copy":
        said = f"{said}, with {endings.shadowed(result)}"
    if result.reason.startswith("promoted by "):
        said = f"{said}, by order of {result.reason.removeprefix('promoted by ')}"
    return f"{said}: {_verdicts(result)}{after}."


def _verdicts(result: Result) -> str:
    """How the looks of the last rollout came out; those of monitors come after it."""
    number = result.rollout.number if result.rollout else 1
    looks = [look for look in result.analysis if look.rollout == number and (look.step is None or look.step >= 0)]
    if not looks:
        return "every step was passed; no rule watched it"
    tally = Counter(look.verdict for look in looks)
    found = [f"{tally[Verdict.FAIL]:,} failed, within the limits" if tally[Verdict.FAIL] else "none failed"]
    found += [f"{n:,} inconclusive" for n in (tally[Verdict.INCONCLUSIVE],) if n]
    found += [f"{n:,} could not be measured" for n in (tally[Verdict.ERROR],) if n]
    times, rules = len({look.at_s for look in looks}), len({(look.rule, look.scope) for look in looks})
    by = f"{words.plural(times, 'look')} by {words.plural(rules, 'rule')}"
    return f"of {words.plural(len(looks), 'verdict')} ({by}) {', '.join(found)}"


def _rejected(result: Result) -> str:
    failed = [gate for gate in result.gates if not gate.passed]
    if not failed:
        return f"Rejected before deployment: {_clause(result.reason)}."
    more = f"; {words.plural(len(failed) - 1, 'more gate')} failed" if len(failed) > 1 else ""
    return f"Rejected before deployment: {gate_reason(failed[0], result)}{more}."


def _paused(result: Result) -> str:
    reason = endings.by_person(result) or (result.held[-1] if result.held else result.reason)
    return f"Paused {_at(result)} when the horizon of {words.span(result.horizon_s)} came: {_clause(reason)}."


def _kept_stable(result: Result) -> str:
    told = endings.kept_stable(result)
    return told or f"Ended as planned with all traffic on stable: {_clause(result.reason)}."


def _aborted(result: Result) -> str:
    if result.rollout and result.rollout.superseded:
        return f"Given up {_when(result)}, {result.rollout.reason}: {_and_traffic(result).lower()}."
    by = f" by {result.interrupted_by}" if result.interrupted_by else ""
    if not by and result.reason.startswith("aborted by "):
        by = result.reason.removeprefix("aborted")
    return f"Aborted{by} {_when(result)}: {_and_traffic(result).lower()}."


def _failed(result: Result) -> str:
    return f"Failed {_when(result)}, a person must look: {_clause((*result.escalated, result.reason)[0])}."


def _error(result: Result) -> str:
    return f"Ended by an error {_when(result)}: {_clause(result.reason)}. {_and_traffic(result)}."


def _unfinished(result: Result) -> str:
    open_stage = next((f" in stage {stage.name}" for stage in result.stages if stage.simulated_s is None), "")
    return f"Unfinished: the log stops {_when(result)}{open_stage}, without an end; the run was cut off."


def _when(result: Result) -> str:
    if result.traffic_from_s is None:
        return f"{words.span(result.simulated_s)} into the run, before any traffic"
    at_s = result.decided_at_s if result.decided_at_s is not None else result.simulated_s - result.traffic_from_s
    return f"{words.span(at_s)} after traffic began, {_at(result)}"


SENTENCES: Final[Mapping[str, Callable[[Result], str]]] = {
    "aborted": _aborted,
    "error": _error,
    "failed": _failed,
    "kept_stable": _kept_stable,
    "paused": _paused,
    "promoted": _promoted,
    "rejected": _rejected,
    "rolled_back": _rolled_back,
    UNFINISHED: _unfinished,
}
