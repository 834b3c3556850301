"""Folds trained here, or in processes of their own that can be ended: what is answered is the same.

Who trains which fold never matters: each answer depends on the parameters and the fold alone.
"""

import multiprocessing
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Final, Protocol, Self

from harness import clock
from harness.data.split import Rows
from harness.domain.features import FeatureSet
from harness.domain.units import SECOND
from harness.errors import BackendError, InputError
from harness.training.folds import Fold, fold_metrics

END_S: Final = 5.0
READY: Final = "ready"


@dataclass(frozen=True, slots=True)
class Job:
    """A fold that is to be trained with some parameters."""

    params: Mapping[str, Any]
    fold: int
    left_ns: int | None = None
    """Real time that it may take; None: no limit."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a job: metrics, or why there are none."""

    metrics: Mapping[str, float]
    took_ns: int
    failure: str = ""
    timed_out: bool = False


class Pool(Protocol):
    """Trains folds."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...

    def run(self, jobs: Sequence[Job]) -> list[Answer]:
        """An answer to each job, in their order."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What every job has in common."""

    word: str
    """Of the algorithm."""
    features: FeatureSet | None
    rows: Rows
    """All that may be learned from."""
    folds: Sequence[Fold]
    """Of these rows."""


def pool(material: Material, workers: int, *, limited: bool) -> Pool:
    """Who trains: this process, or, where several are wanted or one may have to be ended, others."""
    if workers == 1 and not limited:
        return Here(material)
    return Processes(material, workers)


class Here:
    """Trains in this process, one after the other.

    Args:
        material: what every job has in common.
    """

    def __init__(self, material: Material) -> None:
        self._material = material

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""

    def run(self, jobs: Sequence[Job]) -> list[Answer]:
        """An answer to each job, in their order; none is ever ended."""
        return [trained(self._material, job) for job in jobs]


def trained(material: Material, job: Job) -> Answer:
    """Train one fold; parameters that cannot be trained with are a failure, and no error."""
    began_ns = clock.wall_ns()
    try:
        fold = material.folds[job.fold]
        metrics = fold_metrics(material.word, job.params, material.rows, fold, material.features)
    except InputError as error:
        return Answer({}, clock.wall_ns() - began_ns, str(error))
    return Answer(metrics, clock.wall_ns() - began_ns)


@dataclass(slots=True, eq=False)
class _Busy:
    number: int
    job: Job
    began_ns: int

    @property
    def until_ns(self) -> int | None:
        return None if self.job.left_ns is None else self.began_ns + self.job.left_ns


class Processes:
    """Trains in processes of their own; one that takes too long is killed, and another takes its place.

    Each is a fresh interpreter (forking one that holds threads is not safe), so a script that starts them keeps its own
    work below ``if __name__ == "__main__":``, as with everything that uses `multiprocessing`.

    Args:
        material: what every job has in common; each process gets it once.
        workers: how many processes.
    """

    def __init__(self, material: Material, workers: int) -> None:
        self._material = material
        self._count = workers
        self._workers: dict[Connection[Any, Any], Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for channel in list(self._workers):
            self._end(channel)

    def run(self, jobs: Sequence[Job]) -> list[Answer]:
        """An answer to each job, in their order.

        Raises:
            BackendError: a process cannot be started.
        """
        self._man(min(self._count, len(jobs)))
        waiting = list(enumerate(jobs))[::-1]
        busy: dict[Connection[Any, Any], _Busy] = {}
        answers: dict[int, Answer] = {}
        while waiting or busy:
            self._man(min(self._count, len(waiting) + len(busy)))
            for channel in [each for each in self._workers if each not in busy][: len(waiting)]:
                number, job = waiting.pop()
                channel.send(job)
                busy[channel] = _Busy(number, job, clock.wall_ns())
            for ready in wait(list(busy), _patience_s(busy)):
                at: Any = ready
                done = busy.pop(at)
                answers[done.number] = self._received(at, done)
            for channel in [each for each, at_work in busy.items() if _overdue(at_work)]:
                late = busy.pop(channel)
                self._end(channel)
                answers[late.number] = Answer({}, clock.wall_ns() - late.began_ns, "took too long", timed_out=True)
        return [answers[number] for number in range(len(jobs))]

    def _man(self, count: int) -> None:
        """Have so many processes that are ready."""
        context = multiprocessing.get_context("spawn")
        new = []
        while len(self._workers) < count:
            ours, theirs = context.Pipe()
            process = context.Process(target=work, args=(theirs, self._material), name="training", daemon=True)
            process.start()
            theirs.close()
            self._workers[ours] = process
            new.append(ours)
        for channel in new:
            try:
                channel.recv()
            except (EOFError, OSError):
                code = self._end(channel)
                raise BackendError(f"a process that was to train could not start (exit code {code})") from None

    def _received(self, channel: "Connection[Any, Any]", busy: _Busy) -> Answer:
        try:
            answer: Answer = channel.recv()
        except (EOFError, OSError):
            code = self._end(channel)
            return Answer({}, clock.wall_ns() - busy.began_ns, f"the process that trained it died (exit code {code})")
        return answer

    def _end(self, channel: "Connection[Any, Any]") -> int | None:
        process = self._workers.pop(channel)
        channel.close()
        process.kill()
        process.join(END_S)
        code: int | None = process.exitcode
        process.close()
        return code


def _patience_s(busy: Mapping[Any, _Busy]) -> float | None:
    """How long to wait for an answer; None where no job has an end."""
    ends = [at_work.until_ns for at_work in busy.values() if at_work.until_ns is not None]
    return max(min(ends) - clock.wall_ns(), 0) / SECOND if ends else None


def _overdue(busy: _Busy) -> bool:
    return busy.until_ns is not None and clock.wall_ns() >= busy.until_ns


def work(channel: "Connection[Any, Any]", material: Material) -> None:
    """A process: train what comes, until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    with suppress(EOFError, OSError):
        channel.send(READY)
        while True:
            channel.send(trained(material, channel.recv()))
