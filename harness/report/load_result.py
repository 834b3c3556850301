"""What a load test and a capacity search came to: frozen values, ready to be shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from harness.domain.load import Counts, SloVerdict, Spread, TargetSeen
from harness.domain.load_event import CapacityStarted, CapacityTried, IntervalSeen, LoadProgressed, LoadStarted
from harness.domain.units import SECOND
from harness.stats.grade import GRADES, Condition, Rung, conditions

CUT_OFF: Final = "cut off"
"""The outcome of a test whose log has no end."""
NOTHING: Final = Spread(0, {})


@dataclass(frozen=True, slots=True)
class Missed:
    """What kept a test from a better grade: the next rung, and those of its conditions that do not hold."""

    grade: str
    conditions: Sequence[Condition]


@dataclass(frozen=True, slots=True)
class LoadResult:
    """A load test, whole; of a log that was cut off, as it stood last."""

    asked: LoadStarted
    """What its plan was."""
    status: str | None
    """done, aborted, interrupted or error; None: the log stops before the end."""
    reason: str
    passed: bool
    grade: str | None
    spoiled: str
    """Why the figures cannot be trusted; empty where they can."""
    slos: tuple[SloVerdict, ...]
    rules: Mapping[str, object]
    """What MLPerf's rules make of it; empty where it was not run by them."""
    notes: tuple[str, ...]
    elapsed_s: float
    """Of what was measured."""
    counts: Counts
    achieved_rate: float | None
    latency: Spread
    service: Spread
    lag: Spread
    waited: Spread
    first_byte: Spread | None
    gap: Spread | None
    intervals: Mapping[str, tuple[float, float]]
    targets: tuple[TargetSeen, ...]
    connections: Mapping[str, int]
    locations: Mapping[str, int]
    examples: Mapping[str, str]
    cpu_s: float | None
    peak_memory: int | None
    series: tuple[IntervalSeen, ...]
    """By due time, the warm-up's first; empty where the log was cut off before."""
    warmup_intervals: int
    progress: tuple[LoadProgressed, ...]
    """As it was seen while it ran."""
    event_log: str | None
    event_digest: str
    report: str | None

    @property
    def kind(self) -> str:
        """What kind of run it is."""
        return "load"

    @property
    def name(self) -> str:
        """Of the folder that its runs are kept in."""
        return self.asked.name

    @property
    def run(self) -> str:
        """Its id."""
        return self.asked.run

    @property
    def seed(self) -> int:
        """Of everything random in it."""
        return self.asked.seed

    @property
    def started(self) -> str:
        """When it began, ISO 8601, UTC."""
        return self.asked.started

    @property
    def outcome(self) -> str | None:
        """How it ended; None: the log stops before."""
        return self.status

    @property
    def outcome_text(self) -> str:
        """How it ended, in words."""
        return self.status or CUT_OFF

    @property
    def measured(self) -> tuple[IntervalSeen, ...]:
        """The series without the warm-up."""
        return self.series[self.warmup_intervals :]

    @property
    def timeline(self) -> tuple[tuple[IntervalSeen, bool], ...]:
        """The test interval by interval, each with whether it is the warm-up's.

        By due time; where the log was cut off, second by second as it was seen while it ran, by the time of answers.
        """
        if self.series:
            return tuple((each, number < self.warmup_intervals) for number, each in enumerate(self.series))
        pairs = zip((None, *self.progress), self.progress, strict=False)
        return tuple((_second(before, after), after.at_ns <= self.asked.warmup_ns) for before, after in pairs)

    @property
    def asked_rate(self) -> float | None:
        """Requests per second that were asked for, on average; of a closed loop, None."""
        if self.asked.target_rate is not None or self.asked.mode != "open":
            return self.asked.target_rate
        return self.counts.scheduled / self.elapsed_s if self.elapsed_s else None

    @property
    def ladder(self) -> tuple[Rung, ...]:
        """The rungs that grades stand on, best first."""
        return tuple(Rung(*rung) for rung in self.asked.grades) or GRADES

    @property
    def figures(self) -> dict[str, float | None]:
        """What grades and SLOs look at: the latency's figures, shares and rate."""
        rate = self.counts.success_rate
        return {
            **self.latency.figures,
            "success_rate": rate,
            "error_rate": None if rate is None else 1 - rate,
            "rate": self.achieved_rate,
            "requests": self.counts.scheduled,
        }

    @property
    def missed(self) -> Missed | None:
        """What the next rung asks for, and is not there; None with the best grade, or none."""
        if self.grade is None:
            return None
        above = [rung for rung in self.ladder if rung.grade != self.grade]
        names = [rung.grade for rung in self.ladder]
        if self.grade in names:
            above = list(self.ladder[: names.index(self.grade)])
        for rung in reversed(above):
            unmet = [condition for condition in conditions(rung, self.figures) if not condition.met]
            if unmet:
                return Missed(rung.grade, unmet)
        return None

    @property
    def grade_held(self) -> bool | None:
        """Whether the least grade that was asked for was reached; None where none was."""
        if self.asked.min_grade is None:
            return None
        names = [*(rung.grade for rung in self.ladder), "F"]
        if self.grade not in names or self.asked.min_grade not in names:
            return False
        return names.index(self.grade) <= names.index(self.asked.min_grade)

    @property
    def in_order(self) -> bool:
        """Whether nothing cut the test short."""
        return self.status == "done"


def _second(before: LoadProgressed | None, after: LoadProgressed) -> IntervalSeen:
    """What was seen between two moments of a test."""
    then = before.counts if before else Counts()
    gone = {
        kind: {name: number - getattr(then, kind).get(name, 0) for name, number in getattr(after.counts, kind).items()}
        for kind in ("errors", "unsent")
    }
    succeeded, failed = after.counts.succeeded - then.succeeded, after.counts.failed - then.failed
    not_sent, sent = after.counts.not_sent - then.not_sent, succeeded + failed
    counts = Counts(sent + not_sent, not_sent, sent, succeeded, failed, 0, gone["errors"], gone["unsent"])
    return IntervalSeen((before.at_ns if before else 0) / SECOND, after.at_ns / SECOND, counts, after.figures)


@dataclass(frozen=True, slots=True)
class CapacityResult:
    """A search for the highest rate that holds the SLOs."""

    asked: CapacityStarted
    trials: tuple[CapacityTried, ...]
    low: float | None
    high: float | None
    estimate: float | None
    knee: float | None
    confidence: float
    curve: tuple[tuple[float, float], ...]
    status: str | None
    """found, wide, unbounded, none, generator, interrupted, error; None: the log stops before the end."""
    reason: str
    passed: bool
    elapsed_s: float
    event_log: str | None
    event_digest: str
    report: str | None

    @property
    def kind(self) -> str:
        """What kind of run it is."""
        return "capacity"

    @property
    def name(self) -> str:
        """Of the folder that its runs are kept in."""
        return self.asked.name

    @property
    def run(self) -> str:
        """Its id."""
        return self.asked.run

    @property
    def seed(self) -> int:
        """Of everything random in it."""
        return self.asked.seed

    @property
    def started(self) -> str:
        """When it began, ISO 8601, UTC."""
        return self.asked.started

    @property
    def outcome(self) -> str | None:
        """How it ended; None: the log stops before."""
        return self.status

    @property
    def outcome_text(self) -> str:
        """How it ended, in words."""
        return self.status or CUT_OFF

    @property
    def grade(self) -> None:
        """A search has none."""
        return

    @property
    def width(self) -> float | None:
        """Of the bracket, relative to its middle."""
        if self.low is None or self.high is None or self.low + self.high <= 0:
            return None
        return 2 * (self.high - self.low) / (self.high + self.low)

    @property
    def requests(self) -> int:
        """Of all trials."""
        return sum(trial.requests for trial in self.trials)

    @property
    def trial_s(self) -> float:
        """How long a trial was meant to take."""
        return self.asked.trial_ns / SECOND
