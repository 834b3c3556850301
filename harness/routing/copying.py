"""Copies of stable's requests for the candidate: nobody gets their answers, and nobody waits for them.

A copy is sent once its original was answered, or has begun to be where the answer is a long one (then its text is
compared with nothing). What it is answered is held against the original's answer: labels are
alike where they are equal; values, where they are no farther apart than a tenth of the standard deviation of what
stable has answered so far (in a rehearsal: of the true values, which a router does not know).
"""

import asyncio
import json
import math
from array import array
from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import Any, Final

from multidict import CIMultiDict

from harness.domain.model import Role
from harness.realtime import COPY_HEADER
from harness.routing.asking import Answer, Asker, Unanswered
from harness.routing.metrics import Metrics

MOST: Final = 256
"""Copies under way at once; what comes beyond that is dropped, and counted."""
KEPT: Final = 500_000
"""Copies whose figures are remembered; the oldest half goes when there are more."""
ALIKE: Final = 0.1
ANSWERED, ERROR, TIMEOUT, REJECTED, CRASH, NO_REPLICA = range(6)
FAULTS: Final = ("", "error", "timeout", "rejected", "crash", "no_replica")
_REASONS: Final = {"timeout": TIMEOUT, "no_replica": NO_REPLICA}
UNKNOWN, DIFFERENT, SAME = range(3)


class Spreading:
    """Standard deviation of values as they come (Welford, 1962)."""

    def __init__(self) -> None:
        self._count, self._mean, self._squares = 0, 0.0, 0.0

    def add(self, value: float) -> None:
        """One more."""
        self._count += 1
        off = value - self._mean
        self._mean += off / self._count
        self._squares += off * (value - self._mean)

    @property
    def deviation(self) -> float:
        """0.0 where there are fewer than two."""
        return math.sqrt(self._squares / self._count) if self._count > 1 else 0.0


def predictions(body: bytes) -> list[Any] | None:
    """What a body predicts, in the three protocols of our server; None where it is none of them.

    >>> predictions(b'{"prediction": "Yes", "confidence": 0.8}'), predictions(b'{"predictions": [1, 2]}')
    (['Yes'], [1, 2])
    """
    try:
        said = json.loads(body)
    except ValueError:
        return None
    if not isinstance(said, dict):
        return None
    if "prediction" in said:
        return [said["prediction"]]
    if isinstance(said.get("predictions"), list):
        return list(said["predictions"])
    outputs = said.get("outputs")
    if isinstance(outputs, list) and outputs and isinstance(outputs[0], dict):
        data = outputs[0].get("data")
        return list(data) if isinstance(data, list) else None
    return None


class Ended:
    """Copies that have come to an end, in the order in which they did."""

    def __init__(self) -> None:
        self.at_ns, self.took_ns, self.what = array("q"), array("q"), array("b")
        self.begun_ns = array("q")
        """When each began, rising."""
        self.agreed = array("b")

    def begin(self, at_ns: int) -> None:
        """One begins."""
        self.begun_ns.append(at_ns)
        if len(self.begun_ns) > KEPT:
            del self.begun_ns[: KEPT // 2]

    def end(self, at_ns: int, took_ns: int, what: int, agreed: int) -> None:
        """One has ended."""
        for kept, value in zip(self._kept(), (at_ns, took_ns, what, agreed), strict=True):
            kept.append(value)
            if len(kept) > KEPT:
                del kept[: KEPT // 2]

    def _kept(self) -> tuple["array[int]", ...]:
        return self.at_ns, self.took_ns, self.what, self.agreed

    def window(self, start_ns: int, stop_ns: int) -> dict[str, Any]:
        """Figures of those that ended in ``[start, stop)``, and how many began then."""
        from harness.stats.histogram import Histogram

        first, last = bisect_left(self.at_ns, start_ns), bisect_left(self.at_ns, stop_ns)
        what, agreed = self.what[first:last], self.agreed[first:last]
        errors = {name: what.count(code) for code, name in enumerate(FAULTS) if code and what.count(code)}
        begun = bisect_left(self.begun_ns, stop_ns) - bisect_left(self.begun_ns, start_ns)
        return {
            "begun": begun,
            "ended": last - first,
            "errors": errors,
            "latency": Histogram.of(self.took_ns[first:last]).to_dict(),
            "same": agreed.count(SAME),
            "different": agreed.count(DIFFERENT),
        }


class Copies:
    """Sends copies, and knows what became of them.

    Args:
        asker: asks the candidate's replicas.
        metrics: counts them.
        now: the machine's monotonic clock, ns.
    """

    def __init__(self, asker: Asker, metrics: Metrics, now: Callable[[], int]) -> None:
        self._asker, self._metrics, self._now = asker, metrics, now
        self._tasks: set[asyncio.Task[None]] = set()
        self._spreading = Spreading()
        self.ended = Ended()
        self.totals = {"begun": 0, "ended": 0, "dropped": 0, "first_ns": 0}
        self.errors: dict[str, int] = {}

    def offer(self, method: str, path: str, headers: CIMultiDict[str], body: bytes, original: Answer) -> None:
        """Send a copy, if there is room."""
        if len(self._tasks) >= MOST:
            self.totals["dropped"] += 1
            self._metrics.copies["dropped"] += 1
            return
        task = asyncio.create_task(self._send(method, path, headers, body, original))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up those that are under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def told(self, start_ns: int, stop_ns: int) -> Mapping[str, Any]:
        """Of a window, and since the beginning, as JSON holds it."""
        whole = {**self.totals, "errors": self.errors}
        return {"window": self.ended.window(start_ns, stop_ns), "totals": whole}

    async def _send(self, method: str, path: str, headers: CIMultiDict[str], body: bytes, original: Answer) -> None:
        await asyncio.sleep(0)  # the original's answer goes first
        began_ns = self._now()
        self.ended.begin(began_ns)
        self.totals["begun"] += 1
        self.totals["first_ns"] = self.totals["first_ns"] or began_ns
        marked = headers.copy()
        marked[COPY_HEADER] = "1"
        agreed = UNKNOWN
        try:
            answer = await self._asker.ask(_candidate, method, path, marked, body)
            self._asker.end(answer)  # of a long one the beginning is enough
            what = _fault(answer.status, original.status)
            if what == ANSWERED and original.status == answer.status:
                agreed = self._compare(original.body, answer.body)
        except Unanswered as error:
            what = _REASONS.get(error.reason, CRASH)
        self._end(began_ns, what, agreed)

    def _end(self, began_ns: int, what: int, agreed: int) -> None:
        at_ns = self._now()
        self.ended.end(at_ns, at_ns - began_ns, what, agreed)
        self.totals["ended"] += 1
        if what:
            self.errors[FAULTS[what]] = self.errors.get(FAULTS[what], 0) + 1
        self._metrics.copied(
            at_ns - began_ns, failed=what != ANSWERED, agreed=None if agreed == UNKNOWN else agreed == SAME
        )

    def _compare(self, original: bytes, copy: bytes) -> int:
        one, other = predictions(original), predictions(copy)
        if one is None or other is None:
            return UNKNOWN
        for value in one:
            if isinstance(value, float):
                self._spreading.add(value)
        alike = len(one) == len(other) and all(map(self._alike, one, other))
        return SAME if alike else DIFFERENT

    def _alike(self, one: Any, other: Any) -> bool:
        if isinstance(one, float) and isinstance(other, float | int) and not isinstance(other, bool):
            return abs(one - other) <= ALIKE * self._spreading.deviation
        return bool(one == other)


def _candidate() -> Role:
    return Role.CANDIDATE


def _fault(status: int, original: int) -> int:
    """What a copy's status is; where the original was refused as wrong, so may its copy be."""
    if status < 400 or (400 <= original < 500 and status < 500):
        return ANSWERED
    return REJECTED if status in (429, 503) else ERROR
