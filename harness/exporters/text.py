"""Values as YAML that every reader takes alike, and the files of an export."""

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

PLAIN: Final = re.compile(r"[A-Za-z/][A-Za-z0-9 ./@_-]*(?<! )", re.ASCII)
"""Texts that nobody takes for anything else; all others are quoted."""
BOOLEANS: Final = frozenset({"yes", "no", "on", "off", "true", "false", "y", "n", "null"})
"""Texts that some readers of YAML take for something else."""


@dataclass(frozen=True, slots=True)
class Export:
    """What a target makes of a scenario."""

    files: Mapping[str, str]
    """By their path below the folder."""
    notes: tuple[str, ...] = ()
    """What of the scenario is not in the files, and what to do first: one line each."""


def quoted(value: Any) -> Any:
    """The same, with every text quoted that a reader of YAML 1.1 could take for something else."""
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(value, Mapping):
        return {quoted(key): quoted(each) for key, each in value.items()}
    if isinstance(value, str):
        plain = PLAIN.fullmatch(value) and value.lower() not in BOOLEANS
        return value if plain else DoubleQuotedScalarString(value)
    return [quoted(each) for each in value] if isinstance(value, list | tuple) else value


def yaml_text(value: Any) -> str:
    """YAML, in blocks, keys in their order."""
    from ruamel.yaml import YAML

    writer, text = YAML(typ="rt"), io.StringIO()
    writer.width, writer.indent = 1000, 2
    writer.default_flow_style = False
    writer.representer.ignore_aliases = lambda _: True  # what two places share would become an anchor
    writer.dump(value, text)
    return text.getvalue()
