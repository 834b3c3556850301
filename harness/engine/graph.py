"""Stages as a graph: each runs as soon as what it needs is there, some side by side.

Time is the event loop's, so a graph is rehearsed on virtual time as it runs on real time.
"""

import difflib
import graphlib
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal

import anyio
import anyio.lowlevel
import anyio.to_thread

from harness.clock import is_virtual, now_ns, run_real, run_virtual
from harness.domain.attempts import MOST_RETRIES, Attempts
from harness.domain.units import SECOND
from harness.engine.attempts import tried
from harness.engine.store import Damaged, Store, digest_of
from harness.errors import BackendError, HarnessError, InputError
from harness.seeds import Stream, stream

PARALLEL: Final = 2
OnFailure = Literal["finish", "cancel"]
Work = Callable[..., Any]


class Status(StrEnum):
    """What became of a node."""

    OK = "ok"
    REUSED = "reused"
    """Its result was kept from an earlier run."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """What it needs was not there."""
    CANCELLED = "cancelled"

    @property
    def good(self) -> bool:
        """There is a result."""
        return self in {Status.OK, Status.REUSED}


@dataclass(frozen=True, slots=True)
class Node:
    """A stage: its work, and what it needs.

    ``work`` is called with the results of what it needs, in the order of ``needs``. A coroutine function runs on the
    loop. A plain function blocks: on real time it runs in a worker thread with one thread in numeric libraries, on
    virtual time where it is called, and takes ``takes_s``.
    """

    name: str
    work: Work
    needs: tuple[str, ...] = ()
    retries: int = 0
    """Attempts after the first, of errors that are ``retryable``."""
    backoff_s: float = 1.0
    """Before the second attempt; twice as long before each that follows, at most 5 minutes, shortened by up to half."""
    timeout_s: float | None = None
    """Of each attempt. A thread cannot be ended: it is left alone, and what it answers is dropped."""
    key: str | Callable[..., str] | None = None
    """Digest of what the result depends on, or a function of the results of what it needs that gives it; None: the
    work is done in each run."""
    retryable: tuple[type[Exception], ...] = (BackendError,)
    takes_s: float = 0.0
    """How long blocking work takes in virtual time."""

    def __post_init__(self) -> None:
        """Refuse numbers that no attempt can keep."""
        retries: Any = self.retries
        if isinstance(retries, bool) or not isinstance(retries, int) or not 0 <= retries <= MOST_RETRIES:
            raise InputError(f"{self.name}: retries is {self.retries!r}: give a whole number from 0 to {MOST_RETRIES}")
        for what in ("backoff_s", "takes_s"):
            seconds = getattr(self, what)
            if not 0 <= seconds < math.inf:
                raise InputError(f"{self.name}: {what} is {seconds!r}: give seconds, 0 or more")
        if self.timeout_s is not None and not 0 < self.timeout_s < math.inf:
            raise InputError(
                f"{self.name}: timeout_s is {self.timeout_s!r}: give seconds above 0, or None for no limit"
            )


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one node."""

    name: str
    status: Status
    value: Any = None
    attempts: int = 0
    reason: str = ""
    """Why there is no result."""
    error: Exception | None = field(default=None, compare=False)
    began_ns: int | None = field(default=None, compare=False)
    """Since the graph began; None: it never did."""
    took_ns: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that a graph tells as it runs."""

    name: str
    what: str
    """started, retried, remade (what was kept is damaged), or a `Status`."""
    at_ns: int
    """Since the graph began."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class GraphResult:
    """What became of every node, in the order that they were given in."""

    nodes: tuple[Done, ...]

    def __getitem__(self, name: str) -> Done:
        """The node of that name."""
        return next(done for done in self.nodes if done.name == name)

    @property
    def ok(self) -> bool:
        """Every node has a result."""
        return all(done.status.good for done in self.nodes)

    def value(self, name: str) -> Any:
        """The result of a node.

        Raises:
            Exception: what the node failed with; or `HarnessError`, where it was skipped or cancelled.
        """
        done = self[name]
        if done.status.good:
            return done.value
        raise done.error or HarnessError(f"{name} has no result: it was {done.status}: {done.reason}")


def ordered(nodes: Sequence[Node]) -> list[str]:
    """The names of nodes, each after all that it needs.

    Raises:
        InputError: two share a name, one needs what is not there, or some need each other in a circle.
    """
    names = [node.name for node in nodes]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two stages are called {name}; each needs a name of its own")
    for node in nodes:
        for need in node.needs:
            if need not in names:
                near = difflib.get_close_matches(need, names, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
                raise InputError(f"{node.name} needs {need}, and there is no such stage; {hint}")
    try:
        return list(graphlib.TopologicalSorter({node.name: node.needs for node in nodes}).static_order())
    except graphlib.CycleError as error:
        circle = list(reversed(error.args[1]))
        raise InputError(f"stages need each other in a circle: {' needs '.join(circle)}") from None


class Pipeline:
    """Stages as a graph, checked, and ready to run.

    Args:
        nodes: the stages. Of those that are ready at once, the first of these starts first.
        parallel: how many run at a time. One that waits to be tried again keeps its place.
        store: where results are kept, of nodes that have a key; None: nowhere.
        seed: what pauses between attempts are drawn from.
        on_failure: what becomes of branches that do not need what failed: they finish, or are cancelled.
        tell: told of what happens.

    Raises:
        InputError: the nodes are no graph, or a number is none that can be used.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        *,
        parallel: int = PARALLEL,
        store: Store | None = None,
        seed: int = 0,
        on_failure: OnFailure = "finish",
        tell: Callable[[Happened], None] = lambda happened: None,
    ) -> None:
        if parallel < 1:
            raise InputError(f"parallel is {parallel}: at least one stage must run at a time")
        self.order = ordered(nodes)
        self.nodes = {node.name: node for node in nodes}
        _check_keys(self.nodes)
        self.parallel, self.store, self.seed = parallel, store, seed
        self.on_failure, self.tell = on_failure, tell
        self.result = GraphResult(())
        """Of the latest run, as far as it came: after a cancellation too."""

    async def run(self) -> GraphResult:
        """Run every node that can be; cancelled, it ends what runs, and keeps what is finished in `result`."""
        run = _Run(self)
        try:
            await run.through()
        finally:
            self.result = run.result()
        return self.result

    def run_sync(self, *, virtual: bool = False) -> GraphResult:
        """The same where no event loop runs, on real time or on virtual time."""
        return (run_virtual if virtual else run_real)(self.run)


async def run_graph(nodes: Sequence[Node], **settings: Any) -> GraphResult:
    """Run stages as a graph; the settings are those of `Pipeline`."""
    return await Pipeline(nodes, **settings).run()


def _check_keys(nodes: dict[str, Node]) -> None:
    """A key that is fixed holds only while what the node needs is known by a key too."""
    for node in nodes.values():
        loose = [need for need in node.needs if nodes[need].key is None]
        if isinstance(node.key, str) and loose:
            raise InputError(
                f"{node.name} has a fixed key, but needs {', '.join(loose)} without one, whose result may change: "
                f"give {loose[0]} a key, or let {node.name}'s be a function of what it needs"
            )


class _Run:
    """One run of a graph."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.of = pipeline
        self.began_ns = now_ns()
        self.done: dict[str, Done] = {}
        self.keys: dict[str, str] = {}
        self.started: dict[str, int] = {}
        self.attempts: dict[str, int] = {}
        self.failed = ""
        """The first that failed, where that cancels the others."""

    async def through(self) -> None:
        try:
            async with anyio.create_task_group() as self.tasks:
                self._start()
        except BaseExceptionGroup as group:  # what a listener raised: nodes catch what their work does
            raise _first(group) from None
        finally:
            self._leave_off()

    def result(self) -> GraphResult:
        return GraphResult(tuple(self.done[name] for name in self.of.nodes if name in self.done))

    # --- one after another ---

    def _start(self) -> None:
        """Start what is ready while there is room, and give up what can never be."""
        for name in self.of.order:
            self._skip(self.of.nodes[name])
        for name, node in self.of.nodes.items():
            if len(self.started.keys() - self.done.keys()) >= self.of.parallel:
                return
            if name not in self.started and name not in self.done and all(need in self.done for need in node.needs):
                self.started[name] = self._now()
                self.tasks.start_soon(self._one, node, name=name)

    def _skip(self, node: Node) -> None:
        if node.name in self.done:
            return
        for need in node.needs:
            lacking = self.done.get(need)
            if lacking and lacking.status in {Status.FAILED, Status.SKIPPED}:
                self._finish(Done(node.name, Status.SKIPPED, reason=f"{need} was {lacking.status}"))
                return

    async def _one(self, node: Node) -> None:
        await anyio.lowlevel.checkpoint_if_cancelled()  # a task that has not begun begins all the same
        given = [self.done[need].value for need in node.needs]
        self._tell(node.name, "started")
        try:
            status, value = await self._reused_or_made(node, given)
            done = self._ended(node, status, value=value)
        except Exception as error:  # noqa: BLE001 - whatever a stage raises is what it failed with
            told = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
            done = self._ended(node, Status.FAILED, reason=told, error=error)
        self._finish(done)
        if done.status is Status.FAILED and self.of.on_failure == "cancel":
            self.failed = node.name
            self.tasks.cancel_scope.cancel()
            return
        await anyio.lowlevel.checkpoint_if_cancelled()
        self._start()

    def _ended(self, node: Node, status: Status, **found: Any) -> Done:
        began_ns = self.started[node.name]
        attempts = self.attempts.get(node.name, 0)
        return Done(node.name, status, attempts=attempts, began_ns=began_ns, took_ns=self._now() - began_ns, **found)

    def _leave_off(self) -> None:
        """What neither ended nor was skipped was cancelled."""
        for name in self.of.order:
            self._skip(self.of.nodes[name])
            if name not in self.done:
                reason = f"{self.failed} failed" if self.failed else "the graph was cancelled"
                node = self.of.nodes[name]
                known = name in self.started
                self._finish(
                    self._ended(node, Status.CANCELLED, reason=reason)
                    if known
                    else Done(name, Status.CANCELLED, reason=reason)
                )

    # --- one ---

    async def _reused_or_made(self, node: Node, given: list[Any]) -> tuple[Status, Any]:
        key, store = self._key(node, given), self.of.store
        if key is not None:
            self.keys[node.name] = key
        if key is not None and store is not None:
            try:
                return Status.REUSED, store.get(key)
            except KeyError:
                pass  # never made
            except Damaged as damage:
                self._tell(node.name, "remade", str(damage))
        value = await self._made(node, given)
        # Work that shields itself may end after all was cancelled: nothing of it is kept then.
        await anyio.lowlevel.checkpoint_if_cancelled()
        if key is not None and store is not None:
            store.put(key, value)
        return Status.OK, value

    def _key(self, node: Node, given: list[Any]) -> str | None:
        if node.key is None:
            return None
        if callable(node.key):
            return digest_of(node.name, node.key(*given))
        return digest_of(node.name, node.key, [self.keys[need] for need in node.needs])

    async def _made(self, node: Node, given: list[Any]) -> Any:
        def again(number: int, error: Exception, waits_ns: int) -> None:
            self._tell(node.name, "retried", f"attempt {number} failed: {error}; the next in {waits_ns / SECOND:.3g} s")

        async def attempt() -> Any:
            self.attempts[node.name] = self.attempts.get(node.name, 0) + 1
            return await _worked(node, given)

        limit = None if node.timeout_s is None else round(node.timeout_s * SECOND)
        attempts = Attempts(limit, node.retries, round(node.backoff_s * SECOND))
        return await tried(node.name, attempt, attempts, self._draws(node), retryable=node.retryable, again=again)

    def _draws(self, node: Node) -> Stream:
        return stream(self.of.seed, f"graph/{node.name}")

    def _finish(self, done: Done) -> None:
        self.done[done.name] = done
        self._tell(done.name, done.status.value, done.reason)

    def _tell(self, name: str, what: str, detail: str = "") -> None:
        self.of.tell(Happened(name, what, self._now(), detail))

    def _now(self) -> int:
        return now_ns() - self.began_ns


async def _worked(node: Node, given: list[Any]) -> Any:
    if inspect.iscoroutinefunction(node.work):
        return await node.work(*given)
    if is_virtual():
        await anyio.sleep(node.takes_s)
        found = node.work(*given)
    else:
        found = await anyio.to_thread.run_sync(_calmly, node.work, given, abandon_on_cancel=node.timeout_s is not None)
    return await found if inspect.isawaitable(found) else found


def _calmly(work: Work, given: list[Any]) -> Any:
    """In a worker thread, with one thread in numeric libraries: sums over several depend on how many there are."""
    import threadpoolctl

    with threadpoolctl.threadpool_limits(limits=1):
        return work(*given)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
