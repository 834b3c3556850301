"""One load test: its generators are run, its log is kept, and signals reach it."""

import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from harness import clock
from harness.app.folders import LOG_NAME, folder_for, point_to
from harness.app.installed import DISTRIBUTION
from harness.app.running import Stop, Watcher
from harness.domain.event import LOG_VERSION
from harness.domain.load import ClosedLoop, LoadPlan, OpenLoop
from harness.domain.load_event import LoadEnded, LoadJudged, LoadStarted
from harness.domain.units import SECOND
from harness.errors import HarnessError, InputError
from harness.log import EventLog
from harness.stats.grade import GRADES, Rung


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to run a load test, apart from what its plan says."""

    reports: Path = Path("reports")
    name: str = "load"
    """Of the folder that its runs are kept in, below that of the reports."""
    workers: int = 1
    engine: str = "local"
    """local: processes on this machine; dask: on the workers of a Dask cluster."""
    scheduler: str | None = None
    """Of Dask: its address; None: a cluster of processes on this machine."""
    rungs: Sequence[Rung] = GRADES
    watchers: Sequence[Watcher] = field(default_factory=tuple)
    secrets: Sequence[str] = ()
    """Texts that are masked in the log."""
    crew: Any = None
    """Generators of the caller's own, instead of the engine's."""


@dataclass(frozen=True, slots=True)
class LoadTest:
    """What a load test left behind."""

    folder: Path
    log: EventLog
    judged: LoadJudged | None
    """None where it was cut off before it could be judged."""
    interrupted: str = ""
    error: Exception | None = None

    @property
    def path(self) -> Path:
        """The event log's file."""
        return self.folder / LOG_NAME


def load_test(plan: LoadPlan, options: LoadOptions = LoadOptions(), stop: Stop | None = None) -> LoadTest:
    """Run a load test to its end, or until it is stopped, and leave its log in a new folder.

    What goes wrong after the log was opened stands in the answer, beside the log.

    Raises:
        HarnessError: the test could not even begin.
    """
    from harness.load.generator import rooms
    from harness.load.loops import Share

    rooms(plan, Share(options.workers - 1, options.workers))  # limits that leave nothing for some are told here
    crew = options.crew or crew_of(options)
    folder = folder_for(options.reports / options.name, f"{clock.utc_now():%Y%m%dT%H%M%S}-{plan.seed}")
    log = EventLog(folder / LOG_NAME, secrets=options.secrets)
    for watcher in options.watchers:
        log.watch(watcher)
    switch = stop or Stop()
    judged, error = None, None
    try:
        with stop_signals(switch):
            log.append(started(plan, options, folder.name))
            point_to(options.reports, options.name, folder)
            judged = _run(plan, options, crew, log, switch)
    except HarnessError as raised:
        error = raised
        with contextlib.suppress(HarnessError):  # a log that cannot be written is told by the error itself
            log.append(LoadEnded(0, "error", str(raised), passed=False))
    finally:
        log.close()
    return LoadTest(folder, log, judged, switch.by, error or log.failure)


def _run(plan: LoadPlan, options: LoadOptions, crew: Any, log: EventLog, switch: Stop) -> LoadJudged:
    from harness.load import summary
    from harness.load.judge import judge
    from harness.load.progress import Progress
    from harness.load.record import settled

    progress = Progress(plan, options.workers, options.rungs, log.append)
    stopped = lambda: bool(switch.by or progress.aborted)  # noqa: E731 - asked by the crew, and by nobody else
    record = settled(crew.run(plan, options.workers, progress.take, stopped, _nothing))
    at_ns = max(record.last_ns, record.reached_ns)
    log.append(summary.series(at_ns, plan, record))
    measured = summary.measured(at_ns, plan, record)
    log.append(measured)
    cut_short = f"stopped by {switch.by}" if switch.by else ""
    if progress.aborted:
        cut_short = f"aborted: {progress.aborted}"
    cut_short = cut_short or record.cut_short
    judged = judge(plan, measured, record, options.rungs, cut_short)
    log.append(judged)
    status = "interrupted" if switch.by else "aborted" if cut_short else "done"
    log.append(LoadEnded(at_ns, status, cut_short or judged.reason, judged.passed))
    return judged


def _nothing() -> None:
    """Nobody waits for the beginning."""


def crew_of(options: LoadOptions) -> Any:
    """What runs the generators of that engine."""
    if options.engine == "local":
        from harness.load.crew import LocalCrew

        return LocalCrew()
    if options.engine == "dask":
        from harness.load.cluster import DaskCrew

        return DaskCrew(options.scheduler)
    raise InputError(f"--engine is {options.engine!r}; there are: local, dask")


def started(plan: LoadPlan, options: LoadOptions, run: str) -> LoadStarted:
    """The first event of a load test's log."""
    from harness.load import summary

    pace, limits, checks = plan.pace, plan.limits, plan.checks
    whole = sum(target.weight for target in plan.targets)
    bounds = {
        "max_connections": float(limits.max_connections),
        "max_in_flight": float(limits.max_in_flight),
        "timeout": limits.timeout_ns / SECOND,
        "connect_timeout": limits.connect_timeout_ns / SECOND,
        "max_body": float(limits.max_body),
    }
    if limits.deadline_ns is not None:
        bounds["deadline"] = limits.deadline_ns / SECOND
    held = [f"status {_ranges(checks.statuses)}"]
    held += [f"content type {checks.content_type}"] * bool(checks.content_type)
    held += ["JSON schema"] * bool(checks.schema) + list(checks.conditions)
    held += ["golden predictions"] * (checks.golden is not None)
    return LoadStarted(
        0,
        version=LOG_VERSION,
        name=options.name,
        url=plan.targets[0].name,
        targets={target.name: target.weight / whole for target in plan.targets},
        mode=plan.mode.value,
        arrivals=pace.arrivals if isinstance(pace, OpenLoop) else "",
        target_rate=summary.target_rate(plan),
        users=pace.users if isinstance(pace, ClosedLoop) else None,
        think_ns=pace.think_ns if isinstance(pace, ClosedLoop) else None,
        duration_ns=plan.duration_ns,
        warmup_ns=plan.warmup_ns,
        interval_ns=plan.interval_ns,
        seed=plan.seed,
        protocol=plan.speech.value,
        method=plan.transport.method,
        client=plan.transport.client,
        workers=options.workers,
        engine=options.engine,
        bodies=len(plan.payload.bodies),
        payload=plan.payload.source,
        checks=tuple(held),
        limits=bounds,
        slos=tuple(rule.text for rule in plan.slos),
        min_grade=plan.min_grade,
        abort_when=tuple(rule.text for rule in plan.abort_when),
        rules=plan.rules,
        planned=summary.planned(plan),
        notes=plan.notes,
        grades=tuple((each.grade, each.success_rate, each.mean_s, each.p95_s, each.p99_s) for each in options.rungs)
        if tuple(options.rungs) != GRADES
        else (),
        run=run,
        program=version(DISTRIBUTION),
        started=clock.utc_now().isoformat(),
    )


def _ranges(statuses: frozenset[int]) -> str:
    """Statuses as a person writes them.

    >>> _ranges(frozenset({200, 201, 202, 404}))
    '200-202, 404'
    """
    found: list[list[int]] = []
    for status in sorted(statuses):
        if found and found[-1][-1] == status - 1:
            found[-1][1:] = [status]
        else:
            found.append([status])
    return ", ".join("-".join(map(str, each)) for each in found)


@contextlib.contextmanager
def stop_signals(stop: Callable[[str], object]) -> Iterator[None]:
    """SIGINT and SIGTERM ask to stop; outside the main thread Python delivers none, and there is nothing to set."""
    import threading

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda which, _: stop(signal.Signals(which).name)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
