"""One run: its parts are built, its time is picked, and signals reach it."""

import contextlib
import signal
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import anyio

from harness import clock
from harness.app.driving import driving, guarding, sweep
from harness.app.folders import LOG_NAME, folder_for, point_to, run_id_of, state_of
from harness.app.installed import DISTRIBUTION, backend, machine_of, made, planned, stage
from harness.app.monitoring import FolderMonitoring
from harness.app.notifiers import channels, secrets
from harness.app.orders import inbox_of
from harness.app.pins import Pinned
from harness.app.staged import environments
from harness.domain.event import Event
from harness.domain.model import ARMS, GivenPlan, Revision
from harness.domain.rollout import Outcome
from harness.domain.scenario import Clock, Scenario
from harness.errors import HarnessError, InputError, LeaseLost
from harness.log import EventLog
from harness.state.lease import TTL_S

if TYPE_CHECKING:
    from harness.realtime import Place

Watcher = Callable[[int, Event], None]


class Stop:
    """A switch that asks a run to bring traffic back to stable and end; safe to use from any thread or signal."""

    def __init__(self) -> None:
        self.by = ""
        self._cancel: Callable[[], object] | None = None

    def __call__(self, by: str) -> None:
        """Ask; asking again changes nothing."""
        if not self.by:
            self.by = by
            self.let_go()

    def let_go(self) -> None:
        """End what is under way though nobody asked: another harness drives it now."""
        if self._cancel:
            with contextlib.suppress(RuntimeError):  # asked from another thread as the loop closes: it has ended
                self._cancel()

    def _bind(self, cancel: Callable[[], object] | None) -> None:
        self._cancel = cancel
        if cancel and self.by:
            cancel()


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a run left behind."""

    folder: Path
    log: EventLog
    outcome: Outcome
    interrupted: str = ""
    error: Exception | None = None
    """What ended the run and is for the caller to hear of: wrong input, a log that could not be written, a defect."""

    @property
    def path(self) -> Path:
        """The event log's file."""
        return self.folder / LOG_NAME


def _unsaid(text: str) -> None:
    """Nobody listens; a function with a name, for options go to other processes."""
    del text


@dataclass(frozen=True, slots=True)
class Options:
    """How to run, apart from what the scenario says."""

    reports: Path = Path("reports")
    watchers: Sequence[Watcher] = field(default_factory=tuple)
    window_ns: int | None = None
    """Cut the simulator's windows at least this often; changes nothing but speed."""
    cache: bool = True
    """Keep trained models on disk for the next run."""
    registry: Any = None
    """A `Registry` of the caller's own, instead of the one the scenario names; it outlives the run."""
    tracker: Any = None
    """A `Tracker` of the caller's own."""
    notifiers: Mapping[str, Any] = field(default_factory=dict)
    """Notifiers of the caller's own, instead of those that the scenario's ``notify`` names by the same word."""
    platform: Callable[[Scenario], Any] | None = None
    """Makes a `Platform` of the caller's own, with its metrics, instead of what the scenario names."""
    yes: bool = False
    """Those who run the live endpoint of a scenario's load test agree to it, wherever that is."""
    allow_targets: Sequence[str] = ()
    """Live endpoints that need no such consent: HOST, HOST:PORT, *.DOMAIN."""
    max_rate: str | None = None
    """The highest rate at one that is not on this machine, such as 500/s, or none; default 100/s."""
    crew: Any = None
    """Generators of the caller's own for a live load test, instead of processes on this machine."""
    lease_s: float = TTL_S
    """How long a lease on a rollout lasts without being renewed; only on real time."""
    say: Callable[[str], object] = _unsaid
    """Told of what dead runs had left."""


def parts(
    scenario: Scenario, run_id: str, options: Options, pins: Mapping[tuple[str, str], Revision] = MappingProxyType({})
) -> Any:
    """Everything a run is made of; ``pins`` says which versions aliases named when a run began that was cut off."""
    from harness import arrivals
    from harness.data.stage import Validate
    from harness.engine import Parts
    from harness.protocols import Stage
    from harness.training.retrain import Retrain
    from harness.training.stage import Evaluate, Train
    from harness.training.stored import model_store

    # Read here, where the run has not begun: a recording that cannot be used costs no training.
    arrivals.of(scenario.traffic)
    words, trust = scenario.backends, scenario.model.trust_pickle
    registry = options.registry or made("registry", words.registry, trust_pickle=trust)
    tracker = options.tracker or made("tracker", words.tracker, trust_pickle=trust)
    _no_unknown_models(scenario, registry)
    machine = machine_of(scenario)
    platform, metrics = _platform(planned(scenario, machine), options)
    cache = options.reports / ".cache" / "models" if options.cache else None
    known: Any = Pinned(registry, pins) if pins else registry
    stages: list[Stage] = [Train(known, cache, model_store(registry, tracker)), Evaluate()]
    if scenario.model.evaluation:
        from harness.training.examine import Examine

        stages.append(Examine(scenario.model.evaluation))
    if scenario.model.checks:
        from harness.gates import Gates

        stages.append(Gates(scenario.model.checks, known))
    stages += [stage(word)(scenario) for word in scenario.stages]
    staging: list[Stage] = []
    if scenario.staging:
        from harness.staging import Staging

        staging = [Staging(backend("staging", words.staging)(scenario, scenario.staging), scenario.staging)]
    if scenario.load:
        from harness.app.loadstage import load_stage

        staging.append(load_stage(scenario, options))
    care = scenario.aftercare
    return Parts(
        staging=staging,
        stages=[Validate(), *_drift(scenario), *stages] if scenario.model.data else stages,
        registry=registry,
        tracker=tracker,
        platform=platform,
        metrics=metrics,
        machine=machine,
        run_id=run_id,
        retrainer=Retrain(scenario, cache) if care and care.retrain else None,
        notifiers=channels(scenario.notify, scenario.seed, options.notifiers),
    )


def _drift(scenario: Scenario) -> list[Any]:
    """The stage that compares the newest data with the data set, where that is asked for."""
    if scenario.model.data is None or scenario.model.data.drift is None:
        return []
    from harness.data.drifting import CheckDrift

    return [CheckDrift()]


def _no_unknown_models(scenario: Scenario, registry: Any) -> None:
    """Refuse to register nothing as a model where others would load it.

    Raises:
        InputError: a model is not given, and the registry keeps models for others too.
    """
    from harness.protocols import ModelStore

    for role in ARMS:
        plan = scenario.model.of(role)
        if isinstance(plan, GivenPlan) and plan.model is None and isinstance(registry, ModelStore):
            raise InputError(
                f"model.{role} is not given, and {type(registry).__name__} keeps models that others load; "
                "give a fitted estimator, or leave the registry in memory"
            )


def _platform(scenario: Scenario, options: Options) -> tuple[Any, Any]:
    """Where both arms run, and where its figures are asked for."""
    if options.platform:
        platform = options.platform(scenario)
        return platform, platform.metrics
    words = scenario.backends
    platform = backend("serving", words.serving)(scenario, window_ns=options.window_ns)
    return platform, backend("metrics", words.metrics)(platform)


def rehearse(scenario: Scenario, options: Options = Options(), stop: Stop | None = None) -> Rehearsal:
    """Run a scenario on its own time, from start to end, and leave its log in a new folder.

    Must be called where no event loop runs; `run` is the same for callers inside one.

    Raises:
        InputError: a data or model file turned out to be unusable; the log has been ended all the same.
        LogError: the log could not be written to its end.
    """
    made = attempt(scenario, options, stop)
    if made.error:
        raise made.error
    return made


def attempt(scenario: Scenario, options: Options = Options(), stop: Stop | None = None) -> Rehearsal:
    """`rehearse`, but what goes wrong after the log was opened stands in the answer, beside the log.

    Raises:
        HarnessError: the run could not even begin.
    """
    from harness import engine
    from harness.engine.run import Header

    run_id = run_id_of(scenario)
    # Two runs of one second share a name; their intents must not. Imports are done when the first event comes.
    made_of = parts(scenario, f"{run_id}-{uuid.uuid4().hex[:8]}", options)
    scenario = planned(scenario, made_of.machine)
    folder, state, switch = (
        folder_for(options.reports / scenario.name, run_id),
        state_of(options.reports),
        stop or Stop(),
    )
    made_of = replace(made_of, monitoring=FolderMonitoring(scenario, folder))
    try:
        driven = driving(scenario, made_of.platform, state, folder.name, switch.let_go, options.lease_s)
        with driven as lease, guarding(made_of.registry, lease):
            if lease:
                sweep(state, options.say)
            place(made_of.platform, folder, state, lease)
            for environment in environments(made_of.staging):
                environment.place(placed(folder, state, lease))
            made_of = replace(made_of, inbox=inbox_of(scenario, folder, state, lease))
            durable, guard = scenario.clock is Clock.REAL, lease.guarded if lease else None
            log = EventLog(folder / LOG_NAME, durable=durable, secrets=secrets(scenario), guard=guard)
            for watcher in options.watchers:
                log.watch(watcher)
            header = Header(
                run=folder.name,
                path=scenario.path,
                program=version(DISTRIBUTION),
                started=clock.utc_now().isoformat(),
                folder=str(Path.cwd()) if durable else "",
            )
            return conducted(
                scenario, folder, log, switch, options, lambda by: engine.run(scenario, made_of, log, header, by)
            )
    except HarnessError:
        with contextlib.suppress(OSError):
            folder.rmdir()  # where not even the log was begun
        raise


def place(platform: Any, folder: Path, state: Path, lease: Any) -> None:
    """Tell a platform that asks for it where it may keep things."""
    from harness.realtime import Placed

    if isinstance(platform, Placed):
        platform.place(placed(folder, state, lease))


def placed(folder: Path, state: Path, lease: Any) -> "Place":
    """Where a run keeps what outlives its process, under its lease if it has one."""
    from harness.realtime import Place

    held = {"token": lease.token, "ours": lease.ours} if lease else {}
    return Place(folder.resolve(), state, folder.name, **held)


def conducted(
    scenario: Scenario,
    folder: Path,
    log: EventLog,
    switch: Stop,
    options: Options,
    act: Callable[[Callable[[], str]], Awaitable[Outcome]],
) -> Rehearsal:
    """What a run left behind; its log is closed, and `latest` names it, unless another harness has it now.

    Args:
        scenario: says which time it runs on.
        folder: of the run.
        log: of the run.
        switch: asks it to stop.
        options: say where reports are.
        act: runs it, given what tells who asked it to stop.
    """
    start = clock.run_virtual if scenario.clock is Clock.VIRTUAL else clock.run_real
    error: Exception | None = None
    outcome = Outcome.ERROR
    try:
        outcome = start(_run_stoppable, log, switch, act)
    except Exception as raised:  # noqa: BLE001 - told to the caller, beside the log that it left
        error = raised
    finally:
        try:
            log.close()
        finally:
            if not isinstance(error, LeaseLost):
                point_to(options.reports, scenario.name, folder)
    return Rehearsal(folder, log, outcome, switch.by, error or log.failure)


async def _run_stoppable(log: EventLog, stop: Stop, act: Callable[[Callable[[], str]], Awaitable[Outcome]]) -> Outcome:
    import asyncio

    from harness.domain.event import RunEnded

    outcome = None
    with anyio.CancelScope() as scope:
        loop = asyncio.get_running_loop()
        stop._bind(lambda: loop.call_soon_threadsafe(scope.cancel))  # noqa: SLF001 - the switch's other half
        with _signals(loop, stop):
            outcome = await act(lambda: stop.by or "a cancellation")
    stop._bind(None)  # noqa: SLF001
    if outcome is None:
        ended = log.events[-1]
        outcome = ended.outcome if isinstance(ended, RunEnded) else Outcome.ABORTED
    return outcome


class _signals:  # noqa: N801 - used like a function
    """SIGINT, SIGTERM and SIGHUP ask a run to stop; a second one while it settles changes nothing.

    A terminal that is closed (SIGHUP) takes nobody's watch over a candidate away; under `nohup` it changes nothing.
    Outside the main thread Python delivers no signals, and there is nothing to set.
    """

    def __init__(self, loop: Any, stop: Stop) -> None:
        self.loop, self.stop = loop, stop
        self.before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> None:
        import threading

        if threading.current_thread() is threading.main_thread():
            numbers = [signal.SIGINT, signal.SIGTERM]
            if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
                numbers.append(signal.SIGHUP)
            for number in numbers:
                self.before[number] = signal.getsignal(number)
                self.loop.add_signal_handler(number, self.stop, number.name)

    def __exit__(self, *_: object) -> None:
        # The loop puts back Python's own handlers, not those that it found: no signal may come in between.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, self.before)
        for number, handler in self.before.items():
            self.loop.remove_signal_handler(number)
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def run_sync(scenario: Scenario, options: Options = Options(), stop: Stop | None = None) -> Any:
    """Run a scenario and answer with its `Result`; for callers outside any event loop.

    Raises:
        InputError: a data or model file turned out to be unusable.
    """
    from harness.report import fold

    rehearsal = rehearse(scenario, options, stop)
    return fold(rehearsal.log.events, log_path=rehearsal.path)


async def run(scenario: Scenario, options: Options = Options()) -> Any:
    """Run a scenario from inside an event loop and answer with its `Result`.

    The run has a loop of its own in a worker thread: virtual time cannot pass in a loop that others share. Cancelled,
    it waits until traffic is back on stable.
    """
    from harness.load.beside import beside

    stop = Stop()
    result: list[Any] = []

    def work() -> None:
        result.append(run_sync(scenario, options, stop))

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(beside, work, stop)
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise
    return result[0]
