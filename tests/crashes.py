"""Kills `harness run` at a moment, takes the run up again, and looks at all that it has left."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol

from harness import clock
from harness import log as event_log
from harness.app.installed import made
from harness.domain.event import Promoted, Registered, RunEnded, RunStarted, Verified
from harness.domain.model import Role
from harness.domain.resume_event import Resumed
from harness.domain.rollout import Outcome
from harness.domain.units import WHOLE
from harness.errors import HarnessError
from harness.protocols import Version

MARK = "HARNESS_CRASH"
"""Stands in the environment of all that a trial starts."""
LOOK_S = 0.001
LONGEST_S = 180.0
SAFE = {Outcome.PROMOTED, Outcome.ROLLED_BACK}
QUICK = (
    "inject=[]",
    "expect=[duration < 1h]",
    "traffic={poisson: 40/s}",
    "rollout.steps=[{weight: 20%}, {pause: 2s}, {weight: 60%}, {pause: 2s}, {weight: 100%}, {pause: 1s}]",
    "rollout.analysis.every=1s",
    "rollout.analysis.window=2s",
    "rollout.analysis.min_requests=5",
)
"""A healthy candidate that is promoted in ten seconds."""


@dataclass(frozen=True)
class Moment:
    """When the harness is killed."""

    event: str
    """A line of this event is in the log …"""
    nth: int = 1
    """… so many of them …"""
    later_s: float = 0.0
    """… and so much time has gone by."""
    again_s: float | None = None
    """So long after it was taken up, who took it up is killed too, and a third one does."""

    def __str__(self) -> str:
        later = f" + {self.later_s * 1000:.0f} ms" if self.later_s else ""
        again = f", again + {self.again_s * 1000:.0f} ms" if self.again_s is not None else ""
        return f"{self.event} {self.nth}{later}{again}"


@dataclass
class Trial:
    """One crash, and what came of it."""

    moment: Moment
    killed: bool = False
    """False: it had ended before."""
    kills: int = 0
    """Of harnesses, in all."""
    life_s: float = 0.0
    """From the first event until the harness had ended, or was killed."""
    code: int = -1
    outcome: str = ""
    stood: str = ""
    verified: bool = False
    """Traffic ended on a revision that was verified with all of it, and that fits the outcome."""
    whole: bool = False
    """Each line of the log reads, numbered without a gap, and it has one end."""
    orphans: int = 0
    registered_twice: int = 0
    """Versions in the registry that should not be, and registrations in the log."""
    promoted_twice: int = 0
    """Promotions in the log after the first, and versions that are called stable besides the one that is."""
    routed: Mapping[str, int] | None = None
    """Weights, as the router itself had them last; None: it keeps no file."""
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
    ended = clock.utc_now()
    log = next(reports.glob("*/*/events.jsonl"), None)
    if log is None:
        trial.wrong, trial.said = ["no run began"], (folder / "run.txt").read_text()
        return trial
    resume, said = ["resume", log.parent.resolve().name, *ours], folder / "resume.txt"
    trial.kills = int(trial.killed)
    if moment.again_s is not None:
        trial.kills += _killed(begin(resume, said, {MARK: mark}), reports, Moment("Resumed", 1, moment.again_s))
    resumed = begin(resume, said, {MARK: mark})
    try:
        trial.code = resumed.wait(LONGEST_S)
    except subprocess.TimeoutExpired:
        resumed.kill()
        resumed.wait()
        trial.wrong.append(f"not resumed within {LONGEST_S:g} s")
    trial.said = said.read_text()
    _look_at(trial, reports, registry, ended)
    over = left(mark)
    if over:
        trial.orphans = len(over)
        trial.wrong.append(f"processes left: {over}")
        for pid in over:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    return trial


def surely(trial_at: Callable[[Moment], Trial], moment: Moment) -> Trial:
    """A trial whose run was killed: where one had ended before its moment, the next is cut off late in its life."""
    trial = trial_at(moment)
    for _ in range(5):
        if trial.killed or trial.wrong:
            break
        moment = replace(moment, event="RunStarted", nth=1, later_s=round(trial.life_s * 0.8, 3))
        trial = trial_at(moment)
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


def _look_at(trial: Trial, reports: Path, registry: str, cut_off: datetime) -> None:
    """The log, the registry, and the notes of processes."""
    wrong = trial.wrong
    try:
        events = event_log.read(next(reports.glob("*/*/events.jsonl")))
        ended, verified = events.only(RunEnded), events.of(Verified)
        trial.life_s = (cut_off - datetime.fromisoformat(events.only(RunStarted).started)).total_seconds()
    except HarnessError as error:
        wrong.append(f"the log: {error}")
        return
    lines = [json.loads(line)["seq"] for line in next(reports.glob("*/*/events.jsonl")).read_text().splitlines()]
    trial.whole = lines == list(range(len(lines))) and events[-1] is ended
    if not trial.whole:
        wrong.append(f"the log's lines are numbered {lines}")
    trial.outcome = ended.outcome.value
    trial.stood = ", ".join(each.stood for each in events.of(Resumed))
    if trial.code != 0 or ended.outcome not in SAFE:
        wrong.append(f"exit code {trial.code}, {ended.outcome}: {ended.reason}")
    if not verified:
        wrong.append("nothing was verified")
        return
    if not verified[-1].passed or ended.weights.get(verified[-1].role) != WHOLE:
        wrong.append(f"traffic ended on {dict(ended.weights)}, which was not verified")
    elif (verified[-1].role is Role.CANDIDATE) != (ended.outcome is Outcome.PROMOTED):
        wrong.append(f"{ended.outcome}, with traffic on {verified[-1].role}")
    else:
        trial.verified = True
    for file in reports.glob("*/2*/router/routing.json"):  # the router's own word, not what the log says of it
        trial.routed = json.loads(file.read_text())["routing"]["weights"]
        said = trial.routed
        if {role: share for role, share in said.items() if share} != {verified[-1].role.value: WHOLE}:
            wrong.append(f"the router has {said}, and {verified[-1].role} was verified")
    registered = Counter(each.role for each in events.of(Registered))
    stable = 2 if ended.outcome is Outcome.PROMOTED else 1
    found = {each.revision.version: each.aliases for each in _versions(registry)}
    trial.registered_twice = max(sum(registered.values()) - len(registered), len(set(found) - {1, 2}))
    trial.promoted_twice = max(len(events.of(Promoted)), sum("stable" in each for each in found.values()), 1) - 1
    if trial.registered_twice or trial.promoted_twice:
        wrong.append("promoted or registered twice")
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
