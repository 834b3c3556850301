"""Counts what each rule came to, look after look, and says when a limit is passed, as Argo Rollouts counts.

A rule fails the rollout when it failed on *more than* ``failure_limit`` looks (a pass in between does not take a
failure back), and errs after more than ``error_limit`` errors in a row. A look that found too little to judge by counts
for nothing, or as a failure where the policy says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.domain.analysis import AnalysisPolicy, Measurement, NoData, Verdict
from harness.domain.rollout import AnalysisPhase


@dataclass(slots=True)
class Tally:
    """What one rule came to so far."""

    failures: int = 0
    looks: int = 0
    errors_in_a_row: int = 0
    unjudged_in_a_row: int = 0
    passed_ns: int | None = None
    """Its last look that could judge it, if that one passed."""
    waits: str = "not judged yet"
    """Why it has not passed, for a person."""


class Tallies:
    """The counters of a background analysis."""

    def __init__(self, policy: AnalysisPolicy) -> None:
        self.policy = policy
        self.by_rule = {rule.text: Tally() for rule in policy.rules}

    def count(self, found: Measurement, at_ns: int) -> int:
        """Count one measurement; answers with the looks on which its rule has failed so far."""
        tally = self.by_rule[found.rule]
        tally.looks += 1
        tally.errors_in_a_row = tally.errors_in_a_row + 1 if found.verdict is Verdict.ERROR else 0
        unjudged = found.verdict is Verdict.INCONCLUSIVE
        tally.unjudged_in_a_row = tally.unjudged_in_a_row + 1 if unjudged else 0
        if found.verdict is Verdict.PASS:
            tally.passed_ns, tally.waits = at_ns, "not judged since"
        else:
            tally.waits = found.reason
        if found.verdict is Verdict.FAIL:
            tally.passed_ns = None  # nothing is raised on the heels of a failure, even of one that is allowed
        starved = found.verdict is Verdict.INCONCLUSIVE and self.policy.no_data is NoData.FAIL
        if found.verdict is Verdict.FAIL or starved:
            tally.failures += 1
        return tally.failures

    def phase(self, found: Sequence[Measurement], events: Sequence[int]) -> AnalysisPhase:
        """Where the analysis stands after a look; ``events`` are the sequence numbers of its measurements."""
        over = [
            (measurement, event)
            for measurement, event in zip(found, events, strict=True)
            if self.by_rule[measurement.rule].failures > self.policy.failure_limit
        ]
        if over:
            return AnalysisPhase(Verdict.FAIL, self._reason([m for m, _ in over]), because=tuple(e for _, e in over))
        erring = [
            (measurement, event)
            for measurement, event in zip(found, events, strict=True)
            if self.by_rule[measurement.rule].errors_in_a_row > self.policy.error_limit
        ]
        if erring:
            first = erring[0][0]
            reason = f"{first.rule} could not be measured {self.policy.error_limit + 1} times in a row: {first.reason}"
            return AnalysisPhase(Verdict.ERROR, reason, because=tuple(e for _, e in erring))
        limit = self.policy.inconclusive_limit
        unjudged = [
            (measurement, event)
            for measurement, event in zip(found, events, strict=True)
            if limit is not None and self.by_rule[measurement.rule].unjudged_in_a_row > limit
        ]
        if unjudged:
            first = unjudged[0][0]
            reason = f"{first.rule} could not be judged {limit + 1 if limit is not None else 0} times in a row"
            because = tuple(event for _, event in unjudged)
            return AnalysisPhase(Verdict.INCONCLUSIVE, f"{reason}: {first.reason}", because=because)
        rule, oldest = min(
            self.by_rule.items(), key=lambda item: -1 if item[1].passed_ns is None else item[1].passed_ns
        )
        return AnalysisPhase(Verdict.PASS, f"{rule}: {oldest.waits}", oldest.passed_ns)

    def _reason(self, over: Sequence[Measurement]) -> str:
        parts = []
        for measurement in over:
            tally = self.by_rule[measurement.rule]
            parts.append(f"{measurement.reason}, on {tally.failures} of {tally.looks} looks")
        return "; ".join(parts)
