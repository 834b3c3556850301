"""Holding a table of any size against a schema and rules of quality."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.data.check import SchemaCheck
from harness.data.chunk import Chunk, rows_of, told, unseen
from harness.data.nodes import near
from harness.data.quality import QualityCheck, Subject, at_work
from harness.data.rule import Check, Rule
from harness.data.rulefile import unknown
from harness.data.schema import ColumnRole, Others, Schema
from harness.data.source import FrameSource, Source
from harness.data.table import infer
from harness.domain.quality import Failure, Validation
from harness.errors import DataError

INFERRED_FROM: int = 100_000
"""Rows that types are inferred from where there is no schema."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a table is held against."""

    schema: Schema | None = None
    """None: types are inferred from the first rows, and nothing is forbidden by them."""
    rules: tuple[Rule, ...] = ()
    """Beside those of the schema."""
    target: str = ""
    """Empty: the schema's."""
    quality_file: str = ""


def validate(source: Source, held: Held, against: Source | None = None) -> Validation:
    """Read a table once (and its first rows again, for the values to tell), and tell all that is wrong with it.

    Memory is bounded: by a chunk, and by what checks keep of every row (`Validation.costs`). The result is the same
    whatever the size of chunks.

    Args:
        source: the table.
        held: what it is held against.
        against: the training data, for rules that look for rows and types of theirs.

    Raises:
        DataError: a file cannot be read, or rules and table do not fit together.
    """
    schema = held.schema or first_types(source)
    target = _target(held, schema, source)
    rules = _rules(held, schema, against)
    problems = unknown(rules, list(schema.columns))
    if problems:
        raise DataError("\n".join(problems))
    schema_check = SchemaCheck(schema)
    checks = [at_work(rule, Subject(schema, target)) for rule in rules]
    if against:
        for chunk in _chunks(against, schema, training=True):
            for check in checks:
                check.learn(chunk)
    missing: dict[str, int] = {}
    for chunk in _chunks(source, schema):
        schema_check.see(chunk)
        for check in checks:
            check.see(chunk)
        for name, count in chunk.frame.isna().sum().items():
            missing[str(name)] = missing.get(str(name), 0) + int(count)
    failures = _all(source, schema_check, checks)
    return Validation(
        source.name,
        schema_check.rows,
        schema_check.names,
        tuple(told(failures, _again(source, schema, unseen(failures)))),
        schema_check.checks + len(checks),
        schema.file,
        held.quality_file,
        against.name if against else "",
        {name: count for name, count in missing.items() if count},
        (*schema_check.costs, *(cost for check in checks for cost in check.costs)),
    )


def first_types(source: Source) -> Schema:
    """A schema that forbids nothing: the types of the first rows."""
    frames, rows = [], 0
    for frame in source.chunks():
        frames.append(frame)
        rows += len(frame)
        if rows >= INFERRED_FROM:
            break
    found = infer(pd.concat(frames, ignore_index=True).head(INFERRED_FROM))
    columns = {
        name: replace(column, nullable=True, role=ColumnRole.FEATURE if column.role is ColumnRole.KEY else column.role)
        for name, column in found.columns.items()
    }
    return Schema(columns, others=Others.IGNORE)


def quality_failures(chunk: Chunk, schema: Schema, rules: Sequence[Rule], target: str) -> list[Failure]:
    """What rules of quality forbid in a table that is here already."""
    checks = [at_work(rule, Subject(schema, target)) for rule in rules if rule.check is not Check.OVERLAP]
    found: list[Failure] = []
    for check in checks:
        check.see(chunk)
        found += check.failures(len(chunk.frame))
    return told(found, rows_of(chunk, unseen(found)))


def overlapping(
    frame: pd.DataFrame,
    training: NDArray[np.int64],
    held_out: NDArray[np.int64],
    schema: Schema,
    rules: Sequence[Rule],
) -> list[Failure]:
    """Which held-out rows stand among the training rows too, by the rules that ask for it; both by place, from 0."""
    found: list[Failure] = []
    for rule in rules:
        if rule.check is Check.OVERLAP:
            check = at_work(rule, Subject(schema))
            check.learn(_part(frame, training, -1))
            chunk = _part(frame, held_out, 1)
            check.see(chunk)
            failures = list(check.failures(len(held_out)))
            found += told(failures, rows_of(chunk, unseen(failures)))
    return found


def _part(frame: pd.DataFrame, places: NDArray[np.int64], sign: int) -> Chunk:
    part = frame.iloc[places].reset_index(drop=True)
    return Chunk(part, part, {}, sign * (places + 1))


def _target(held: Held, schema: Schema, source: Source) -> str:
    said = schema.of(ColumnRole.TARGET)
    target = held.target or (said[0] if said else "")
    if said and target != said[0]:
        raise DataError(f"{schema.file or 'the schema'}: the target is {said[0]}, not {target}")
    if held.target and target not in schema.columns:
        raise DataError(f"{source.name}: there is no column {target!r} to be the target{near(target, schema.columns)}")
    return target


def _rules(held: Held, schema: Schema, against: Source | None) -> tuple[Rule, ...]:
    rules = (*schema.quality, *held.rules)
    if against and not any(rule.check is Check.OVERLAP for rule in rules):
        rules = (*rules, Rule(Check.OVERLAP, max_share=0.0 if schema.of(ColumnRole.KEY) else 0.01))
    return rules


def _chunks(source: Source, schema: Schema, *, training: bool = False) -> Iterator[Chunk]:
    before = 0
    for raw in source.chunks():
        yield Chunk.of(raw, schema, before, training=training)
        before += len(raw)


def _all(source: Source, schema_check: SchemaCheck, checks: Iterable[QualityCheck]) -> list[Failure]:
    cut = source.cut()
    found = [Failure("", cut, kind="truncated")] if cut else []
    found += schema_check.failures()
    return found + [each for check in checks for each in check.failures(schema_check.rows)]


def _again(source: Source, schema: Schema, wanted: frozenset[int]) -> dict[int, dict[str, str]]:
    """Some rows, read once more."""
    found: dict[int, dict[str, str]] = {}
    before = 0
    for raw in source.chunks() if wanted else ():
        mine = {row for row in wanted if before < row <= before + len(raw)}
        if mine:
            numbers = np.arange(before + 1, before + len(raw) + 1, dtype=np.int64)
            found |= rows_of(Chunk(raw, raw, {}, numbers), mine)
        before += len(raw)
        if before >= max(wanted):
            break
    return found


def validate_frame(frame: pd.DataFrame, held: Held, against: pd.DataFrame | None = None) -> Validation:
    """The same of a table in memory."""
    return validate(
        FrameSource(frame), held, FrameSource(against, "the training data") if against is not None else None
    )
