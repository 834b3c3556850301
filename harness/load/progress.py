"""How a load test stands while it runs: what its generators tell each second, put together."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from harness.domain.event import Figures
from harness.domain.load import Counts, LoadPlan
from harness.domain.load_event import LoadProgressed
from harness.domain.units import SECOND
from harness.load.generator import Snapshot
from harness.load.judge import holds
from harness.load.record import merged_counts
from harness.stats.grade import Rung, grade
from harness.stats.histogram import Histogram

WINDOW: Final = 10
"""Seconds over which `--abort-when` looks back, and farther where they hold too few requests."""
ENOUGH: Final = 20
"""Requests that it looks at, at least; before there were so many nothing is aborted."""
_QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}


class Progress:
    """Puts together what generators tell.

    Args:
        plan: the load test.
        workers: how many generators tell.
        rungs: the ladder of grades.
        tell: told how the test stands, once all have told of a second.
    """

    def __init__(
        self, plan: LoadPlan, workers: int, rungs: Sequence[Rung], tell: Callable[[LoadProgressed], object]
    ) -> None:
        self._plan, self._workers, self._rungs, self._tell = plan, workers, rungs, tell
        self._open: list[list[Snapshot]] = [[] for _ in range(workers)]
        self._latest: list[Snapshot | None] = [None] * workers
        self._so_far = Counts()
        self._latency = Histogram()
        self._window: deque[tuple[int, Counts, Histogram]] = deque()
        self.aborted = ""
        """The rule of `--abort-when` that came true; empty: none."""

    def take(self, worker: int, snapshot: Snapshot) -> None:
        """A generator tells how it stands."""
        self._open[worker].append(snapshot)
        self._latest[worker] = snapshot
        while all(self._open):
            self._put_together([told.pop(0) for told in self._open])

    def _put_together(self, told: list[Snapshot]) -> None:
        lately = merged_counts(each.counts for each in told)
        measured = merged_counts(each.measured for each in told)
        latency = Histogram.merge(each.latency for each in told)
        lag = Histogram.merge(each.lag for each in told)
        self._so_far = merged_counts([self._so_far, measured])
        if measured.scheduled:
            self._latency = self._latency + latency
        machines = [each.load.machine for each in told if each.load.machine is not None]
        figures = {
            **figures_of(latency, lately),
            "lag_p99": lag.quantile(0.99) / SECOND if lag.count else None,
            "busy": max(each.load.busy for each in told),
            "machine": max(machines, default=None),
        }
        so_far = figures_of(self._latency, self._so_far)
        ended = lately.succeeded + lately.failed + lately.not_sent
        second = max(each.second for each in told)
        self._remember(second, lately, latency)
        self._tell(
            LoadProgressed(
                second * SECOND,
                due=sum(each.sent for each in told),
                counts=Counts(
                    self._so_far.scheduled + sum(each.pending for each in told),
                    self._so_far.not_sent,
                    self._so_far.sent + sum(each.pending for each in told),
                    self._so_far.succeeded,
                    self._so_far.failed,
                    sum(each.pending for each in told),
                    self._so_far.errors,
                    self._so_far.unsent,
                ),
                rate_per_s=float(ended),
                figures=figures,
                so_far=so_far,
                grade=grade(so_far, self._rungs),
            )
        )
        self._look()

    def _remember(self, second: int, lately: Counts, latency: Histogram) -> None:
        """Add what a second saw to what is looked back at, and forget what is too old, as far as enough is left."""
        if lately.scheduled:
            self._window.append((second, lately, latency))
        held = sum(counts.scheduled for _, counts, _ in self._window)
        while self._window:
            oldest, counts, _ = self._window[0]
            held -= counts.scheduled
            if oldest > second - WINDOW or held < ENOUGH:
                return
            self._window.popleft()

    def _look(self) -> None:
        counts = merged_counts(each for _, each, _ in self._window)
        if counts.scheduled < ENOUGH or self.aborted:
            return
        figures = figures_of(Histogram.merge(each for _, _, each in self._window), counts)
        for rule in self._plan.abort_when:
            if holds(rule, figures):
                self.aborted = rule.text
                return


def figures_of(latency: Histogram, counts: Counts) -> Figures:
    """Percentiles and mean (s), rates (1/s over one second), shares; None where there was nothing to measure."""
    found: dict[str, float | None] = {"mean": latency.mean_s if latency.count else None}
    for name, q in _QUANTILES.items():
        found[name] = latency.quantile(q) / SECOND if latency.count else None
    rate = counts.success_rate
    ended = float(counts.succeeded + counts.failed + counts.not_sent)
    return found | {
        "success_rate": rate,
        "error_rate": None if rate is None else 1 - rate,
        "rate": float(counts.succeeded),
        "requests": ended,
    }
