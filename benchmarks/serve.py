"""`harness serve` against `mlflow models serve`, with the same model in the same run; and 10,000 malformed requests.

    python benchmarks/serve.py [--algorithm logistic_regression] [--rounds 5] [--seconds 4] [--json FILE]
    python benchmarks/serve.py --malformed 10000 [--seed N]

The model is trained on the shipped churn data (19 columns), saved once by MLflow and once as a skops file, and served
by both on loopback. wrk asks in closed loops of 1 and 16 connections, one row a request, the same bytes to both at
`/invocations`; a third row is `harness serve` in its own protocol. Rounds are interleaved, each in another order; what
is told is the median of the rounds. Both servers answer rows they never saw alike before anything is measured.

`--malformed` sends requests that Schemathesis makes of the server's own OpenAPI document, good and bad, and requests of
random bytes: no answer may be 5xx, the log must hold no traceback, and the server must go on.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import seeds

ROOT = Path(__file__).resolve().parents[1]
CONCURRENCIES = (1, 16)
GOAL = 3.0
PATIENCE_S = 180
UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True)
class Target:
    name: str
    url: str
    body: bytes


@dataclass(frozen=True)
class Round:
    rate: float
    """Answers a second."""
    p50_ms: float
    p99_ms: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algorithm", default="logistic_regression")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--malformed", type=int, metavar="N")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", metavar="FILE")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.malformed:
            return malformed(Path(folder), given.malformed, given.seed, given.json)
        return compare(Path(folder), given)


# --- the two servers --------------------------------------------------------------------------------------------------


def saved(folder: Path, algorithm: str) -> tuple[Path, Path, list[dict[str, Any]]]:
    """The model as MLflow keeps it, as a skops file, and rows it was not trained on."""
    from harness.data.split import Rows, target_of
    from harness.data.table import infer, read_table, typed
    from harness.training import artifact
    from harness.training.algorithms import effective
    from harness.training.fit import fit, unfitted

    table = read_table(str(ROOT / "scenarios" / "data" / "telco_churn.csv.gz"))
    frame, _ = typed(table, infer(table))
    target, classes = target_of(frame, "Churn", "Yes")
    rows = frame.drop(columns=["Churn", "customerID"], errors="ignore")
    training = Rows(rows.iloc[:5000], target[:5000], classes)
    model = fit(algorithm, unfitted(algorithm, effective(algorithm, {}, 0), training), training).estimator
    artifact.save(model, folder / "churn.skops")

    import mlflow

    mlflow.sklearn.save_model(
        model, folder / "theirs", serialization_format="skops", skops_trusted_types=sorted(artifact.TRUSTED),
        pip_requirements=["scikit-learn"],
    )  # fmt: skip
    held_out = [json.loads(line) for line in rows.iloc[5000:5200].to_json(orient="records", lines=True).splitlines()]
    return folder / "theirs", folder / "churn.skops", held_out


@contextmanager
def process(command: Sequence[str | Path], log: Path, url: str, path: str) -> Iterator[str]:
    """A server in a process group of its own, once it is ready."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # MLflow starts uvicorn by its name
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "PATH": programs}
    with log.open("w") as out:
        started = subprocess.Popen(
            list(map(str, command)), cwd=log.parent, stdout=out, stderr=out, env=environment, start_new_session=True
        )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not answers(f"{url}{path}"):
            if started.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{command[0]} did not come up:\n{log.read_text()[-2000:]}")
            time.sleep(0.2)
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGTERM)
        try:
            started.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def free_url() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@contextmanager
def ours(model: Path, log: Path) -> Iterator[str]:
    url = free_url()
    port = url.rpartition(":")[2]
    command = [sys.executable, "-m", "harness", "serve", model, "--name", "churn", "--port", port, "--linger", "0s"]
    with process(command, log, url, "/ready"):
        yield url


@contextmanager
def theirs(model: Path, log: Path) -> Iterator[str]:
    url = free_url()
    port = url.rpartition(":")[2]
    command = [
        sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local", "-m", model, "-p", port,
    ]  # fmt: skip
    with process(command, log, url, "/ping"):
        yield url


def asked(url: str, body: Any) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


# --- throughput -------------------------------------------------------------------------------------------------------


def compare(folder: Path, given: argparse.Namespace) -> int:
    mlflow_model, file, rows = saved(folder, given.algorithm)
    with theirs(mlflow_model, folder / "theirs.log") as their_url, ours(file, folder / "ours.log") as our_url:
        batch = {"dataframe_records": rows}
        if (said := asked(f"{our_url}/invocations", batch)) != asked(f"{their_url}/invocations", batch):
            sys.exit(f"the two do not answer alike: {str(said)[:200]}")
        one = json.dumps({"dataframe_split": {"columns": list(rows[0]), "data": [list(rows[0].values())]}}).encode()
        targets = [
            Target("mlflow models serve", f"{their_url}/invocations", one),
            Target("harness serve, mlflow", f"{our_url}/invocations", one),
            Target("harness serve, json", f"{our_url}/predict", json.dumps(rows[0]).encode()),
        ]
        for target in targets:
            wrk(folder, target, 16, 2)  # warm
        found: dict[tuple[str, int], list[Round]] = {}
        for number in range(given.rounds):
            for concurrency in CONCURRENCIES:
                turned = targets[number % 3 :] + targets[: number % 3]
                for target in turned:
                    done = wrk(folder, target, concurrency, given.seconds)
                    found.setdefault((target.name, concurrency), []).append(done)
    return tell(found, [target.name for target in targets], given)


def wrk(folder: Path, target: Target, concurrency: int, seconds: int) -> Round:
    script = folder / "post.lua"
    (folder / "body").write_bytes(target.body)
    script.write_text(
        f'local f = io.open("{folder}/body", "rb"); wrk.body = f:read("*all"); f:close()\n'
        'wrk.method = "POST"; wrk.headers["Content-Type"] = "application/json"\n'
    )
    command = ["wrk", "-t1", f"-c{concurrency}", f"-d{seconds}s", "--latency", "-s", str(script), target.url]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        sys.exit("wrk is not installed; on Debian: apt-get install wrk")
    if wrong := re.search(r"Non-2xx or 3xx responses: \d+|Socket errors: .*", said):
        sys.exit(f"{target.name} at {concurrency}: {wrong[0]}")
    quantile = {
        which: float(value) * UNITS[unit] for which, value, unit in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s)", said)
    }
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert rate
    return Round(float(rate[1]), quantile["50"], quantile["99"])


def tell(found: dict[tuple[str, int], list[Round]], names: Sequence[str], given: argparse.Namespace) -> int:
    print(f"{given.algorithm}, {given.rounds} interleaved rounds of {given.seconds} s, medians (lowest to highest)\n")
    print(f"{'':24}{'connections':>12}{'answers/s':>24}{'p50 ms':>9}{'p99 ms':>9}{'ratio':>8}{'p99 ratio':>11}")
    peer, held, told = names[0], True, []
    for concurrency in CONCURRENCIES:
        base = found[peer, concurrency]
        for name in names:
            rounds = found[name, concurrency]
            rates = [each.rate for each in rounds]
            rate, p50, p99 = (median(rounds, key) for key in ("rate", "p50_ms", "p99_ms"))
            ratio, p99_ratio = rate / median(base, "rate"), p99 / median(base, "p99_ms")
            held &= name == peer or (ratio >= GOAL and p99_ratio <= 1)
            span = f"{rate:,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"
            print(f"{name:24}{concurrency:>12}{span:>24}{p50:>9.2f}{p99:>9.2f}{ratio:>7.1f}x{p99_ratio:>10.2f}x")
            told.append(
                {"server": name, "connections": concurrency, "rate_per_s": rate, "p50_s": p50 / 1e3, "p99_s": p99 / 1e3,
                 "ratio": ratio, "p99_ratio": p99_ratio}
            )  # fmt: skip
    print(f"\n{'held' if held else 'missed'}: at least {GOAL:g}x the answers a second at no worse p99")
    if given.json:
        Path(given.json).write_text(json.dumps({"algorithm": given.algorithm, "held": held, "rows": told}, indent=1))
    return 0 if held else 1


def median(rounds: Sequence[Round], key: str) -> float:
    return statistics.median(getattr(each, key) for each in rounds)


# --- malformed requests -----------------------------------------------------------------------------------------------


def malformed(folder: Path, count: int, seed: int, json_file: str | None) -> int:
    _, file, rows = saved(folder, "logistic_regression")
    log = folder / "ours.log"
    began = time.monotonic()
    with ours(file, log) as url:
        statuses, wrong = asyncio.run(thrown_at(url, count, seed))
        serving = asked(f"{url}/predict", rows[0])["prediction"] in {"No", "Yes"}
    said = log.read_text()
    traceback = "Traceback" in said
    shown = ", ".join(f"{status or 'no answer'}: {number:,}" for status, number in sorted(statuses.items()))
    print(f"{sum(statuses.values()):,} malformed requests in {time.monotonic() - began:.0f} s; {shown}")
    print(f"5xx: {len(wrong)}; traceback in the log: {'yes' if traceback else 'no'}; still serving: {serving}")
    for each in wrong[:5]:
        print(f"  {each}")
    if traceback:
        print(said[-3000:])
    held = not wrong and not traceback and serving
    if json_file:
        Path(json_file).write_text(json.dumps({"held": held, "statuses": statuses, "server_errors": len(wrong)}))
    return 0 if held else 1


async def thrown_at(url: str, count: int, seed: int) -> tuple[Counter[int], list[str]]:
    """Half of them made by Schemathesis, half of random bytes; statuses, and what was answered 5xx."""
    import aiohttp

    from tests.serving.malformed import broken, generated, spoken, thrown

    statuses: Counter[int] = Counter()
    wrong = []
    async with aiohttp.ClientSession(url) as session:
        async with session.get("/openapi.json") as response:
            document = await response.json()
        made = await asyncio.to_thread(generated, document, count // 2, seed)
        for each in made:
            status, text = await spoken(session, each)
            statuses[status] += 1
            if status >= 500 or "Traceback" in text:
                wrong.append(f"{status} {each.method} {each.path} {each.body[:200]!r}")
    draws = seeds.stream(seed, "random bytes").generator()
    port = int(url.rpartition(":")[2])
    while (left := count - statuses.total()) > 0:
        sent = [broken(draws) for _ in range(min(100, left))]
        for status, body in zip(await asyncio.gather(*(thrown(port, each) for each in sent)), sent, strict=True):
            statuses[status] += 1
            if status >= 500:
                wrong.append(f"{status} {body[:200]!r}")
    return statuses, wrong


if __name__ == "__main__":
    sys.exit(main())
