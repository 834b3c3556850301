"""What blocks, beside an event loop: a load test runs in a thread, and its loop goes on meanwhile."""

from collections.abc import Callable

import anyio
import anyio.lowlevel


async def beside(work: Callable[[], None], stop: Callable[[str], object]) -> None:
    """Run something that blocks in a thread; cancelled, ask it to stop, and wait until it has."""
    done = anyio.Event()

    async def watch() -> None:
        try:
            await done.wait()
        except anyio.get_cancelled_exc_class():
            stop("a cancellation")
            raise

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        with anyio.CancelScope(shield=True):
            try:
                await anyio.to_thread.run_sync(work)
            finally:
                done.set()
    await anyio.lowlevel.checkpoint_if_cancelled()  # what came of it after all is nobody's any more
