# ruff: noqa: E402, E501, F401, F811, I001, N806, NPY002, RET504
# fmt: off
"""The handbook's own test cases, word for word as they are printed there; above them only what they are given.

The handbook asks a server at http://localhost:8080. Here a real `harness serve` answers, on a port of its own.
"""

import pytest
import pandas as pd
import numpy as np
from unittest.mock import Mock, patch
import select
import signal
import subprocess
import sys
from pathlib import Path

from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

import harness
from harness import DataDriftDetection, DataValidator, FeatureEngineer, ModelEvaluator, ModelTrainer
from harness.data.split import Rows
from harness.training import artifact
from harness.training.algorithms import effective
from harness.training.fit import fit, unfitted

ROOT = Path(__file__).parents[2]
PATIENCE_S = 90
SERVED = {}


class ModelServingClient(harness.ModelServingClient):
    """The client, which is told the handbook's endpoint and asks the server that stands in for it."""

    def __init__(self, endpoint, timeout):
        super().__init__(endpoint=SERVED[endpoint], timeout=timeout)


@pytest.fixture(scope="module", autouse=True)
def server(tmp_path_factory):
    """A model of the handbook's features behind `harness serve`."""
    draws = np.random.default_rng(42)
    rows = pd.DataFrame({
        "feature1": draws.normal(size=200), "feature2": draws.normal(size=200), "feature3": draws.choice(["A", "B", "C"], 200),
    })
    given = Rows(rows, (rows["feature1"] > 0).to_numpy().astype(np.int64), ("0", "1"))
    model = fit("logistic_regression", unfitted("logistic_regression", effective("logistic_regression", {}, 0), given), given)
    file = tmp_path_factory.mktemp("handbook") / "model.skops"
    artifact.save(model.estimator, file)
    words = [sys.executable, "-m", "harness", "serve", str(file), "--port", "0"]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert select.select([process.stdout], [], [], PATIENCE_S)[0], "the server said nothing"
        line = process.stdout.readline()
        assert line.startswith("ready http://"), process.stderr.read()
        SERVED["http://localhost:8080"] = line.split()[1]
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)


def test_the_server_answers():
    """So that the handbook's case of a prediction is not skipped for want of one."""
    answer = ModelServingClient("http://localhost:8080", 30).predict({"feature1": 1.5, "feature2": 2.5, "feature3": "A"})
    assert answer["prediction"] in ("1", 1)


# Unit tests for ML pipeline components
import pytest
import pandas as pd
import numpy as np
from unittest.mock import Mock, patch

class TestDataValidator:
    """Test data validation components"""

    def test_schema_validation(self):
        """Test schema validation logic"""

        validator = DataValidator()

        # Valid data
        valid_data = pd.DataFrame({
            'feature1': [1.0, 2.0, 3.0],
            'feature2': ['A', 'B', 'C'],
            'target': [0, 1, 0]
        })

        schema = {
            'feature1': {'type': 'float', 'nullable': False},
            'feature2': {'type': 'string', 'nullable': False},
            'target': {'type': 'integer', 'nullable': False}
        }

        result = validator.validate_schema(valid_data, schema)
        assert result.is_valid is True

        # Invalid data
        invalid_data = pd.DataFrame({
            'feature1': [1.0, None, 3.0],  # Null value in non-nullable column
            'feature2': ['A', 'B', 'C'],
            'target': [0, 1, 0]
        })

        result = validator.validate_schema(invalid_data, schema)
        assert result.is_valid is False
        assert any('feature1' in error for error in result.errors)

    def test_data_quality_checks(self):
        """Test data quality validation"""

        validator = DataValidator()

        # Test duplicate detection
        data_with_duplicates = pd.DataFrame({
            'id': [1, 2, 2, 3],
            'value': [10, 20, 20, 30]
        })

        result = validator.check_duplicates(data_with_duplicates)
        assert result.has_duplicates is True
        assert result.duplicate_count == 1

    def test_outlier_detection(self):
        """Test outlier detection"""

        validator = DataValidator()

        # Data with outliers
        data_with_outliers = pd.DataFrame({
            'feature': [1, 2, 3, 4, 5, 100]  # 100 is an outlier
        })

        result = validator.detect_outliers(data_with_outliers, 'feature')
        assert result.has_outliers is True
        assert 100 in result.outlier_values

class TestFeatureEngineer:
    """Test feature engineering components"""

    def test_normalization(self):
        """Test feature normalization"""

        engineer = FeatureEngineer()

        # Test data
        data = pd.DataFrame({
            'feature1': [1, 2, 3, 4, 5],
            'feature2': [10, 20, 30, 40, 50]
        })

        # Min-max normalization
        normalized_data = engineer.normalize_features(
            data,
            method='min_max',
            columns=['feature1', 'feature2']
        )

        # Check that values are in [0, 1] range
        assert normalized_data['feature1'].min() == 0.0
        assert normalized_data['feature1'].max() == 1.0
        assert normalized_data['feature2'].min() == 0.0
        assert normalized_data['feature2'].max() == 1.0

    def test_encoding(self):
        """Test categorical encoding"""

        engineer = FeatureEngineer()

        # Test data with categorical variable
        data = pd.DataFrame({
            'category': ['A', 'B', 'C', 'A', 'B'],
            'numeric': [1, 2, 3, 4, 5]
        })

        # One-hot encoding
        encoded_data = engineer.encode_categorical(
            data,
            column='category',
            method='one_hot'
        )

        # Check that categorical column is replaced
        assert 'category' not in encoded_data.columns
        assert 'category_A' in encoded_data.columns
        assert 'category_B' in encoded_data.columns
        assert 'category_C' in encoded_data.columns

class TestModelTrainer:
    """Test model training components"""

    @patch('sklearn.ensemble.RandomForestClassifier')
    def test_model_training(self, mock_model_class):
        """Test model training logic"""

        # Mock model instance
        mock_model = Mock()
        mock_model_class.return_value = mock_model

        trainer = ModelTrainer()

        # Test data
        X_train = pd.DataFrame({
            'feature1': [1, 2, 3, 4, 5],
            'feature2': [10, 20, 30, 40, 50]
        })
        y_train = pd.Series([0, 1, 0, 1, 0])

        # Train model
        result = trainer.train_model(
            X_train=X_train,
            y_train=y_train,
            algorithm='random_forest',
            hyperparameters={'n_estimators': 100}
        )

        # Verify model training was called
        mock_model.fit.assert_called_once_with(X_train, y_train)

        assert result.model is mock_model
        assert result.training_successful is True

    def test_cross_validation(self):
        """Test cross-validation functionality"""

        trainer = ModelTrainer()

        # Test data
        X = pd.DataFrame({
            'feature1': np.random.rand(100),
            'feature2': np.random.rand(100)
        })
        y = pd.Series(np.random.randint(0, 2, 100))

        # Perform cross-validation
        cv_results = trainer.cross_validate(
            X=X,
            y=y,
            algorithm='random_forest',
            cv_folds=5
        )

        assert 'accuracy' in cv_results
        assert 'precision' in cv_results
        assert 'recall' in cv_results
        assert 'f1' in cv_results

        # Check that we have results for all folds
        assert len(cv_results['accuracy']) == 5

# Integration tests for ML pipeline
class TestMLPipelineIntegration:
    """End-to-end integration tests"""

    @pytest.fixture
    def sample_data(self):
        """Generate sample data for testing"""

        np.random.seed(42)
        n_samples = 1000

        data = pd.DataFrame({
            'feature1': np.random.randn(n_samples),
            'feature2': np.random.randn(n_samples),
            'feature3': np.random.choice(['A', 'B', 'C'], n_samples),
            'target': np.random.randint(0, 2, n_samples)
        })

        return data

    def test_end_to_end_pipeline(self, sample_data):
        """Test complete ML pipeline"""

        # Step 1: Data validation
        validator = DataValidator()
        schema = {
            'feature1': {'type': 'float', 'nullable': False},
            'feature2': {'type': 'float', 'nullable': False},
            'feature3': {'type': 'string', 'nullable': False},
            'target': {'type': 'integer', 'nullable': False}
        }

        validation_result = validator.validate_schema(sample_data, schema)
        assert validation_result.is_valid is True

        # Step 2: Feature engineering
        engineer = FeatureEngineer()

        # Encode categorical variable
        processed_data = engineer.encode_categorical(
            sample_data,
            column='feature3',
            method='one_hot'
        )

        # Split features and target
        X = processed_data.drop('target', axis=1)
        y = processed_data['target']

        # Step 3: Model training
        trainer = ModelTrainer()

        # Split data
        X_train, X_test, y_train, y_test = train_test_split(
            X, y, test_size=0.2, random_state=42
        )

        # Train model
        training_result = trainer.train_model(
            X_train=X_train,
            y_train=y_train,
            algorithm='random_forest',
            hyperparameters={'n_estimators': 10, 'random_state': 42}
        )

        assert training_result.training_successful is True

        # Step 4: Model evaluation
        evaluator = ModelEvaluator()

        evaluation_result = evaluator.evaluate_model(
            model=training_result.model,
            X_test=X_test,
            y_test=y_test,
            metrics=['accuracy', 'precision', 'recall', 'f1']
        )

        # Check that model performs reasonably well
        assert evaluation_result.metrics['accuracy'] > 0.5  # Should be better than random

        # Step 5: Model inference
        predictions = training_result.model.predict(X_test[:10])

        assert len(predictions) == 10
        assert all(pred in [0, 1] for pred in predictions)  # Binary predictions

    def test_data_drift_detection_integration(self, sample_data):
        """Test data drift detection in pipeline"""

        # Create reference data
        reference_data = sample_data.iloc[:-100].copy()  # All but last 100 samples

        # Create current data with drift (different distribution)
        current_data = sample_data.iloc[-100:].copy()
        current_data['feature1'] = current_data['feature1'] + 2  # Shift distribution

        # Test drift detection
        drift_detector = DataDriftDetection()

        drift_result = drift_detector.detect_data_drift(
            current_data=current_data,
            reference_data=reference_data
        )

        # Should detect drift in feature1 due to distribution shift
        assert drift_result.drift_detected is True
        assert 'feature1' in str(drift_result.individual_results)

class TestModelDeploymentIntegration:
    """Test model deployment integration"""

    def test_model_serving_health_check(self):
        """Test model serving health check"""

        # This would test against actual serving infrastructure
        # For now, we'll test the health check logic

        serving_client = ModelServingClient(
            endpoint='http://localhost:8080',
            timeout=30
        )

        # Test health endpoint
        health_result = serving_client.health_check()

        # In a real test environment, this would check actual service health
        assert health_result.status in ['healthy', 'unhealthy']  # Either state is acceptable

    def test_model_prediction_endpoint(self):
        """Test model prediction endpoint"""

        serving_client = ModelServingClient(
            endpoint='http://localhost:8080',
            timeout=30
        )

        # Test prediction with sample data
        sample_input = {
            'feature1': 1.5,
            'feature2': 2.5,
            'feature3': 'A'
        }

        # This would test actual prediction in a real environment
        # For integration tests, we'd mock the serving layer or use test containers
        try:
            prediction_result = serving_client.predict(sample_input)
            assert 'prediction' in prediction_result
            assert 'confidence' in prediction_result
        except ConnectionError:
            # Skip if serving is not available (acceptable in CI)
            pytest.skip("Model serving not available for integration test")
