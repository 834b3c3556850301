"""One stage of a scenario's lifecycle by itself, and the files it leaves: what a pipeline under DVC is made of."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.domain.model import ARMS, ArtifactPlan, Role, TrainPlan
from harness.domain.scenario import Scenario
from harness.errors import InputError

if TYPE_CHECKING:
    from harness.protocols import Case

STAGES: Final = ("validate", "features", "train", "evaluate")
DATA: Final = "data.json"
FEATURES: Final = "features.json"
MODELS: Final = "models"
TRAINED: Final = "models.json"
METRICS: Final = "metrics.json"
PLOTS: Final = "plots"


def run_stage(name: str, scenario: Scenario, folder: Path) -> dict[str, Any]:
    """Run one stage, and write its files into the folder; what it found, as JSON has it.

    ``validate`` writes data.json, ``features`` features.json, ``train`` models/ and models.json, ``evaluate`` (of what
    train has left there) metrics.json and plots/. Registries are not asked, and no stage needs another's but evaluate.

    Must be called where no event loop runs.

    Raises:
        InputError: the scenario has no data set, or a file cannot be used.
        Rejected: the data break their schema.
    """
    from harness.clock import run_virtual

    if scenario.model.data is None:
        raise InputError(f"{scenario.path}: stages are of a data set; add model.data")
    work: Mapping[str, Callable[..., Any]] = {
        "validate": _validate, "features": _features, "train": _train, "evaluate": _evaluate
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = run_virtual(work[name], scenario, folder)
    return found


class _Told:
    """Takes what stages tell; nothing of it is kept in a log."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def __call__(self, event: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.events.append(event(0, *args, **kwargs))
        return self.events[-1]


async def _read(scenario: Scenario, told: _Told) -> "Case":
    from harness.data.stage import Validate
    from harness.protocols import Case

    return await Validate().run(Case(scenario), told)


async def _validate(scenario: Scenario, folder: Path) -> dict[str, Any]:
    told = _Told()
    try:
        await _read(scenario, told)
    finally:
        for event in told.events[:1]:
            said = {key: value for key, value in asdict(event).items() if key != "at_ns"}
            _write(folder / DATA, said)
    return said


async def _features(scenario: Scenario, folder: Path) -> dict[str, Any]:
    """Fits the features of models that are trained, without their estimators."""
    import numpy as np

    from harness.features.naming import names_out
    from harness.features.sketch import sketch
    from harness.training.features import pipeline
    from harness.training.fit import label_values

    case = await _read(scenario, _Told())
    rows: Any = case.training
    labels = label_values(rows.classes)[rows.target] if rows.classes else np.asarray(rows.target)
    said: dict[str, Any] = {}
    for role in ARMS:
        plan = scenario.model.of(role)
        if isinstance(plan, TrainPlan):
            made = pipeline(rows.rows, None, plan.features, classifies=bool(rows.classes))[0]
            made.fit(rows.rows, labels)
            digest = plan.features.digest if plan.features else None
            said[role.value] = {"digest": digest, "columns": list(names_out(made)), "rows": len(rows.rows)}
    said["training"] = sketch(rows.rows)
    _write(folder / FEATURES, said)
    return said


async def _train(scenario: Scenario, folder: Path) -> dict[str, Any]:
    from harness.features import sketch
    from harness.training import artifact
    from harness.training.stage import Train

    told = _Told()
    case = await Train().run(await _read(scenario, told), told)
    said = {}
    for role in ARMS:
        model = case.models[role]
        path = folder / MODELS / f"{role}.skops"
        artifact.save(model.estimator, path)
        assert case.training is not None
        sketch.save(path, case.training.rows)
        said[role.value] = {
            "algorithm": model.algorithm, "params": dict(model.params), "artifact_digest": model.artifact_digest,
            "data_digest": model.data_digest, "features_digest": model.features_digest,
        }  # fmt: skip
    _write(folder / TRAINED, said)
    return said


async def _evaluate(scenario: Scenario, folder: Path) -> dict[str, Any]:
    from harness.training.stage import Evaluate, Train

    files = {role: folder / MODELS / f"{role}.skops" for role in ARMS}
    for role, file in files.items():
        if not file.exists():
            raise InputError(f"{file}: there is no model of {role} yet; run `harness stage train` into the same folder")
    stable, candidate = (ArtifactPlan(str(files[role])) for role in ARMS)
    trained = replace(scenario, model=replace(scenario.model, stable=stable, candidate=candidate))
    told = _Told()
    kept = _trained_digests(folder)
    read = await Train().run(await _read(trained, told), told)
    for role in ARMS:
        if read.models[role].artifact_digest != kept[role]:
            raise InputError(
                f"{files[role]}: not the model that `harness stage train` wrote: {folder / TRAINED} says "
                f"{kept[role]}, and this is {read.models[role].artifact_digest}; train again into the same folder"
            )
    case = await Evaluate().run(read, told)
    said = {role.value: {name: float(value) for name, value in case.models[role].metrics.items()} for role in ARMS}
    _write(folder / METRICS, said)
    _plots(case, folder / PLOTS)
    return said


def _trained_digests(folder: Path) -> dict[Role, str]:
    """What train said that its models are: their digests, which say nothing of the files' dates."""
    path = folder / TRAINED
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return {role: str(said[role.value]["artifact_digest"]) for role in ARMS}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(
            f"{path}: the digests of the models cannot be read ({type(error).__name__}: {error}); "
            "run `harness stage train` into the same folder"
        ) from error


def _plots(case: "Case", folder: Path) -> None:
    """What the candidate answered to the held-out rows: for a matrix of confusion and a ROC curve, or a scatter."""
    import pandas as pd
    from sklearn.metrics import roc_curve

    rows: Any = case.population
    model = case.models[Role.CANDIDATE]
    folder.mkdir(parents=True, exist_ok=True)
    asked = rows.rows[list(model.features)]
    answers = [str(each) for each in model.estimator.predict(asked)] if rows.classes else model.estimator.predict(asked)
    actual = [rows.classes[int(each)] for each in rows.target] if rows.classes else rows.target
    pd.DataFrame({"actual": actual, "predicted": answers}).to_csv(folder / "predictions.csv", index=False)
    if rows.classes and hasattr(model.estimator, "predict_proba"):
        place = [str(each) for each in model.estimator.classes_].index(model.classes[-1])
        found = roc_curve(rows.target, model.estimator.predict_proba(asked)[:, place])
        pd.DataFrame({"fpr": found[0], "tpr": found[1]}).to_csv(folder / "roc.csv", index=False)


def overrides_of(params: Mapping[str, Any]) -> list[str]:
    """What stands in ``params.yaml`` as overrides of the scenario, each where the scenario has it.

    >>> overrides_of({"seed": 7, "model": {"data": {"test_share": "25%"}, "candidate": {"params": {"C": 1}}}})
    ['seed=7', 'model.data.test_share="25%"', 'model.candidate.params={"C": 1}']
    """
    found: list[str] = []

    def walk(value: Any, path: tuple[str, ...]) -> None:
        if isinstance(value, Mapping) and path[-1:] not in {("params",), ("features",)} and len(path) < 3:
            for key, each in value.items():
                walk(each, (*path, str(key)))
        else:
            found.append(f"{'.'.join(path)}={json.dumps(value)}")

    walk(params, ())
    return found


def read_params(path: Path) -> list[str]:
    """The overrides of a ``params.yaml``.

    Raises:
        InputError: it cannot be read, or is no mapping.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        said = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    if not isinstance(said, Mapping):
        raise InputError(f"{path}: it holds a mapping, such as {{seed: 7}}, as `harness export dvc` writes it")
    return overrides_of(said)


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
