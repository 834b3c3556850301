"""The service times of a load test as a table of quantiles, which scenarios take: ``service_time: {profile: FILE}``.

The file is YAML without a date, so that the same test writes the same file::

    harness_profile: 1
    source: "http://127.0.0.1:8080/predict"
    count: 15010
    rate_per_s: 499.8
    mean_s: 0.00465
    quantiles:            # [share of the requests that took at most so long, seconds]
      - [0, 0.00053]
      - [0.5, 0.0041]
      - [1, 0.0438]

Between two quantiles times are spread evenly.
"""

import json
from typing import Final

import numpy as np

from harness.domain.units import SECOND
from harness.errors import InputError
from harness.report.load_result import LoadResult
from harness.stats.blocks import bucket_edges
from harness.stats.histogram import Histogram

PROFILE_VERSION: Final = 1
PER_DECADE: Final = 16


def profile_of(result: LoadResult) -> str:
    """The file's text.

    Raises:
        InputError: no request was answered, or the log was cut off before its histograms.
    """
    if not result.service.count or not result.service.histogram:
        raise InputError("--save-profile: no service times were measured; test until some requests are answered")
    histogram = Histogram.from_dict(result.service.histogram)
    lines = [
        "# Service times of a load test; in a scenario: service_time: {profile: FILE}",
        f"harness_profile: {PROFILE_VERSION}",
        f"source: {json.dumps(result.asked.url, ensure_ascii=False)}",
        f"count: {histogram.count}",
        f"rate_per_s: {result.achieved_rate or 0.0:.9g}",
        f"mean_s: {histogram.mean_s:.9g}",
        "quantiles:  # [share of the requests that took at most so long, seconds]",
        *(f"  - [{share:.9g}, {seconds:.9g}]" for share, seconds in table(histogram)),
    ]
    return "\n".join(lines) + "\n"


def table(histogram: Histogram) -> list[tuple[float, float]]:
    """Shares and the seconds that they do not exceed, rising: by hundredths, and finer the farther out in the tail.

    >>> [share for share, _ in table(Histogram.of([1000, 2000, 3000, 4000]))][-3:]
    [0.98, 0.99, 1.0]
    """
    shares = np.union1d(np.linspace(0, 0.99, 100), 1 - 10 ** -np.arange(0, _decades(histogram.count), 1 / PER_DECADE))
    shares = np.append(shares, 1.0)
    edges = np.array([bucket_edges(histogram.first + int(place)) for place in np.flatnonzero(histogram.counts)])
    some = histogram.counts[histogram.counts > 0]
    rising = np.cumsum(some) / some.sum()
    # Within a bucket times lie evenly between its edges.
    known = np.stack([np.concatenate([[0.0], rising[:-1]]), rising], axis=1).ravel()
    seconds = np.interp(shares, known, edges.ravel() / SECOND)
    return [
        (float(f"{share:.6g}"), float(at)) for share, at in zip(shares, np.maximum.accumulate(seconds), strict=True)
    ]


def _decades(count: int) -> float:
    """How far into the tail so many observations reach."""
    return float(np.log10(max(count, 10)))
