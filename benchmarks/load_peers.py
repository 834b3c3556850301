"""The load generators that `harness load` is held against, each asked for the same: a closed loop at a URL.

    python benchmarks/load_peers.py aiohttp URL --users 64 --seconds 10 --body FILE

Every generator sends the same body by POST on as many kept connections as it has users, and looks at every status.
Wrk's request is fixed text, which is the fastest that its Lua allows. What a peer needs to start (imports, a compiler)
is left out of its processor time wherever it can tell: Locust's is taken between its own events of start and stop, that
of the aiohttp client around its requests. That is in their favour.
"""

import argparse
import asyncio
import json
import re
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from load_kit import ROOT, Missing, environment, harness_load, run, tool

LOCUSTFILE = """\
import json, os, resource
from locust import FastHttpUser, constant_throughput, events, task

BODY = open(os.environ["LOAD_BODY"], "rb").read()
HEADERS = {"Content-Type": "application/json"}
began = {}

def used():
    spent = resource.getrusage(resource.RUSAGE_SELF)
    return spent.ru_utime + spent.ru_stime

class Asker(FastHttpUser):
    if "LOAD_EACH" in os.environ:
        wait_time = constant_throughput(float(os.environ["LOAD_EACH"]))

    @task
    def ask(self):
        self.client.post(os.environ["LOAD_PATH"], data=BODY, headers=HEADERS)

@events.test_start.add_listener
def start(environment, **_):
    began["cpu"] = used()

@events.test_stop.add_listener
def stop(environment, **_):
    total = environment.stats.total
    told = {"requests": total.num_requests, "errors": total.num_failures, "cpu_s": used() - began["cpu"],
            "seconds": total.last_request_timestamp - total.start_time,
            **{f"p{q}": total.get_response_time_percentile(q / 100) / 1e3 for q in (50, 95, 99)}}
    with open(os.environ["LOAD_TOLD"], "w") as file:
        json.dump(told, file)
"""


@dataclass(frozen=True)
class Asked:
    """What every generator is asked for."""

    url: str
    body: Path
    seconds: float
    users: int
    work: Path
    """Where files may be put."""


@dataclass(frozen=True)
class Seen:
    """What a generator says that it did, and what it took."""

    requests: int
    seconds: float
    cpu_s: float
    """Of its requests; the start is left out where the generator can tell."""
    tree_cpu_s: float
    """Of everything, from its start to its end, its children too."""
    errors: int = 0
    said: str = ""
    detail: Any = None

    @property
    def per_cpu_s(self) -> float:
        return self.requests / self.cpu_s

    @property
    def per_s(self) -> float:
        return self.requests / self.seconds


def _path(url: str) -> str:
    return "/" + url.split("/", 3)[3]


def harness(asked: Asked, *flags: str, payload: Path | None = None, protocol: str = "raw") -> Seen:
    told, ended = harness_load(
        asked.url if protocol == "raw" else asked.url.removesuffix("/predict"),
        "--users", str(asked.users), "--duration", f"{asked.seconds:g}s", "--protocol", protocol,
        "--payload", str(payload or asked.body), *flags, reports=asked.work,
    )  # fmt: skip
    return Seen(
        told["sent"], told["duration_s"], told["cpu_s"], ended.cpu_s,
        told["failed"] + told["in_flight_at_stop"] + told["not_sent"], told["grade"] or told["spoiled"], told,
    )  # fmt: skip


def wrk(asked: Asked) -> Seen:
    script = asked.work / "post.lua"
    script.write_text(
        f'wrk.method = "POST"\nwrk.body = [==[{asked.body.read_text()}]==]\n'
        'wrk.headers["Content-Type"] = "application/json"\n',
        encoding="utf-8",
    )
    command = [
        tool("wrk"),
        "-t1",
        f"-c{asked.users}",
        f"-d{_whole(asked.seconds)}s",
        "--latency",
        "-s",
        script,
        asked.url,
    ]
    ended = run(command)
    requests, seconds = re.search(r"(\d+) requests in ([\d.]+)s", ended.out).groups()
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", ended.out)
    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", ended.out)
    errors = (int(failed[1]) if failed else 0) + (sum(map(int, sockets.groups())) if sockets else 0)
    return Seen(int(requests), float(seconds), ended.cpu_s, ended.cpu_s, errors)


def hey(asked: Asked, *flags: str) -> Seen:
    command = [
        tool("hey"), "-z", f"{_whole(asked.seconds)}s", "-c", str(asked.users), "-m", "POST", "-D", asked.body,
        "-T", "application/json", "-cpus", "1", *flags, asked.url,
    ]  # fmt: skip
    ended = run(command)
    rate, seconds = (float(re.search(rf"{name}:\s+([\d.]+)", ended.out)[1]) for name in ("Requests/sec", "Total"))
    good = sum(int(count) for status, count in re.findall(r"\[(\d+)\]\s+(\d+) responses", ended.out) if status == "200")
    # It keeps a million results and no more; what it counts is its rate.
    kept = min(round(rate * seconds), 1_000_000)
    detail = {f"p{q}": float(value) for q, value in re.findall(r"(\d+)% in ([\d.]+) secs", ended.out)}
    return Seen(round(rate * seconds), seconds, ended.cpu_s, ended.cpu_s, max(0, kept - good), "", detail)


def ab(asked: Asked) -> Seen:
    command = [
        tool("ab"), "-q", "-k", "-c", str(asked.users), "-t", str(_whole(asked.seconds)), "-n", "5000000",
        "-p", asked.body, "-T", "application/json", asked.url,
    ]  # fmt: skip
    ended = run(command)
    requests, failed = (int(re.search(rf"{name} requests:\s+(\d+)", ended.out)[1]) for name in ("Complete", "Failed"))
    seconds = float(re.search(r"Time taken for tests:\s+([\d.]+)", ended.out)[1])
    return Seen(requests, seconds, ended.cpu_s, ended.cpu_s, failed)


def locust(asked: Asked, python: Path, rate: float | None = None) -> Seen:
    """FastHttpUser in one process; with a rate, its users wait so that they come to it together."""
    file, told = asked.work / "locustfile.py", asked.work / "locust.json"
    file.write_text(LOCUSTFILE, encoding="utf-8")
    told.unlink(missing_ok=True)
    host = asked.url.removesuffix(_path(asked.url))
    ended = run(
        [python, "-m", "locust", "-f", file, "--headless", "--host", host, "-u", str(asked.users), "-r", "1000",
         "-t", f"{_whole(asked.seconds)}s", "--only-summary", "--loglevel", "ERROR"],
        env={"LOAD_BODY": str(asked.body), "LOAD_PATH": _path(asked.url), "LOAD_TOLD": str(told), "PYTHONPATH": ""}
        | ({"LOAD_EACH": str(rate / asked.users)} if rate else {}),
    )  # fmt: skip
    if not told.exists():
        raise Missing(f"Locust ended with {ended.code}: {ended.err[-1000:]}")
    found = json.loads(told.read_text(encoding="utf-8"))
    return Seen(found["requests"], found["seconds"], found["cpu_s"], ended.cpu_s, found["errors"], "", found)


def aiohttp(asked: Asked, loop: str = "uvloop") -> Seen:
    command = [
        sys.executable, Path(__file__), "aiohttp", asked.url, "--users", str(asked.users),
        "--seconds", f"{asked.seconds:g}", "--body", asked.body, "--loop", loop,
    ]  # fmt: skip
    ended = run(command)
    if ended.code:
        raise RuntimeError(f"the aiohttp client ended with {ended.code}: {ended.err[-1000:]}")
    found = json.loads(ended.out)
    return Seen(found["requests"], found["seconds"], found["cpu_s"], ended.cpu_s, found["errors"])


def _whole(seconds: float) -> int:
    return max(1, round(seconds))


def locust_python(folder: str | None) -> Path:
    """The Python that has Locust: in that folder, or one below the system's folder for temporary files."""
    return environment(Path(folder) if folder else Path(tempfile.gettempdir()) / "harness-benchmarks-locust", "locust")


# --- the plain aiohttp client -----------------------------------------------------------------------------------------


async def _ask(url: str, body: bytes, users: int, seconds: float) -> dict[str, Any]:
    """As its users write it: a session, a task for each user, latencies in a list."""
    import aiohttp as client

    headers, latencies, wrong = {"Content-Type": "application/json"}, [], 0

    async def user(session: Any, until: float) -> None:
        nonlocal wrong
        while (began := time.perf_counter()) < until:
            async with session.post(url, data=body, headers=headers) as answer:
                await answer.read()
                wrong += answer.status != 200
            latencies.append(time.perf_counter() - began)

    async with client.ClientSession(connector=client.TCPConnector(limit=users)) as session:
        spent, began = _used(), time.perf_counter()
        await asyncio.gather(*(user(session, began + seconds) for _ in range(users)))
        wall, spent = time.perf_counter() - began, _used() - spent
    return {"requests": len(latencies), "seconds": wall, "cpu_s": spent, "errors": wrong}


def _used() -> float:
    spent = resource.getrusage(resource.RUSAGE_SELF)
    return spent.ru_utime + spent.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("client", choices=["aiohttp"])
    parser.add_argument("url")
    parser.add_argument("--users", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--body", type=Path, required=True)
    parser.add_argument("--loop", choices=["uvloop", "asyncio"], default="uvloop")
    asked = parser.parse_args()
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop if asked.loop == "uvloop" else None) as runner:
        print(json.dumps(runner.run(_ask(asked.url, asked.body.read_bytes(), asked.users, asked.seconds))))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
