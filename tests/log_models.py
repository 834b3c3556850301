"""What a team's training job leaves in its MLflow: run in a process of its own with MLflow's fluent functions.

    python log_models.py URI FOLDER

Registers churn:1 (skops, alias champion), churn:2 (cloudpickle, alias pickled) and churn:3 (skops, of a run's plain
artifacts), and prints the runs' ids, one a line.
"""

import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
ROOT = Path(__file__).parents[1]
NUMBERS = ["tenure", "MonthlyCharges", "TotalCharges"]


def fitted(depth: int):
    import pandas as pd
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.tree import DecisionTreeClassifier

    rows = pd.read_csv(ROOT / "scenarios" / "data" / "telco_churn.csv.gz", na_values=" ")
    model = make_pipeline(SimpleImputer(), DecisionTreeClassifier(max_depth=depth, random_state=1))
    return model.fit(rows[NUMBERS], rows["Churn"])


def main(uri: str, folder: Path) -> None:
    import mlflow
    import mlflow.sklearn

    mlflow.set_tracking_uri(uri)
    where = (folder / "theirs").as_uri() if uri.startswith("sqlite") else None
    experiment = mlflow.create_experiment("theirs", artifact_location=where)
    client = mlflow.MlflowClient()
    trusted = {"skops_trusted_types": ["numpy.dtype", "sklearn.tree._tree.Tree"]}
    for form, alias, depth in (("skops", "champion", 3), ("cloudpickle", "pickled", 4)):
        with mlflow.start_run(experiment_id=experiment) as run:
            mlflow.sklearn.log_model(
                fitted(depth), name="model", registered_model_name="churn", serialization_format=form,
                pip_requirements=["scikit-learn"], **(trusted if form == "skops" else {}),
            )  # fmt: skip
        sys.stdout.write(f"{run.info.run_id}\n")
        version = max(int(each.version) for each in client.search_model_versions("name = 'churn'"))
        client.set_registered_model_alias("churn", alias, str(version))
    saved = folder / "saved"
    mlflow.sklearn.save_model(fitted(5), str(saved), pip_requirements=["scikit-learn"], **trusted)
    with mlflow.start_run(experiment_id=experiment) as run:
        mlflow.log_artifacts(str(saved), "kept/here")
    sys.stdout.write(f"{run.info.run_id}\n")
    client.create_model_version("churn", source=f"runs:/{run.info.run_id}/kept/here", run_id=run.info.run_id)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
