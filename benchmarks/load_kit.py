"""What the benchmarks of load tests share: cores, servers, processor time of whole process trees, tables.

The server is kept to the first of this process's cores and the generator to the second (with one core they share it,
and every table says so). A process's time is its user and system time with that of all its children, as the kernel
counts it when it is waited for (wait4): per second of that, figures of a busy machine can still be compared.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
SERVER, GENERATOR = CORES[0], CORES[1 % len(CORES)]

ANSWER = json.dumps({"prediction": "no", "confidence": 0.87, "model": "churn-prediction", "version": "3"})
NGINX = """\
daemon off; master_process off; error_log stderr error; pid nginx.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off; default_type application/json; keepalive_requests 2000000000; keepalive_timeout 1h;
  client_body_temp_path body; proxy_temp_path proxy;
  fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {{ listen 127.0.0.1:{port} backlog=1024; location / {{ return 200 '{answer}'; }} }}
}}
"""


class Missing(Exception):
    """A peer that is not here; the message says how to get it."""


def body_of(size: int) -> bytes:
    """One JSON object of exactly so many bytes."""
    row = {"tenure": 12, "monthly_charges": 70.35, "contract": "month-to-month", "note": ""}
    row["note"] = "x" * (size - len(json.dumps(row)))
    return json.dumps(row).encode()


# --- processes --------------------------------------------------------------------------------------------------------


@contextmanager
def kept_to(*cores: int) -> Iterator[None]:
    """Processes that are started in the block stay on these cores."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True)
class Ended:
    """A process that has come to its end."""

    code: int
    out: str
    err: str
    cpu_s: float
    """Of it and all its children."""
    wall_s: float


def run(
    command: Sequence[str | Path], *, cores: Sequence[int] = (GENERATOR,), cwd: Path | None = None,
    env: Mapping[str, str] | None = None, timeout_s: float = 900.0,
) -> Ended:  # fmt: skip
    """Run a program to its end, on these cores; one that outlasts its time is killed, and counts as failed."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.perf_counter()
        with kept_to(*cores):
            process = subprocess.Popen(
                [str(each) for each in command], stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=cwd,
                env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}, start_new_session=True,
            )  # fmt: skip
        killer = threading.Timer(timeout_s, os.killpg, (process.pid, signal.SIGKILL))
        killer.start()
        try:
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            killer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        wall_s = time.perf_counter() - began
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "replace"))
        return Ended(process.returncode, *texts, used.ru_utime + used.ru_stime, wall_s)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(
    command: Sequence[str | Path], ready: str, *, cores: Sequence[int] = (SERVER,), cwd: Path | None = None,
    env: Mapping[str, str] | None = None, within_s: float = 120.0,
) -> Iterator[int]:  # fmt: skip
    """A server as long as the block lasts; begins when that URL answers, and yields the server's process id."""
    with tempfile.TemporaryFile() as told:
        with kept_to(*cores):
            process = subprocess.Popen(
                [str(each) for each in command], stdin=subprocess.DEVNULL, stdout=told, stderr=subprocess.STDOUT,
                cwd=cwd, env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}, start_new_session=True,
            )  # fmt: skip
        try:
            until = time.monotonic() + within_s
            while not _answers(ready):
                if process.poll() is not None or time.monotonic() > until:
                    told.seek(0)
                    said = told.read().decode("utf-8", "replace")[-2000:]
                    raise Missing(f"{command[0]} did not come to serve {ready} within {within_s:g} s:\n{said}")
                time.sleep(0.05)
            yield process.pid
        finally:
            _end(process)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(200 <= answer.status < 300)
    except urllib.error.HTTPError:
        return False
    except OSError:
        return False


def _end(process: "subprocess.Popen[bytes]") -> None:
    """The process and its children: asked first, then killed."""
    for number, wait_s in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(wait_s)
        except subprocess.TimeoutExpired:
            continue


def tool(name: str) -> str:
    """The path of a program of the system."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if not found:
        package = {"ab": "apache2-utils"}.get(name, name)
        raise Missing(f"{name} is not installed (Debian: apt-get install {package})")
    return found


def version_of(name: str) -> str:
    """What Debian calls the version of a program, for the table."""
    package = {"ab": "apache2-utils"}.get(name, name)
    asked = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True, check=False
    )
    return f"{name} {asked.stdout.strip()}" if asked.stdout else name


def environment(folder: Path, *packages: str) -> Path:
    """The Python of an environment of its own with these packages; made where there is none."""
    python = folder / "bin" / "python"
    look = f"import importlib.metadata as m; [m.version(each) for each in {packages!r}]"
    if python.exists() and not subprocess.run([python, "-c", look], capture_output=True, check=False).returncode:
        return python
    print(f"making {folder} with {', '.join(packages)} ...", file=sys.stderr, flush=True)
    try:
        for command in ([sys.executable, "-m", "venv", folder], [python, "-m", "pip", "install", "--quiet", *packages]):
            subprocess.run(command, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise Missing(f"{', '.join(packages)} cannot be installed: {(error.stderr or '')[-1500:]}") from None
    return python


# --- servers ----------------------------------------------------------------------------------------------------------


@contextmanager
def nginx_with_pid() -> Iterator[tuple[str, int]]:
    """One nginx process on the server's core, which answers every request with one JSON object; its URL and id."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="load-nginx-") as place:
        file = Path(place) / "nginx.conf"
        file.write_text(NGINX.format(port=port, answer=ANSWER), encoding="utf-8")
        url = f"http://127.0.0.1:{port}/predict"
        with served([tool("nginx"), "-p", place, "-c", file], url) as pid:
            yield url, pid


@contextmanager
def nginx() -> Iterator[str]:
    """The same; its URL."""
    with nginx_with_pid() as (url, _):
        yield url


@contextmanager
def stand_in(*flags: str, service_log: Path | None = None, cores: Sequence[int] = (SERVER,)) -> Iterator[str]:
    """`harness serve --fake` in a process of its own; the URL of its predictions."""
    port = free_port()
    command = [sys.executable, "-m", "harness", "serve", "--fake", "--port", str(port), *flags]
    if service_log:
        command += ["--service-log", str(service_log)]
    with served(command, f"http://127.0.0.1:{port}/health", cores=cores):
        yield f"http://127.0.0.1:{port}/predict"


# --- harness ----------------------------------------------------------------------------------------------------------


def harness_load(
    url: str, *flags: str, reports: Path, cores: Sequence[int] = (GENERATOR,), timeout_s: float = 900.0
) -> tuple[dict[str, Any], Ended]:
    """`harness load` as a user runs it; its JSON, and the process."""
    command = [sys.executable, "-m", "harness", "load", url, *flags]
    ended = run([*command, "--json", "-", "--report", reports], cores=cores, cwd=reports, timeout_s=timeout_s)
    if ended.code not in {0, 1} or not ended.out.strip():
        raise RuntimeError(f"harness load ended with {ended.code}:\n{ended.err[-2000:]}")
    return json.loads(ended.out), ended


# --- telling ----------------------------------------------------------------------------------------------------------


def middle(values: Sequence[float | None]) -> float:
    """The median of what was measured; nan where nothing was."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else float("nan")


def about_cores() -> str:
    if len(CORES) == 1:
        return "server and generator share one core"
    return f"server on core {SERVER}, generator on core {GENERATOR}, load average {os.getloadavg()[0]:.1f}"


def goal(name: str, value: float, least: float | None = None, most: float | None = None, form: str = ".2f") -> bool:
    """Print whether a goal was met; a figure that is missing meets none."""
    met = (least is None or value >= least) and (most is None or value <= most)  # nan is on no side of anything
    bound = f">= {least:{form}}" if least is not None else f"<= {most:{form}}"
    print(f"{'met   ' if met else 'MISSED'}  {name}: {value:{form}} (goal {bound})", flush=True)
    return met


def options(doc: str | None, **more: Any) -> argparse.ArgumentParser:
    """The flags that each of these scripts has."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a short run, to see that it works; its figures are rough")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    for name, settings in more.items():
        parser.add_argument(f"--{name.replace('_', '-')}", **settings)
    return parser


def finish(found: Any, file: str | None, *, met: bool) -> None:
    """Write the figures, and end with 1 where a goal was missed."""
    if file:
        Path(file).write_text(json.dumps(found, indent=2, default=str) + "\n", encoding="utf-8")
    sys.exit(0 if met else 1)
