"""Several processes that serve one model on one port (SO_REUSEPORT), and the parent that keeps them together.

Each worker loads the model by itself. One that dies is not started anew: the parent says so, ends the others, and
fails, so that whoever runs it (systemd, Kubernetes) sees it and decides.
"""

import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import IO, Final

from harness.app.serving import Options, say, told
from harness.domain.units import SECOND
from harness.errors import BackendError, InputError

READY: Final = b"ready "
GRACE_S: Final = 5.0
"""Over the drain: a worker that has not ended by then is killed."""


@dataclass(frozen=True, slots=True, eq=False)
class Worker:
    """A process, and its place among the workers."""

    number: int
    process: "subprocess.Popen[bytes]"

    @property
    def told(self) -> IO[bytes]:
        """Its standard output."""
        assert self.process.stdout is not None
        return self.process.stdout


def supervise(options: Options) -> int:
    """Run the workers until a signal; the exit code.

    Raises:
        InputError: it cannot listen there, or a prediction log is wanted, which one process alone can keep.
        BackendError: a worker died.
    """
    from harness.serving import process

    if options.prediction_log:
        raise InputError(
            "--prediction-log needs one process, which knows every id that a label may name: leave out --workers"
        )
    held = process.bound(process.Place(options.host, options.port, shared=True), listening=False)
    shared = tempfile.mkdtemp(prefix="harness-metrics-")
    workers: list[Worker] = []
    try:
        with _signals() as stop:
            port = held.getsockname()[1]
            environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": shared}
            one = told(replace(options, port=port, workers=1)).encode()
            workers += [Worker(number, _started(one, environment)) for number in range(1, options.workers + 1)]
            if not _watch(workers, stop, until_ready=True):
                say(f"ready {process.url_of(held)}")
                if _watch(workers, stop, until_ready=False) == signal.SIGTERM:
                    _linger(workers, stop, options.linger_ns / SECOND)
    finally:
        _end(workers, options.drain_ns / SECOND + GRACE_S)
        held.close()
        shutil.rmtree(shared, ignore_errors=True)
    return 0


def _started(options: bytes, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    started = subprocess.Popen(
        [sys.executable, "-m", "harness.app.serving"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        start_new_session=True,  # a Ctrl-C is the parent's to pass on, once
    )
    assert started.stdin is not None
    started.stdin.write(options)
    started.stdin.flush()  # and left open: a worker ends when its parent does
    return started


@contextmanager
def _signals() -> Iterator[IO[bytes]]:
    """A pipe that holds the number of each signal to end that has come."""
    reading, writing = os.pipe()

    def heard(number: int, _: object) -> None:
        os.write(writing, bytes([number]))

    before: list[tuple[int, Callable[..., object] | int | None]] = [
        (number, signal.signal(number, heard)) for number in (signal.SIGTERM, signal.SIGINT)
    ]
    try:
        with os.fdopen(reading, "rb", buffering=0) as stop:
            yield stop
    finally:
        for number, handler in before:
            signal.signal(number, handler)
        os.close(writing)


def _watch(workers: list[Worker], stop: IO[bytes], *, until_ready: bool) -> int:
    """Wait until all are ready, or for a signal; its number, 0 without one.

    Raises:
        BackendError: one of them died.
    """
    waiting = {worker.number for worker in workers}
    with selectors.DefaultSelector() as selector:
        selector.register(stop, selectors.EVENT_READ)
        for worker in workers:
            selector.register(worker.told, selectors.EVENT_READ, worker)
        while waiting or not until_ready:
            for key, _ in selector.select():
                worker = key.data
                if worker is None:
                    return stop.read(1)[0]
                line = worker.told.readline()
                if not line:
                    raise _died(worker)
                if line.startswith(READY):
                    waiting.discard(worker.number)
    return 0


def _died(worker: Worker) -> Exception:
    code = worker.process.wait()
    if code == 2:
        return InputError("the workers cannot serve; the reason stands above")
    how = f"by signal {-code}" if code < 0 else f"with code {code}"
    return BackendError(f"worker {worker.number} (process {worker.process.pid}) ended {how}; the others are stopped")


def _linger(workers: list[Worker], stop: IO[bytes], linger_s: float) -> None:
    """Pass a SIGTERM on, and wait while they linger, or for a second signal."""
    for worker in workers:
        worker.process.terminate()
    with selectors.DefaultSelector() as selector:
        selector.register(stop, selectors.EVENT_READ)
        selector.select(linger_s)


def _end(workers: list[Worker], within_s: float) -> None:
    """End them without lingering: one that serves drains at the second signal, one that still loads dies of the first.

    Args:
        workers: all of them; some may have ended.
        within_s: one that has not ended by then is killed.
    """
    for worker in workers:
        if worker.process.poll() is None:
            worker.process.terminate()
            worker.process.send_signal(signal.SIGINT)
    for worker in workers:
        try:
            worker.process.wait(within_s)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()
        for pipe in (worker.process.stdin, worker.process.stdout):
            if pipe is not None:
                pipe.close()
