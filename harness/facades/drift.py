"""Drift detection under the names of the usual handbooks: thin, over `harness.drift`.

Where those decide by a score above 0.1, here corrected tests decide at a stated false-alarm rate, and the score is made
so that it lies above 0.1 exactly where they do.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from harness.domain.drift import USUAL, Detector, DriftReport, Tested, plain, score_of

if TYPE_CHECKING:
    from harness.drift.rules import DriftRule

ALPHA: Final = 0.01


class DriftResult(dict[str, Any]):
    """What was found: ``result["drift_detected"]`` and ``result.drift_detected`` are the same.

    >>> DriftResult(drifted=False).drifted
    False
    """

    part: Tested | None = None
    """Of one detector: what it found, as a value."""
    report: DriftReport | None = None
    """Of a whole comparison: likewise."""

    def __getattr__(self, name: str) -> Any:
        """A key, as an attribute."""
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"a drift result has no {name!r}; it has {', '.join(self)}") from None


class _OneDetector:
    """A detector of one kind; its false-alarm rate is all its own unless it is told another."""

    kind: Detector

    def __init__(self, alpha: float = ALPHA, **options: Any) -> None:
        self.alpha = alpha
        self.options = options

    def detect_drift(self, current_data: Any, reference_data: Any, alpha: float | None = None) -> DriftResult:
        """Compare current rows with reference rows.

        Args:
            current_data: a DataFrame.
            reference_data: a DataFrame.
            alpha: the false-alarm rate of this one detector; None: its own.

        Raises:
            DataError: no rows, or no column in common.

        Returns:
            The part of ``harness drift --json`` that is this detector's: ``drifted``, ``effect`` and more.
        """
        from harness.drift.detect import DriftOptions, detect

        options = DriftOptions(alpha=self.alpha if alpha is None else alpha, detectors=(self.kind,), **self.options)
        part = detect(reference_data, current_data, options).parts[self.kind]
        found = DriftResult(plain(part.as_json()))
        found.part = part
        return found


class StatisticalDriftDetector(_OneDetector):
    """Each column by its own test: Kolmogorov-Smirnov or chi-square, and missing values, corrected for their number.

    Args:
        alpha: the false-alarm rate over all columns.
        options: of `harness.drift.detect.DriftOptions`: correction, columns, ignore …
    """

    kind = Detector.STATISTICAL

    def __init__(self, alpha: float = ALPHA, **options: Any) -> None:
        super().__init__(alpha, **options)
        self.statistical_tests: dict[str, Any] = {
            "ks_test": KolmogorovSmirnovTest(),
            "chi2_test": ChiSquareTest(),
            "jensen_shannon": JensenShannonDivergence(),
            "population_stability_index": PopulationStabilityIndex(),
        }

    def is_continuous(self, values: Any) -> bool:
        """Whether these are numbers (or times), and so tested by Kolmogorov-Smirnov."""
        from harness.drift.tables import is_number

        return is_number(_series(values))

    def is_categorical(self, values: Any) -> bool:
        """Whether these are categories, and so tested by chi-square."""
        return not self.is_continuous(values)


class MLBasedDriftDetector(_OneDetector):
    """A classifier that tries to tell current rows from reference rows; see `harness.drift.classifier`.

    Args:
        alpha: its false-alarm rate.
        options: of `harness.drift.detect.DriftOptions`: rows_max, seed, columns, ignore …
    """

    kind = Detector.ML_BASED


class DomainSpecificDriftDetector(_OneDetector):
    """Rules that must hold of the current data, whatever a test says.

    Args:
        rules: such as ``max(age) <= 120`` or ``mean(price) within 10% of reference``; see `harness.drift.rules`.
        alpha: means nothing here.

    Raises:
        DriftRuleError: a rule cannot be read.
    """

    kind = Detector.DOMAIN_SPECIFIC

    def __init__(self, rules: "Iterable[str | DriftRule]" = (), alpha: float = ALPHA, **options: Any) -> None:
        from harness.drift.rules import parse

        read = tuple(parse(rule) if isinstance(rule, str) else rule for rule in rules)
        super().__init__(alpha, rules=read, **options)


class DataDriftDetection:
    """Several detectors and one decision, at one false-alarm rate over all of them.

    Args:
        alpha: that rate: half of it goes to the columns, half to the classifier.
        rules: domain rules.
        options: of `harness.drift.detect.DriftOptions`, for all detectors.

    ``drift_detectors`` may be given others: objects with ``detect_drift(current_data, reference_data)`` that answer
    with a mapping; ``drifted`` in it counts as their decision, ``effect`` (0 to 1) as its size.
    """

    def __init__(self, alpha: float = ALPHA, rules: "Sequence[str | DriftRule]" = (), **options: Any) -> None:
        self.alpha = alpha
        self.drift_detectors: dict[str, Any] = {
            "statistical": StatisticalDriftDetector(alpha, **options),
            "ml_based": MLBasedDriftDetector(alpha, **options),
            "domain_specific": DomainSpecificDriftDetector(rules, alpha, **options),
        }

    def detect_data_drift(
        self, current_data: Any, reference_data: Any, detector_types: Sequence[str] | None = None
    ) -> DriftResult:
        """Detect data drift by several methods.

        Args:
            current_data: a DataFrame.
            reference_data: a DataFrame.
            detector_types: keys of ``drift_detectors``; None: all. Others are passed over.

        Raises:
            DataError: no rows, or no column in common.

        Returns:
            What ``harness drift --json`` has: drift_detected, drift_score, individual_results, recommendations …
        """
        from harness.drift.detect import budget

        asked = list(self.drift_detectors) if detector_types is None else detector_types
        used = {word: self.drift_detectors[word] for word in asked if word in self.drift_detectors}
        alphas = budget(self.alpha, [each.kind for each in used.values() if isinstance(each, _OneDetector)])
        drift_results = {
            word: DriftResult(each.detect_drift(current_data, reference_data))
            if not isinstance(each, _OneDetector)
            else each.detect_drift(current_data, reference_data, alphas[each.kind] or None)
            for word, each in used.items()
        }
        report = DriftReport(
            reference_rows=len(reference_data),
            current_rows=len(current_data),
            parts=_parts(drift_results),
            alpha=self.alpha,
            recommendations=tuple(self.get_drift_recommendations(drift_results)),
        )
        found = DriftResult(
            report.as_json()
            | {
                "drift_detected": any(map(_drifted, drift_results.values())),
                "drift_score": self.calculate_overall_drift_score(drift_results),
                "individual_results": drift_results,
            }
        )
        found.report = report
        return found

    def calculate_overall_drift_score(self, drift_results: Mapping[str, Any]) -> float:
        """In 0..1, above 0.1 exactly where a detector found drift; see `harness.domain.drift.score_of`."""
        return score_of(_Sized(_drifted(each), float(each.get("effect", 0.0))) for each in drift_results.values())

    def get_drift_recommendations(self, drift_results: Mapping[str, Any]) -> list[str]:
        """What to do, the worst first; at most ten sentences."""
        from harness.drift.advice import MOST, recommendations

        own = [str(said) for each in drift_results.values() for said in each.get("recommendations", ())]
        return [*recommendations(_parts(drift_results)), *own][:MOST]


@dataclass(frozen=True, slots=True)
class _Sized:
    """What a score is made of."""

    drifted: bool
    effect: float


def _drifted(result: Mapping[str, Any]) -> bool:
    return bool(result.get("drifted", result.get("drift_detected", False)))


def _parts(results: Mapping[str, Any]) -> dict[Detector, Tested]:
    parts = ((word, getattr(result, "part", None)) for word, result in results.items())
    return {Detector(word): part for word, part in parts if part is not None and word in set(USUAL)}


# --- single tests -----------------------------------------------------------------------------------------------------


class KolmogorovSmirnovTest:
    """The two-sample test of numbers, as ``scipy.stats.ks_2samp``; missing values are left out.

    Args:
        alpha: at which the result says ``drifted``.
    """

    def __init__(self, alpha: float = ALPHA) -> None:
        self.alpha = alpha

    def test(self, current_values: Any, reference_values: Any) -> DriftResult:
        """``statistic``, ``p_value`` and ``drifted``.

        Raises:
            ValueError: one of them has no value.
        """
        from harness.drift.samples import kolmogorov_smirnov

        statistic, p_value = kolmogorov_smirnov(_array(reference_values), _array(current_values))
        return DriftResult(statistic=statistic, p_value=p_value, drifted=p_value <= self.alpha)


class ChiSquareTest:
    """The contingency test of categories, as ``scipy.stats.chi2_contingency``; missing values are left out.

    Args:
        alpha: at which the result says ``drifted``.
    """

    def __init__(self, alpha: float = ALPHA) -> None:
        self.alpha = alpha

    def test(self, current_values: Any, reference_values: Any) -> DriftResult:
        """``statistic``, ``dof``, ``p_value`` and ``drifted``.

        Raises:
            ValueError: one of them has no value.
        """
        from harness.drift.contingency import chi_square
        from harness.drift.shares import aligned, counted

        before, now = (counted(_array(values, text=True))[0] for values in (reference_values, current_values))
        found = chi_square(*aligned(before, now)[1:])
        return DriftResult(
            statistic=found.statistic, dof=found.dof, p_value=found.p_value, drifted=found.p_value <= self.alpha
        )


class _Distance:
    """A figure of two histograms: numbers by the deciles of the reference, categories by value, missing a cell."""

    figure: str

    def calculate(self, current_values: Any, reference_values: Any) -> float:
        """The figure.

        Raises:
            ValueError: one of them has no rows.
        """
        from harness.drift.figures import categorical, numeric
        from harness.drift.tables import is_number

        if is_number(_series(reference_values)):
            found: Any = numeric(_array(reference_values), _array(current_values), cvm=False)
        else:
            found = categorical(_array(reference_values, text=True), _array(current_values, text=True))
        return float(getattr(found, self.figure))


class JensenShannonDivergence(_Distance):
    """The Jensen-Shannon distance, base 2: from 0 (equal shares) to 1. Its square is the divergence."""

    figure = "jensen_shannon"


class PopulationStabilityIndex(_Distance):
    """The sum of ``(p - q) ln(p / q)``; shares of at least 1e-4. Usual words: below 0.1 stable, above 0.25 changed."""

    figure = "psi"


def _series(values: Any) -> Any:
    import pandas as pd

    return values if isinstance(values, pd.Series) else pd.Series(values)


def _array(values: Any, *, text: bool = False) -> Any:
    """Values as the figures take them: float64, or text as objects."""
    from harness.drift.tables import column

    return column(_series(values), number=not text)
