"""The highest rate at which an endpoint holds its SLOs: a search that says what to try next, and when it knows.

First the rate is doubled until an SLO is missed, as in MLPerf's peak search, and the gap is halved until it is narrow.
From then on trials stand closely around where the SLO's measure seems to cross its target, on both sides in turn, and
`harness.stats.crossing` draws the line through them: many trials that all say a little about the crossing tell more
than a bisection, which asks each for a yes or no that none so near the limit can give. Where it is a cliff (a rate
limiter: nothing fails, then much does) the line is steep, and the crossing known as well as trials on both sides are
close to each other.

What a trial does not last to see is not found: a limiter that lets a burst pass for longer than that, a memory that
fills up, a processor that grows hot. Give longer trials where an endpoint has such reserves.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from harness.domain.analysis import Rule
from harness.domain.load import SloVerdict
from harness.domain.units import MINUTE, SECOND
from harness.errors import InputError
from harness.stats.crossing import Crossing, crossing
from harness.stats.objective import Outcome, objectives
from harness.stats.tried import Tried, pooled, relaxation_s

LONGEST_WARMUP_NS: Final = 20 * SECOND
LONGEST_SETTLE_NS: Final = 10 * SECOND
LONGEST_TRIAL_NS: Final = MINUTE
NARROW: Final = 1.3
"""The bracket's ends are at most so many times apart before trials gather around the crossing."""
LEAST_TRIALS: Final = 8
"""That the interval of a crossing rests on."""
AGAIN: Final = 3
"""So often a rate is tried that contradicts others, or that the generator spoils."""
_PATIENCE_NS: Final = 5 * SECOND
"""How long to wait after a spoiled trial, and twice as long after the next: what else runs on the machine may end."""
_SPREAD: Final = 0.55
"""How far from the target trials are placed, as a logarithm of the measure."""
_APART: Final = 0.05
"""And at most so far from the crossing, relatively."""
_MEMORIES: Final = 12
"""A trial is at least so many relaxation times long."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A rate to try."""

    rate_per_s: float
    duration_ns: int
    """Of what is measured: whole seconds, intervals of one second each."""
    warmup_ns: int
    """Before it, at the same rate, measured by nobody."""
    settle_ns: int = 0
    """Before that, without requests, so that what is left of an overload drains."""

    @property
    def takes_ns(self) -> int:
        """All in all."""
        return self.duration_ns + self.warmup_ns + self.settle_ns


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came to, as `harness.domain.load_event.CapacityFound` tells it."""

    low: float | None
    high: float | None
    estimate: float | None
    confidence: float
    status: str
    """found, wide, unbounded, none, generator."""
    reason: str


class Search:
    """A search under way: run the `next` trial and `tell` what it measured, until there is none; then see `found`.

    Pure: the same outcomes lead to the same trials.

    Args:
        slos: what must hold, all of it.
        first_rate: the lowest rate that is tried, in 1/s; where it fails there is no capacity to speak of.
        most_rate: the highest that is tried; None: no bound but the generator's.
        precision: the bracket is to be at most so wide, relative to its middle.
        confidence: with which it covers the highest rate that holds.
        trial_ns: length of a trial around the crossing; those on the way there take half of it.
        most_ns: what all trials may take together, warm-ups included.
        most_trials: how many there may be.

    Raises:
        InputError: an SLO has no highest rate, or a number is out of its bounds.

    >>> from harness.domain.analysis import Absolute, Comparison, Op, Rule
    >>> slo = Rule("p95 < 200ms", Comparison("p95", Op.LT, Absolute(0.2)))
    >>> Search([slo], first_rate=10.0, most_rate=1000.0).next()
    Trial(rate_per_s=10.0, duration_ns=5000000000, warmup_ns=1000000000, settle_ns=0)
    """

    def __init__(
        self,
        slos: Sequence[Rule],
        *,
        first_rate: float,
        most_rate: float | None = None,
        precision: float = 0.05,
        confidence: float = 0.95,
        trial_ns: int = 10 * SECOND,
        most_ns: int = 20 * MINUTE,
        most_trials: int = 80,
    ) -> None:
        top = math.inf if most_rate is None else most_rate
        if not 0 < first_rate <= top or math.isinf(first_rate):
            raise InputError(
                f"the first rate is {first_rate:g}/s and the highest {top:g}/s; "
                "the first is above 0/s, and no higher than the highest"
            )
        if not 0.005 <= precision <= 0.5 or not 0.5 <= confidence <= 0.999:
            raise InputError(
                f"precision is {precision:g} and confidence {confidence:g}; "
                "precision lies between 0.5% and 50%, confidence between 50% and 99.9%"
            )
        if trial_ns < 4 * SECOND:
            raise InputError(f"a trial of {trial_ns / SECOND:g}s is too short to measure a percentile; give 4s or more")
        self.slos = tuple(slos)
        self.aims = objectives(slos)
        self.first_rate, self.most_rate = first_rate, top
        self.precision, self.confidence = precision, confidence
        self.found: Found | None = None
        self.spent_ns = 0
        self._trial_ns, self._most_ns, self._most_trials = trial_ns, most_ns, most_trials
        self._tried: list[Tried] = []
        self._spoiled: dict[float, int] = {}
        self._asked: Trial | None = None
        self._count = 0

    # --- what was seen ------------------------------------------------------------------------------------------------

    def tell(self, rate_per_s: float, outcome: Outcome | None) -> Tried | None:
        """Take in what a trial measured; None: the generator spoiled it."""
        self._count += 1
        if self._asked is not None:
            self.spent_ns += self._asked.takes_ns
            self._asked = None
        if outcome is None or not any(interval.due for interval in outcome.intervals):
            self._spoiled[rate_per_s] = self._spoiled.get(rate_per_s, 0) + 1
            return None
        base = min((tried.mean_s for tried in self._tried), default=0.0)
        self._tried.append(Tried.of(rate_per_s, outcome, self.aims, base))
        return self._tried[-1]

    def judge(self, outcome: Outcome) -> tuple[SloVerdict, ...]:
        """Each SLO against the figures of one trial."""
        verdicts = []
        for rule in self.slos:
            aims = objectives([rule])
            held = all(aim.series(outcome).level < aim.target for aim in aims)
            verdicts.append(SloVerdict(rule.text, held, aims[0].figure(outcome)))
        return tuple(verdicts)

    @property
    def bracket(self) -> tuple[float | None, float | None]:
        """As it is by now: of the crossing where there is one, else of what held and what did not."""
        if self.found is not None:
            return self.found.low, self.found.high
        known = self._crossing()
        return (known.low, known.high) if known is not None else self._ends()

    def points(self) -> list[tuple[float, float]]:
        """(rate, latency in seconds) of the trials that kept up, for `harness.stats.knee`: the first SLO's latency."""
        aim = next((aim for aim in self.aims if aim.durations is not None), None)
        if aim is None:
            return []
        top = 1.1 * (self.bracket[1] or math.inf)
        some = [tried for tried in self._tried if not tried.unstable and tried.rate <= top]
        return [(tried.rate, figure) for tried in some if (figure := aim.figure(tried.outcome)) is not None]

    def _groups(self) -> dict[float, list[Tried]]:
        groups: dict[float, list[Tried]] = {}
        for tried in self._tried:
            groups.setdefault(tried.rate, []).append(tried)
        return dict(sorted(groups.items()))

    def _ends(self) -> tuple[float | None, float | None]:
        """The lowest rate that failed, and the highest below it that held."""
        low = None
        for rate, group in self._groups().items():
            if not self._holds(group):
                return low, rate
            low = rate
        return low, None

    def _holds(self, group: Sequence[Tried]) -> bool:
        """Whether most trials of a rate met every objective; where as many did as did not, all of them together."""
        held = sum(tried.holds for tried in group)
        if 2 * held != len(group):
            return 2 * held > len(group)
        return all(pooled(group, number) < aim.target for number, aim in enumerate(self.aims))

    def _ceiling(self) -> float:
        """The lowest rate that the generator could not make, however often it tried."""
        return min((rate for rate, times in self._spoiled.items() if times >= AGAIN), default=math.inf)

    # --- what comes next ----------------------------------------------------------------------------------------------

    def next(self) -> Trial | None:
        """The next trial; None once the search is over."""
        if self.found is None:
            self._asked = self._next()
        return self._asked if self.found is None else None

    def _next(self) -> Trial | None:
        """The next trial; None where it found that the search is over."""
        if self._tried and (self._count >= self._most_trials or self.spent_ns >= self._most_ns):
            self._give_up()
            return None
        for rate, times in self._spoiled.items():
            if times < AGAIN and not any(tried.rate == rate for tried in self._tried):
                again = self._trial(rate, self._trial_ns // 2)
                return dataclasses.replace(again, settle_ns=again.settle_ns + times * _PATIENCE_NS)
        if not self._tried and self._ceiling() == math.inf:
            return self._trial(self.first_rate, self._trial_ns // 2)
        low, high = self._ends()
        if high is None:
            return self._rise(low)
        if low is None:
            return self._lowest(high)
        if (doubtful := self._doubtful(high)) is not None:
            return self._trial(doubtful, self._trial_ns // 2)
        if high / low > NARROW:
            return self._trial(math.sqrt(low * high), self._trial_ns // 2)
        return self._gather()

    def _rise(self, low: float | None) -> Trial | None:
        """Nothing has failed so far."""
        ceiling = self._ceiling()
        if low is None or low * 1.1 >= ceiling:
            told = f"the generator spoiled every trial at {ceiling:,.6g}/s, before the endpoint gave out"
            self._finish(low, None, None, "generator", told)
            return None
        if low >= self.most_rate:
            group = self._groups()[low]
            if len(group) >= AGAIN:
                told = f"the SLO holds at {low:,.6g}/s, the highest rate to be tried"
                self._finish(low, None, None, "unbounded", told)
                return None
            return self._trial(low, self._trial_ns)
        further = math.sqrt(low * ceiling) if ceiling < math.inf else 2 * low
        return self._trial(min(further, self.most_rate), self._trial_ns // 2)

    def _lowest(self, high: float) -> Trial | None:
        """Even the lowest rate that was tried failed."""
        if len(self._groups()[high]) < AGAIN - 1:
            return self._trial(high, self._trial_ns // 2)
        told = f"the SLO is missed at {high:,.6g}/s, the lowest rate to be tried"
        self._finish(None, high, None, "none", told)
        return None

    def _doubtful(self, high: float) -> float | None:
        """A rate that failed while a much higher one held: a hiccup, perhaps."""
        groups = self._groups()
        above = any(self._holds(group) for rate, group in groups.items() if rate > high * NARROW)
        return high if above and len(groups[high]) < AGAIN else None

    def _beyond(self, rate: float) -> float | None:
        """An end of the bracket that the crossing lies well beyond: what failed or held there may have been chance."""
        low, high = self._ends()
        ends = [end for end, off in ((low, -1), (high, 1)) if end is not None and (rate / end - 1) * off > 0.1]
        return next((end for end in ends if len(self._groups()[end]) < AGAIN), None)

    def _gather(self) -> Trial | None:
        """The bracket is narrow: gather trials around the crossing."""
        known = self._crossing()
        if known is None:
            raise RuntimeError("trials that held and trials that failed have a crossing between them")
        if (doubtful := self._beyond(known.rate)) is not None:
            return self._trial(doubtful, self._trial_ns // 2)
        if known.width <= self.precision and known.trials >= LEAST_TRIALS:
            told = f"between {known.low:,.4g}/s and {known.high:,.4g}/s, by {known.trials} trials around it"
            self._finish(known.low, known.high, known.rate, "found", told)
            return None
        if known.low >= self.most_rate:
            self._finish(self.most_rate, None, None, "unbounded", f"the SLO holds at {self.most_rate:,.6g}/s")
            return None
        if self._ceiling() <= known.rate:
            told = f"the generator spoiled every trial at {self._ceiling():,.6g}/s, before the endpoint gave out"
            self._finish(self._ends()[0], None, None, "generator", told)
            return None
        # Trials farther out would tell the slope better, but there the line is none.
        apart = min(max(_SPREAD / known.slope, self.precision / 8), _APART)
        near = [tried for tried in self._tried if abs(tried.rate / known.rate - 1) < 2 * apart]
        lean = sum((tried.point(0).rate_per_s / known.rate - 1) * len(tried.outcome.intervals) for tried in near)
        rate = known.rate * (1 + (apart if lean <= 0 else -apart))
        seen_ns = sum(len(tried.outcome.intervals) * tried.outcome.interval_ns for tried in near)
        lacks = seen_ns * (min(known.width / self.precision, 3.0) ** 2 - 1) / 3
        rate = min(rate, self.most_rate, self._ceiling() * 0.97)
        return self._trial(rate, int(min(max(lacks, self._trial_ns), 3 * self._trial_ns)))

    # --- how sure it is -----------------------------------------------------------------------------------------------

    def _crossing(self) -> Crossing | None:
        """Where the first objective crosses its target."""
        lines = self._lines(self.confidence)
        if not lines:
            return None
        nearest = min(known.high for known in lines)
        rivals = sum(known.low < nearest for known in lines)
        if rivals > 1:
            lines = self._lines(1 - (1 - self.confidence) / rivals)
        best = min(lines, key=lambda known: known.rate)
        low, high = min(known.low for known in lines), min(known.high for known in lines)
        return dataclasses.replace(best, low=low, high=high)

    def _lines(self, confidence: float) -> list[Crossing]:
        low, high = self._ends()
        if low is None or high is None:
            return []
        guess, found = math.sqrt(low * high), []
        for number, aim in enumerate(self.aims):
            line = crossing(
                [tried.point(number) for tried in self._tried],
                aim.target,
                guess=guess,
                confidence=confidence,
                batch=self._batch(guess),
                is_mean=aim.is_mean,
                prior=aim.dispersion,
            )
            if line is not None:
                found.append(line)
        return found

    def _batch(self, rate: float) -> int:
        """Intervals to a batch that hardly knows of the one before it."""
        return max(1, math.ceil(10 * relaxation_s(self._tried, rate)))

    # --- trials, and the end ------------------------------------------------------------------------------------------

    def _trial(self, rate: float, duration_ns: int) -> Trial:
        memory_ns = relaxation_s(self._tried, rate) * SECOND
        base_ns = min((tried.mean_s for tried in self._tried), default=0.0) * SECOND
        duration_ns = int(min(max(duration_ns, _MEMORIES * memory_ns), LONGEST_TRIAL_NS))
        warmup_ns = int(min(max(3 * (memory_ns + base_ns), SECOND), LONGEST_WARMUP_NS))
        settle_ns = 0
        if self._tried and not self._tried[-1].holds:
            settle_ns = min(int(2 * self._tried[-1].last_s * SECOND), LONGEST_SETTLE_NS)
        return Trial(rate, -(-duration_ns // SECOND) * SECOND, -(-warmup_ns // SECOND) * SECOND, settle_ns)

    def _no_end(self, low: float | None) -> str:
        """What is known where nothing failed and trials were spoiled."""
        ceiling = self._ceiling()
        if low is None:
            return f"no trial could be used: the generator, or its machine, spoiled all at {ceiling:,.6g}/s"
        told = f"only a lower bound: {low:,.6g}/s held"
        return f"{told}, and every trial at {ceiling:,.6g}/s was spoiled" if ceiling < math.inf else told

    def _give_up(self) -> None:
        low, high = self._ends()
        if high is None:
            self._finish(low, None, None, "wide", self._no_end(low))
            return
        known = self._crossing()
        low, high = (known.low, known.high) if known is not None else (low, high)
        estimate = known.rate if known is not None else math.sqrt(low * high) if low and high else None
        spent = f"{self._count} trials in {self.spent_ns / SECOND:,.0f}s did not make the bracket narrow enough"
        self._finish(low, high, estimate, "wide", spent)

    def _finish(self, low: float | None, high: float | None, estimate: float | None, status: str, reason: str) -> None:
        self.found = Found(low, high, estimate, self.confidence, status, reason)
