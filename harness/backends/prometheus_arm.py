"""What Prometheus knows of one arm, laid over what the clients know of it."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from harness.backends.prometheus_series import Counted
from harness.domain.lost import LOST, PRESUMED
from harness.errors import BackendError
from harness.protocols import ArmSample
from harness.stats.cumulative import from_cumulative
from harness.stats.histogram import Histogram

CODES: Final = ("code", "status", "status_code", "response_code")
"""Labels that say what an answer's status was."""
BUCKETS: Final = {"latency_buckets": 1.0, "latency_buckets_ms": 1000.0}
"""How many of their bounds make a second."""


@dataclass(frozen=True, slots=True)
class OpenSample(ArmSample):
    """What an arm did, and which of its figures nobody knows."""

    open: frozenset[str] = frozenset()
    """Metrics of which Prometheus knew nothing: they are no zeros."""

    def figures(self) -> dict[str, float | None]:
        """As of any arm; None for what is open."""
        # Not super(): a class with slots is made anew by its decorator, and super() would look at the one before.
        return {**ArmSample.figures(self), **dict.fromkeys(self.open)}


@dataclass(frozen=True, slots=True)
class Answers:
    """What the queries of one arm came to, by name."""

    counts: Mapping[str, Counted] = field(default_factory=dict)
    figures: Mapping[str, float | None] = field(default_factory=dict)
    """Of metrics that have a query of their own; None: Prometheus knows none."""

    def over(self, seen: ArmSample, *, by_servers: bool = False) -> ArmSample:
        """The arm as Prometheus counted it.

        Args:
            seen: what the clients met: arrivals, labels and quality stay theirs.
            by_servers: requests are counted by those who answer them. What no server can count (nobody listened, the
                answer broke off, none came in time) the clients add, else an arm that hangs would look healthy.
        """
        open_figures = {name for name, figure in self.figures.items() if figure is None}
        requests, failed = self.counts.get("requests", _NOTHING), self.counts.get("failed", _NOTHING)
        known = requests.seen and not requests.spoilt and not failed.spoilt
        if not known and (seen.arrivals or requests.spoilt or failed.spoilt):
            open_figures.add("requests")  # there were some, or nobody can tell
        errors = _errors(failed) if known else {}
        total = requests.total if known else 0
        unseen = {kind: count for kind, count in seen.errors.items() if by_servers and known and _unseen(kind)}
        more = sum(unseen.values())
        return OpenSample(
            requests=total + more,
            failed=min(failed.total, total) + more if known else 0,
            errors={**errors, **unseen},
            latency=self._latency() if known else Histogram(),
            arrivals=seen.arrivals,
            labelled=seen.labelled,
            quality=seen.quality,
            span_ns=seen.span_ns,
            gauges={**seen.gauges, **{name: known for name, known in self.figures.items() if known is not None}},
            users=seen.users,
            open=frozenset(open_figures),
        )

    def _latency(self) -> Histogram:
        """Of the buckets, where they are known; else empty."""
        for name, in_a_second in BUCKETS.items():
            buckets, total = self.counts.get(name, _NOTHING), self.counts.get("latency_sum", _NOTHING)
            if buckets.seen and not buckets.spoilt:
                counts: Counter[float] = Counter()
                for labels, count in buckets.rises:
                    counts[_bound(labels) / in_a_second] += count
                return from_cumulative(counts, total.total if total.seen and not total.spoilt else None)
        return Histogram()


_NOTHING: Final = Counted((), seen=False, spoilt=False)


def _unseen(kind: str) -> bool:
    """Whether no server can count a failure of that kind."""
    bare = kind.removeprefix(PRESUMED)
    return bare in LOST or bare == "timeout"


def _errors(failed: Counted) -> dict[str, int]:
    """Failures by kind: by status, where the series say it."""
    kinds: Counter[str] = Counter()
    for labels, count in failed.rises:
        code = next((labels[name] for name in CODES if name in labels), "")
        kinds[f"http_{code}" if code else "error"] += count
    return {kind: count for kind, count in sorted(kinds.items()) if count}


def _bound(labels: Mapping[str, str]) -> float:
    try:
        bound = float(labels["le"])
    except (KeyError, ValueError):
        bound = math.nan
    if math.isnan(bound):
        raise BackendError(
            f"a bucket of real.prometheus.queries has no bound (le) among its labels {dict(labels)}; keep it, as in "
            "sum by (le) (…)"
        )
    return bound
