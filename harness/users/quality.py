"""How good the answers were that really came, from the labels that have arrived.

The metrics and their conventions are the simulator's (`harness.drift.quality`, as scikit-learn's for rows repeated as
often as they were answered); but what was answered is what came over the wire, not what the model would have said.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.domain.model import Role, Task
from harness.drift import quality
from harness.sim.population import Answers
from harness.users.records import Table

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

CLASSES: Final = 2


def worse(answers: Answers, table: Table) -> BoolArray:
    """Which answers the rollout made worse, in the sense of `sim.population.Answers.bad`, were they the candidate's.

    Args:
        answers: knows what is true, and what stable would have said.
        table: what came; failures and answers to no row are none.
    """
    found = np.zeros(len(table), np.bool_)
    asked = table.ok & (table["row"] >= 0)
    for level in np.unique(table["level"][asked]).tolist():
        mine = asked & (table["level"] == level)
        row, said = table["row"][mine], table["predicted"][mine]
        truth, stable = answers.truth(level)[row], answers.predicted(Role.STABLE, level)[row]
        if answers.task is Task.CLASSIFICATION:
            found[mine] = (said != truth) & (stable == truth)
        else:
            usual = np.abs(answers.predicted(Role.STABLE, 0) - answers.truth(0)).mean()
            found[mine] = np.abs(said - truth) > np.maximum(2 * np.abs(stable - truth), usual)
    return found


def labelled(answers: Answers, table: Table) -> Table:
    """Those answers of which something becomes known: drawn for a label, and there is one for their row."""
    mask = table.ok & (table["row"] >= 0) & (table["labelled"] == 1)
    if answers.knowable is not None:
        mask[mask] = answers.knowable[table["row"][mask]]
    return table.where(mask)


@dataclass(slots=True)
class Cells:
    """Labelled answers of one level of drift, by row; of two that said the same of a row, the later score stands."""

    counts: IntArray
    """(classes or 1, rows) how often each was answered so."""
    scores: FloatArray
    """(classes or 1, rows) NaN where none was told."""


@dataclass(slots=True)
class Labelled:
    """Labelled answers added up: memory grows with rows and levels, not with time.

    Args:
        answers: knows what becomes known of each row.
    """

    answers: Answers
    count: int = 0
    _cells: dict[int, Cells] = field(default_factory=dict)
    _squared: float = 0.0
    _absolute: float = 0.0

    def add(self, table: Table) -> "Labelled":
        """Add answers, as `labelled` gives them."""
        self.count += len(table)
        classifies = self.answers.task is Task.CLASSIFICATION
        for level in np.unique(table["level"]).tolist():
            mine = table.where(table["level"] == level)
            row, said = mine["row"], mine["predicted"]
            place = said.astype(np.int64) if classifies else np.zeros(len(mine), np.int64)
            cells = self._of(level)
            np.add.at(cells.counts, (place, row), 1)
            cells.scores[place, row] = mine["score"]
            if not classifies:
                error = said - self.answers.known(level)[row]
                self._squared += float((error**2).sum())
                self._absolute += float(np.abs(error).sum())
        return self

    def _of(self, level: int) -> Cells:
        if level not in self._cells:
            shape = (CLASSES if self.answers.task is Task.CLASSIFICATION else 1, self.answers.rows)
            self._cells[level] = Cells(np.zeros(shape, np.int64), np.full(shape, np.nan))
        return self._cells[level]

    def figures(self) -> dict[str, float]:
        """accuracy, precision, recall, f1, auc and log_loss, or rmse, mae and r2; those that are defined.

        auc and log_loss need a ``confidence`` in each answer: where a server tells none, they are left out.
        """
        if not self.count:
            return {}
        cells = [self._entries(level) for level in sorted(self._cells)]
        counts, truth, said, scores = (np.concatenate(column) for column in zip(*cells, strict=True))
        if self.answers.task is Task.REGRESSION:
            return self._deviations(counts, truth)
        told = not np.isnan(scores).any()
        losses = quality.log_losses(truth, scores) if told else None
        found = quality.classification(counts, truth, said, np.nan_to_num(scores), losses)
        if not told:
            found.pop("auc", None)
        return found

    def _entries(self, level: int) -> tuple[Any, Any, Any, Any]:
        """For each row and answer that occurred: how often, what is known, what was said, and its score."""
        cells = self._cells[level]
        place, row = cells.counts.nonzero()
        return cells.counts[place, row], self.answers.known(level)[row], place, cells.scores[place, row]

    def _deviations(self, counts: IntArray, truth: FloatArray) -> dict[str, float]:
        found = {"rmse": (self._squared / self.count) ** 0.5, "mae": self._absolute / self.count}
        spread = float((counts * (truth - (counts * truth).sum() / self.count) ** 2).sum())
        if spread > 0 and self.count > 1:
            found["r2"] = 1 - self._squared / spread
        return found
