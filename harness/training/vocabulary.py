"""The algorithms that a scenario may name; the estimators behind them are imported only when one is made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from harness.domain.model import Task


@dataclass(frozen=True, slots=True)
class Algorithm:
    """An estimator of scikit-learn by the word that a scenario uses for it."""

    task: Task
    module: str
    estimator: str
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Parameters that differ from the estimator's own defaults."""


def _classifier(module: str, estimator: str, **defaults: Any) -> Algorithm:
    return Algorithm(Task.CLASSIFICATION, f"sklearn.{module}", estimator, defaults)


def _regressor(module: str, estimator: str, **defaults: Any) -> Algorithm:
    return Algorithm(Task.REGRESSION, f"sklearn.{module}", estimator, defaults)


# More iterations than scikit-learn gives: enough for one-hot features, and cheap.
# nearest_neighbours: its search trees cannot be checked when they come from a file, so by default it uses none.
# Some estimators have two words: ours, and the one that users of scikit-learn look for (knn, hist_gradient_boosting).
# svm, linear_svm: no probabilities (scikit-learn's own are of a second fit, and on their way out), so no log_loss.
ALGORITHMS: Final[Mapping[str, Algorithm]] = {
    "ada_boost": _classifier("ensemble", "AdaBoostClassifier"),
    "ada_boost_regressor": _regressor("ensemble", "AdaBoostRegressor"),
    "bagging": _classifier("ensemble", "BaggingClassifier"),
    "bagging_regressor": _regressor("ensemble", "BaggingRegressor"),
    "bayesian_ridge": _regressor("linear_model", "BayesianRidge"),
    "bernoulli_naive_bayes": _classifier("naive_bayes", "BernoulliNB"),
    "decision_tree": _classifier("tree", "DecisionTreeClassifier"),
    "decision_tree_regressor": _regressor("tree", "DecisionTreeRegressor"),
    "elastic_net": _regressor("linear_model", "ElasticNet", max_iter=10_000),
    "extra_trees": _classifier("ensemble", "ExtraTreesClassifier"),
    "extra_trees_regressor": _regressor("ensemble", "ExtraTreesRegressor"),
    "gradient_boosting": _classifier("ensemble", "HistGradientBoostingClassifier"),
    "gradient_boosting_regressor": _regressor("ensemble", "HistGradientBoostingRegressor"),
    "hist_gradient_boosting": _classifier("ensemble", "HistGradientBoostingClassifier"),
    "hist_gradient_boosting_regressor": _regressor("ensemble", "HistGradientBoostingRegressor"),
    "huber": _regressor("linear_model", "HuberRegressor", max_iter=1000),
    "knn": _classifier("neighbors", "KNeighborsClassifier", algorithm="brute"),
    "knn_regressor": _regressor("neighbors", "KNeighborsRegressor", algorithm="brute"),
    "lasso": _regressor("linear_model", "Lasso", max_iter=10_000),
    "linear_discriminant": _classifier("discriminant_analysis", "LinearDiscriminantAnalysis"),
    "linear_regression": _regressor("linear_model", "LinearRegression"),
    "linear_svm": _classifier("svm", "LinearSVC", max_iter=10_000),
    "linear_svm_regressor": _regressor("svm", "LinearSVR", max_iter=10_000),
    "logistic_regression": _classifier("linear_model", "LogisticRegression", max_iter=1000),
    "majority": _classifier("dummy", "DummyClassifier", strategy="prior"),
    "mean": _regressor("dummy", "DummyRegressor"),
    "mlp": _classifier("neural_network", "MLPClassifier", max_iter=1000),
    "mlp_regressor": _regressor("neural_network", "MLPRegressor", max_iter=1000),
    "naive_bayes": _classifier("naive_bayes", "GaussianNB"),
    "nearest_neighbours": _classifier("neighbors", "KNeighborsClassifier", algorithm="brute"),
    "nearest_neighbours_regressor": _regressor("neighbors", "KNeighborsRegressor", algorithm="brute"),
    "random_forest": _classifier("ensemble", "RandomForestClassifier"),
    "random_forest_regressor": _regressor("ensemble", "RandomForestRegressor"),
    "ridge": _regressor("linear_model", "Ridge"),
    "sgd": _classifier("linear_model", "SGDClassifier", loss="log_loss"),
    "svm": _classifier("svm", "SVC"),
    "svm_regressor": _regressor("svm", "SVR"),
}

ALGORITHM_NAMES: Final = tuple(ALGORITHMS)
"""Every word, sorted."""
