"""The feedback loop over a stream of rows: test, then train when an alarm asks for it.

What the loop does in a rehearsal, without traffic and rollouts, so that it can be followed over a whole data set: rows
come in order, chunk by chunk. A chunk is answered by the model that is in service; then its true answers become known.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.domain.lifecycle import RetrainPlan
from harness.drift.online import Detector
from harness.training.retrain import MIN_JUDGED, cut

Answers = Callable[[int, int], NDArray[np.bool_]]
"""Which of the rows ``[start, stop)`` a model answers rightly."""
Learn = Callable[[int, int], Answers]
"""A model that has learned from the rows ``[start, stop)``."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenger that an alarm led to."""

    row: int
    """How many rows were known."""
    challenger: float
    """Its share of right answers on the rows that were kept apart."""
    champion: float

    @property
    def better(self) -> bool:
        """It took the champion's place."""
        return self.challenger > self.champion


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """How a stream was answered."""

    first: int
    """The rows before were learned from, and not answered."""
    right: NDArray[np.bool_]
    """Of each row from there on."""
    alarms: tuple[int, ...] = ()
    """How many rows were known at each."""
    challenges: tuple[Challenge, ...] = ()

    @property
    def accuracy(self) -> float:
        """Prequential accuracy over the whole stream."""
        return float(self.right.mean())


def course(
    count: int,
    first: int,
    chunk: int,
    learn: Learn,
    plan: RetrainPlan | None = None,
    detector: Callable[[], Detector] | None = None,
) -> Course:
    """Answer a stream of rows; with a plan and a detector, retrain upon an alarm.

    The detector hears the errors of a chunk when its answers become known, which is at the chunk's end. A challenger
    learns from the plan's window, and takes over where it is better on the newest rows, kept apart for that
    (`harness.training.retrain.cut`). A new champion is heard by a new detector.

    Args:
        count: of all rows.
        first: how many the first model learns from.
        chunk: rows that are answered before their true answers become known.
        learn: trains a model.
        plan: of retraining; its gates, limits and distances are those of a run, and mean nothing here.
        detector: makes a new one.
    """
    champion, learned = learn(0, first), first
    right = np.zeros(count - first, dtype=bool)
    alarms: list[int] = []
    challenges: list[Challenge] = []
    ear = detector() if detector else None
    for start in range(first, count, chunk):
        stop = min(start + chunk, count)
        right[start - first : stop - first] = champion(start, stop)
        if plan is None or ear is None or detector is None or not _alarmed(ear, right[start - first : stop - first]):
            continue
        alarms.append(stop)
        places = cut(plan, first, stop, learned)
        if places.stop - places.judged < MIN_JUDGED or places.judged <= places.start:
            continue
        challenger = learn(places.start, places.judged)
        shares = (float(model(places.judged, places.stop).mean()) for model in (challenger, champion))
        challenges.append(Challenge(stop, *shares))
        if challenges[-1].better:
            champion, learned, ear = challenger, places.judged, detector()
    return Course(first, right, tuple(alarms), tuple(challenges))


def _alarmed(ear: Detector, right: NDArray[np.bool_]) -> bool:
    """Whether any of a chunk's errors is an alarm; all are heard."""
    alarms = [ear.update(float(not each)) for each in right]
    return any(alarms)


def persistence(target: NDArray[np.generic], first: int, delay: int = 1) -> Course:
    """The baseline without change: each row's answer is the true one of the row ``delay`` before.

    On streams whose answers come in runs it is hard to beat (Žliobaitė et al., "Evaluation methods and decision theory
    for classification of streaming data with temporal dependence", Machine Learning 98, 2015).
    """
    return Course(first, np.asarray(target[first:] == target[first - delay : len(target) - delay]))
