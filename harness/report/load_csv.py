"""A load test's series as CSV: a line for each interval, by due time; the warm-up's lines say so."""

import csv
import io

from harness.report.load_result import LoadResult

COUNTS = ("scheduled", "sent", "succeeded", "failed", "in_flight", "not_sent")
FIGURES = ("mean", "p50", "p95", "p99", "max", "lag_p99", "ttfb_p99", "busy", "machine")


def render(result: LoadResult) -> str:
    """All intervals: times and latencies in seconds, rates per second, shares in 0..1; empty where nothing is known.

    ``rate`` is of those that succeeded. Each kind of failure, and of requests that were not sent, has a column.
    """
    failed = sorted({kind for each, _ in result.timeline for kind in each.counts.errors})
    unsent = sorted({kind for each, _ in result.timeline for kind in each.counts.unsent})
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    kinds = [*(f"failed_{kind}" for kind in failed), *(f"not_sent_{kind}" for kind in unsent)]
    writer.writerow(["start_s", "stop_s", "warmup", *COUNTS, "asked_rate", "rate", *FIGURES, *kinds])
    for each, warmup in result.timeline:
        width, counts = each.stop_s - each.start_s or 1.0, each.counts
        writer.writerow(
            [
                f"{each.start_s:g}",
                f"{each.stop_s:g}",
                int(warmup),
                *(getattr(counts, name) for name in COUNTS),
                f"{counts.scheduled / width:.9g}",
                f"{counts.succeeded / width:.9g}",
                *(_cell(each.figures.get(name)) for name in FIGURES),
                *(counts.errors.get(kind, 0) for kind in failed),
                *(counts.unsent.get(kind, 0) for kind in unsent),
            ]
        )
    return out.getvalue()


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.9g}"
