"""Training is done once per digest and reused: in this process, and from a folder where that is faster."""

import functools
import hashlib
import json
import os
import platform
import threading
from collections import OrderedDict
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from harness.clock import wall_ns
from harness.data.digest import table_digest
from harness.data.split import Rows
from harness.domain.units import MILLISECOND
from harness.errors import ArtifactError
from harness.training import artifact
from harness.training.digest import model_digest
from harness.training.fit import Fitted

IN_MEMORY: Final = 4
"""Models kept in the process; a forest of a hundred trees takes about 20 MB."""

WORTH_NS: Final = 30 * MILLISECOND
"""What trains faster than this is not written to disk: reading it back would save little. Measured: a forest of a
hundred trees (20 MB) takes 500 ms to train, 140 to write, 130 to read and check; a logistic regression 60, 10 and 8."""

MAX_BYTES: Final = 500_000_000
"""Of all files in the folder; those used longest ago go first."""

LIBRARIES: Final = ("numpy", "scikit-learn", "scipy")


class ModelCache:
    """Fitted models by what they were fitted to and with.

    Args:
        folder: where models are kept from run to run; None keeps them in this process only.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._models: OrderedDict[str, Fitted] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str, train: Callable[[], Fitted]) -> tuple[Fitted, bool]:
        """The model of that key, and whether it was there; if not, it is trained now.

        A file that is damaged, or does not hold what it should, is discarded.
        """
        known = self._recall(key) or self._read(key)
        if known:
            self._keep(key, known)
            return known, True
        began = wall_ns()
        fitted = train()
        took_ns = wall_ns() - began
        self._keep(key, fitted)
        if took_ns > WORTH_NS:
            self._write(key, fitted)
        return fitted, False

    def _recall(self, key: str) -> Fitted | None:
        with self._lock:
            return self._models.get(key)

    def _keep(self, key: str, fitted: Fitted) -> None:
        with self._lock:
            self._models[key] = fitted
            self._models.move_to_end(key)
            while len(self._models) > IN_MEMORY:
                self._models.popitem(last=False)

    # --- the folder ---

    def _read(self, key: str) -> Fitted | None:
        if self.folder is None:
            return None
        file = self.folder / f"{key}.skops"
        try:
            about = json.loads(_about(file).read_text(encoding="utf-8"))
            model = artifact.load(file)
            fitted = Fitted(model, model_digest(model), tuple(about["notes"]))
            if fitted.digest == about["digest"]:
                file.touch()
                return fitted
        except FileNotFoundError:
            return None
        except (ArtifactError, OSError, ValueError, LookupError, TypeError):
            pass  # damaged: as good as absent
        _discard(file)
        return None

    def _write(self, key: str, fitted: Fitted) -> None:
        """Keep a model from run to run; a folder that cannot be written is no reason to fail."""
        if self.folder is None:
            return
        file = self.folder / f"{key}.skops"
        beside = _about(file).with_name(f".{key}.json.{os.getpid()}")
        try:
            artifact.save(fitted.estimator, file)
            beside.write_text(json.dumps({"digest": fitted.digest, "notes": list(fitted.notes)}), encoding="utf-8")
            beside.replace(_about(file))  # last: a model without it is not read
            _prune(file)
        except (ArtifactError, OSError):
            _discard(file)


@functools.cache
def shared(folder: Path | None) -> ModelCache:
    """The one cache of this process for that folder."""
    return ModelCache(folder)


def training_key(unfitted: Any, rows: Rows) -> str:
    """Names what decides a model: the pipeline with all its parameters, rows and labels (faults of training
    included), and the libraries and processor family that fit it.
    """
    said = {
        "pipeline": model_digest(unfitted),
        "rows": table_digest(rows.rows),
        "target": [rows.target.dtype.str, hashlib.sha256(rows.target.tobytes()).hexdigest(), rows.classes],
        "libraries": {name: version(name) for name in LIBRARIES},
        "machine": [platform.system(), platform.machine()],
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _about(file: Path) -> Path:
    """The file that says what a model file must hold."""
    return file.with_suffix(".json")


def _prune(newest: Path) -> None:
    files = sorted(((file.stat().st_mtime_ns, file) for file in newest.parent.glob("*.skops")), reverse=True)
    room = MAX_BYTES
    for _, file in files:
        room -= file.stat().st_size
        if room < 0 and file != newest:
            _discard(file)


def _discard(model_file: Path) -> None:
    for file in (model_file, _about(model_file)):
        try:
            file.unlink(missing_ok=True)
        except OSError:
            continue  # a folder that may only be read: what is useless in it is found useless again
