"""Drift between two tables: every detector that is asked, one decision over all of them, and a score for people.

The decision holds one false-alarm rate for all detectors together. Each that tests has a part of it, which add up to
alpha (Bonferroni): half for the columns, half shared alike by all others; domain rules have none, because what they
demand is no matter of chance. `harness.drift.decide` corrects for the number of columns within its part.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from harness import seeds
from harness.domain.drift import (
    USUAL,
    ColumnDrift,
    Columns,
    Detector,
    DriftReport,
    Rules,
    Tested,
)
from harness.drift import advice, classifier, portraits, reconstruction, rules, tables, tally
from harness.drift.contingency import MOST_PERMUTATIONS, NONE, PERMUTED
from harness.drift.correction import CORRECTIONS
from harness.drift.decide import decide, decided
from harness.drift.figures import Figures, NumericFigures
from harness.drift.rules import DriftRule
from harness.errors import DataError, InputError

if TYPE_CHECKING:
    import pandas as pd

    from harness.drift.decide import ColumnDecision

ALPHA: Final = 0.01
CORRECTION: Final = "holm"
ROWS_MAX: Final = 5000
UNTESTED: Final = frozenset({Detector.DOMAIN_SPECIFIC})
"""Detectors that no chance can set off."""
FIGURES: Final = ("psi", "jensen_shannon", "wasserstein", "wasserstein_scaled")


@dataclass(frozen=True, slots=True)
class DriftOptions:
    """How two tables are compared."""

    alpha: float = ALPHA
    """The false-alarm rate over all detectors."""
    correction: str = CORRECTION
    """For many columns: holm, bonferroni or benjamini_hochberg."""
    detectors: tuple[Detector, ...] = USUAL
    rules: tuple[DriftRule, ...] = ()
    target: str | None = None
    """The column with the true answers: tested for itself, and no part of the rest."""
    prediction: str | None = None
    """The column with a model's answers: likewise."""
    columns: tuple[str, ...] = ()
    """Those to compare; empty: all but target and prediction."""
    ignore: tuple[str, ...] = ()
    """Names of rows, times, and what else is to be left out."""
    rows_max: int = ROWS_MAX
    """Classifier and components look at no more rows of each table."""
    seed: int = 0
    every_s: float | None = None
    """How often this is done, in seconds: for the false alarms to expect."""
    importance: Mapping[str, float] = field(default_factory=dict)
    """How much a model leans on each column, in 0..1, for the recommendations."""


@dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """What whoever has read all rows found, where the tables are but a sample of them."""

    figures: Mapping[str, Figures]
    """Of each column of both."""
    rules: Rules
    reference_rows: int
    current_rows: int


def budget(alpha: float, detectors: Iterable[Detector]) -> dict[Detector, float]:
    """Each detector's part of the false-alarm rate.

    >>> {str(k): v for k, v in budget(0.01, USUAL).items()}
    {'statistical': 0.005, 'ml_based': 0.005, 'domain_specific': 0.0}
    >>> budget(0.01, [Detector.STATISTICAL])[Detector.STATISTICAL]
    0.01
    """
    asked = tuple(detectors)
    others = [each for each in asked if each not in UNTESTED and each is not Detector.STATISTICAL]
    mine = alpha if not others else alpha / 2
    rest = alpha if Detector.STATISTICAL not in asked else alpha / 2
    return {
        each: 0.0 if each in UNTESTED else mine if each is Detector.STATISTICAL else rest / len(others)
        for each in asked
    }


def detect(
    reference: "pd.DataFrame",
    current: "pd.DataFrame",
    options: DriftOptions = DriftOptions(),
    *,
    notes: Sequence[str] = (),
    names: tuple[str, str] = ("", ""),
    whole: "Whole | None" = None,
) -> DriftReport:
    """Compare current rows with reference rows.

    Args:
        reference: rows as they were; at least one.
        current: rows as they are.
        options: what is compared, and how.
        notes: what a reader should know of how the rows came here.
        names: of the two, for the report.
        whole: what is already known of all rows, where the tables are samples of more.

    Raises:
        DataError: no rows, or an option names a column that is not there.
        DriftRuleError: a domain rule does, or asks a figure that its column has not.
    """
    if options.correction not in CORRECTIONS:
        raise InputError(f"correction is {options.correction!r}; it is one of {', '.join(CORRECTIONS)}")
    if not 0 < options.alpha < 1:
        raise InputError(f"alpha is {options.alpha:g}; a false-alarm rate lies between 0 and 1, such as 0.01")
    before, now = tables.prepared(reference, current)
    seen = _Columns.of(before, now, options)
    asked = _asked(options, seen)
    alphas = budget(options.alpha, asked)
    parts = {detector: _part(detector, before, now, seen, options, alphas[detector], whole) for detector in asked}
    return DriftReport(
        reference_rows=whole.reference_rows if whole else len(before),
        current_rows=whole.current_rows if whole else len(now),
        parts=parts,
        alpha=options.alpha,
        recommendations=advice.recommendations(parts, options.importance),
        notes=(*notes, *seen.notes, *_capped(parts.values())),
        reference=names[0],
        current=names[1],
        every_s=options.every_s,
    )


def _capped(parts: Iterable[Tested]) -> Iterable[str]:
    """What could not be decided because no more permutations are drawn."""
    least = 1 / (MOST_PERMUTATIONS + 1)
    for each in (column for part in parts if isinstance(part, Columns) for column in part.columns):
        if each.test == PERMUTED and not each.drifted and each.p_value <= least:
            yield (
                f"{each.name}: none of {MOST_PERMUTATIONS:,} permutations was as extreme, and more are not drawn; "
                "for so many columns its p-value can be no smaller: compare fewer columns, or raise alpha"
            )


@dataclass(frozen=True, slots=True)
class _Columns:
    """Which columns are compared, and what is to be said of the others."""

    shared: list[str]
    absent: tuple[str, ...]
    label: str | None
    prediction: str | None
    notes: tuple[str, ...]

    @classmethod
    def of(cls, before: "pd.DataFrame", now: "pd.DataFrame", options: DriftOptions) -> "_Columns":
        known = [str(name) for name in before.columns]
        both = [*known, *(str(name) for name in now.columns)]
        tables.check_names("columns", options.columns, known)
        tables.check_names("ignore", options.ignore, both)
        tables.check_names("target", [options.target] if options.target else [], known)
        tables.check_names("prediction", [options.prediction] if options.prediction else [], known)
        apart = {options.target, options.prediction, *options.ignore}
        wanted = [name for name in options.columns or known if name not in apart]
        notes = []
        answers: list[str | None] = []
        for what, name in (("labels", options.target), ("answers", options.prediction)):
            there = name is not None and name in now.columns
            answers.append(name if there else None)
            if name is not None and not there:
                notes.append(f"the current data have no {name}: whether {what} drifted is not known")
        fresh = [str(name) for name in now.columns if str(name) not in {*known, *options.ignore}]
        if fresh:
            notes.append(f"the current data alone have {', '.join(fresh[:10])}: not compared")
        absent = tuple(name for name in wanted if name not in now.columns)
        shared = [name for name in wanted if name in now.columns]
        if not shared:
            raise DataError("no column is left to compare: the two data sets share none that is not left out")
        return cls(shared, absent, answers[0], answers[1], tuple(notes))


def _asked(options: DriftOptions, seen: _Columns) -> tuple[Detector, ...]:
    """Those of the options, and label and prediction drift where their columns are named and there."""
    answers = [(Detector.PREDICTION, seen.prediction), (Detector.LABEL, seen.label)]
    wanted = [each for each in options.detectors if each not in {Detector.PREDICTION, Detector.LABEL}]
    return tuple(dict.fromkeys([*wanted, *(detector for detector, name in answers if name)]))


def _part(
    detector: Detector,
    before: "pd.DataFrame",
    now: "pd.DataFrame",
    seen: _Columns,
    options: DriftOptions,
    alpha: float,
    whole: Whole | None,
) -> Tested:
    stream = seeds.stream(options.seed, f"drift/{detector}")
    compared = before[seen.shared], now[seen.shared]
    match detector:
        case Detector.STATISTICAL:
            figures = {name: whole.figures[name] for name in seen.shared if name in whole.figures} if whole else None
            return columns(*compared, alpha, options.correction, seen.absent, figures)
        case Detector.ML_BASED:
            return classifier.compare(*compared, alpha, stream, options.rows_max)
        case Detector.RECONSTRUCTION:
            return reconstruction.compare(*compared, alpha, stream, options.rows_max)
        case Detector.DOMAIN_SPECIFIC:
            if whole:
                return whole.rules
            check_rules(options.rules, before)
            return _rules(options.rules, before, now)
    name = seen.prediction if detector is Detector.PREDICTION else seen.label
    first, second = tables.as_answers(before[name], now[name])
    return columns(first.to_frame(name), second.to_frame(name), alpha, options.correction)


def check_rules(given: Sequence[DriftRule], reference: "pd.DataFrame") -> None:
    """Raise where a rule does not fit the columns; see `harness.drift.rules.check`."""
    numeric = [str(name) for name in reference.columns if portraits.numeric(reference[name])]
    rules.check(given, numeric, [str(name) for name in reference.columns if str(name) not in numeric])


def _rules(given: Sequence[DriftRule], before: "pd.DataFrame", now: "pd.DataFrame") -> Rules:
    gone = {name for rule in given for name in rule.figure.columns if name not in now.columns}
    return tally.of(given, before, now.assign(**dict.fromkeys(gone, float("nan"))))


def columns(
    before: "pd.DataFrame",
    now: "pd.DataFrame",
    alpha: float,
    correction: str,
    absent: tuple[str, ...] = (),
    figures: Mapping[str, Figures] | None = None,
) -> Columns:
    """Each column by its own test, corrected for their number; drifted ones first, the greatest effect first.

    Args:
        before: reference rows, as `harness.drift.tables.prepared` makes them.
        now: current rows.
        alpha: the false-alarm rate over all columns.
        correction: for their number.
        absent: columns that the current data lack.
        figures: of all rows, where the tables are samples; None: they are computed of the tables.
    """
    if figures is None:
        decision = decide(_arrays(before), _arrays(now), alpha, correction)
    else:
        decision = decided(figures, alpha, correction)
    found = [described(each, before[each.column], now[each.column]) for each in decision.columns]
    return Columns(tuple(sorted(found, key=rank)), alpha, correction, absent)


def _arrays(frame: "pd.DataFrame") -> dict[str, Any]:
    return {str(name): frame[name].to_numpy() for name in frame.columns}


def rank(column: ColumnDrift) -> tuple[bool, float, str]:
    """Where a column stands in a list: the drifted first, the greatest effect first."""
    return not column.drifted, -column.effect, column.name


def described(decision: "ColumnDecision", before: "pd.Series[Any]", now: "pd.Series[Any]") -> ColumnDrift:
    """What was decided of a column, with what its reader will want to see."""
    found = decision.figures
    tests: dict[str, dict[str, float | None]] = {}
    if isinstance(found, NumericFigures):
        tests["ks_test"] = {"statistic": found.ks_statistic, "p_value": found.ks_p_value}
    else:
        tests["chi2_test"] = {"statistic": found.chi2_statistic, "p_value": found.chi2_p_value}
    if found.missing.test != NONE:
        tests["missing_test"] = {"p_value": found.missing.p_value}
    return ColumnDrift(
        name=decision.column,
        kind="number" if isinstance(found, NumericFigures) else "category",
        test=decision.test,
        p_value=decision.p_value,
        adjusted_p_value=decision.adjusted_p_value,
        drifted=decision.drifted,
        effect=_effect(found, before, now),
        tests=tests,
        figures={name: getattr(found, name) for name in FIGURES if hasattr(found, name)},
        reference=portraits.summary(before),
        current=portraits.summary(now),
        distribution=portraits.distribution(before, now),
        new=portraits.new_categories(before, now),
    )


def _effect(found: Figures, before: "pd.Series[Any]", now: "pd.Series[Any]") -> float:
    """How far a column is apart, in 0..1; at least the difference of the shares that are missing.

    Numbers: the largest difference of the distribution functions. Categories: half the sum of the differences of the
    shares (total variation). Both are the largest difference in the probability of an event: an interval up to some
    value, or any set of categories.
    """
    gap = abs(found.missing.reference_share - found.missing.current_share)
    if isinstance(found, NumericFigures):
        return max(gap, found.ks_statistic or 0.0)
    apart = before.value_counts(normalize=True).sub(now.value_counts(normalize=True), fill_value=0.0)
    both = before.notna().any() and now.notna().any()
    return max(gap, min(float(apart.abs().sum()) / 2, 1.0) if both else 0.0)
