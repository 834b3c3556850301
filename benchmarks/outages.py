"""Outages under a real rollout: what became of each, what its users lost, and where traffic stands.

    python benchmarks/outages.py [--seeds 3] [--only WORD]

Each row is `harness run scenarios/local_canary.yaml --clock real`, shortened and with a healthy candidate: processes of
`harness serve` behind the built-in router or HAProxy, real requests; the program `prometheus` and a real `mlflow
server` where they are to fail. The outage comes at a moment drawn from the seed, from when the candidate first gets
traffic. Lost are requests that no replica answered, by the clients' own count; failed are these and all other failures.

Not here: a Prometheus that answers NaN or 500, and a router that refuses. The real programs cannot be made to do so;
`tests/outages` has them, over HTTP.
"""

import argparse
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from harness import log
from harness.backends import processes
from harness.backends.processes import Note
from harness.domain.event import RunEnded, Totalled
from harness.domain.lost import lost_in
from harness.domain.model import SERVING
from harness.errors import HarnessError
from harness.seeds import stream

SCENARIO = Path(__file__).parents[1] / "scenarios" / "local_canary.yaml"
MARK = "HARNESS_OUTAGE"
LATEST_S = 3.0
QUICK = (
    "inject=[]",
    "expect=[outcome == promoted]",
    "rollout.steps=[{weight: 20%}, {pause: 3s}, {weight: 50%}, {pause: 5s}, {weight: 100%}, {pause: 1s}]",
    "rollout.analysis={every: 500ms, window: 1500ms, min_requests: 5, failure_limit: 1, error_limit: 2, "
    "rules: [error_rate <= stable + 20%]}",
    "rollout.ready_within=60s",
    "real.prometheus={scrape: 500ms, timeout: 1s, retries: 1}",
)
PROMETHEUS = ("backends.metrics=prometheus",)
NO_MLFLOW = ("backends.registry=mlflow+http://127.0.0.1:9",)
HAPROXY = ("backends.router=haproxy",)


@dataclass
class Rollout:
    """A run under way."""

    process: "subprocess.Popen[str]"
    folder: Path

    @property
    def log(self) -> Path | None:
        """Its event log, once there is one."""
        return next(self.folder.glob("reports/*/2*/events.jsonl"), None)

    def notes(self, kind: str, arm: str | None = None) -> list[Note]:
        """Its processes of a kind, and of an arm."""
        found = processes.notes(self.folder / "reports" / ".state")
        return [note for note in found if note.kind == kind and arm in (None, note.arm)]

    def until(self, text: str) -> bool:
        """Wait for a line of the log; False where the run has ended before."""
        while self.process.poll() is None:
            if self.log and text in self.log.read_text():
                return True
            sleep(0.01)
        return False


Strike = Callable[[Rollout], object]


@dataclass(frozen=True)
class Outage:
    """What goes out of service, and how."""

    name: str
    strike: Strike
    changes: Sequence[str] = ()
    after: str = '"event":"Routed"'
    mlflow: bool = False


def killed(kind: str, arm: str | None = None, most: int = 99, number: int = signal.SIGKILL) -> Strike:
    """Send a signal to processes of a run."""

    def strike(run: Rollout) -> None:
        for note in run.notes(kind, arm)[:most]:
            if note.pid is not None:
                os.kill(note.pid, number)

    return strike


def full(everything: bool) -> Strike:
    """Let the kernel refuse what the harness writes: its log, or any file."""

    def strike(run: Rollout) -> None:
        size = 0 if everything or run.log is None else run.log.stat().st_size
        resource.prlimit(run.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    return strike


def stopped(run: Rollout) -> None:
    """The MLflow server of a run is ended."""
    os.killpg(int((run.folder / "mlflow.pid").read_text()), signal.SIGKILL)


OUTAGES = (
    Outage("none", lambda _: None),
    Outage("router killed (builtin)", killed("router")),
    Outage("router killed (haproxy)", killed("router"), HAPROXY),
    Outage("one replica of stable killed", killed("replica", "stable", 1)),
    Outage("one replica of candidate killed", killed("replica", "candidate", 1)),
    Outage("all of candidate killed", killed("replica", "candidate")),
    Outage("all of stable killed", killed("replica", "stable")),
    Outage("all of stable killed (haproxy)", killed("replica", "stable"), HAPROXY),
    Outage("Prometheus killed", killed("prometheus"), PROMETHEUS),
    Outage("Prometheus answers late (SIGSTOP)", killed("prometheus", number=signal.SIGSTOP), PROMETHEUS),
    Outage("disk full for the log", full(everything=False)),
    Outage("disk full for everything", full(everything=True)),
    Outage("MLflow stopped before the run", lambda _: None, NO_MLFLOW, "RunStarted"),
    Outage("MLflow stopped before promotion", stopped, mlflow=True),
)  # fmt: skip


@dataclass
class Found:
    """What came of a run."""

    outcome: str
    code: int
    lost: int | None
    failed: int | None
    requests: int | None
    weights: str
    processes: int
    reason: str = ""
    outages: list[str] = field(default_factory=list)


def tried(outage: Outage, seed: int, folder: Path) -> Found:
    """One run with one outage."""
    with ExitStack() as stack:
        changes = [*QUICK, *outage.changes]
        if outage.mlflow:
            store = f"mlflow+{stack.enter_context(mlflow(folder))}"
            changes += [f"backends.registry={store}", f"backends.tracker={store}"]
        words = [sys.executable, "-m", "harness", "run", str(SCENARIO), "--clock", "real", "--seed", str(seed)]
        words += ["--quiet", "--json", "-", "--report", str(folder / "reports")]
        words += [word for change in changes for word in ("--set", change)]
        with (folder / "said").open("w") as said:
            begun = subprocess.Popen(
                words, text=True, stdout=subprocess.PIPE, stderr=said, env=os.environ | {MARK: str(folder)}
            )
            run = Rollout(begun, folder)
            if run.until(outage.after):
                sleep(LATEST_S * float(stream(seed, "outage").generator().random()))
                outage.strike(run)
            out, _ = begun.communicate()
    return seen(run, out, folder)


def seen(run: Rollout, out: str, folder: Path) -> Found:
    """All that a run has left."""
    out = out[out.find("{") :] if "{" in out else ""  # MLflow prints before it
    if not out:
        return Found(
            "?", run.process.returncode, None, None, None, "?", len(left(folder)), (folder / "said").read_text()
        )
    result: dict[str, Any] = json.loads(out)["scenarios"][0]
    lost, weights = None, "?"
    try:
        events = log.read(run.log) if run.log else log.Events(())
        arms = events.last(Totalled).arms
        lost = sum(sum(lost_in(arms[role].errors).values()) for role in SERVING if role in arms)
        weights = ", ".join(f"{role} {share / 100:g}%" for role, share in events.last(RunEnded).weights.items())
    except HarnessError:  # the log stops before, or no traffic began: the router's own word
        kept = next(folder.glob("reports/*/2*/router/routing.json"), None)
        shares = json.loads(kept.read_text())["routing"]["weights"] if kept else {}
        weights = ", ".join(f"{role} {share / 100:g}%" for role, share in shares.items()) or "none began"
    told = [f"{each['what']}: {each['text']}" for each in result.get("outages", [])]
    return Found(
        result["outcome"], run.process.returncode, lost, result["failed_requests"], result["requests"], weights,
        len(left(folder)), result["reason"], told,
    )  # fmt: skip


def left(folder: Path) -> list[int]:
    """Processes of a run that are still there."""
    found = []
    for each in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"{MARK}={folder}".encode() in each.read_bytes().split(b"\0"):
                found.append(int(each.parent.name))
        except OSError:
            continue
    return found


@contextmanager
def mlflow(folder: Path) -> Iterator[str]:
    """A real server in a process group of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", str(port),
        "--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    with (folder / "mlflow.log").open("w") as said:
        server = subprocess.Popen(
            command, stdout=said, stderr=said, start_new_session=True,
            env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
        )  # fmt: skip
    (folder / "mlflow.pid").write_text(str(server.pid))
    try:
        until = monotonic() + 120
        while monotonic() < until and server.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
                    break
            except (urllib.error.URLError, OSError):
                sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def main() -> int:
    """Every outage, with each seed."""
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--seeds", type=int, default=3)
    given.add_argument("--only", default="")
    wanted = given.parse_args()
    print(f"{'outage':34} seed {'outcome':12} exit requests  lost failed left  traffic")
    over = 0
    for seed in range(1, wanted.seeds + 1):
        for outage in OUTAGES:
            if wanted.only not in outage.name:
                continue
            with tempfile.TemporaryDirectory(prefix="outage-") as folder:
                found = tried(outage, seed, Path(folder).resolve())
            over += found.processes
            cells = [found.requests, found.lost, found.failed]
            requests, lost, failed = ("-" if each is None else str(each) for each in cells)
            print(
                f"{outage.name:34} {seed:4} {found.outcome:12} {found.code:4} {requests:>8} {lost:>5} {failed:>6} "
                f"{found.processes:4}  {found.weights}\n      {found.reason[:240]}",
                *(f"\n      - {each[:160]}" for each in found.outages),
                flush=True,
            )
    return int(over > 0)


if __name__ == "__main__":
    raise SystemExit(main())
