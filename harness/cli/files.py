"""Which files a command line means."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.errors import InputError

SUFFIXES = (".yaml", ".yml")
KEY = re.compile(r"""(?:^|[{,])\s*["']?harness["']?\s*:""", re.MULTILINE)
AT_LEFT = re.compile(r"""(?:^|\A\s*\{\s*)["']?harness["']?\s*:""", re.MULTILINE)


def scenario_files(paths: Iterable[str]) -> Iterator[tuple[Path, bool]]:
    """Every scenario file that the paths name, each once, and whether it was found in a folder.

    Of a folder those files count whose top level has the key ``harness``; a schema or a manifest beside them is none.
    A file named by itself is taken at its word.
    """
    seen: set[Path] = set()
    for name in paths:
        path = Path(name)
        if path.is_dir():
            below = [file for file in sorted(path.rglob("*")) if file.suffix in SUFFIXES and _is_scenario(file)]
            if not below:
                raise InputError(f"{name}: no scenario below this folder (a scenario is a YAML file with `harness: 1`)")
            found = [(file, True) for file in below]
        else:
            found = [(path, False)]
        for file, listed in found:
            if file.resolve() not in seen:
                seen.add(file.resolve())
                yield file, listed


def _is_scenario(file: Path) -> bool:
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True  # loading it will say what is wrong
    return bool(KEY.search(text)) and _has_at_top(text)


def _has_at_top(text: str) -> bool:
    """Whether ``harness`` is a key of the outermost mapping, written as a block or as JSON."""
    from ruamel.yaml import YAML, events
    from ruamel.yaml.error import YAMLError

    depth, is_key = 0, True
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            if depth == 1 and is_key and isinstance(event, events.ScalarEvent) and event.value == "harness":
                return True
            if isinstance(event, events.SequenceStartEvent) and depth == 0:
                return False
            if isinstance(event, events.CollectionStartEvent):
                depth += 1
            elif isinstance(event, events.CollectionEndEvent):
                depth -= 1
            if depth == 1 and isinstance(event, events.NodeEvent | events.CollectionEndEvent):
                is_key = not is_key
            if depth == 1 and isinstance(event, events.MappingStartEvent):
                is_key = True
    except YAMLError:
        return AT_LEFT.search(text) is not None  # perhaps one with a slip: loading it will say where
    return False
