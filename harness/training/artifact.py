"""Model files: skops archives, which hold no code; pickles, which do, only where the user says so."""

import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, Final

import skops.io
from skops.io.exceptions import UntrustedTypesFoundException

from harness.errors import ArtifactError
from harness.training.algorithms import calm, told
from harness.training.trees import forged

TRUSTED: Final = frozenset(
    {
        "numpy.dtype",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.tree._tree.Tree",
    }
)
"""Types beside skops's own list that the algorithms of `harness.training.vocabulary` are made of.

Trees are checked once they are read (`harness.training.trees`), before anything walks them.
"""

DAMAGED: Final = (
    zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, ImportError, LookupError, ValueError, TypeError,
    AttributeError, ArithmeticError, RuntimeError,
)  # fmt: skip
"""What skops and scikit-learn may raise over a file that is not what it should be: anything but a clean refusal."""


def save(model: Any, path: Path) -> None:
    """Write a fitted model to a skops file, whole or not at all.

    Raises:
        ArtifactError: the file cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        skops.io.dump(model, beside)
        beside.replace(path)
    except OSError as error:
        raise ArtifactError(f"{path}: the model cannot be written: {error}") from error
    finally:
        beside.unlink(missing_ok=True)


def load(path: Path, notes: list[str] | None = None, *, pickled: bool = False) -> Any:
    """The model of a file.

    Args:
        path: the file.
        notes: takes what scikit-learn warned of (another version wrote the file).
        pickled: the file is a pickle that the user trusts, not a skops file; loading it runs whatever it holds.

    Raises:
        ArtifactError: there is no such file, it is none of its kind, or it holds types that are not trusted.
    """
    if pickled:
        return _unpickled(path, notes)
    try:
        with calm() as gathered:
            model = skops.io.load(path, trusted=sorted(TRUSTED))
    except FileNotFoundError as error:
        raise ArtifactError(f"{path}: there is no such file") from error
    except UntrustedTypesFoundException as error:
        unknown = sorted(set(skops.io.get_untrusted_types(file=path)) - TRUSTED)
        raise ArtifactError(
            f"{path}: not loaded, for it holds types that are not known to be harmless: {', '.join(unknown)}; "
            "build the model of scikit-learn's own estimators and save it with skops.io.dump"
        ) from error
    except DAMAGED as error:
        raise ArtifactError(
            f"{path}: not a model file of skops, or damaged ({type(error).__name__}: {error}); "
            "write it with skops.io.dump (pickles are refused: loading one runs what it holds)"
        ) from error
    if notes is not None:
        notes += [f"{path.name}: {note}" for note in told(gathered)]
    return _sound(model, path)


def _unpickled(path: Path, notes: list[str] | None) -> Any:
    import joblib

    try:
        with calm() as gathered:
            model = joblib.load(path)  # reads plain pickles too
    except FileNotFoundError as error:
        raise ArtifactError(f"{path}: there is no such file") from error
    except Exception as error:  # a pickle runs what it holds, and that may raise anything
        raise ArtifactError(
            f"{path}: the pickle cannot be loaded here ({type(error).__name__}: {error}); "
            "save the model with skops.io.dump where it can"
        ) from error
    if notes is not None:
        notes += [
            f"{path.name}: {note}" for note in (*told(gathered), "loaded from a pickle, as --trust-pickle allows")
        ]
    return _sound(model, path)


def _sound(model: Any, path: Path) -> Any:
    wrong = forged(model)
    if wrong:
        raise ArtifactError(f"{path}: damaged or forged: {wrong}")
    return model
