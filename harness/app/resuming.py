"""A real run that was cut off, found by its folder and taken up again."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness import clock
from harness import log as event_log
from harness.app.driving import driving, guarding
from harness.app.folders import LATEST, LOG_NAME, find_run, state_of
from harness.app.installed import DISTRIBUTION, catalog, planned
from harness.app.kept import run_folders
from harness.app.monitoring import FolderMonitoring
from harness.app.notifiers import secrets
from harness.app.orders import inbox_of
from harness.app.running import Options, Rehearsal, Stop, conducted, parts, place, placed
from harness.app.staged import cleared, environments
from harness.domain.event import RunEnded, RunStarted
from harness.domain.faster import TimeScaled, faster
from harness.domain.model import RegisteredPlan, Revision, Role
from harness.domain.scenario import Clock, Scenario
from harness.domain.secrets import MASKED, mask, secrets_in
from harness.domain.units import SECOND
from harness.errors import InputError, LogError, ScenarioError
from harness.log import EventLog, Events
from harness.state.lease import holders

if TYPE_CHECKING:
    from harness.engine.stood import Stood


@dataclass(frozen=True, slots=True)
class CutOff:
    """A run as its log tells it."""

    folder: Path
    started: RunStarted
    events: Events
    scenario: Scenario | None
    """None: it has ended, and there is nothing to take up."""


HEAD: Final = 4096
TAIL: Final = 65536
"""Bytes of a log that say what clock it ran on, and whether it has ended."""


def find_cut_off(name: str, reports: Path) -> Path:
    """The folder of a run as users name it; ``latest`` is the newest on real time that has not ended and nobody drives.

    Where all have ended it is the newest of all: the link is made when a run ends, and one that was killed has none.

    Raises:
        InputError: there is none.
        BackendError: it cannot be told which runs are driven.
    """
    if name == LATEST:
        driven = {each.run for each in holders(state_of(reports))}
        for folder in sorted(run_folders(reports), key=lambda each: each.name, reverse=True):
            if folder.name not in driven and _cut_off_on_real_time(folder / LOG_NAME):
                return folder
    return find_run(name, reports)


def _cut_off_on_real_time(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
            file.seek(max(file.seek(0, os.SEEK_END) - TAIL, 0))
            last = file.read().rstrip().rpartition(b"\n")[2]
    except OSError:
        return False
    return b'"clock":"real"' in head and b'"event":"RunEnded"' not in last


def cut_off(folder: Path, again: Sequence[str] = (), *, trust_pickle: bool = False) -> CutOff:
    """What there is to take up of a run.

    Args:
        folder: of the run.
        again: ``PATH=VALUE`` each: overrides of the run whose values its log hides.
        trust_pickle: model files may be pickles, as when it was run.

    Raises:
        InputError: it is no run that can be taken up; the message says why, and what to do.
    """
    path = folder / LOG_NAME
    try:
        events, _ = event_log.read_torn(path)
    except LogError as error:
        raise InputError(
            f"{error}; a log is never mended by guess: what the run left running goes on as it stands, and the next "
            "`harness run` that reports there ends it"
        ) from error
    if not events:
        raise InputError(f"{path}: the run was cut off before its first event, and nothing was begun; run it again")
    started = events[0]
    if not isinstance(started, RunStarted):
        raise InputError(f"{path}: only the run of a scenario can be resumed, and this log does not begin as one")
    if isinstance(events[-1], RunEnded):
        return CutOff(folder, started, events, None)
    anew = f"run it again: harness run {started.path}" if started.path else "run it again"
    if started.clock != Clock.REAL:
        raise InputError(f"{folder.name} ran on virtual time, and nothing of it outlives its process; {anew}")
    if not started.run_id or not started.text:
        raise InputError(f"{path}: the log does not say what a resumed run needs to know of its scenario; {anew}")
    started = replace(started, overrides=_overrides(started.overrides, again, folder.name))
    found = _scenario(started, trust_pickle=trust_pickle)
    for scaled in events.of(TimeScaled):
        found = faster(found, scaled.factor)
    return CutOff(folder, started, events, found)


def _overrides(logged: Sequence[str], again: Sequence[str], run: str) -> tuple[str, ...]:
    """The overrides of a run, with the values that its log hides given once more.

    >>> _overrides(("seed=3", "real.router.webhook=***"), ("real.router.webhook=http://gate/1f",), "r")
    ('seed=3', 'real.router.webhook=http://gate/1f')

    Raises:
        InputError: one is not given again, or one is that is not hidden.
    """
    given = {_key(each): each for each in again}
    hidden = {_key(each) for each in logged if MASKED in each}
    if other := [key for key in given if key not in hidden]:
        only = (
            f"only what its log hides is given again: {', '.join(sorted(hidden))}" if hidden else "its log hides none"
        )
        raise InputError(f"--set {other[0]}: a run is resumed with the values that it was begun with; {only}")
    if lacking := [key for key in hidden if key not in given]:
        sets = " ".join(f"--set {key}=VALUE" for key in sorted(lacking))
        raise InputError(
            f"the log hides the values of {', '.join(sorted(lacking))}, as secrets; give them again: "
            f"`harness resume {run} {sets}`"
        )
    return tuple(given[_key(each)] if MASKED in each else each for each in logged)


def _key(override: str) -> str:
    return override.partition("=")[0].strip()


def _scenario(started: RunStarted, *, trust_pickle: bool) -> Scenario:
    """The scenario that was run: by its file where that is as it was (the log hides its secrets), else by the log."""
    from harness import scenario

    path = Path(started.folder) / started.path
    words, hidden = catalog(trust_pickle=trust_pickle), secrets_in(os.environ)
    try:
        found = scenario.load(path, words, started.overrides)
    except ScenarioError:
        found = None
    if found and mask(found.text, (*secrets(found), *hidden)) == started.text:
        return found
    if MASKED in started.text:
        raise InputError(
            f"{path} is not there as it was run, and the log's own copy of it hides its secrets: bring the file back"
        )
    return scenario.load(path, words, started.overrides, text=started.text)


def resume(run: CutOff, options: Options, stop: Stop | None = None, *, rollback: bool = False) -> Rehearsal:
    """Carry a run on, or roll it back, and bring it to its end.

    Must be called where no event loop runs.

    Args:
        run: as `cut_off` found it, and not ended.
        options: as for `attempt`; reports are those of the run.
        stop: asks it to stop.
        rollback: it is not carried on.

    Raises:
        LeaseError: a harness drives the rollout, or has driven it since.
        HarnessError: it could not even begin.
    """
    from harness import engine
    from harness.engine.run import Header
    from harness.engine.stood import Stood

    assert run.scenario is not None
    folder, switch, path = run.folder.resolve(), stop or Stop(), run.folder / LOG_NAME
    options = replace(options, reports=folder.parents[1])
    state, away_s = state_of(options.reports), clock.epoch_ns() / SECOND - path.stat().st_mtime
    made_of = parts(run.scenario, run.started.run_id, options, _pins(run.scenario, Stood.of(run.events)))
    scenario = planned(run.scenario, made_of.machine)
    made_of = replace(made_of, monitoring=FolderMonitoring(scenario, folder))
    driven = driving(scenario, made_of.platform, state, folder.name, switch.let_go, options.lease_s, resumed=True)
    with driven as lease, guarding(made_of.registry, lease):
        place(made_of.platform, folder, state, lease)
        if lease:
            cleared(state, folder.name)
        for environment in environments(made_of.staging):
            environment.place(placed(folder, state, lease))
        made_of = replace(made_of, inbox=inbox_of(scenario, folder, state, lease))
        guard = lease.guarded if lease else None
        log, torn = EventLog.reopen(path, secrets=secrets(scenario), guard=guard)
        for watcher in options.watchers:
            for number, event in enumerate(log.events):  # who watches folds the whole run
                watcher(number, event)
            log.watch(watcher)
        header = Header(run=folder.name, path=scenario.path, program=version(DISTRIBUTION))
        cut = engine.Cut(rollback=rollback, torn=torn, away_s=max(away_s, 0.0))
        return conducted(
            scenario,
            run.folder,
            log,
            switch,
            options,
            lambda by: engine.resume(scenario, made_of, log, header, cut, by),
        )


def _pins(scenario: Scenario, stood: "Stood") -> dict[tuple[str, str], Revision]:
    """What aliases named when the run asked for them."""
    pins: dict[tuple[str, str], Revision] = {}
    for role, revision in stood.revisions.items():
        plan = scenario.model.of(role)
        if isinstance(plan, RegisteredPlan):
            pins[(scenario.model.name, plan.alias)] = revision
        elif role is Role.STABLE:
            pins[(scenario.model.name, Role.STABLE.value)] = revision
    return pins
