"""Rules of quality: what data should be beyond their schema."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from harness.domain.quality import Severity


class Check(StrEnum):
    """What a rule looks for."""

    DUPLICATES = "duplicates"
    """Rows that are another row again, in all columns or in some."""
    OUTLIERS = "outliers"
    MISSING = "missing"
    CONSTANT = "constant"
    """Columns that hold one value."""
    LEAKAGE = "leakage"
    """Columns that are, or all but are, the target."""
    OVERLAP = "overlap"
    """Rows that the training data hold too."""
    BALANCE = "balance"
    """Classes of the target that are rare."""
    TYPES = "types"
    """Numbers among words, or words among numbers, in columns of words."""
    SPELLING = "spelling"
    """Categories that differ in blanks and capitals alone."""


class Method(StrEnum):
    """How an outlier is told from the rest."""

    IQR = "iqr"
    """Beyond the quartiles by so many interquartile ranges (Tukey's fences; quartiles as numpy's ``linear``)."""
    ZSCORE = "zscore"
    """So many standard deviations (of the sample, n - 1) from the mean."""
    MAD = "mad"
    """So many robust deviations from the median: 0.6745 |x - median| / MAD (Iglewicz and Hoaglin, 1993)."""


FACTORS: Final = {Method.IQR: 1.5, Method.ZSCORE: 3.0, Method.MAD: 3.5}
"""What is usual of each."""
AUC: Final = 0.95
"""A single column that tells the classes apart so well is suspected to be the target in another dress."""

KEYS: Final = {
    Check.DUPLICATES: ("columns", "max_share"),
    Check.OUTLIERS: ("columns", "method", "factor", "max_share"),
    Check.MISSING: ("columns", "max_share"),
    Check.CONSTANT: ("columns",),
    Check.LEAKAGE: ("columns", "max_score"),
    Check.OVERLAP: ("columns", "max_share"),
    Check.BALANCE: ("min_share",),
    Check.TYPES: ("columns", "max_share"),
    Check.SPELLING: ("columns",),
}
"""What may be said of each, beside ``check`` and ``severity``."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, and what a breach of it means."""

    check: Check
    severity: Severity = Severity.CRITICAL
    columns: tuple[str, ...] = ()
    """Empty: all that the check makes sense for."""
    max_share: float = 0.0
    """Of the rows (of duplicates: of those that are another row again), that may be so."""
    method: Method = Method.IQR
    factor: float | None = None
    """None: the method's usual one."""
    max_score: float = AUC
    """Of `LEAKAGE`: the AUC (of a regression the R²) from which a single column is suspected."""
    min_share: float = 0.0
    """Of `BALANCE`: what the rarest class should have of the rows."""
