"""Features from Python: transformations, encodings, a store, and the pipeline from data to a training set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.domain.features import FeatureSet
from harness.errors import DataValidationError, InputError
from harness.facades.encoding import Transformation, plan_of, transformation
from harness.features.store import FeatureStore as _FeatureStore
from harness.features.store import StoredFeatures

if TYPE_CHECKING:
    import pandas as pd

TARGET = "target"


class DataTransformer:
    """Transforms frames; the caller's own is never changed."""

    def transform(self, data: "pd.DataFrame", transformations: Any, *, target: str | None = None) -> "pd.DataFrame":
        """Fit transformations to a frame and apply them to it; columns that none names stay as they are.

        Args:
            data: the frame.
            transformations: a list such as ``[{"type": "normalize", "columns": ["age"], "method": "min_max"}]`` (of
                normalize, encode, impute and drop), or a feature set: a mapping ``{"columns": …}``, a `FeatureSet`, or
                its file.
            target: the column that a target encoding looks at.

        Raises:
            InputError: a transformation does not fit the frame.
        """
        return self.fit(data, transformations, target=target).fitted_rows

    def fit(self, data: "pd.DataFrame", transformations: Any, *, target: str | None = None) -> Transformation:
        """Fit transformations to one frame, to apply them to others: ``fit(training, …).transform(serving)``.

        Raises:
            InputError: a transformation does not fit the frame.
        """
        return transformation(data, plan_of(transformations), target)


class FeatureEngineer:
    """One treatment at a time, of the columns that are named."""

    def normalize_features(
        self,
        data: "pd.DataFrame",
        method: str = "standard",
        columns: Sequence[str] | None = None,
        *,
        reference: "pd.DataFrame | None" = None,
    ) -> "pd.DataFrame":
        """Bring columns of numbers to one size.

        Args:
            data: the frame, which stays as it is.
            method: ``min_max`` ((x - min) / (max - min): exactly 0 to 1), ``standard`` ((x - mean) / standard
                deviation, with divisor n) or ``robust`` ((x - median) / interquartile range). A column without spread
                becomes 0.
            columns: their names; None: all that hold numbers.
            reference: where the figures come from, such as the training rows; None: the frame itself.

        Raises:
            InputError: there is no such method or column, or it holds no numbers.
        """
        from harness.facades.encoding import normalized

        return normalized(data, method, columns, data if reference is None else reference)

    def encode_categorical(
        self,
        data: "pd.DataFrame",
        column: str,
        method: str = "one_hot",
        *,
        reference: "pd.DataFrame | None" = None,
        order: Sequence[Any] = (),
        target: str | None = None,
        max_categories: int | None = None,
    ) -> "pd.DataFrame":
        """Put numbers in a category's place.

        Args:
            data: the frame, which stays as it is.
            column: its name.
            method: ``one_hot`` (``category_A``, ``category_B`` …, in the column's place), ``ordinal`` or ``target``.
            reference: where categories, or means of the target, come from; None: the frame itself (its rows are then
                encoded by the other folds' means).
            order: of an ordinal encoding; empty: sorted.
            target: the column that a target encoding looks at.
            max_categories: of a one-hot encoding: the rarest beyond share a place.

        Raises:
            InputError: there is no such method or column.
        """
        said: dict[str, Any] = {"encode": method}
        said |= {"order": list(order)} if order else {}
        said |= {"max_categories": max_categories} if max_categories else {}
        made = transformation(
            data if reference is None else reference, plan_of({"columns": {column: said}}), target
        )  # fmt: skip
        return made.fitted_rows if reference is None else made.transform(data)


class FeatureStore(_FeatureStore):
    """A feature store in a folder; as `harness.features.store.FeatureStore`, and it makes features too."""

    def create_features(
        self, data: "pd.DataFrame", feature_configs: Any, *, name: str | None = None, target: str | None = None
    ) -> StoredFeatures:
        """Make features of a frame and keep them as a version: the same data and configs are the same version.

        Args:
            data: the frame.
            feature_configs: a feature set (``{"name": …, "columns": …, "derived": …}``, a `FeatureSet`, its file), or a
                list: ``[{"column": "tenure", "scale": "robust"}, {"name": "per_month", "of": "charges / tenure"}]``.
            name: of the set; None: the one that the configs say, or ``features``.
            target: the column that a target encoding looks at.

        Returns:
            The version; its frame is ``data``.

        Raises:
            InputError: the configs do not fit the frame.
        """
        steps = plan_of(feature_configs)
        made = transformation(data, steps, target)
        named = next((step.name for step in steps if isinstance(step, FeatureSet)), "features")
        definition = {"transformations": made.definition(), TARGET: target}
        return self.save(name or named, made.fitted_rows, definition)


@dataclass(frozen=True, slots=True, eq=False)
class TrainingDataset:
    """What a training pipeline is given: rows, and where they come from."""

    data: "pd.DataFrame"
    features: str
    """The version that they are, as the store knows it: ``name@version``."""
    digest: str
    path: str
    """The folder of the version."""
    rows: int
    columns: tuple[str, ...]


class DataPipeline:
    """From a file to a training set: validated, transformed, features made, kept.

    Args:
        root: the folder of the feature store.
    """

    def __init__(self, root: str = ".features") -> None:
        from harness.facades.data import DataValidator

        self.data_validator = DataValidator()
        self.data_transformer = DataTransformer()
        self.feature_store = FeatureStore(root)

    def run_data_pipeline(self, pipeline_config: Mapping[str, Any]) -> dict[str, Any]:
        """Run all steps.

        Args:
            pipeline_config: ``data_source``, and as far as there are any ``data_schema``, ``quality_rules``,
                ``transformations``, ``feature_configs``, ``target``.

        Returns:
            By name what each step came to: ``validation``, ``transformation``, ``features``, ``training_dataset``.

        Raises:
            DataValidationError: the data are not valid; with every error.
            InputError: the config cannot be used.
        """
        if "data_source" not in pipeline_config:
            raise InputError("the pipeline's config lacks data_source: a file or a frame")
        validation = self.data_validator.validate(
            source=pipeline_config["data_source"],
            schema=pipeline_config.get("data_schema"),
            quality_rules=pipeline_config.get("quality_rules"),
        )
        if not validation.is_valid:
            raise DataValidationError(validation.errors)
        target = pipeline_config.get(TARGET)
        transformed = self.data_transformer.transform(
            data=validation.validated_data, transformations=pipeline_config.get("transformations") or [], target=target
        )
        features = self.feature_store.create_features(
            data=transformed, feature_configs=pipeline_config.get("feature_configs") or [], target=target
        )
        return {
            "validation": validation,
            "transformation": transformed,
            "features": features,
            "training_dataset": self.store_training_data(features),
        }

    def store_training_data(self, features: Any) -> TrainingDataset:
        """Keep features as a training set: a version of the store, or a frame that becomes one."""
        kept = features if isinstance(features, StoredFeatures) else self.feature_store.save("training", features)
        folder = self.feature_store.root / "sets" / kept.name / str(kept.version)
        names = tuple(str(name) for name in kept.data.columns)
        return TrainingDataset(kept.data, kept.reference, kept.digest, str(folder), len(kept.data), names)
