"""The metrics that rules may speak of, and where each of them is measured.

Adding a metric is adding a line to the table. Nothing here measures: a scope says whether a figure will exist at the
place where a rule stands, so that a rule about nothing is an error at load time instead of a run without a verdict.
"""

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Final

from harness.domain.analysis import Unit
from harness.domain.model import Task


class Kind(Enum):
    """What a metric is measured from."""

    LATENCY = auto()
    ERRORS = auto()
    TRAFFIC = auto()
    CLASSIFICATION = auto()
    """The answers of a classifier against their labels."""
    REGRESSION = auto()
    """The answers of a regressor against their labels."""
    DRIFT = auto()
    """The inputs, or the answers, against those the model was trained with."""
    GAUGE = auto()
    """The servers."""
    RUN = auto()
    """The run as a whole, once it is over."""
    SHADOW = auto()
    """The answers of both arms to the same requests."""
    LOAD = auto()
    """A load test."""
    STREAM = auto()
    """Answers that come in pieces, in a load test."""


QUALITY: Final = frozenset({Kind.CLASSIFICATION, Kind.REGRESSION})


class Better(StrEnum):
    """Which way a metric improves."""

    LOWER = "lower"
    HIGHER = "higher"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure that rules may compare."""

    name: str
    unit: Unit
    kind: Kind
    better: Better
    about: str
    least: float | None = 0.0
    """No figure lies below; None: there is no such bound."""
    words: tuple[str, ...] = ()
    """The words that a text metric may equal; empty: any."""

    @property
    def relative(self) -> bool:
        """Whether stable has a figure of its own to compare with."""
        return self.kind not in {Kind.RUN, Kind.SHADOW} and self.unit is not Unit.TEXT


OUTCOMES: Final = ("promoted", "rolled_back", "rejected", "kept_stable", "paused", "aborted", "failed", "error")
"""What can become of a candidate, over all strategies."""

_MOST_WORDS: Final = 50

_S, _SHARE, _RATE, _NONE, _TEXT = Unit.SECONDS, Unit.SHARE, Unit.RATE, Unit.NONE, Unit.TEXT
_LOW, _HIGH, _EVEN = Better.LOWER, Better.HIGHER, Better.NEITHER
_QUANTILES: Final = {"mean": "mean", "p50": "median", "p90": "90 %", "p95": "95 %", "p99": "99 %"}

_TABLE: Final = (
    Metric("mean", _S, Kind.LATENCY, _LOW, "mean latency"),
    Metric("p50", _S, Kind.LATENCY, _LOW, "median latency"),
    Metric("p90", _S, Kind.LATENCY, _LOW, "latency that 90 % of the requests stay below"),
    Metric("p95", _S, Kind.LATENCY, _LOW, "latency that 95 % of the requests stay below"),
    Metric("p99", _S, Kind.LATENCY, _LOW, "latency that 99 % of the requests stay below"),
    Metric("p999", _S, Kind.LATENCY, _LOW, "latency that 99.9 % of the requests stay below"),
    Metric("error_rate", _SHARE, Kind.ERRORS, _LOW, "share of requests that failed"),
    Metric("success_rate", _SHARE, Kind.ERRORS, _HIGH, "share of requests that were answered well"),
    Metric("rate", _RATE, Kind.TRAFFIC, _EVEN, "requests per second"),
    Metric("requests", _NONE, Kind.TRAFFIC, _EVEN, "number of requests"),
    Metric("accuracy", _SHARE, Kind.CLASSIFICATION, _HIGH, "share of right answers"),
    Metric("precision", _SHARE, Kind.CLASSIFICATION, _HIGH, "share of right ones among positive answers"),
    Metric("recall", _SHARE, Kind.CLASSIFICATION, _HIGH, "share of the positive cases that were found"),
    Metric("f1", _SHARE, Kind.CLASSIFICATION, _HIGH, "harmonic mean of precision and recall"),
    Metric("auc", _SHARE, Kind.CLASSIFICATION, _HIGH, "area under the ROC curve"),
    Metric("log_loss", _NONE, Kind.CLASSIFICATION, _LOW, "mean negative log likelihood"),
    Metric("rmse", _NONE, Kind.REGRESSION, _LOW, "root of the mean squared error, in the target's unit"),
    Metric("mae", _NONE, Kind.REGRESSION, _LOW, "mean absolute error, in the target's unit"),
    Metric("r2", _NONE, Kind.REGRESSION, _HIGH, "share of the variance explained; below 0: worse than the mean", None),
    Metric("drift_score", _SHARE, Kind.DRIFT, _LOW, "drift of the inputs, from 0 to 1"),
    Metric("prediction_drift", _SHARE, Kind.DRIFT, _LOW, "drift of the answers"),
    Metric("utilisation", _SHARE, Kind.GAUGE, _LOW, "share of the servers' slots that are busy"),
    Metric("queue_length", _NONE, Kind.GAUGE, _LOW, "requests that wait"),
    Metric("replicas_ready", _NONE, Kind.GAUGE, _HIGH, "replicas that are ready"),
    Metric("outcome", _TEXT, Kind.RUN, _EVEN, "what became of the candidate", words=OUTCOMES),
    Metric("reason", _TEXT, Kind.RUN, _EVEN, "why the run ended as it did"),
    Metric("detected_after", _S, Kind.RUN, _LOW, "from the candidate's first request to the deciding verdict"),
    Metric("candidate_requests", _NONE, Kind.RUN, _LOW, "requests that the candidate got"),
    Metric("candidate_share_max", _SHARE, Kind.RUN, _LOW, "highest share of traffic the candidate had"),
    Metric("bad_responses", _NONE, Kind.RUN, _LOW, "requests that failed, or got a wrong answer for a right one"),
    Metric("failed_requests", _NONE, Kind.RUN, _LOW, "requests that failed"),
    Metric("duration", _S, Kind.RUN, _EVEN, "how long the run took, in its own time"),
    Metric("agreement", _SHARE, Kind.SHADOW, _HIGH, "share of requests that both arms answer alike"),
    Metric("grade", _TEXT, Kind.LOAD, _HIGH, "grade of a load test", words=("A+", "A", "B", "C", "F")),
    Metric("score_distance", _NONE, Kind.SHADOW, _LOW, "how far apart the arms' scores of a request are, on average"),
    Metric("users_exposed", _NONE, Kind.RUN, _LOW, "users whom the candidate answered at least once"),
    Metric(
        "users_harmed", _NONE, Kind.RUN, _LOW, "of them, those who got a failure, or a wrong answer for a right one"
    ),
    *(
        Metric(f"ttfb_{name}", _S, Kind.STREAM, _LOW, f"time to the first byte of an answer's body, {about}")
        for name, about in _QUANTILES.items()
    ),
    *(
        Metric(f"gap_{name}", _S, Kind.STREAM, _LOW, f"time from a piece of an answer to the next, {about}")
        for name, about in _QUANTILES.items()
    ),
)

METRICS: Final[Mapping[str, Metric]] = {metric.name: metric for metric in _TABLE}


class Standing(StrEnum):
    """Where a rule may stand."""

    GATES = "model.gates"
    ANALYSIS = "rollout.analysis.rules"
    EXPECT = "expect"
    LOAD = "slo"


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a rule stands in a scenario, and what that scenario measures."""

    standing: Standing
    task: Task | None = Task.CLASSIFICATION
    """What the model predicts; None where the scenario has no data set."""
    labels: bool = True
    """Whether true answers become known while the rollout is under way."""
    mirrored: bool = False
    """Whether requests are copied, so that the answers of both arms to the same request are known."""
    staged: bool = False
    """Whether the candidate stands a load test first, in staging or as a stage of its own."""
    streamed: bool = False
    """Of a load test: whether answers come in pieces, each with its time."""

    def names(self) -> tuple[str, ...]:
        """The metrics that are measured here."""
        return tuple(metric.name for metric in _TABLE if self.refusal(metric) is None)

    def refusal(self, metric: Metric) -> str | None:
        """Why that metric is not measured here, and what to change; None where it is."""
        return self._no_load(metric) if self.standing is Standing.LOAD else self._not_in_a_run(metric)

    def _not_in_a_run(self, metric: Metric) -> str | None:
        if metric.kind is Kind.SHADOW and not self.mirrored:
            return f"{metric.name} is only measured where requests are copied: in a shadow, or by a step mirror: 10%"
        if metric.kind is Kind.SHADOW and self.task is None:
            return f"{metric.name} compares models' answers to rows of a data set; add model.data"
        if metric.kind in {Kind.LOAD, Kind.STREAM}:
            return self._no_grade(metric)
        if self.standing is Standing.GATES and metric.kind not in QUALITY:
            return f"a gate judges held-out rows, before any request; {metric.name} is not measured there"
        if self.standing is Standing.ANALYSIS and metric.kind is Kind.RUN:
            return f"{metric.name} is known when the run is over; it belongs under expect"
        if metric.kind in QUALITY:
            return self._no_quality(metric)
        if metric.kind is Kind.DRIFT and self.task is None:
            return f"{metric.name} is measured against a data set; add model.data"
        return None

    def _no_load(self, metric: Metric) -> str | None:
        if metric.kind is Kind.STREAM and not self.streamed:
            return f"{metric.name} is only measured where answers come in pieces; add --stream"
        if metric.kind in {Kind.LATENCY, Kind.ERRORS, Kind.TRAFFIC, Kind.STREAM}:
            return None
        return f"{metric.name} is not measured by a load test"

    def _no_grade(self, metric: Metric) -> str | None:
        if metric.kind is Kind.STREAM:
            return f"{metric.name} is measured by a load test with --stream; it belongs to its --slo"
        if self.standing is not Standing.EXPECT:
            return f"{metric.name} is given to the load test before the rollout; it belongs under expect"
        if not self.staged:
            return f"{metric.name} is only given by a load test; add load, or staging, where the candidate stands one"
        return None

    def _no_quality(self, metric: Metric) -> str | None:
        if self.task is None:
            return f"{metric.name} is measured on a data set; add model.data"
        if self.task is Task.CLASSIFICATION and metric.kind is Kind.REGRESSION:
            return f"{metric.name} is measured of a regression; with model.data.positive this is a classification"
        if self.task is Task.REGRESSION and metric.kind is Kind.CLASSIFICATION:
            return f"{metric.name} is measured of a classification; add model.data.positive, or use rmse, mae or r2"
        if self.standing is not Standing.GATES and not self.labels:
            return f"{metric.name} needs true answers; add labels: {{delay: 15m, share: 30%}}"
        return None


def find(name: str, scope: Scope | None = None) -> Metric:
    """The metric of that name; ValueError, with the nearest right one, where there is none or it is not measured."""
    metric = METRICS.get(name)
    if metric is None:
        raise ValueError(f"no metric is called {name}; {suggestion(name, scope.names() if scope else METRICS)}")
    refusal = scope.refusal(metric) if scope else None
    if refusal:
        raise ValueError(refusal)
    return metric


def nearest(word: str, words: Collection[str]) -> str | None:
    """The word that was probably meant.

    >>> nearest("accuray", ("recall", "accuracy"))
    'accuracy'
    """
    lower = {known.lower(): known for known in words}
    close = difflib.get_close_matches(word.lower()[:80], lower, n=1, cutoff=0.6)
    return lower[close[0]] if close else None


def suggestion(word: str, words: Collection[str], what: str = "allowed") -> str:
    """The nearest right word, and all of them.

    >>> suggestion("canray", ("canary", "shadow"))
    'nearest: canary; allowed: canary, shadow'
    >>> suggestion("?", ())
    'allowed: none'
    """
    close = nearest(word, words)
    shown = [*words][:_MOST_WORDS] + ["…"] * (len(words) > _MOST_WORDS)
    allowed = f"{what}: {', '.join(shown) or 'none'}"
    return f"nearest: {close}; {allowed}" if close else allowed
