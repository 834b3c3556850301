"""Generators on the workers of a Dask cluster: on several machines, or in processes that Dask starts here.

All begin at one time of day, so the machines' clocks should agree (NTP); how late each was ready is measured. What they
tell each second goes over Dask's own channel of events, and what they measured comes back as their tasks' results.
"""

import asyncio
import pickle
import queue
import uuid
from collections.abc import Callable
from contextlib import ExitStack, suppress
from importlib import import_module
from importlib.metadata import version
from typing import Any, Final

from harness import clock
from harness.domain.load import LoadPlan
from harness.errors import BackendError, HarnessError
from harness.load.crew import Tell
from harness.load.generator import Snapshot, Stopper, generate
from harness.load.loops import Share
from harness.load.record import Record
from harness.load.worker import checker_of

DISTRIBUTION: Final = "rollout-harness"
LEAD_NS: Final = 1_500_000_000
"""From the word to begin to the beginning: it must have reached every machine by then."""
CONNECT_S: Final = 10.0
WORKERS_S: Final = 60.0
"""So long is waited for workers to join."""
TURN_S: Final = 0.2
ASK_S: Final = 0.5
"""Between two looks of a generator at whether it is to stop."""


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
            places = self._places(client, workers)
            told: queue.SimpleQueue[tuple[int, Snapshot]] = queue.SimpleQueue()
            topic = f"harness-load-{uuid.uuid4().hex}"
            client.subscribe_topic(topic, lambda event: told.put(_unpacked(event)))
            stack.callback(_quietly, client.unsubscribe_topic, topic)
            begin_ns = clock.epoch_ns() + LEAD_NS
            tasks = [
                client.submit(
                    work, plan, Share(number, workers), begin_ns, topic,
                    workers=[place], allow_other_workers=False, pure=False, retries=0,
                )
                for number, place in enumerate(places)
            ]  # fmt: skip
            began()
            stop: Any = distributed.Event(topic, client=client)  # type: ignore[no-untyped-call]
            self._follow(tasks, told, tell, stopped, stop)
            return Record.merge(self._gathered(client, tasks))

    def _client(self, distributed: Any, workers: int, stack: ExitStack) -> Any:
        place: Any = self._scheduler
        if place is None:
            place = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
                )
            )
        try:
            return stack.enter_context(distributed.Client(place, timeout=CONNECT_S, set_as_default=False))
        except (OSError, TimeoutError, ValueError) as error:
            raise BackendError(
                f"--scheduler {self._scheduler}: no Dask scheduler answers there: {error}; start one: `dask scheduler`"
            ) from None

    @staticmethod
    def _places(client: Any, workers: int) -> list[str]:
        """Addresses of as many workers, each of which has this program."""
        try:
            client.wait_for_workers(workers, timeout=WORKERS_S)
        except TimeoutError:
            found = len(client.scheduler_info(n_workers=-1)["workers"])
            raise BackendError(
                f"the Dask cluster has {found} workers, not {workers}; start more, or ask with --workers {found}"
            ) from None
        places = sorted(client.scheduler_info(n_workers=-1)["workers"])[:workers]
        ours = version(DISTRIBUTION)
        try:
            theirs = client.run(installed, workers=places)
        except Exception as error:  # noqa: BLE001 - whatever a stranger's environment lacks
            raise BackendError(
                f"a Dask worker cannot run harness: {error}; install rollout-harness=={ours} there"
            ) from None
        for place, has in theirs.items():
            if has != ours:
                raise BackendError(
                    f"the Dask worker {place} has rollout-harness {has}, and here it is {ours}; make them the same"
                )
        return places

    @staticmethod
    def _follow(
        tasks: list[Any],
        told: "queue.SimpleQueue[tuple[int, Snapshot]]",
        tell: Tell,
        stopped: Callable[[], bool],
        stop: Any,
    ) -> None:
        asked = over = False
        while not over:
            over = all(task.done() for task in tasks) or any(task.status == "error" for task in tasks)
            with suppress(queue.Empty):
                tell(*told.get(timeout=TURN_S))
                while True:
                    tell(*told.get_nowait())
            if stopped() and not asked:
                asked = True
                stop.set()

    @staticmethod
    def _gathered(client: Any, tasks: list[Any]) -> list[Record]:
        try:
            found: list[Record] = client.gather(tasks)
        except HarnessError:
            raise
        except Exception as error:  # noqa: BLE001 - Dask tells of lost workers in many ways
            client.cancel(tasks, force=True)
            raise BackendError(f"a Dask worker was lost, and with it its part of the test: {error}") from None
        return found


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
