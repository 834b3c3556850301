"""What the router tells of itself, all through a run: that it died is worth a line whatever is under way."""

from harness.domain.event import Noticed
from harness.engine.executor import Executor
from harness.realtime import Noticing


async def overheard(executor: Executor) -> None:
    """Log what the router tells of itself, where it does, until cancelled."""
    if isinstance(router := executor.parts.platform.router, Noticing):
        async for notice in router.notices():
            executor.tell(Noticed, notice.kind, notice.on, notice.text)
