"""What is told of data drift before a rollout, as values: only where the scenario asks."""

from dataclasses import dataclass

from harness.domain.drift import RuleVerdict
from harness.domain.event import Event


@dataclass(frozen=True, slots=True)
class ColumnChecked:
    """One column of a comparison."""

    name: str
    test: str
    p_value: float
    """Corrected for all columns."""
    effect: float
    """In 0..1, as `harness.domain.drift.ColumnDrift` has it."""
    drifted: bool
    reference: float | None = None
    """Its mean, or the share that is missing where that is what was tested; None of other categories."""
    current: float | None = None


@dataclass(frozen=True, slots=True)
class DataDriftChecked(Event):
    """The newest data were compared with the data set."""

    reference: str
    """File name, without its folder."""
    current: str
    reference_rows: int
    current_rows: int
    alpha: float
    """The false-alarm rate over all detectors."""
    detected: bool
    score: float
    columns: tuple[ColumnChecked, ...]
    """The drifted first, the greatest effect first."""
    absent: tuple[str, ...]
    """Columns that the newest data lack."""
    auc: float | None
    """Of the classifier that tells both apart; None where it was not tried."""
    auc_p_value: float | None
    rules: tuple[RuleVerdict, ...]
    recommendations: tuple[str, ...]
    notes: tuple[str, ...] = ()
    told_apart: bool | None = None
    """Whether the classifier did."""
