"""Drift detection under the handbook's names: its own case as written there, and how often it alarms for nothing."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2_contingency, ks_2samp

import harness
from harness import (
    ChiSquareTest,
    DataDriftDetection,
    DomainSpecificDriftDetector,
    JensenShannonDivergence,
    KolmogorovSmirnovTest,
    MLBasedDriftDetector,
    PopulationStabilityIndex,
    StatisticalDriftDetector,
)


def table(seed: int, rows: int = 1000) -> pd.DataFrame:
    drawn = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "feature1": drawn.standard_normal(rows),
            "feature2": drawn.standard_normal(rows),
            "feature3": drawn.choice(["A", "B", "C"], rows),
            "target": drawn.integers(0, 2, rows),
        }
    )


class TestMLPipelineIntegration:
    """The case of the handbook."""

    @pytest.fixture
    def sample_data(self) -> pd.DataFrame:
        np.random.seed(42)  # noqa: NPY002 - as written there
        n_samples = 1000

        return pd.DataFrame(
            {
                "feature1": np.random.randn(n_samples),  # noqa: NPY002
                "feature2": np.random.randn(n_samples),  # noqa: NPY002
                "feature3": np.random.choice(["A", "B", "C"], n_samples),  # noqa: NPY002
                "target": np.random.randint(0, 2, n_samples),  # noqa: NPY002
            }
        )

    def test_data_drift_detection_integration(self, sample_data: pd.DataFrame) -> None:
        """Test data drift detection in pipeline"""
        reference_data = sample_data.iloc[:-100].copy()
        current_data = sample_data.iloc[-100:].copy()
        current_data["feature1"] = current_data["feature1"] + 2

        drift_detector = DataDriftDetection()

        drift_result = drift_detector.detect_data_drift(current_data=current_data, reference_data=reference_data)

        assert drift_result.drift_detected is True
        assert "feature1" in str(drift_result.individual_results)

    def test_without_the_shift_there_is_none(self, sample_data: pd.DataFrame) -> None:
        found = DataDriftDetection().detect_data_drift(sample_data.iloc[-100:], sample_data.iloc[:-100])
        assert found.drift_detected is False
        assert found["drift_detected"] is False
        assert found.drift_score <= 0.1
        assert found.recommendations == []


def test_forty_undrifted_tables_raise_at_most_two_alarms() -> None:
    # At 1 % over all detectors 0.4 alarms are expected of 40; three or more come of chance in 0.8 % of such batches.
    alarms = 0
    for seed in range(40):
        data = table(seed, 400)
        found = DataDriftDetection().detect_data_drift(data.iloc[-100:], data.iloc[:-100])
        assert found.drift_detected == (found.drift_score > 0.1)
        alarms += found.drift_detected
    assert alarms <= 2


def test_the_result_is_a_mapping_with_attributes_and_what_the_command_line_tells() -> None:
    data = table(1)
    current = data.iloc[-100:].assign(feature1=lambda rows: rows.feature1 + 2)
    found = DataDriftDetection(rules=["max(feature1) <= 0"]).detect_data_drift(current, data.iloc[:-100])
    assert {"drift_detected", "drift_score", "threshold", "individual_results", "recommendations"} <= set(found)
    assert found["drift_score"] == found.drift_score > 0.1
    assert set(found.individual_results) == {"statistical", "ml_based", "domain_specific"}
    assert found.individual_results["statistical"].columns["feature1"]["drifted"] is True
    assert found.individual_results["domain_specific"]["rules"][0]["passed"] is False
    assert any("feature1" in said for said in found.recommendations)
    with pytest.raises(AttributeError, match="has no 'nothing'"):
        _ = found.nothing


def test_only_the_detectors_that_are_asked_run_and_share_the_whole_rate() -> None:
    data = table(2)
    found = DataDriftDetection(alpha=0.02).detect_data_drift(data.iloc[-100:], data.iloc[:-100], ["statistical", "x"])
    assert set(found.individual_results) == {"statistical"}
    assert found.individual_results["statistical"].alpha == 0.02
    both = DataDriftDetection(alpha=0.02).detect_data_drift(data.iloc[-100:], data.iloc[:-100])
    assert both.individual_results["statistical"].alpha == both.individual_results["ml_based"].alpha == 0.01


def test_a_detector_of_ones_own_decides_with_the_others() -> None:
    class Freshness:
        def detect_drift(self, current_data: Any, reference_data: Any) -> dict[str, Any]:
            return {"drifted": True, "effect": 0.5, "recommendations": ["the newest row is a week old"]}

    data = table(3)
    detection = DataDriftDetection()
    detection.drift_detectors["freshness"] = Freshness()
    found = detection.detect_data_drift(data.iloc[-100:], data.iloc[:-100])
    assert found.drift_detected is True
    assert found.drift_score == pytest.approx(0.1 + 0.9 * 0.5)
    assert "the newest row is a week old" in found.recommendations


def test_each_detector_alone() -> None:
    data = table(4)
    reference, current = data.iloc[:-100], data.iloc[-100:].assign(feature1=lambda rows: rows.feature1 + 2)
    statistical = StatisticalDriftDetector()
    found = statistical.detect_drift(current, reference)
    assert found.drifted is True
    assert found.columns["feature1"]["ks_test"]["statistic"] == pytest.approx(
        ks_2samp(current.feature1, reference.feature1).statistic
    )
    assert MLBasedDriftDetector().detect_drift(current, reference).drifted is True
    assert DomainSpecificDriftDetector(["mean(feature1) <= 1"]).detect_drift(current, reference).drifted is True
    assert DomainSpecificDriftDetector().detect_drift(current, reference).drifted is False
    assert statistical.is_continuous(current.feature1)
    assert statistical.is_categorical(current.feature3)
    assert set(statistical.statistical_tests) == {
        "ks_test",
        "chi2_test",
        "jensen_shannon",
        "population_stability_index",
    }


def test_single_tests_are_those_of_scipy() -> None:
    data = table(5)
    current, reference = data.iloc[:300], data.iloc[300:]
    tested = KolmogorovSmirnovTest().test(current.feature1, reference.feature1)
    expected = ks_2samp(current.feature1, reference.feature1)
    assert tested.statistic == pytest.approx(expected.statistic, abs=1e-12)
    assert tested["p_value"] == pytest.approx(expected.pvalue, abs=1e-12)
    counts = pd.crosstab([0] * 300 + [1] * 700, data.feature3)
    squared = ChiSquareTest().test(current.feature3, reference.feature3)
    assert squared.p_value == pytest.approx(chi2_contingency(counts).pvalue, abs=1e-12)
    assert squared.drifted is False


def test_distances_are_nought_for_the_same_and_grow_with_the_shift() -> None:
    data = table(6)
    for made in (JensenShannonDivergence(), PopulationStabilityIndex()):
        same = made.calculate(data.feature1, data.feature1)
        near, far = (made.calculate(data.feature1 + by, data.feature1) for by in (0.5, 2.0))
        assert 0 == same < near < far
        assert made.calculate(data.feature3, data.feature3) == 0


def test_every_name_is_exported() -> None:
    for name in ("DataDriftDetection", "PopulationStabilityIndex", "JensenShannonDivergence"):
        assert name in harness.__all__
