"""Kills `harness run` at a moment, takes the run up again, and looks at all that it has left."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from harness import clock
from harness import log as event_log
from harness.app.installed import made
from harness.domain.event import Promoted, Registered, RunEnded, Verified
from harness.domain.model import Role
from harness.domain.resume_event import Resumed
from harness.domain.rollout import Outcome
from harness.domain.units import WHOLE
from harness.errors import HarnessError
from harness.protocols import Version

MARK = "HARNESS_CRASH"
"""Stands in the environment of all that a trial starts."""
LOOK_S = 0.0005
LONGEST_S = 180.0
SAFE = {Outcome.PROMOTED, Outcome.ROLLED_BACK}
QUICK = (
    "inject=[]",
    "expect=[duration < 1h]",
    "traffic={poisson: 40/s}",
    "rollout.steps=[{weight: 20%}, {pause: 3s}, {weight: 60%}, {pause: 3s}, {weight: 100%}, {pause: 1s}]",
    "rollout.analysis.every=1s",
    "rollout.analysis.window=2s",
    "rollout.analysis.min_requests=5",
)
"""A healthy candidate that is promoted in a dozen seconds."""


@dataclass(frozen=True)
class Moment:
    """When the harness is killed."""

    event: str
    """A line of this event is in the log …"""
    nth: int = 1
    """… so many of them …"""
    later_s: float = 0.0
    """… and so much time has gone by."""

    def __str__(self) -> str:
        later = f" + {self.later_s * 1000:.0f} ms" if self.later_s else ""
        return f"{self.event} {self.nth}{later}"


@dataclass
class Trial:
    """One crash, and what came of it."""

    moment: Moment
    killed: bool = False
    """False: it had ended before."""
    code: int = -1
    outcome: str = ""
    stood: str = ""
    promoted: bool = False
    wrong: list[str] = field(default_factory=list)
    said: str = ""


class Running(Protocol):
    """A program under way, as `subprocess.Popen` tells of it."""

    def poll(self) -> int | None:
        """Its exit code, if it has ended."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended."""
        ...

    def kill(self) -> None:
        """SIGKILL."""
        ...


Begin = Callable[[Sequence[str], Path, Mapping[str, str]], Running]
"""Begins `harness COMMAND`, what it prints to a file, with more in its environment."""


def program(command: Sequence[str], said: Path, environment: Mapping[str, str]) -> Running:
    """The program itself, imports and all."""
    with said.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "harness", *command], stdout=file, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, env=os.environ | environment, start_new_session=True,
        )  # fmt: skip


def tried(scenario: Path, folder: Path, moment: Moment, sets: Sequence[str] = QUICK, begin: Begin = program) -> Trial:
    """Run a scenario in an empty folder, kill it, resume it, and say what is wrong."""
    trial, reports, registry = Trial(moment), folder / "reports", f"sqlite:///{folder}/registry.db"
    overrides = [part for each in sets for part in ("--set", each)]
    command = ["run", str(scenario), "--clock", "real", "--registry", registry, *overrides]
    mark = f"{folder}"
    ours = ["--report", str(reports), "--no-color"]
    trial.killed = _killed(begin([*command, *ours], folder / "run.txt", {MARK: mark}), reports, moment)
    log = next(reports.glob("*/*/events.jsonl"), None)
    if log is None:
        trial.wrong, trial.said = ["no run began"], (folder / "run.txt").read_text()
        return trial
    resumed = begin(["resume", log.parent.resolve().name, *ours], folder / "resume.txt", {MARK: mark})
    try:
        trial.code = resumed.wait(LONGEST_S)
    except subprocess.TimeoutExpired:
        resumed.kill()
        resumed.wait()
        trial.wrong.append(f"not resumed within {LONGEST_S:g} s")
    trial.said = (folder / "resume.txt").read_text()
    _look_at(trial, reports, registry)
    over = left(mark)
    if over:
        trial.wrong.append(f"processes left: {over}")
        for pid in over:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    return trial


def _killed(run: Running, reports: Path, moment: Moment) -> bool:
    """Kill a run at its moment; False where it had ended."""
    named, log = f'"event":"{moment.event}"'.encode(), None
    while run.poll() is None:
        log = log or next(reports.glob("*/*/events.jsonl"), None)
        if log and log.read_bytes().count(named) >= moment.nth:
            break
        time.sleep(LOOK_S)
    else:
        return False
    time.sleep(moment.later_s)
    if run.poll() is not None:
        return False
    run.kill()
    run.wait()
    return True


def _look_at(trial: Trial, reports: Path, registry: str) -> None:
    """The log, the registry, and the notes of processes."""
    wrong = trial.wrong
    try:
        events = event_log.read(next(reports.glob("*/*/events.jsonl")))
        ended, verified = events.only(RunEnded), events.of(Verified)
    except HarnessError as error:
        wrong.append(f"the log: {error}")
        return
    trial.outcome, trial.promoted = ended.outcome.value, bool(events.of(Promoted))
    trial.stood = ", ".join(each.stood for each in events.of(Resumed))
    if trial.code != 0 or ended.outcome not in SAFE:
        wrong.append(f"exit code {trial.code}, {ended.outcome}: {ended.reason}")
    if not verified or not verified[-1].passed or ended.weights.get(verified[-1].role) != WHOLE:
        wrong.append(f"traffic ended on {dict(ended.weights)}, which was not verified")
    elif (verified[-1].role is Role.CANDIDATE) != (ended.outcome is Outcome.PROMOTED):
        wrong.append(f"{ended.outcome}, with traffic on {verified[-1].role}")
    if len(events.of(Promoted)) > 1 or len({each.role for each in events.of(Registered)}) != len(events.of(Registered)):
        wrong.append("promoted or registered twice")
    stable = 2 if ended.outcome is Outcome.PROMOTED else 1
    found = {each.revision.version: each.aliases for each in _versions(registry)}
    if sorted(found) != [1, 2] or "stable" not in found[stable] or any("stable" in found[n] for n in {1, 2} - {stable}):
        wrong.append(f"the registry has {found}")
    if notes := list((reports / ".state" / "processes").glob("*.json")):
        wrong.append(f"notes left: {[note.name for note in notes]}")


def _versions(registry: str) -> tuple[Version, ...]:
    found: tuple[Version, ...] = clock.run_real(made("registry", registry).versions, "churn-prediction")
    return found


def left(mark: str) -> list[int]:
    """Processes that carry the mark, after as long as the dying may take."""
    for _ in range(20):
        found = [int(each.name) for each in Path("/proc").glob("[0-9]*") if _carries(int(each.name), mark)]
        if not found:
            return []
        time.sleep(0.1)
    return found


def _carries(pid: int, mark: str) -> bool:
    try:
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in {"Z", "X"}:
            return False
        return f"{MARK}={mark}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
