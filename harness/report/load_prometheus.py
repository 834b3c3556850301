"""A load test in Prometheus' text format (0.0.4), for a Pushgateway or the node exporter's textfile collector."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import numpy as np

from harness.domain.load import Spread
from harness.domain.units import SECOND
from harness.report.load_result import LoadResult
from harness.stats.histogram import REPRESENTATIVE_NS, Histogram

BOUNDS: Final = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
"""Seconds; what a bucket of ours straddles counts by what it stands for, so bounds hold within 0.8 %."""

Labels = Mapping[str, str]


def render(result: LoadResult) -> str:
    """All metrics of a test, each with the label ``test``, the name that its runs are kept under."""
    lines: list[str] = []
    for name, kind, about, samples in _metrics(result):
        said = list(samples)
        if said:
            lines += [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
            lines += [
                _sample(f"{name}{suffix}", {"test": result.name, **labels}, value) for suffix, labels, value in said
            ]
    return "\n".join(lines) + "\n"


Samples = Iterable[tuple[str, Labels, float | None]]


def _metrics(result: LoadResult) -> Iterator[tuple[str, str, str, Samples]]:
    counts = result.counts
    fates = {name: getattr(counts, name) for name in ("succeeded", "failed", "in_flight", "not_sent")}
    requests = [("", {"fate": fate}, float(number)) for fate, number in fates.items()]
    yield "harness_load_requests_total", "counter", "Requests that were due, by what became of them.", requests
    failed = [("", {"kind": kind}, float(number)) for kind, number in counts.errors.items()]
    yield "harness_load_failures_total", "counter", "Requests that failed, by kind.", failed
    unsent = [("", {"kind": kind}, float(number)) for kind, number in counts.unsent.items()]
    yield "harness_load_not_sent_total", "counter", "Requests that were not sent, by kind.", unsent
    yield "harness_load_success_ratio", "gauge", "Share of requests that were answered well.", _one(counts.success_rate)
    asked = "Requests asked for, in 1/s."
    yield "harness_load_asked_requests_per_second", "gauge", asked, _one(result.asked_rate)
    reached = "Requests answered well, in 1/s."
    yield "harness_load_achieved_requests_per_second", "gauge", reached, _one(result.achieved_rate)
    spreads = {
        "latency": (result.latency, "From the moment a request was due to its answer."),
        "service_time": (result.service, "From the moment a request was sent to its answer."),
        "send_lag": (result.lag, "What the generator added: from the moment a request was due to its sending."),
        "first_byte": (result.first_byte, "From the sending of a request to the first byte of its answer."),
        "gap": (result.gap, "From one piece of an answer to the next."),
    }
    for name, (spread, about) in spreads.items():
        yield f"harness_load_{name}_seconds", "histogram", about, _histogram(spread)
    slos = [("", {"slo": slo.text}, float(slo.passed)) for slo in result.slos]
    yield "harness_load_slo_met", "gauge", "Whether an objective was met.", slos
    grade = [("", {"grade": result.grade}, 1.0)] if result.grade else []
    yield "harness_load_grade_info", "gauge", "The grade; absent where there is none.", grade
    yield "harness_load_passed", "gauge", "Whether all that was asked for was met.", _one(float(result.passed))
    yield "harness_load_measured_seconds", "gauge", "How long was measured.", _one(result.elapsed_s)


def _one(value: float | None) -> Samples:
    return [] if value is None else [("", {}, value)]


def _histogram(spread: Spread | None) -> Samples:
    if spread is None or not spread.histogram:
        return
    histogram = Histogram.from_dict(spread.histogram)
    values = REPRESENTATIVE_NS[histogram.first : histogram.first + histogram.counts.size]
    rising = np.concatenate([[0], np.cumsum(histogram.counts)])
    for bound in BOUNDS:
        yield "_bucket", {"le": f"{bound:g}"}, float(rising[np.searchsorted(values, bound * SECOND, side="right")])
    yield "_bucket", {"le": "+Inf"}, float(histogram.count)
    yield "_sum", {}, histogram.sum_ns / SECOND
    yield "_count", {}, float(histogram.count)


def _sample(name: str, labels: Labels, value: float | None) -> str:
    said = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"{name}{{{said}}} {0.0 if value is None else value:.12g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
