"""Generators on the workers of a Dask cluster: on several machines, or in processes that Dask starts here.

All begin at one time of day, so the machines' clocks should agree (NTP); how late each was ready is measured. What they
tell each second goes over Dask's own channel of events, and what they measured comes back as their tasks' results.
"""

import asyncio
import pickle
import queue
import threading
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from importlib import import_module
from importlib.metadata import version
from typing import Any, Final

from harness import clock
from harness.domain.load import LoadPlan
from harness.domain.units import SECOND
from harness.errors import BackendError, HarnessError
from harness.load.crew import Tell, nothing_measured, unsignalled
from harness.load.generator import GRACE_NS, Snapshot, Stopper, generate
from harness.load.loops import Share
from harness.load.record import Record
from harness.load.worker import checker_of

DISTRIBUTION: Final = "rollout-harness"
LEAD_NS: Final = 1_500_000_000
"""From the word to begin to the beginning: it must have reached every machine by then."""
CONNECT_S: Final = 10.0
WORKERS_S: Final = 60.0
"""So long is waited for workers to join, and then for them to be free and to have loaded this program."""
TURN_S: Final = 0.2
ASK_S: Final = 0.5
"""Between two looks of a generator at whether it is to stop."""
LOOK_NS: Final = 1 * SECOND
"""Between two looks at whether the workers are still there."""
ANSWER_S: Final = 5.0
"""For one answer of the scheduler's."""
SILENT_NS: Final = 30 * SECOND
"""A scheduler that answers nothing for so long is lost."""
SPARE_NS: Final = 20 * SECOND
"""For workers to hand in what they measured, when it must be there, and when they were told to stop."""

Stopped = Callable[[], bool]


class DaskCrew:
    """Runs generators on a Dask cluster.

    Args:
        scheduler: its address (tcp://HOST:8786); None: a cluster of processes on this machine, for this test alone.
    """

    def __init__(self, scheduler: str | None = None) -> None:
        self._scheduler = scheduler

    def run(
        self, plan: LoadPlan, workers: int, tell: Tell, stopped: Callable[[], bool], began: Callable[[], None]
    ) -> Record:
        """Run the test to its end; see `harness.load.crew.Crew.run`.

        Raises:
            BackendError: Dask is not installed, its scheduler does not answer, or a worker was lost.
        """
        try:
            import distributed
        except ImportError:
            raise BackendError("--engine dask needs Dask: pip install 'rollout-harness[dask]'") from None
        with ExitStack() as stack:
            client = self._client(distributed, workers, stack)
            cluster = _Cluster(client, stopped)
            places = cluster.places(workers)
            if not cluster.ready(places):
                return nothing_measured(plan)
            told: queue.SimpleQueue[tuple[int, Snapshot]] = queue.SimpleQueue()
            topic = f"harness-load-{uuid.uuid4().hex}"
            client.subscribe_topic(topic, lambda event: told.put(_unpacked(event)))
            stack.callback(_quietly, client.unsubscribe_topic, topic)
            begin_ns = clock.epoch_ns() + LEAD_NS
            tasks = [
                cluster.submit(place, work, plan, Share(number, workers), begin_ns, topic)
                for number, place in enumerate(places)
            ]
            began()
            try:
                _Following(cluster, topic, places, tasks, _bound_ns(plan)).to_the_end(told, tell)
                return Record.merge(_handed_in(tasks))
            except BaseException:
                cluster.tell_to_stop(topic)
                _quietly(client.cancel, tasks)
                raise

    def _client(self, distributed: Any, workers: int, stack: ExitStack) -> Any:
        place: Any = self._scheduler
        if place is None:
            with unsignalled():
                place = stack.enter_context(
                    distributed.LocalCluster(
                        n_workers=workers,
                        threads_per_worker=1,
                        processes=True,
                        silence_logs=50,
                        # No page, and a free port for what is left of it, so that two tests do not meet at 8787.
                        dashboard_address="127.0.0.1:0",
                        scheduler_kwargs={"dashboard": False},
                    )
                )
        try:
            return stack.enter_context(distributed.Client(place, timeout=CONNECT_S, set_as_default=False))
        except (OSError, TimeoutError, ValueError) as error:
            raise BackendError(
                f"--scheduler {self._scheduler}: no Dask scheduler answers there: {error}; start one: `dask scheduler`"
            ) from None


def _bound_ns(plan: LoadPlan) -> int:
    """By when all must have handed in what they measured, since now: no generator goes on for longer than this."""
    limits = plan.limits
    longest_ns = plan.ends_ns + 2 * limits.timeout_ns + limits.connect_timeout_ns + GRACE_NS
    if limits.deadline_ns is not None:
        longest_ns = min(longest_ns, limits.deadline_ns)
    return LEAD_NS + longest_ns + SPARE_NS


class _Cluster:
    """A Dask cluster, every question to which has a time limit.

    Args:
        client: of it.
        stopped: asked often whether to stop waiting.
    """

    def __init__(self, client: Any, stopped: Stopped) -> None:
        self._client = client
        self.stopped = stopped

    def workers(self) -> list[str]:
        """The addresses of those that are there, sorted.

        Raises:
            OSError: the scheduler does not answer.
        """
        found = self._client.sync(self._client.scheduler.identity, n_workers=-1, callback_timeout=ANSWER_S)
        return sorted(place for place, worker in found["workers"].items() if worker["status"] != "closing")

    def places(self, workers: int) -> list[str]:
        """Addresses of as many workers; fewer where it was stopped while waiting for them."""
        until_ns = clock.monotonic_ns() + int(WORKERS_S * SECOND)
        while True:
            try:
                found = self.workers()
            except OSError as error:
                raise BackendError(f"the Dask scheduler does not answer: {_words(error)}; is it up?") from None
            if len(found) >= workers or self.stopped():
                return found[:workers]
            if clock.monotonic_ns() > until_ns:
                raise BackendError(
                    f"the Dask cluster has {len(found)} workers, not {workers}; start more, or ask with "
                    f"--workers {len(found)}"
                )
            _wait(TURN_S)

    def submit(self, place: str, call: Callable[..., Any], *args: Any) -> Any:
        """Run something on that worker and on no other, once."""
        return self._client.submit(call, *args, workers=[place], allow_other_workers=False, pure=False, retries=0)

    def ready(self, places: Sequence[str]) -> bool:
        """Whether each has this program, at this version; False where it was stopped while they were asked.

        Raises:
            BackendError: one has not.
        """
        ours = version(DISTRIBUTION)
        asked = {place: self.submit(place, installed) for place in places}
        until_ns = clock.monotonic_ns() + int(WORKERS_S * SECOND)
        while not all(task.done() for task in asked.values()):
            if self.stopped():
                return False
            if clock.monotonic_ns() > until_ns:
                slow = ", ".join(place for place, task in asked.items() if not task.done())
                raise BackendError(
                    f"Dask workers do not get to this test within {WORKERS_S:g} s: {slow}; they are lost, or busy"
                )
            _wait(TURN_S)
        for place, task in asked.items():
            try:
                theirs = task.result(timeout=ANSWER_S)
            except Exception as error:  # noqa: BLE001 - whatever a stranger's environment lacks
                raise BackendError(
                    f"the Dask worker {place} cannot run harness: {_words(error)}; install rollout-harness=={ours} "
                    "there"
                ) from None
            if theirs != ours:
                raise BackendError(
                    f"the Dask worker {place} has rollout-harness {theirs}, and here it is {ours}; make them the same"
                )
        return not self.stopped()

    def tell_to_stop(self, topic: str) -> None:
        """Tell all generators of a test to stop; what does not answer any more is not told."""
        with suppress(OSError, RuntimeError):
            self._client.sync(self._client.scheduler.event_set, name=topic, callback_timeout=ANSWER_S)


class _Following:
    """Follows the tasks of a test until all have ended; a worker that is lost ends the test."""

    def __init__(
        self, cluster: _Cluster, topic: str, places: Sequence[str], tasks: Sequence[Any], bound_ns: int
    ) -> None:
        self._cluster, self._topic, self._places, self._tasks = cluster, topic, places, tasks
        now = clock.monotonic_ns()
        self._until_ns = now + bound_ns
        self._heard_ns = self._looked_ns = now
        self._asked = False

    def to_the_end(self, told: "queue.SimpleQueue[tuple[int, Snapshot]]", tell: Tell) -> None:
        """Pass on what the generators tell, until they have ended.

        Raises:
            BackendError: a worker was lost, or the scheduler, or they do not come to an end.
        """
        over = False
        while not over:
            over = all(task.done() for task in self._tasks) or any(task.status == "error" for task in self._tasks)
            with suppress(queue.Empty):
                tell(*told.get(timeout=TURN_S))
                while True:
                    tell(*told.get_nowait())
            if not over:
                self._look()

    def _look(self) -> None:
        now = clock.monotonic_ns()
        if self._cluster.stopped() and not self._asked:
            self._asked = True
            self._cluster.tell_to_stop(self._topic)
            self._until_ns = min(self._until_ns, now + SPARE_NS)
        if now > self._until_ns:
            raise BackendError(f"no result came in time from Dask workers, as if they hung: {self._open(self._places)}")
        if now - self._looked_ns >= LOOK_NS:
            self._looked_ns = now
            self._look_for_workers(now)

    def _look_for_workers(self, now: int) -> None:
        try:
            there = self._cluster.workers()
        except OSError as error:
            if now - self._heard_ns > SILENT_NS:
                raise BackendError(
                    f"the Dask scheduler was lost, and with it the test: {_words(error)}; look at its log"
                ) from None
            return
        self._heard_ns = now
        if lost := self._open([place for place in self._places if place not in there]):
            raise BackendError(
                f"a Dask worker was lost, and with it its part of the test: {lost}; look at its log, and at what "
                "killed it"
            )

    def _open(self, places: Sequence[str]) -> str:
        """Those of some workers whose task has not ended."""
        tasks = zip(self._places, self._tasks, strict=True)
        return ", ".join(place for place, task in tasks if place in places and not task.done())


def _handed_in(tasks: Sequence[Any]) -> list[Record]:
    """What the tasks measured; whatever went wrong in one is told first."""
    tasks = sorted(tasks, key=lambda task: bool(task.status != "error"))
    try:
        return [task.result(timeout=SPARE_NS / SECOND) for task in tasks]
    except HarnessError:
        raise
    except Exception as error:  # noqa: BLE001 - Dask tells of lost workers in many ways
        raise BackendError(f"a Dask worker was lost, and with it its part of the test: {_words(error)}") from None


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


def _wait(span_s: float) -> None:
    threading.Event().wait(span_s)


def installed() -> str:
    """The version of this program where a worker runs, with all that a generator imports loaded."""
    for module in ("checks", "fast", "generator"):
        import_module(f"harness.load.{module}")
    return version(DISTRIBUTION)


def work(plan: LoadPlan, share: Share, begin_ns: int, topic: str) -> Record:
    """A generator's share, as a Dask task; begins at that time of day (nanoseconds since 1970)."""
    import distributed

    worker = distributed.get_worker()
    stop: Any = distributed.Event(topic, client=distributed.get_client())  # type: ignore[no-untyped-call]

    def tell(snapshot: Snapshot) -> None:
        worker.log_event(topic, {"number": share.number, "told": pickle.dumps(snapshot)})

    return clock.run_fast(_work, plan, share, begin_ns, tell, stop)


async def _work(plan: LoadPlan, share: Share, begin_ns: int, tell: Callable[[Snapshot], None], stop: Any) -> Record:
    stopper = Stopper()
    listening = asyncio.create_task(_listen(stop, stopper))
    start_ns = clock.monotonic_ns() + begin_ns - clock.epoch_ns()
    try:
        return await generate(plan, share, start_ns, tell, stopper, checker=checker_of(plan))
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def _listen(stop: Any, stopper: Stopper) -> None:
    while not await asyncio.to_thread(stop.is_set):  # noqa: ASYNC110 - the event is another process's
        await asyncio.sleep(ASK_S)
    stopper()


def _unpacked(event: Any) -> tuple[int, Snapshot]:
    """What a worker told; it comes from our own task, over the cluster's own channel."""
    _, message = event
    snapshot: Snapshot = pickle.loads(message["told"])  # noqa: S301 - as Dask does with the tasks' results
    return int(message["number"]), snapshot


def _quietly(call: Callable[..., Any], *args: Any) -> None:
    with suppress(OSError, ValueError):
        call(*args)
