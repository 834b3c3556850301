"""The user's own model, of which a first scenario is made."""

from pathlib import Path
from typing import Any

from harness.app.installed import keeps_models
from harness.app.lookup import Lookup
from harness.backends.uri import NO_STORE, ModelUriError, is_uri, model_uri, split
from harness.domain.model import Role, TrainedModel, UriPlan
from harness.domain.scenario import Backends
from harness.errors import ArtifactError, InputError


def own_model(model: Path | str, name: str, backends: Backends, *, trust_pickle: bool) -> TrainedModel:
    """The user's model, as a candidate.

    Args:
        model: its file, or its URI in MLflow.
        name: the model's in the scenario.
        backends: where a URI is looked up.
        trust_pickle: it may be a pickle, which is then loaded.

    Raises:
        InputError: it cannot be loaded, or the backends cannot be asked for it.
        BackendError: MLflow lacks it, or cannot be asked.
    """
    from harness.training.brought import brought

    if not is_uri(model):
        return brought(loaded(Path(model), trust_pickle=trust_pickle), name, Role.CANDIDATE, str(model))
    try:
        model_uri(str(model))
    except ModelUriError as error:
        raise InputError(f"--model {model}: {error}; or the path of a file") from None
    if not (
        keeps_models("registry", split(backends.registry)[0]) or keeps_models("tracker", split(backends.tracker)[0])
    ):
        raise InputError(f"--model {model}: {NO_STORE}")
    return Lookup(backends, trust_pickle).model(UriPlan(str(model)), name, Role.CANDIDATE)


def loaded(path: Path, *, trust_pickle: bool, notes: list[str] | None = None) -> Any:
    """The estimator of a model file.

    Args:
        path: the file.
        trust_pickle: it may be a pickle.
        notes: takes what was noticed as it was read.

    Raises:
        ArtifactError: it cannot be loaded, or is a pickle that is not trusted.
    """
    from harness.scenario.files import PICKLES
    from harness.training import artifact

    pickled = path.name.lower().endswith(PICKLES)
    if pickled and not trust_pickle:
        raise ArtifactError(
            f"{path}: loading a pickle runs whatever it holds; save the model with skops.io.dump instead, "
            "or say --trust-pickle where the file is your own"
        )
    if not pickled and path.suffix.lower() != ".skops":
        raise ArtifactError(f"{path}: a model file ends in .skops (save the model with skops.io.dump)")
    return artifact.load(path, notes, pickled=pickled)
