"""A scenario's data, features, models and metrics as a pipeline of DVC: ``dvc.yaml`` and ``params.yaml``.

Each of its stages is a `harness stage`, and runs again only where its own files or its own parameters have changed:
data on their way to models, without the rollout. ``params.yaml`` is written from the scenario, and what stands there
goes before it: ``dvc exp run -S model.candidate.params.C=2`` changes it there, and who changes the scenario's own
algorithms exports it again. What ``params.yaml`` leaves out (feature sets in place, searches) is watched in the
scenario.
"""

import io
import os
import shlex
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness.domain.features import FeatureSet
from harness.domain.model import ARMS, ArtifactPlan, ExperimentsPlan, TrainPlan
from harness.domain.scenario import Scenario
from harness.errors import InputError
from harness.exporters.text import BOOLEANS

PIPELINE: Final = "dvc.yaml"
PARAMS: Final = "params.yaml"
SPLIT: Final = ("seed", "model.data")


@dataclass(frozen=True, slots=True)
class _Kept:
    """Paths as the pipeline's folder sees them."""

    folder: Path

    def __call__(self, path: str) -> str:
        return Path(os.path.relpath(path, self.folder)).as_posix()


def pipeline(scenario: Scenario, folder: Path) -> Mapping[str, str]:
    """The files of a pipeline in a folder, by name.

    Raises:
        InputError: the scenario has no file or no data, or its models come from where no pipeline can make them.
    """
    data = scenario.model.data
    if not scenario.path or data is None:
        raise InputError("a pipeline is of a scenario in a file, with a data set; add model.data")
    _check(scenario)
    where = _Kept(folder.resolve())
    command = f"harness stage {{}} {shlex.quote(where(scenario.path))} --params {PARAMS}"
    files = (data.source, data.schema, data.quality, data.known.file if data.known else None)
    read = [where(path) for path in files if path]
    sets = [where(each.file) for each in _sets(scenario) if each.file]
    brought = [where(plan.path) for plan in map(scenario.model.of, ARMS) if isinstance(plan, ArtifactPlan)]
    own = params_of(scenario)["model"]
    keys = ["model", *(["inject"] if scenario.faults else [])]
    decides = [*SPLIT, *(f"model.{role}" for role in ARMS if role.value in own), {where(scenario.path): keys}]
    models = [f"models/{role}.{end}" for role in ARMS for end in ("skops", "statistics.json")]
    plots: dict[str, Any] = {"plots/predictions.csv": {"template": "confusion", "x": "actual", "y": "predicted"}}
    if data.positive is None:
        plots = {"plots/predictions.csv": {"template": "scatter", "x": "actual", "y": "predicted"}}
    else:
        plots["plots/roc.csv"] = {"template": "simple", "x": "fpr", "y": "tpr"}
    stages = {
        "validate": _stage(command, "validate", read, SPLIT, ["data.json"]),
        "features": _stage(command, "features", [*read, "data.json", *sets], decides, ["features.json"]),
        "train": _stage(
            command, "train", [*read, "data.json", *sets, *brought], decides, ["models.json"], kept=models
        ),
        "evaluate": {
            **_stage(command, "evaluate", [*read, "models.json", *models[::2]], SPLIT, []),
            "metrics": [{"metrics.json": {"cache": False}}],
            "plots": [{path: {"cache": False, **about}} for path, about in plots.items()],
        },
    }  # fmt: skip
    del stages["evaluate"]["outs"]
    head = f"# Written by `harness export dvc` from {where(scenario.path)}; run it with `dvc repro`.\n"
    return {PIPELINE: head + _yaml({"stages": stages}), PARAMS: head + _yaml(params_of(scenario))}


def params_of(scenario: Scenario) -> dict[str, Any]:
    """What decides data and models, where the scenario has it; paths are left to the pipeline's dependencies."""
    data = scenario.model.data
    assert data is not None
    said: dict[str, Any] = {"target": data.target, "test_share": data.test_share}
    said |= {"positive": data.positive} if data.positive is not None else {}
    model: dict[str, Any] = {"data": said}
    for role in ARMS:
        plan = scenario.model.of(role)
        if isinstance(plan, TrainPlan):
            model[role.value] = {"algorithm": plan.algorithm, "params": dict(plan.params)}
    return {"seed": scenario.seed, "model": _plain(model)}


def _check(scenario: Scenario) -> None:
    for role in ARMS:
        plan = scenario.model.of(role)
        if not isinstance(plan, TrainPlan | ArtifactPlan | ExperimentsPlan):
            raise InputError(
                f"{scenario.path}: model.{role} comes from a registry or is recorded, which no pipeline can make "
                "again; give an algorithm, or an artifact in a file"
            )


def _sets(scenario: Scenario) -> list[FeatureSet]:
    found: dict[str, FeatureSet] = {}
    for plan in map(scenario.model.of, ARMS):
        named = plan.experiments if isinstance(plan, ExperimentsPlan) else (plan,)
        for each in named:
            features = getattr(each, "features", None)
            if features is not None:
                found[features.digest] = features
    return list(found.values())


def _stage(
    command: str, name: str, deps: Sequence[str], params: Sequence[Any], outs: Sequence[str], kept: Sequence[str] = ()
) -> dict[str, Any]:
    """Reports are small, and go to git; models go to DVC's own store."""
    return {
        "cmd": command.format(name),
        "deps": list(dict.fromkeys(deps)),
        "params": deepcopy(list(params)),  # what two stages share would become an anchor of YAML's
        "outs": [*kept, *({each: {"cache": False}} for each in outs)],
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, str) and value.lower() in BOOLEANS:
        from ruamel.yaml.scalarstring import DoubleQuotedScalarString

        return DoubleQuotedScalarString(value)
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _yaml(value: Any) -> str:
    from ruamel.yaml import YAML

    writer, text = YAML(typ="rt"), io.StringIO()
    writer.width, writer.indent = 100, 2
    writer.default_flow_style = False
    writer.dump(value, text)
    return text.getvalue()
