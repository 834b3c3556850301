"""Whole runs on real time as a user starts them, and all that can be asked of one afterwards.

The program itself is called in this process (`harness run FILE --clock real --json`): scenario file, training,
registry, users, router, report. What stands in is told by each test.
"""

import html
import json
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness import log, seeds
from harness.cli import main
from harness.domain.event import Noticed, Observed, Routed, Totalled, Verified
from harness.domain.lost import lost_in
from harness.domain.model import SERVING, Role
from harness.domain.rollout import Order
from harness.log import Events
from harness.state.inbox import Giving, run_key

SCENARIO = """\
harness: 1
name: outage
seed: 7
clock: real
horizon: 2m
model:
  name: outage
  data: {{source: rows.csv, target: y, positive: 1, test_share: 50%}}
  stable: {{algorithm: logistic_regression}}
  candidate: {{algorithm: logistic_regression, params: {{C: 0.5}}}}
backends: {{{backends}}}
real: {{local: {{probe_every: 100ms}}, {real}}}
service: {{replicas: {replicas}, timeout: 2s}}
traffic: {{constant: 100/s}}
rollout:
  strategy: canary
  steps: {steps}
  analysis: {analysis}
"""
UNENDING = "[{weight: 20%}, {pause: 90s}]"
"""It is the outage that ends such a run, however long the machine is held up."""
APPROVED = "[{weight: 20%}, {pause: until approved}]"
LOOKS = "every: 50ms, window: 400ms, min_requests: 3"
ANALYSIS = f"{{{LOOKS}, error_limit: 1, rules: [error_rate <= stable + 50%]}}"
LOOK_S = 0.01
LONGEST_S = 60.0


@dataclass(frozen=True)
class Run:
    """What a run has left, and what it said."""

    code: int
    out: str
    err: str
    result: Mapping[str, Any]
    """Its scenario in ``--json``."""
    events: Events
    folder: Path

    @property
    def outcome(self) -> str:
        """In the JSON."""
        return str(self.result["outcome"])

    @property
    def page(self) -> str:
        """The text of its HTML report, without tags."""
        text = re.sub(r"(?s)<(script|style|svg).*?</\1>|<[^>]+>", " ", (self.folder / "report.html").read_text())
        return html.unescape(text)

    @property
    def failed(self) -> dict[str, int]:
        """Users' failed requests by kind, by the clients' count."""
        found: dict[str, int] = {}
        for role, arm in self.events.last(Totalled).arms.items():
            for kind, count in arm.errors.items() if role in SERVING else ():
                found[kind] = found.get(kind, 0) + count
        return found

    @property
    def lost(self) -> int:
        """Of them those that no replica answered at all."""
        return sum(lost_in(self.failed).values())

    @property
    def weights(self) -> dict[str, float]:
        """Where the log says that traffic stands."""
        return {role.value: share / 10_000 for role, share in self.events.last(Routed).weights.items()}

    @property
    def verified(self) -> Role | None:
        """The arm that was verified last with all traffic; None: none was."""
        found = [each.role for each in self.events.of(Verified) if each.passed]
        return found[-1] if found else None

    @property
    def last_failed(self) -> int:
        """Failed requests in the last look's window."""
        return sum(arm.failed for arm in self.events.last(Observed).arms.values())

    def noticed(self, kind: str) -> list[str]:
        """What was noticed of a kind."""
        return [event.text for event in self.events.of(Noticed) if event.kind == kind]

    def tells(self, *words: str) -> None:
        """Terminal, JSON and page say all of it; where lines break does not matter."""
        for name, said in (("terminal", self.out + self.err), ("JSON", json.dumps(self.result)), ("page", self.page)):
            for word in words:
                assert _dense(word) in _dense(said), f"{word!r} is not in the {name}: {said[:3000]}"


def _dense(text: str) -> str:
    return re.sub(r"[\s\\]+", "", text)


Begin = Callable[..., Run]


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Begin:
    """Runs a scenario in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")

    def run(*words: str, **parts: str) -> Run:
        write(tmp_path, **parts)
        command = ["run", "outage.yaml", "--clock", "real", "--quiet", "--json", "result.json", "--no-color", *words]
        monkeypatch.setattr("sys.argv", ["harness", *command])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return left(tmp_path, int(ended.value.code or 0), printed.out, printed.err)

    return run


def write(folder: Path, **parts: str) -> None:
    """Put the scenario and its rows there."""
    given = {"backends": "", "real": "", "steps": UNENDING, "analysis": ANALYSIS, "replicas": "1"}
    draws = seeds.stream(7, "rows").generator()
    rows = [f"{a:.4f},{b:.4f},{int(a + b > 1)}" for a, b in draws.random((200, 2))]
    (folder / "rows.csv").write_text("\n".join(["a,b,y", *rows]) + "\n")
    (folder / "outage.yaml").write_text(SCENARIO.format(**(given | parts)))


def left(folder: Path, code: int, out: str, err: str) -> Run:
    """What a run that has ended has left there."""
    assert "Traceback" not in out + err, err
    result = json.loads((folder / "result.json").read_text())["scenarios"][0]
    kept = folder_of(folder)
    events = log.read_torn(kept / "events.jsonl")[0] if kept else Events(())
    assert not list(folder.glob("reports/.state/processes/*")), "a process is left"
    return Run(code, out, err, result, events, kept or folder)


def folder_of(folder: Path) -> Path | None:
    """The only run's folder."""
    return next((path.parent for path in folder.glob("reports/outage/2*/events.jsonl")), None)


def drawn_s(what: str, latest_s: float = 0.4) -> float:
    """When an outage begins: seconds after users' first request, drawn from a seed."""
    return latest_s * float(seeds.stream(7, f"outage/{what}").generator().random())


def later(after_s: float, act: Callable[[], object]) -> Callable[[], None]:
    """Called, it has that done after a while, in a thread of its own."""

    def begun() -> None:
        timer = threading.Timer(after_s, act)
        timer.daemon = True
        timer.start()

    return begun


def order(folder: Path, word: Order, after: Sequence[str]) -> None:
    """Give an order once the log holds these words, one line after the other."""
    once(folder, after, lambda run: Giving(folder / "reports" / ".state", run_key(run)).give(word, "a test"))


def once(folder: Path, said: Sequence[str], act: Callable[[Path], object]) -> None:
    """Have something done with the run's folder once its log holds these words, by a thread of its own."""

    def wait() -> None:
        for _ in range(round(LONGEST_S / LOOK_S)):
            run = folder_of(folder)
            if run and _in_order((run / "events.jsonl").read_text().splitlines(), said):
                act(run)
                return
            time.sleep(LOOK_S)

    threading.Thread(target=wait, daemon=True).start()


def _in_order(lines: Sequence[str], words: Sequence[str]) -> bool:
    wanted = list(words)
    for line in lines:
        if wanted and wanted[0] in line:
            wanted.pop(0)
    return not wanted
