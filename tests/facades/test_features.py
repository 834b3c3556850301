"""The handbook's feature cases as printed there, and what else callers may rely on."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from harness import DataPipeline, DataTransformer, DataValidationError, FeatureEngineer, FeatureStore, InputError


class TestFeatureEngineer:
    """Test feature engineering components"""

    def test_normalization(self) -> None:
        """Test feature normalization"""

        engineer = FeatureEngineer()

        # Test data
        data = pd.DataFrame({"feature1": [1, 2, 3, 4, 5], "feature2": [10, 20, 30, 40, 50]})

        # Min-max normalization
        normalized_data = engineer.normalize_features(data, method="min_max", columns=["feature1", "feature2"])

        # Check that values are in [0, 1] range
        assert normalized_data["feature1"].min() == 0.0
        assert normalized_data["feature1"].max() == 1.0
        assert normalized_data["feature2"].min() == 0.0
        assert normalized_data["feature2"].max() == 1.0

    def test_encoding(self) -> None:
        """Test categorical encoding"""

        engineer = FeatureEngineer()

        # Test data with categorical variable
        data = pd.DataFrame({"category": ["A", "B", "C", "A", "B"], "numeric": [1, 2, 3, 4, 5]})

        # One-hot encoding
        encoded_data = engineer.encode_categorical(data, column="category", method="one_hot")

        # Check that categorical column is replaced
        assert "category" not in encoded_data.columns
        assert "category_A" in encoded_data.columns
        assert "category_B" in encoded_data.columns
        assert "category_C" in encoded_data.columns


def some(seed: int = 2, count: int = 60) -> pd.DataFrame:
    draws = np.random.Generator(np.random.Philox(seed))
    return pd.DataFrame({
        "a": draws.normal(3, 7, count), "b": draws.integers(0, 9, count), "c": draws.choice(list("xyz"), count),
        "y": draws.integers(0, 2, count),
    }, index=range(100, 100 + count))  # fmt: skip


@pytest.mark.parametrize(
    ("method", "scaler"), [("min_max", MinMaxScaler), ("standard", StandardScaler), ("robust", RobustScaler)]
)
def test_figures_are_scikit_learns_and_may_come_from_other_rows(method: str, scaler: Any) -> None:
    train, live = some(), some(3)
    before = train.copy()
    engineer = FeatureEngineer()
    own = engineer.normalize_features(train, method, ["a", "b"])
    np.testing.assert_allclose(own[["a", "b"]], scaler().fit_transform(train[["a", "b"]]), atol=1e-13)
    other = engineer.normalize_features(live, method, ["a", "b"], reference=train)
    np.testing.assert_allclose(
        other[["a", "b"]], scaler().fit(train[["a", "b"]]).transform(live[["a", "b"]]), atol=1e-13
    )
    pd.testing.assert_frame_equal(train, before)
    assert list(own.index) == list(train.index)


def test_infinite_numbers_have_no_size() -> None:
    for method in ("min_max", "standard", "robust"):
        with pytest.raises(InputError, match="a holds infinite numbers"):
            FeatureEngineer().normalize_features(pd.DataFrame({"a": [1.0, np.inf]}), method=method)


def test_any_column_is_from_exactly_0_to_exactly_1() -> None:
    draws = np.random.Generator(np.random.Philox(4))
    for _ in range(200):
        column = FeatureEngineer().normalize_features(pd.DataFrame({"x": draws.lognormal(0, 9, 7)}), "min_max")["x"]
        assert (column.min(), column.max()) == (0.0, 1.0)
    assert FeatureEngineer().normalize_features(pd.DataFrame({"x": [4, 4]}), "min_max")["x"].tolist() == [0.0, 0.0]


def test_encodings_and_categories_of_other_rows() -> None:
    engineer, train = FeatureEngineer(), some()
    ordinal = engineer.encode_categorical(train, "c", "ordinal", order=["z", "y", "x"])
    assert ordinal["c"].tolist() == train["c"].map({"z": 0, "y": 1, "x": 2}).tolist()
    new = train.head(2).assign(c=["x", "new"])
    hot = engineer.encode_categorical(new, "c", reference=train)
    assert hot[["c_x", "c_y", "c_z"]].to_numpy().tolist() == [[1, 0, 0], [0, 0, 0]]
    target = engineer.encode_categorical(new, "c", "target", reference=train, target="y")["c"]
    assert target.iloc[1] == pytest.approx(train["y"].mean())
    with pytest.raises(InputError, match="name its column"):
        engineer.encode_categorical(train, "c", "target")
    with pytest.raises(InputError, match="is not one of one_hot, ordinal, target"):
        engineer.encode_categorical(train, "c", "onehot")
    with pytest.raises(InputError, match=r"no column 'aa'; did you mean a\?"):
        engineer.normalize_features(train, "robust", ["aa"])


STEPS = [
    {"type": "impute", "columns": ["a"], "method": "mean"},
    {"type": "normalize", "columns": ["a"], "method": "min_max"},
    {"type": "encode", "column": "c", "method": "one_hot"},
    {"type": "drop", "columns": ["b"]},
]


def test_transformations_are_applied_in_order_and_fitted_once() -> None:
    train, live = some(), some(3)
    train.loc[103, "a"] = np.nan
    before = train.copy()
    fitted = DataTransformer().fit(train, STEPS)
    pd.testing.assert_frame_equal(DataTransformer().transform(train, STEPS), fitted.fitted_rows)
    pd.testing.assert_frame_equal(train, before)
    assert list(fitted.fitted_rows.columns) == ["a", "y", "c_x", "c_y", "c_z"]
    filled = train["a"].fillna(train["a"].mean())
    wanted = (live["a"] - filled.min()) / (filled.max() - filled.min())
    np.testing.assert_allclose(fitted.transform(live)["a"], wanted)
    with pytest.raises(InputError, match="no transformation 'normalise'; there are normalize"):
        DataTransformer().transform(train, [{"type": "normalise"}])


def test_features_are_kept_as_versions(tmp_path: Path) -> None:
    store, configs = FeatureStore(tmp_path), [{"column": "a", "scale": "robust"}, {"name": "ab", "of": "a / b"}]
    made = store.create_features(data=some(), feature_configs=configs, name="ab")
    assert made.reference == "ab@1"
    assert {"a", "b", "ab", "c", "y"} == set(made.data.columns)
    assert store.create_features(some(), configs, name="ab").digest == made.digest
    assert store.create_features(some(5), configs, name="ab").version == 2
    assert store.load("ab@1").definition["transformations"][0]["columns"]["a"]["scale"] == "robust"


def config(source: Any) -> dict[str, Any]:
    return {
        "data_source": source,
        "data_schema": {"a": {"type": "float", "nullable": False}, "b": {"type": "integer"},
                        "c": {"type": "string", "allowed": ["x", "y", "z"]}, "y": {"type": "integer"}},
        "quality_rules": [{"check": "duplicates"}],
        "transformations": [{"type": "normalize", "columns": ["a"], "method": "min_max"}],
        "feature_configs": {"name": "churn", "columns": {"c": {"encode": "one_hot"}}},
    }  # fmt: skip


def test_the_pipeline_goes_from_a_file_to_a_training_set(tmp_path: Path) -> None:
    some().to_csv(tmp_path / "d.csv", index=False)
    pipeline = DataPipeline(str(tmp_path / "store"))
    results = pipeline.run_data_pipeline(config(str(tmp_path / "d.csv")))
    assert list(results) == ["validation", "transformation", "features", "training_dataset"]
    assert results["validation"].is_valid
    assert (results["transformation"]["a"].min(), results["transformation"]["a"].max()) == (0.0, 1.0)
    dataset = results["training_dataset"]
    assert (dataset.features, dataset.rows) == ("churn@1", 60)
    assert {"c_x", "c_y", "c_z", "y"} <= set(dataset.columns)
    assert Path(dataset.path).is_dir()
    assert pipeline.feature_store.load(dataset.features).digest == dataset.digest


def test_invalid_data_go_no_further(tmp_path: Path) -> None:
    wrong = some()
    wrong.loc[100, "c"] = "q"
    with pytest.raises(DataValidationError) as caught:
        DataPipeline(str(tmp_path / "store")).run_data_pipeline(config(wrong))
    assert any("c" in error for error in caught.value.errors)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    "transformations",
    [
        [{"type": "normalize", "columns": ["a"]}],
        [{"type": "impute", "columns": ["a"]}],
        {"columns": {"a": {"scale": "standard"}}},
        {"columns": {}, "derived": {"share": "a / b"}},
    ],
    ids=["normalize", "impute", "scale", "derived"],
)
def test_text_where_numbers_were_fitted_is_told(transformations: Any) -> None:
    fitted = DataTransformer().fit(pd.DataFrame({"a": [1.0, 2.0, 4.0], "b": [1, 2, 3]}), transformations)
    with pytest.raises(InputError, match=r"a holds 'x' in 1 of 2 rows, and it held numbers where .* was fitted"):
        fitted.transform(pd.DataFrame({"a": ["x", "2"], "b": [1, 2]}))
    with pytest.raises(InputError, match="there is no column 'a'"):
        fitted.transform(pd.DataFrame({"b": [1, 2]}))
    assert len(fitted.transform(pd.DataFrame({"a": [np.nan, 2.0], "b": [1, 2]}))) == 2


def test_text_that_a_transformation_of_numbers_is_asked_of_is_told() -> None:
    rows = pd.DataFrame({"a": ["x", "2", "4"]})
    for asked in ([{"type": "normalize", "columns": ["a"]}], {"columns": {"a": {"scale": "standard"}}}):
        with pytest.raises(InputError, match=r"(columns\.)?a:? (holds no numbers|scale asks for numbers)"):
            DataTransformer().transform(rows, asked)
