"""The scenario file: the data set, and the two models of the rollout."""

from collections.abc import Iterable
from typing import ClassVar

from pydantic import Field

from harness.analysis.vocabulary import suggestion
from harness.domain.model import Task
from harness.scenario.context import Context
from harness.scenario.drifting import DataDriftInput
from harness.scenario.evaluations import EvaluationInput, of_recordings
from harness.scenario.features import Features
from harness.scenario.files import header
from harness.scenario.gating import AnyGate, QualityMetric
from harness.scenario.inputs import At, ContradictionError, Input, WrongValueError
from harness.scenario.quantities import Duration, InnerShare, LongDuration
from harness.scenario.training import CrossValidation, Experiments, TuneInput, of_training
from harness.scenario.words import (
    Algorithm,
    Brought,
    Column,
    DataFile,
    Label,
    Name,
    Parameter,
    SchemaFile,
)


class DataInput(Input):
    """The data set that models are trained, evaluated and served with."""

    source: DataFile = Field(
        description="CSV (also gzipped) or Parquet file, relative to this file.", examples=["data/telco_churn.csv.gz"]
    )
    target: Column = Field(description="The column to predict.", examples=["Churn"])
    positive: Label | None = Field(
        None, description="The label that counts as positive; leave it out for a regression.", examples=["Yes"]
    )
    schema_file: SchemaFile | None = Field(
        None,
        alias="schema",
        description="File with the schema that the data must meet.",
        examples=["data/telco_schema.yaml"],
    )
    quality: SchemaFile | None = Field(
        None,
        description="File with rules of quality, beside those of the schema: duplicates, outliers, leakage, balance.",
        examples=["data/quality.yaml"],
    )
    test_share: InnerShare = Field("25%", validate_default=True, description="Share of the rows that is held out.")
    walk: LongDuration | None = Field(
        None,
        description="Rows are in order of time: the last are held out, and requests walk through them in so long.",
        examples=["4h"],
    )
    drift: DataDriftInput | None = Field(
        None,
        description="The newest data, held against this data set before models are trained.",
        examples=[{"current": "data/newest.csv"}],
    )


class SourceInput(Input):
    """Where a model comes from: trained, named by the registry, brought from a file or MLflow, or recorded answers."""

    ONE_OF: ClassVar[tuple[str, ...]] = ("algorithm", "experiments", "registered", "artifact", "predictions")

    algorithm: Algorithm | None = Field(
        None, description="Train a model with this algorithm.", examples=["logistic_regression"]
    )
    params: dict[str, Parameter] | None = Field(
        None, description="Parameters of the algorithm.", examples=[{"n_estimators": 100}]
    )
    registered: Name | None = Field(
        None, description="Take the model that this alias of the registry names.", examples=["stable"]
    )
    artifact: Brought | None = Field(
        None,
        description="Take a fitted model from a skops file (a pickle: with --trust-pickle), or from MLflow by its URI.",
        examples=["m.skops", "models:/churn@stable"],
    )
    predictions: DataFile | None = Field(
        None,
        description="Answer what a model of any kind answered to the rows of the data set: a CSV or Parquet file.",
        examples=["my_predictions.csv"],
    )
    key: Column | None = Field(
        None, description="The column by which the predictions find the rows.", examples=["customer_id"]
    )
    column: Label | None = Field(
        None, description="The column of the predictions: the label, or the value.", examples=["predicted"]
    )
    score: Label | None = Field(
        None, description="Their column with the probability of the positive class.", examples=["probability"]
    )
    duration: Duration = Field("0s", validate_default=True, description="How long this takes in virtual time.")
    features: Features | None = Field(
        None, description="What this model sees of the data, in place of model.features.", examples=["features.yaml"]
    )
    tune: TuneInput | None = Field(None, description="A search for parameters of the algorithm that are not given.")
    cross_validation: CrossValidation | None = Field(
        None,
        description="Judge the algorithm, or the experiments, on so many folds of the training rows.",
        examples=[5],
    )
    experiments: Experiments | None = Field(
        None, description="Several ways to train the model, by name, the simpler first; the best of them is trained."
    )
    choose: QualityMetric | None = Field(
        None, description="The metric that the best of the experiments is best by.", examples=["f1"]
    )

    def contradictions(self, context: Context) -> Iterable[At]:
        """Parameters belong to an algorithm, and to this one; key and columns to predictions, and to their file."""
        yield from self._parameters(context)
        yield from of_training(self, context)
        if self.features is not None and self.algorithm is None and self.experiments is None:
            yield At(("features",), ContradictionError("belongs to algorithm; a model that is brought has its own"))
        columns = {"key": self.key, "column": self.column, "score": self.score}
        if self.predictions is None:
            for name, given in columns.items():
                if given is not None:
                    yield At((name,), ContradictionError("belongs with predictions; add that, or leave this out"))
            return
        for name in ("key", "column"):
            if columns[name] is None:
                yield At(("predictions",), ContradictionError(f"belongs with key and column; add {name}"))
        if context.task is None:
            yield At(("predictions",), ContradictionError("are of the rows of a data set; add model.data"))
        if self.score is not None and context.task is Task.REGRESSION:
            yield At(("score",), ContradictionError("is a probability, and this data set is for regression"))
        known = header(self.predictions)
        for name, given in columns.items():
            if known is not None and given is not None and given not in known:
                told = f"the predictions have no such column; {suggestion(given, known, 'their columns')}"
                yield At((name,), WrongValueError(told))

    def _parameters(self, context: Context) -> Iterable[At]:
        if self.params is None:
            return
        if self.algorithm is None:
            yield At(("params",), ContradictionError("belongs to algorithm; a model that is brought takes none"))
        elif context.catalog.parameters:
            known = tuple(context.catalog.parameters(self.algorithm))
            for name in self.params:
                if name not in known:
                    told = f"is no parameter of {self.algorithm}; {suggestion(name, known)}"
                    yield At(("params", name), ContradictionError(told))


class ModelInput(Input):
    """The two models of the rollout, and what the candidate must reach before it is deployed."""

    name: Name = Field(description="The model's name in the registry.", examples=["churn-prediction"])
    data: DataInput | None = Field(None, description="The data set; may be left out where both models are brought.")
    stable: SourceInput = Field(description="The model in service.", examples=[{"registered": "stable"}])
    candidate: SourceInput = Field(
        description="The model that is to replace it.", examples=[{"algorithm": "random_forest"}]
    )
    features: Features | None = Field(
        None,
        description="What models that are trained see of the data: a feature set, in a file or in place.",
        examples=["features.yaml", {"columns": {"tenure": {"scale": "robust"}}}],
    )
    gates: list[AnyGate] = Field(
        [], description="What must hold on the held-out rows before the candidate is deployed; else: rejected."
    )
    evaluation: EvaluationInput | None = Field(
        None,
        description="What the candidate is asked beyond its figures on all held-out rows together.",
        examples=[{"intervals": 1000, "slices": ["Contract"], "calibration": True}],
    )

    def contradictions(self, context: Context) -> Iterable[At]:
        """Of recorded answers nothing can be asked about other rows."""
        del context
        yield from of_recordings(self.evaluation, self.candidate)
