"""Several rehearsals, one after the other or side by side in processes of their own."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import click

from harness.domain.secrets import mask
from harness.errors import HarnessError, InputError, LeaseLost

STOPPING: Final = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Task:
    """One scenario to run, and how to show it."""

    scenario: Any
    options: Any
    live: bool | None
    quiet: bool
    no_color: bool


@dataclass(frozen=True, slots=True)
class Done:
    """What came of one scenario."""

    result: Any = None
    """A `Result`, or an `Unstarted` where the run never got as far as its log."""
    error: str = ""
    code: int = 0
    interrupted: bool = False


def rehearse_all(tasks: Sequence[Task], workers: int) -> list[Done]:
    """Run every task; the answers come in the order of the tasks, whatever ran beside what.

    An interrupt ends the runs that are under way (their traffic goes back to stable) and starts no other: a task that
    never ran has no result.
    """
    if workers > 1 and len(tasks) > 1:
        return _side_by_side(tasks, workers)
    done: list[Done] = []
    for task in tasks:
        stopped = bool(done) and done[-1].interrupted
        done.append(Done(interrupted=True) if stopped else rehearse_one(task))
    return done


def rehearse_one(task: Task) -> Done:
    """Run one scenario, write its reports, and answer with its result; a signal at any point of it stops the run."""
    from harness import app

    return conducted(task, lambda options, stop: app.attempt(task.scenario, options, stop))


def conducted(task: Task, act: Callable[[Any, Any], Any]) -> Done:
    """`rehearse_one`, by any function of options and a switch that stops it."""
    from harness import app
    from harness.live import view
    from harness.report.result import Unstarted

    stop = app.Stop()
    with _stopping(stop):
        if _told_to_stop():
            return Done(interrupted=True)
        try:
            with view.watching(task.scenario, live=task.live, quiet=task.quiet, color=not task.no_color) as watcher:
                options = replace(task.options, watchers=[watcher] if watcher else [], say=_said)
                made = act(options, stop)
        except HarnessError as error:
            return Done(Unstarted.of(task.scenario, mask(str(error))), *_told(error), interrupted=bool(stop.by))
        if not made.log.events:
            nothing = made.error or HarnessError("the run logged nothing")
            return Done(Unstarted.of(task.scenario, mask(str(nothing))), *_told(nothing), interrupted=bool(stop.by))
        done = _reported(made)
        # Told to stop after it had lost the rollout, it has brought no traffic back: 130 would say that it had.
        return replace(done, interrupted=bool(stop.by) and not isinstance(made.error, LeaseLost))


def _said(text: str) -> None:
    click.echo(text, err=True)


def _reported(made: Any) -> Done:
    """Fold the run and write its page."""
    from harness import app
    from harness.report import fold, html

    page = made.folder / app.PAGE_NAME
    result = fold(made.log.events, log_path=made.path, report_path=page)
    error, code = _told(made.error) if made.error else ("", 0)
    if made.error:
        result = replace(result, passed=False)
    if isinstance(made.error, LeaseLost):  # the page is another harness's to write
        return Done(replace(result, report=None), error, code)
    try:
        html.write(result, page)
    except InputError as lost:
        result = replace(result, report=None)
        error, code = "\n".join(filter(None, (error, str(lost)))), code or 3
    return Done(result, error, code)


def write_page(results: Sequence[Any], skipped: Sequence[str], unreached: Sequence[str], reports: Path) -> str | None:
    """Write the page of a suite of two or more scenarios; where it is, or None where there is no suite.

    Raises:
        InputError: it cannot be written.
    """
    if len(results) + len(skipped) + len(unreached) < 2 or not results:
        return None
    from harness import app
    from harness.report import suite_page

    page = app.suite_folder(reports) / "index.html"
    suite_page.write(results, page, skipped, unreached)
    return str(page)


def _told(error: Exception) -> tuple[str, int]:
    """What to say of an error, and the exit code it asks for."""
    if isinstance(error, HarnessError):
        return mask(str(error)), 2 if isinstance(error, InputError) else 3
    import traceback

    told = mask("".join(traceback.format_exception(error)))
    return f"a defect of the harness, please report it:\n{told}", 3


@contextmanager
def _stopping(stop: Any) -> Iterator[None]:
    """Signals ask the run to stop, also before its loop runs and after: while models load, and reports are written."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, _: object) -> None:
        stop(signal.Signals(number).name)

    before = {number: signal.signal(number, ask) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- side by side -----------------------------------------------------------------------------------------------------


def _side_by_side(tasks: Sequence[Task], workers: int) -> list[Done]:
    """Signals to this process go on to the workers: each settles its own run, and none starts another."""
    import ctypes
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import resource_tracker

    # A fresh interpreter for each worker: forking one that holds threads (BLAS, rich) is not safe.
    context = multiprocessing.get_context("spawn")
    stopping = context.RawValue(ctypes.c_bool, False)  # noqa: FBT003 - a value, not a switch
    held, leash = context.Pipe(duplex=False)  # a worker goes when the other end is closed, by us or by our death
    children: list[Any] = []

    def forward(*_: object) -> None:
        stopping.value = True  # first: a worker between two tasks ignores the signal, and looks here
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGINT)

    resource_tracker.ensure_running()  # it would unblock the signals
    # A worker is born with its signals blocked, and lets them in when it is ready to ignore them.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    before = {number: signal.signal(number, forward) for number in STOPPING}
    try:
        with ProcessPoolExecutor(
            min(workers, len(tasks)), mp_context=context, initializer=_begin, initargs=(stopping, held)
        ) as pool:
            futures = [pool.submit(_work, replace(task, live=False)) for task in tasks]
            children.extend(multiprocessing.active_children())
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            done = [_answer(future, task, leash) for future, task in zip(futures, tasks, strict=True)]
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        leash.close()
        for number, handler in before.items():
            signal.signal(number, handler)
    return done


def _answer(future: Any, task: Task, leash: Any) -> Done:
    from concurrent.futures.process import BrokenProcessPool

    from harness.report.result import Unstarted

    try:
        done: Done = future.result()
    except BrokenProcessPool:
        leash.close()  # the pool asks the other workers to end and waits for them; between tasks they heed no signal
        reason = "a worker process ended abruptly (killed, or out of memory); run with fewer `--workers`"
        return Done(Unstarted.of(task.scenario, reason), f"{task.scenario.name}: {reason}", 3)
    return done


_stopping_flag: Any = None
"""In a worker: whether its parent was told to stop."""
_working = threading.Lock()


def _begin(flag: Any, held: Any) -> None:
    """Prepare a worker: between its tasks it leaves signals to its parent, and it never outlives that."""
    global _stopping_flag  # noqa: PLW0603 - a pool has no other way to hand its workers something
    _stopping_flag = flag
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    threading.Thread(target=_go_when_let_go, args=(held,), daemon=True).start()


def _go_when_let_go(held: Any) -> None:
    """When the parent is gone or gives up, stop the run that is under way, let it settle, and go too."""
    held.poll(None)  # nothing is ever sent: it answers when the other end is closed
    _stopping_flag.value = True
    os.kill(os.getpid(), signal.SIGINT)
    with _working:
        os._exit(1)


def _work(task: Task) -> Done:
    with _working:
        return rehearse_one(task)


def _told_to_stop() -> bool:
    return _stopping_flag is not None and bool(_stopping_flag.value)
