"""An interrupt at any point ends with traffic on stable; a second one while that is done does not break it."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from harness import app, log
from harness.domain.event import (
    Decided,
    Escalated,
    Event,
    Interrupted,
    Promoted,
    RolledBack,
    RolloutStarted,
    Routed,
    RunEnded,
    Verified,
)
from harness.domain.model import Role
from harness.domain.rollout import Outcome
from harness.domain.units import WHOLE
from tests import requires, shipped

SCENARIOS = shipped.VIRTUAL
SAMPLE = shipped.sample(shipped.ODD)
ON_STABLE = {Role.STABLE: WHOLE, Role.CANDIDATE: 0}


class Interrupts:
    """Raises a signal when the log reaches an event, and again while it settles."""

    def __init__(self, number: int, signalled: signal.Signals = signal.SIGINT) -> None:
        self.number, self.signalled = number, signalled
        self.events: list[Event] = []

    def __call__(self, number: int, event: Event) -> None:
        self.events.append(event)
        if number == self.number or isinstance(event, Interrupted):
            signal.raise_signal(self.signalled)


def interrupted(path: Path, number: int, surroundings: "Surroundings") -> tuple[list[Event], app.Rehearsal]:
    watcher = Interrupts(number)
    scenario = app.load_scenario(path, surroundings.overrides(path))
    made = app.rehearse(scenario, app.Options(reports=surroundings.folder, watchers=[watcher]))
    return watcher.events, made


class Surroundings:
    """Where runs are kept, and an empty registry for each run that would find there what the one before has left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._template: Path | None = None
        self._numbers = itertools.count()

    def overrides(self, path: Path) -> Sequence[str]:
        if path.stem != "mlflow_registry":
            return ()
        store = self.folder / f"store{next(self._numbers)}" / "registry.db"
        store.parent.mkdir()
        shutil.copy(self._empty(), store)
        return [f"backends.{kind}=mlflow+sqlite:///{store}" for kind in ("registry", "tracker")]

    def _empty(self) -> Path:
        """An empty store: a new one costs seconds of migrations, a copy nothing."""
        if self._template is None:
            requires.module("mlflow")
            from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

            self._template = self.folder / "template.db"
            SqlAlchemyStore(f"sqlite:///{self._template}", (self.folder / "artifacts").as_uri()).engine.dispose()
        return self._template


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Surroundings:
    return Surroundings(tmp_path_factory.mktemp("reports"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow", "ignore::DeprecationWarning:sqlalchemy")
@pytest.mark.parametrize("path", SAMPLE, ids=lambda path: path.stem)
@settings(max_examples=1, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1))
@example(share=0.75)
def test_interrupted_at_any_event_of_any_shipped_scenario(path: Path, share: float, surroundings: Surroundings) -> None:
    whole = len(_whole(path, surroundings))
    events, made = interrupted(path, number := round(share * (whole - 1)), surroundings)
    ended = events[-1]
    assert isinstance(ended, RunEnded)
    if ended.outcome is Outcome.ABORTED:
        assert made.interrupted == "SIGINT"
        assert ended.weights in ({}, home(events)), number
        assert not ended.weights or [event for event in events if isinstance(event, Verified)][-1].passed
    elif ended.outcome is Outcome.FAILED and ended.reason.startswith("stopped by SIGINT"):
        # Traffic is on stable, which the crowd has overloaded: it does not answer probes, and a person is called.
        assert path.stem == "flash_crowd"
        assert ended.weights == home(events)
        assert not [event for event in events if isinstance(event, Verified)][-1].passed
        assert any(isinstance(event, Escalated) for event in events)
    else:  # it had been decided already, and a decision once begun is carried out
        decided = next(place for place, event in enumerate(events) if isinstance(event, Decided))
        assert number >= decided or ended.weights in ({}, home(events))
        assert ended.outcome is _whole(path, surroundings)[-1].outcome  # type: ignore[attr-defined]
    assert list(log.read(made.path)) == events


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_that_end_programs_bring_traffic_back_too(number: signal.Signals, tmp_path: Path) -> None:
    (path,) = [path for path in SCENARIOS if path.stem == "canary_regression"]
    events: list[Event] = []

    def interrupt(_: int, event: Event) -> None:
        events.append(event)
        if isinstance(event, Routed) and event.weights != ON_STABLE:
            signal.raise_signal(number)

    made = app.rehearse(app.load_scenario(path), app.Options(reports=tmp_path, watchers=[interrupt]))
    assert made.interrupted == number.name
    assert isinstance(events[-1], RunEnded)
    assert (events[-1].outcome, events[-1].weights) == (Outcome.ABORTED, ON_STABLE)


def home(events: list[Event]) -> dict[Role, int]:
    """Where all traffic is when it is on stable: a promoted candidate is that, until it is rolled back or followed."""
    last = next((each for each in reversed(events) if isinstance(each, Promoted | RolledBack | RolloutStarted)), None)
    if isinstance(last, RolledBack):  # of a promoted version, or of a candidate: what it names is stable
        promoted = [each for each in events if isinstance(each, Promoted)]
        if promoted and (last.name, last.version) == (promoted[-1].name, promoted[-1].version):
            return _on(Role.CANDIDATE) if not _adopted(events) else ON_STABLE
        return ON_STABLE
    return _on(Role.CANDIDATE) if isinstance(last, Promoted) else ON_STABLE


def _adopted(events: list[Event]) -> bool:
    """Whether a promoted candidate was given stable's place by a later rollout."""
    places = [place for place, each in enumerate(events) if isinstance(each, Promoted)]
    return any(isinstance(each, RolloutStarted) for each in events[places[-1] :])


def _on(role: Role) -> dict[Role, int]:
    return {each: WHOLE if each is role else 0 for each in (Role.STABLE, Role.CANDIDATE)}


_KNOWN: dict[Path, list[Event]] = {}


def _whole(path: Path, surroundings: Surroundings) -> list[Event]:
    if path not in _KNOWN:
        _KNOWN[path] = interrupted(path, 10**9, surroundings)[0]
    return _KNOWN[path]


REAL = """\
harness: 1
name: on-real-time
clock: real
model: {{name: m, data: {{source: {data}/telco_churn.csv.gz, target: Churn, positive: "Yes"}},
  stable: {{algorithm: logistic_regression}}, candidate: {{algorithm: logistic_regression}}}}
service: {{startup: 200ms}}
traffic: {{constant: 20/s}}
rollout: {{strategy: canary, steps: [{{weight: 10%}}, {{pause: 2h}}]}}
"""


def test_the_program_interrupted_twice_exits_130_with_its_log_ended(tmp_path: Path) -> None:
    """A real process on real time, interrupted from outside."""
    path = tmp_path / "real.yaml"
    path.write_text(REAL.format(data=SCENARIOS[0].parent / "data"))
    program = subprocess.Popen(
        [sys.executable, "-m", "harness", "run", str(path)], cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        events = _wait_for(tmp_path, program)
        program.send_signal(signal.SIGINT)
        time.sleep(0.01)  # a person's second Ctrl-C comes a moment later
        program.send_signal(signal.SIGINT)
        _, err = program.communicate(timeout=60)
    finally:
        program.kill()
    assert program.returncode == 130, err
    assert "Traceback" not in err
    ended = log.read(events)[-1]
    assert isinstance(ended, RunEnded)
    assert ended.outcome is Outcome.ABORTED
    assert ended.weights == ON_STABLE


def _wait_for(folder: Path, program: "subprocess.Popen[str]") -> Path:
    """The log, once the candidate has traffic."""
    for _ in range(600):
        assert program.poll() is None, program.communicate()
        for path in folder.glob("reports/*/*/events.jsonl"):
            if any(isinstance(event, Routed) for event in log.read(path)):
                return path
        time.sleep(0.1)
    raise AssertionError("the candidate never got traffic")
