"""The fold: events in, result out. Pure, so that a report remade from yesterday's log is the same report.

A log that stops early (a killed run) is folded as far as it goes, and a run that never saw traffic is one like others.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final

from harness.domain.analysis import Verdict
from harness.domain.event import Event, InputColumn, RunStarted
from harness.domain.model import SERVING, Role
from harness.domain.scenario import Clock
from harness.domain.units import SECOND, WHOLE
from harness.errors import LogError
from harness.log import digest
from harness.report import outages
from harness.report import text as words
from harness.report.expect import Facts, judge
from harness.report.folding import Folding
from harness.report.numbers import figure
from harness.report.result import Actual, Expectation, Input, Look, Model, Result, RuleTally
from harness.report.series import series

UNSAFE: Final = frozenset({"error", "failed", None})
"""Outcomes that pass only where an expectation asks for them by name."""


def fold(events: Iterable[Event], *, log_path: Path | None = None, report_path: Path | None = None) -> Result:
    """The result of a run, from its events alone.

    Args:
        events: the log, from its first event on.
        log_path: where the log is kept; told to the reader, not opened.
        report_path: where the page is kept; told, not opened.

    Raises:
        LogError: the log does not begin with RunStarted.
    """
    told = list(events)
    folding = Folding()
    for number, event in enumerate(told):
        folding.see(number, event)
    started = folding.started
    if started is None:
        raise LogError("the log holds no RunStarted event: it is empty, or not the log of a run")
    return _Assembly(folding, started).result(digest(told), log_path, report_path)


def glance(numbered: Iterable[tuple[int, Event]]) -> Result:
    """The figures of a result from a part of its log: quick, for a list of many runs.

    What each look saw is not asked for: the result has no series, tallies or digest, and of the looks only those given.

    Args:
        numbered: events with their sequence numbers, as `harness.log.read_gist` gives them.

    Raises:
        LogError: there is no RunStarted.
    """
    folding = Folding()
    for number, event in numbered:
        folding.see(number, event)
    if folding.started is None:
        raise LogError("the log holds no RunStarted event: it is empty, or not the log of a run")
    return _Assembly(folding, folding.started).result("", None, None)


class _Assembly:
    """Makes the result of what was seen."""

    def __init__(self, folding: Folding, started: RunStarted) -> None:
        self.seen = folding
        self.started = started
        self.outcome = folding.ended.outcome.value if folding.ended else None
        self.reason = folding.ended.reason if folding.ended else "the log stops before the run ended"
        self.because = _because(folding)
        self.exposed_ns = _exposed_ns(folding)
        self.detected_after_s = self._detected_after_s()

    def result(self, event_digest: str, log_path: Path | None, report_path: Path | None) -> Result:
        """All of it."""
        seen, started, asked = self.seen, self.started, self.seen.inputs
        expectations = self._expectations()
        return Result(
            name=started.scenario,
            description=started.description,
            path=started.path,
            seed=started.seed,
            clock=started.clock,
            strategy=started.strategy,
            steps=tuple(started.steps),
            plan=tuple((at_ns / SECOND, weight / WHOLE) for at_ns, weight in started.plan),
            rules=tuple(started.rules),
            every_s=started.every_ns / SECOND,
            window_s=started.window_ns / SECOND,
            horizon_s=started.horizon_ns / SECOND,
            faults=tuple(started.faults),
            text=started.text,
            overrides=tuple(started.overrides),
            run=started.run,
            program=started.program,
            started=started.started,
            stable=seen.revisions.get(Role.STABLE),
            candidate=seen.revisions.get(Role.CANDIDATE),
            models=_models(seen),
            data=seen.data,
            outcome=self.outcome,
            reason=self.reason,
            passed=self._passed(expectations),
            expectations=expectations,
            training=tuple(seen.training),
            gates=tuple(seen.gates),
            examined=tuple(seen.examined.events),
            gate_details=tuple(seen.gate_details),
            data_quality=tuple(seen.data_quality),
            data_drift=seen.data_drift,
            analysis=tuple(seen.looks),
            because=self.because,
            rollouts=tuple(seen.course.passages),
            checks=tuple(seen.course.checks),
            load_tests=tuple(seen.course.load_tests),
            approvals=tuple(seen.course.approvals),
            trials=tuple(seen.course.trials),
            alarms=tuple(seen.course.alarms),
            retrainings=tuple(seen.course.retrainings),
            undelivered=tuple(seen.course.undelivered),
            tallies=_tallies(seen),
            held=tuple(seen.held),
            escalated=tuple(seen.escalated),
            interrupted_by=seen.interrupted_by,
            verified=seen.verified,
            ended_on=dict(seen.ended.weights if seen.ended else seen.weights),
            simulated_s=seen.now_ns / SECOND,
            wall_s=self._wall_s(),
            timing_s=_timing(seen),
            stages=tuple(seen.stages),
            traffic_from_s=None if seen.traffic_ns is None else seen.traffic_ns / SECOND,
            exposed_at_s=None if self.exposed_ns is None else seen.since_traffic_s(self.exposed_ns),
            decided_at_s=self._decided_at_s(),
            detected_after_s=self.detected_after_s,
            requests=self._counted("arrived"),
            candidate_requests=self._counted("arrived", Role.CANDIDATE),
            candidate_share_max=self._share_max() / WHOLE,
            candidate_share_last=self._share_last() / WHOLE,
            bad_responses=self._counted("bad", Role.CANDIDATE),
            failed_requests=self._counted("failed"),
            users_exposed=self._counted("users", Role.CANDIDATE),
            users_harmed=self._counted("harmed", Role.CANDIDATE),
            totals=dict(seen.totals),
            inputs=tuple(_input(column) for column in asked.columns) if asked else (),
            predictions={role: _input(answers) for role, answers in asked.predictions.items()} if asked else {},
            inputs_window_s=asked.window_ns / SECOND if asked else 0.0,
            series=series(seen),
            markers=tuple(seen.markers),
            moments=tuple(seen.moments),
            event_log=str(log_path) if log_path else None,
            event_digest=event_digest,
            report=str(report_path) if report_path else None,
            resumed=tuple(seen.resumed),
            outages=outages.found(seen.noticed, seen.looks) if started.clock == Clock.REAL else (),
        )

    # --- expectations ---

    def _expectations(self) -> tuple[Expectation, ...]:
        stable = self._figures(Role.STABLE)
        facts = self._facts()
        return tuple(judge(text, facts, stable) for text in self.started.expect)

    def _passed(self, expectations: tuple[Expectation, ...]) -> bool:
        if not expectations:
            return self.outcome in {"promoted", "kept_stable"}
        asked = any("outcome" in expectation.text for expectation in expectations)
        return all(expectation.passed for expectation in expectations) and (asked or self.outcome not in UNSAFE)

    def _facts(self) -> Facts:
        """The candidate's figures over the whole run, and what only an ended run knows."""
        return {
            **self._figures(Role.CANDIDATE),
            "outcome": self.outcome,
            "reason": self.reason,
            "grade": self.seen.grade,
            "detected_after": self.detected_after_s,
            "duration": self.seen.now_ns / SECOND,
            "requests": self._counted("arrived"),
            "candidate_requests": self._counted("arrived", Role.CANDIDATE),
            "candidate_share_max": self._share_max() / WHOLE,
            "bad_responses": self._counted("bad", Role.CANDIDATE),
            "failed_requests": self._counted("failed"),
            "users_exposed": self._counted("users", Role.CANDIDATE),
            "users_harmed": self._counted("harmed", Role.CANDIDATE),
        }

    def _figures(self, role: Role) -> dict[str, Actual]:
        totals = self.seen.totals.get(role)
        shadow = self.seen.totals.get(Role.SHADOW)
        if role is Role.CANDIDATE and shadow and shadow.arrived and totals and not totals.arrived:
            totals = shadow  # what it has shown, it has shown on copies
        return dict(totals.figures) if totals else {}

    # --- cost and times ---

    def _counted(self, what: str, *roles: Role) -> int | None:
        """A count over the whole run; 0 where no traffic began, None where it is not known."""
        if not self.seen.totals:
            return 0 if self.seen.traffic_ns is None and self.seen.ended else None
        counts = [getattr(totals, what) for role, totals in self.seen.totals.items() if role in (roles or SERVING)]
        return None if None in counts else sum(counts)

    def _wall_s(self) -> float:
        ended = self.seen.ended
        stages = sum(stage.wall_s for stage in self.seen.stages)
        return figure(ended.wall_s if ended and ended.wall_s else stages) or 0.0

    def _share_max(self) -> int:
        """The largest weight of the candidate that was in force for some time, or is in force at the end."""
        until = (self.seen.now_ns, self.seen.candidate_weight)
        held = [weight for (from_ns, weight), (to_ns, _) in pairwise([*self.seen.shares, until]) if to_ns > from_ns]
        return max([*held, self.seen.candidate_weight])

    def _share_last(self) -> int:
        """The candidate's weight when it was decided (the instant itself excluded: the way back begins on it)."""
        decided = self.seen.decided
        if decided is None:
            return self.seen.candidate_weight
        # A rollout that goes back step by step says what it has come to when it is back: the look that decided counts.
        until_ns = decided.at_ns
        if self.because and self.seen.traffic_ns is not None:
            until_ns = min(until_ns, self.seen.traffic_ns + round(self.because[-1].at_s * SECOND))
        numbered = [weight for at_ns, weight in self.seen.shares if at_ns < until_ns]
        return numbered[-1] if numbered else 0

    def _decided_at_s(self) -> float | None:
        decided = self.seen.decided
        return None if decided is None or self.seen.traffic_ns is None else self.seen.since_traffic_s(decided.at_ns)

    def _detected_after_s(self) -> float | None:
        decided = self.seen.decided
        if decided is None or decided.outcome.value != "rolled_back" or not self.because or self.exposed_ns is None:
            return None
        return self.because[-1].at_s - self.seen.since_traffic_s(self.exposed_ns)


def _input(column: InputColumn) -> Input:
    def known(shares: Iterable[float]) -> tuple[float, ...]:
        return tuple(figure(share) or 0.0 for share in shares)

    return Input(
        name=column.name,
        bins=tuple(column.bins),
        reference=known(column.reference),
        shares={role: known(shares) for role, shares in column.shares.items()},
        drift={role: figure(drift) or 0.0 for role, drift in column.drift.items()},
    )


def _exposed_ns(seen: Folding) -> int | None:
    """When the candidate got its first user request: as counted; else, in a log that stops before, as routed."""
    candidate = seen.totals.get(Role.CANDIDATE)
    if seen.course.number > 1:  # what was counted first was another candidate's
        return seen.exposed_ns
    shadow = seen.totals.get(Role.SHADOW)
    if candidate and not candidate.arrived and shadow and shadow.arrived:
        return shadow.first_ns  # no user has met it: what it has shown, it has shown on copies
    if candidate is None or (candidate.first_ns is None and candidate.arrived):
        return seen.exposed_ns
    return candidate.first_ns


def _because(seen: Folding) -> tuple[Look, ...]:
    numbers = set(seen.decided.because) if seen.decided else set()
    return tuple(look for look in seen.looks if look.number in numbers)


def _timing(seen: Folding) -> dict[str, float]:
    spent: Counter[str] = Counter()
    for stage in seen.stages:
        spent[stage.name] += stage.wall_s  # type: ignore[assignment]
    return {name: figure(wall_s) or 0.0 for name, wall_s in spent.items()}


def _models(seen: Folding) -> tuple[Model, ...]:
    """Every model that came, in the order of their coming; those that never got a revision last."""
    known = {model.digest: model for model in seen.known.values()}
    loose = [seen.models[role] for role in Role if role in seen.models and seen.models[role].digest not in known]
    return (*seen.known.values(), *loose)


def _tallies(seen: Folding) -> tuple[RuleTally, ...]:
    found: dict[tuple[int, int | None, str], list[Look]] = defaultdict(list)
    for look in seen.looks:
        found[(*look.scope, look.rule)].append(look)
    names = _monitors(seen)
    several = len({look.rollout for look in seen.looks}) > 1
    return tuple(_tally(rule, looks, _by(looks[0], names, several)) for (_, _, rule), looks in found.items())


def _monitors(seen: Folding) -> dict[int, str]:
    """The names of the monitors, by what their looks are marked with: told by the alarms that they raised."""
    steps = {look.number: look.step for look in seen.looks if look.step is not None and look.step < 0}
    return {steps[number]: alarm.monitor for alarm in seen.course.alarms for number in alarm.because if number in steps}


def _by(look: Look, monitors: Mapping[int, str], several: bool) -> str:
    """Which analysis a look is of."""
    said = [f"rollout {look.rollout}"] if several else []
    if look.step is not None:
        monitor = f"monitor {monitors.get(look.step, str(-look.step))}"
        said.append(monitor if look.step < 0 else f"step {look.step + 1}")
    return ", ".join(said)


def _tally(rule: str, looks: list[Look], by: str) -> RuleTally:
    verdicts = Counter(look.verdict for look in looks)
    failed = [look for look in looks if look.verdict is Verdict.FAIL]
    both = [look for look in looks if look.candidate is not None and look.stable is not None]
    plain = words.parts(rule)
    return RuleTally(
        rule=rule,
        metric=plain[0] if plain else looks[-1].metric,
        passed=verdicts[Verdict.PASS],
        failed=verdicts[Verdict.FAIL],
        inconclusive=verdicts[Verdict.INCONCLUSIVE],
        errors=verdicts[Verdict.ERROR],
        shown=(failed or both or looks)[-1],
        by=by,
    )
