"""A search for the highest rate at which a live endpoint holds its SLOs: trials of the load tester, one by one."""

import contextlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from harness import clock
from harness.app.folders import LOG_NAME, folder_for, point_to
from harness.app.installed import DISTRIBUTION
from harness.app.loading import LoadOptions, crew_of, stop_signals
from harness.app.running import Stop
from harness.domain.event import LOG_VERSION
from harness.domain.load import LoadPlan, OpenLoop
from harness.domain.load_event import CapacityFound, CapacityStarted, CapacityTried
from harness.domain.traffic import Knots
from harness.domain.units import SECOND
from harness.errors import HarnessError, InputError
from harness.load.record import Record, Tally, settled
from harness.log import EventLog
from harness.seeds import stream
from harness.stats.capacity import Search, Trial
from harness.stats.objective import Interval, Outcome


@dataclass(frozen=True, slots=True)
class Sought:
    """What a search is asked for, beside the plan of its trials."""

    first_rate: float = 10.0
    most_rate: float | None = None
    precision: float = 0.05
    confidence: float = 0.95
    trial_ns: int = 10 * SECOND
    most_ns: int = 1200 * SECOND


@dataclass(frozen=True, slots=True)
class CapacitySearch:
    """What a search left behind."""

    folder: Path
    log: EventLog
    found: CapacityFound | None
    interrupted: str = ""
    error: Exception | None = None

    @property
    def path(self) -> Path:
        """The event log's file."""
        return self.folder / LOG_NAME


def find_capacity(plan: LoadPlan, sought: Sought, options: LoadOptions, stop: Stop | None = None) -> CapacitySearch:
    """Search, and leave the log in a new folder.

    What goes wrong after the log was opened stands in the answer, beside the log.

    Args:
        plan: of each trial, but for its rate and its length; an open loop.
        sought: what to find.
        options: where to keep it, and how many generators there are.
        stop: ends the search early.

    Raises:
        HarnessError: the search could not even begin.
    """
    from harness.load.generator import rooms
    from harness.load.loops import Share

    if not isinstance(plan.pace, OpenLoop):
        raise InputError("a capacity is searched for by an open loop: the rates are the search's own")
    if not plan.slos:
        raise InputError("a capacity is the highest rate that holds an SLO; give one: --slo 'p99 < 250ms'")
    rooms(plan, Share(options.workers - 1, options.workers))  # limits that leave nothing for some are told here
    search = _search(plan, sought)
    crew = options.crew or crew_of(options)
    folder = folder_for(options.reports / options.name, f"{clock.utc_now():%Y%m%dT%H%M%S}-{plan.seed}")
    log = EventLog(folder / LOG_NAME, secrets=options.secrets)
    for watcher in options.watchers:
        log.watch(watcher)
    switch = stop or Stop()
    found, error = None, None
    try:
        with stop_signals(switch):
            log.append(_started(plan, sought, options, folder.name))
            point_to(options.reports, options.name, folder)  # now, so that it is found even if this is killed
            found = _Hunt(plan, search, crew, options, log, switch).run()
    except HarnessError as raised:
        error = raised
        with contextlib.suppress(HarnessError):  # a log that cannot be written is told by the error itself
            log.append(_ended(0, search, "error", str(raised)))
    finally:
        log.close()
    return CapacitySearch(folder, log, found, switch.by, error or log.failure)


def _search(plan: LoadPlan, sought: Sought) -> Search:
    return Search(
        plan.slos,
        first_rate=sought.first_rate,
        most_rate=sought.most_rate,
        precision=sought.precision,
        confidence=sought.confidence,
        trial_ns=sought.trial_ns,
        most_ns=sought.most_ns,
    )


class _Hunt:
    """One search under way."""

    def __init__(
        self, plan: LoadPlan, search: Search, crew: Any, options: LoadOptions, log: EventLog, stop: Stop
    ) -> None:
        self.plan, self.search, self.crew, self.options, self.log, self.stop = plan, search, crew, options, log, stop
        self.began_ns = clock.monotonic_ns()

    def now_ns(self) -> int:
        return clock.monotonic_ns() - self.began_ns

    def run(self) -> CapacityFound:
        number = 0
        while not self.stop.by and (trial := self.search.next()) is not None:
            number += 1
            self._settle(trial)
            if not self.stop.by:
                self._try(number, trial)
        if self.stop.by:
            ended = _ended(self.now_ns(), self.search, "interrupted", f"stopped by {self.stop.by}")
        else:
            found = self.search.found
            ended = _ended(
                self.now_ns(), self.search, found.status if found else "error", found.reason if found else ""
            )
        self.log.append(ended)
        return ended

    def _settle(self, trial: Trial) -> None:
        """Let what is left of an overload drain; an interrupt is seen meanwhile."""
        until_ns = clock.monotonic_ns() + trial.settle_ns
        while not self.stop.by and (left_ns := until_ns - clock.monotonic_ns()) > 0:
            threading.Event().wait(min(left_ns / SECOND, 0.2))

    def _try(self, number: int, trial: Trial) -> None:
        from harness.load import summary
        from harness.load.judge import figures_of, spoiled_by

        plan = at_rate(self.plan, trial, number)
        record = settled(self.crew.run(plan, self.options.workers, _unheard, lambda: bool(self.stop.by), _nothing))
        if self.stop.by:
            return
        spoiled = spoiled_by(plan, record)
        outcome = None if spoiled else outcome_of(plan, record)
        measured = summary.measured(self.now_ns(), plan, record)
        verdicts = self.search.judge(outcome) if outcome else ()
        tried = self.search.tell(trial.rate_per_s, outcome)
        low, high = self.search.bracket
        self.log.append(
            CapacityTried(
                self.now_ns(),
                number=number,
                rate_per_s=trial.rate_per_s,
                duration_ns=trial.duration_ns,
                requests=measured.counts.scheduled,
                figures=figures_of(measured),
                held=tried.holds if tried else None,
                slos=verdicts,
                low=low,
                high=high,
                detail=spoiled,
            )
        )


def at_rate(plan: LoadPlan, trial: Trial, number: int) -> LoadPlan:
    """The plan of one trial; each has draws of its own."""
    pace = plan.pace
    if not isinstance(pace, OpenLoop):
        raise TypeError("the plan is not one of an open loop")
    traffic = replace(pace.traffic, curve=Knots((0,), (trial.rate_per_s,)))
    return replace(
        plan,
        pace=replace(pace, traffic=traffic, rate_per_s=trial.rate_per_s),
        duration_ns=trial.duration_ns,
        warmup_ns=trial.warmup_ns,
        seed=stream(plan.seed, f"capacity/{number}").integer(),
    )


def outcome_of(plan: LoadPlan, record: Record) -> Outcome:
    """What a trial measured, interval by interval."""
    from harness.load.summary import warm_intervals

    warm = warm_intervals(plan)
    tallies = [tally for number, tally in sorted(record.intervals.items()) if number >= warm]
    return Outcome([_interval(tally) for tally in tallies], plan.interval_ns)


def _interval(tally: Tally) -> Interval:
    counts = tally.counts
    others = {"ttfb": tally.first.histogram} if tally.first.histogram.count else {}
    return Interval(
        due=counts.scheduled,
        latency=tally.latency.histogram,
        failed=counts.failed + counts.not_sent,
        known=counts.scheduled - counts.in_flight,
        others=others,
    )


def _started(plan: LoadPlan, sought: Sought, options: LoadOptions, run: str) -> CapacityStarted:
    pace = plan.pace
    return CapacityStarted(
        0,
        version=LOG_VERSION,
        name=options.name,
        url=plan.targets[0].name,
        slos=tuple(rule.text for rule in plan.slos),
        precision=sought.precision,
        confidence=sought.confidence,
        first_rate=sought.first_rate,
        most_rate=sought.most_rate,
        trial_ns=sought.trial_ns,
        seed=plan.seed,
        arrivals=pace.arrivals if isinstance(pace, OpenLoop) else "",
        run=run,
        program=version(DISTRIBUTION),
        started=clock.utc_now().isoformat(),
    )


def _ended(at_ns: int, search: Search, status: str, reason: str) -> CapacityFound:
    from harness.stats.knee import curve, knee

    low, high = search.bracket
    found = search.found
    return CapacityFound(
        at_ns,
        low=low,
        high=high,
        estimate=found.estimate if found else None,
        knee=knee(search.points()) if high is not None else None,  # where nothing failed, nothing rises steeply
        confidence=search.confidence,
        curve=tuple(curve(search.points())),
        status=status,
        reason=reason,
        passed=status in {"found", "unbounded"},
    )


def _unheard(*_: object) -> None:
    """A trial is told of when it is over."""


def _nothing() -> None:
    """Nobody waits for the beginning."""


__all__: Sequence[str] = ["CapacitySearch", "Sought", "at_rate", "find_capacity", "outcome_of"]
