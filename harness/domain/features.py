"""A feature set as a value: what a model sees of each column of its data."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final

FEATURES_VERSION: Final = 1


class Impute(StrEnum):
    """What a missing value becomes."""

    MEDIAN = "median"
    MEAN = "mean"
    MOST_FREQUENT = "most_frequent"
    CONSTANT = "constant"
    NONE = "none"
    """It stays missing: of a category a value of its own, of a number what the algorithm makes of it."""


class Scale(StrEnum):
    """How numbers are brought to one size; each is fitted to the training rows."""

    STANDARD = "standard"
    """(x - mean) / standard deviation, with divisor n."""
    MIN_MAX = "min_max"
    """(x - min) / (max - min)."""
    ROBUST = "robust"
    """(x - median) / (third quartile - first quartile)."""
    NONE = "none"


class Encode(StrEnum):
    """How categories become numbers."""

    ONE_HOT = "one_hot"
    """A column of 0 and 1 for each; one that training never saw is all zeros, or the place of the rare ones."""
    ORDINAL = "ordinal"
    """The place in a list, from 0; one that is not in it, or missing, is -1."""
    TARGET = "target"
    """The mean of the target, shrunk to the overall mean (Micci-Barreca, 2001); training rows are encoded by the other
    folds' means (cross-fitting), so that no row sees its own answer."""


class Part(StrEnum):
    """A part of a date, of UTC and the Gregorian calendar."""

    YEAR = "year"
    MONTH = "month"
    """1 to 12."""
    WEEKDAY = "weekday"
    """0 (Monday) to 6."""
    HOUR = "hour"
    """0 to 23."""
    DAYS = "days"
    """Since the reference, with fractions."""


CYCLIC: Final[Mapping[Part, int]] = {Part.MONTH: 12, Part.WEEKDAY: 7, Part.HOUR: 24}
"""Parts that come round again, and after how many."""


class Others(StrEnum):
    """What becomes of columns that the set does not name."""

    USUAL = "usual"
    """Numbers imputed by the median and standardised, categories one-hot: as without a feature set."""
    DROP = "drop"
    REFUSE = "refuse"


class Operator(StrEnum):
    """What joins two columns."""

    RATIO = "/"
    """0 where the divisor is 0."""
    DIFFERENCE = "-"
    PRODUCT = "*"
    SUM = "+"


@dataclass(frozen=True, slots=True)
class Bins:
    """Numbers cut into bins."""

    count: int
    by: str = "quantile"
    """quantile, uniform, or kmeans."""
    one_hot: bool = False
    """A column for each bin; else the bin's number, from 0."""


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """What is made of one column. What is None is left to the kind of the column."""

    name: str
    impute: Impute | None = None
    fill: float | str | None = None
    """Of ``impute: constant``."""
    indicator: bool = False
    """A column of 0 and 1 besides: whether the value was missing."""
    clip: tuple[float, float] | None = None
    log: bool = False
    """log(1 + x); a negative x counts as 0."""
    bins: Bins | None = None
    scale: Scale | None = None
    encode: Encode | None = None
    order: tuple[str | float, ...] = ()
    """Of an ordinal encoding; empty: sorted."""
    max_categories: int | None = None
    min_share: float | None = None
    """Categories in a smaller share of the training rows are rare; the rare ones share one place."""
    date: tuple[Part, ...] = ()
    cyclic: tuple[Part, ...] = ()
    """Parts told as sine and cosine, so that December stands beside January."""
    reference: str = "1970-01-01"
    """Of the days."""
    format: str | None = None
    """How the file writes its dates (``%d/%m/%Y``); None: ISO 8601."""
    drop: bool = False

    @property
    def dated(self) -> bool:
        """Whether the column holds dates."""
        return bool(self.date or self.cyclic)


@dataclass(frozen=True, slots=True)
class Derived:
    """A column made of two others, which are imputed by their medians before."""

    name: str
    left: str
    operator: Operator
    right: str
    scale: Scale = Scale.STANDARD


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """Named features, known by what they say: two sets with the same digest make the same of the same rows.

    >>> tenure = FeatureSet("a", (ColumnPlan("tenure", scale=Scale.ROBUST),))
    >>> tenure.digest == FeatureSet("b", (ColumnPlan("tenure", scale=Scale.ROBUST),), file="b.yaml").digest
    True
    """

    name: str
    columns: tuple[ColumnPlan, ...] = ()
    derived: tuple[Derived, ...] = ()
    others: Others = Others.USUAL
    file: str = field(default="", compare=False)
    """Where it was read; empty where it was made in Python or stands in a scenario."""

    @property
    def digest(self) -> str:
        """SHA-256 (``sha256:…``) over the canonical JSON of what it says, neither name nor file."""
        said = json.dumps(self.definition(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return f"sha256:{hashlib.sha256(said.encode()).hexdigest()}"

    def definition(self) -> dict[str, Any]:
        """All that it says, as JSON has it, columns sorted by name; what is as usual is left out."""
        columns = {plan.name: _said(plan, ColumnPlan("")) for plan in sorted(self.columns, key=lambda each: each.name)}
        derived = {each.name: _said(each, Derived("", "", Operator.RATIO, "")) | {"operator": each.operator.value}
                   for each in sorted(self.derived, key=lambda each: each.name)}  # fmt: skip
        return {
            "features": FEATURES_VERSION, "columns": columns, "derived": derived, "others": self.others.value
        }  # fmt: skip

    def of(self, column: str) -> ColumnPlan | None:
        """What is said of a column."""
        return next((plan for plan in self.columns if plan.name == column), None)

    @property
    def dates(self) -> tuple[tuple[str, str | None], ...]:
        """The columns that hold dates, with their formats."""
        return tuple((plan.name, plan.format) for plan in self.columns if plan.dated)


def dates_of(sets: Iterable[FeatureSet | None]) -> tuple[tuple[str, str | None], ...]:
    """The columns that any of these sets takes for dates, each once, sorted."""
    found: dict[str, str | None] = {}
    for each in sets:
        for name, form in each.dates if each else ():
            found[name] = form or found.get(name)
    return tuple(sorted(found.items()))


def _said(value: Any, usual: Any) -> dict[str, Any]:
    left = asdict(usual)
    return {key: each for key, each in asdict(value).items() if key != "name" and each != left[key]}
