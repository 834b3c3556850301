"""What is said of a model that is to be registered: held against what must be said, and read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness.domain.lineage import Parent
from harness.errors import InputError

TEXTS: Final = ("model_id", "name", "algorithm", "created_by")
MAPPINGS: Final = ("hyperparameters", "training_data_info", "feature_info")


@dataclass(frozen=True, slots=True)
class MetadataValidation:
    """What is wrong with what was said of a model."""

    errors: tuple[str, ...]

    @property
    def is_valid(self) -> bool:
        """Nothing is."""
        return not self.errors


def validated(model_info: Mapping[str, Any]) -> MetadataValidation:
    """Everything that is missing or wrong in what is said of a model."""
    errors = [f"{key}: missing; a text" for key in TEXTS if not _is_text(model_info.get(key))]
    version = model_info.get("version")
    if not _is_text(version) and (isinstance(version, bool) or not isinstance(version, int)):
        errors.append("version: missing; a text or a whole number")
    if _is_text(name := model_info.get("name")) and set(str(name)) & set("/@:"):
        errors.append(f"name: {name!r} holds one of / @ :, which tell versions and aliases apart")
    errors += [
        f"{key}: missing; values by name (may be empty)"
        for key in MAPPINGS
        if not isinstance(model_info.get(key), Mapping)
    ]
    errors += _metric_errors(model_info.get("metrics"))
    errors += _artifact_errors(model_info.get("artifacts"))
    try:
        parents_of(model_info.get("lineage") or ())
    except InputError as error:
        errors.append(f"lineage: {error}")
    return MetadataValidation(tuple(errors))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _metric_errors(metrics: Any) -> list[str]:
    if not isinstance(metrics, Mapping):
        return ["metrics: missing; numbers by name"]
    wrong = [key for key, value in metrics.items() if isinstance(value, bool) or not _is_number(value)]
    return [f"metrics.{key}: {metrics[key]!r} is no number" for key in wrong]


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, str)


def _artifact_errors(artifacts: Any) -> list[str]:
    if not artifacts or not isinstance(artifacts, (Mapping, str, Path, list, tuple)):
        return ["artifacts: missing; bytes or paths by name, or paths"]
    errors = []
    for name, source in _sources(artifacts).items():
        if not _stays_inside(name):
            errors.append(f"artifacts.{name!r}: the name of a file below a folder, such as model.bin or notes/a.txt")
        if isinstance(source, Path) and not source.exists():
            errors.append(f"artifacts.{name}: there is no file {source}")
        elif not isinstance(source, bytes | Path):
            errors.append(f"artifacts.{name}: a {type(source).__name__}; bytes, or the path of a file")
    return errors


def _stays_inside(name: str) -> bool:
    """Whoever writes the files of a version below a folder writes none elsewhere."""
    parts = name.replace("\\", "/").split("/")
    return not set(parts) & {"", ".", ".."} and ":" not in parts[0] and name.isprintable()


def _sources(artifacts: Any) -> dict[str, Any]:
    """Bytes and paths by name; a path alone has the name of its file."""
    if isinstance(artifacts, Mapping):
        named = {str(name): source for name, source in artifacts.items()}
    else:
        paths = [artifacts] if isinstance(artifacts, str | Path) else list(artifacts)
        named = {Path(path).name if isinstance(path, str | Path) else str(path): path for path in paths}
    return {name: Path(source) if isinstance(source, str) else _plain(source) for name, source in named.items()}


def _plain(source: Any) -> Any:
    return bytes(source) if isinstance(source, bytearray | memoryview) else source


def files_of(artifacts: Any) -> dict[str, bytes | Path]:
    """Files by name; a folder is each of its files."""
    found: dict[str, bytes | Path] = {}
    for name, source in _sources(artifacts).items():
        if isinstance(source, Path) and source.is_dir():
            inner = sorted(path for path in source.rglob("*") if path.is_file())
            found |= {f"{name}/{path.relative_to(source).as_posix()}": path for path in inner}
        else:
            found[name] = source
    return found


def parents_of(lineage: Any) -> tuple[Parent, ...]:
    """What a model comes from, as it is told: names of others, or mappings with ``kind``, ``what``, perhaps ``digest``.

    Raises:
        InputError: a link is none.
    """
    if isinstance(lineage, str | bytes | Mapping) or not isinstance(lineage, Sequence):
        raise InputError("a list of names, or of mappings with kind and what")
    found = []
    for each in lineage:
        if _is_text(each):
            found.append(Parent("parent", each))
        elif isinstance(each, Mapping) and _is_text(each.get("what")):
            found.append(Parent(str(each.get("kind", "parent")), each["what"], str(each.get("digest", ""))))
        else:
            raise InputError(f"{each!r} is neither a name nor a mapping with kind and what")
    return tuple(found)
