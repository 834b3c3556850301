"""Data held against a schema, and a first schema, for the command line."""

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.domain.quality import Validation
from harness.errors import InputError

INFERRED_FROM: Final = 500_000
"""Rows that a first schema is made of."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a file is to be held against."""

    file: str
    schema: str | None = None
    quality: str | None = None
    against: str | None = None
    target: str | None = None
    chunk_rows: int = 100_000


def validated(asked: Asked) -> Validation:
    """Hold a file against what was asked.

    Raises:
        InputError: nothing was asked, or a file cannot be used.
    """
    from harness.data.rulefile import read_rules
    from harness.data.schema import read_schema
    from harness.data.source import file_source
    from harness.data.validate import Held, validate

    if not (asked.schema or asked.quality or asked.against):
        raise InputError(
            f"nothing says what {asked.file} may hold: give --schema, --quality or --against "
            f"(`harness data infer {asked.file}` writes a first schema)"
        )
    schema = read_schema(asked.schema) if asked.schema else None
    rules = read_rules(asked.quality, list(schema.columns) if schema else None) if asked.quality else ()
    against = file_source(asked.against, asked.chunk_rows) if asked.against else None
    held = Held(schema, rules, asked.target or "", asked.quality or "")
    return validate(file_source(asked.file, asked.chunk_rows), held, against)


@dataclass(frozen=True, slots=True)
class First:
    """A first schema, as its file has it."""

    text: str
    columns: int
    rows: int
    broken: tuple[str, ...]
    """What later rows hold that the first did not suggest; empty where all rows were looked at."""


def inferred(file: str, target: str | None) -> First:
    """A first schema of a file; made of its first rows where it is large, and then held against all.

    Raises:
        InputError: the file cannot be used, or has no such target.
    """
    import pandas as pd

    from harness.data.first import schema_text
    from harness.data.source import FrameSource, file_source
    from harness.data.suggest import suggested
    from harness.data.table import infinities, read_table
    from harness.data.validate import Held, validate

    frames: list[pd.DataFrame] = []
    source = file_source(file)
    whole = True
    for frame in source.chunks():
        if sum(map(len, frames)) >= INFERRED_FROM:
            whole = False
            break
        frames.append(frame)
    table = read_table(file) if len(frames) == 1 and whole else pd.concat(frames, ignore_index=True)
    if target and target not in table.columns:
        near = difflib.get_close_matches(target, map(str, table.columns), 1)
        hint = f"; did you mean {near[0]}?" if near else f"; its columns: {', '.join(map(str, table.columns))}"
        raise InputError(f"--target {target}: {file} has no such column{hint}")
    schema = suggested(table, target or "")
    found = validate(FrameSource(table) if whole else source, Held(schema))
    about = (
        f"What {Path(file).name} may hold: a first schema, "
        f"made of {'its' if whole else 'the first'} {len(table):,} rows.\n"
        "Ranges have room; correct what you know better. docs/data.md explains the keys."
    )
    about = "\n".join((about, *infinities(table, schema)))
    return First(schema_text(schema, about), len(schema.columns), len(table), tuple(map(str, found.failures)))
