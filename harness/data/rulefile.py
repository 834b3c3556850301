"""Rules of quality, read from the section ``quality`` of a schema's file, from a file of their own, or from Python."""

from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from harness.data.nodes import Reader, document, near, shown
from harness.data.rule import AUC, KEYS, Check, Method, Rule
from harness.domain.quality import Severity
from harness.errors import DataError

VERSION = 1
SHAPE = "must be a mapping such as {check: duplicates, severity: warning}"


def read_rules(path: str, columns: Iterable[str] | None = None) -> tuple[Rule, ...]:
    """The rules of a file of their own: ``quality: [{check: duplicates, ...}, ...]``.

    Args:
        path: a YAML file.
        columns: those of the schema, where there is one: no rule may name another.

    Raises:
        DataError: with every problem of the file, each with line, column and what is allowed.
    """
    said, text = document(path, "rules of quality")
    return _read(path, said, text, columns)


def rules_of(given: Any, columns: Iterable[str] | None = None) -> tuple[Rule, ...]:
    """The rules that a caller in Python gives: a file, rules, mappings as in a file, or what each check is to be.

    >>> [rule.check.value for rule in rules_of({"duplicates": True, "missing": {"max_share": 0.05}})]
    ['duplicates', 'missing']

    Raises:
        DataError: they cannot be used.
    """
    if given is None:
        return ()
    if isinstance(given, Rule):
        return (given,)
    if isinstance(given, str) or hasattr(given, "__fspath__"):
        return read_rules(str(given), columns)
    if isinstance(given, Mapping):
        wanted = {name: said for name, said in given.items() if said is not None and said is not False}
        given = [{"check": name, **(said if isinstance(said, Mapping) else {})} for name, said in wanted.items()]
    ready = [rule for rule in given if isinstance(rule, Rule)]
    text = StringIO()
    yaml = YAML(typ="rt")
    yaml.dump({"quality": [_plain(rule) for rule in given if not isinstance(rule, Rule)]}, text)
    said = yaml.load(text.getvalue())
    return (*ready, *(_read("quality_rules", said, text.getvalue(), columns) if said["quality"] else ()))


def _plain(rule: Any) -> Any:
    if not isinstance(rule, Mapping):
        return rule
    return {str(key): list(value) if isinstance(value, tuple) else value for key, value in rule.items()}


def _read(path: str, said: Any, text: str, columns: Iterable[str] | None) -> tuple[Rule, ...]:
    reader = Reader(path, text)
    if not isinstance(said, CommentedMap) or "quality" not in said:
        raise DataError(f"{path}:1:1: rules of quality stand in a list below the key `quality`")
    reader.keys(said, ("version", "quality"), "")
    if said.get("version", VERSION) != VERSION:
        reader.wrong(said, "version", f"is not a version this program reads; it reads {VERSION}")
    rules = section(reader, said, columns)
    reader.told()
    return rules


def section(reader: Reader, said: CommentedMap, columns: Iterable[str] | None) -> tuple[Rule, ...]:
    """The rules below the key ``quality``; problems are gathered in the reader."""
    known = None if columns is None else list(columns)
    return reader.entries(said, "quality", lambda values, place: _rule(reader, values, place, known))


def _rule(reader: Reader, values: Any, place: int, columns: Sequence[str] | None) -> Rule | None:
    said, path = values[place], f"quality[{place}]."
    if not isinstance(said, CommentedMap) or "check" not in said:
        reader.wrong(values, place, f"{SHAPE}; checks: {', '.join(Check)}", "quality")
        return None
    check = reader.word(said, "check", Check, None, path)
    if check is None:
        return None
    reader.keys(said, ("check", "severity", *KEYS[check]), path)
    if check is Check.BALANCE and "min_share" not in said:
        reader.wrong(values, place, "lacks `min_share`: the least share that each class should have", "quality")
    return Rule(
        check,
        reader.word(said, "severity", Severity, Severity.CRITICAL, path),
        _columns(reader, said, path, columns),
        reader.share(said, "max_share", path, 0.0),
        reader.word(said, "method", Method, Method.IQR, path),
        reader.positive(said, "factor", path),
        reader.share(said, "max_score", path, AUC),
        reader.share(said, "min_share", path, 0.0),
    )


def _columns(reader: Reader, said: CommentedMap, path: str, known: Sequence[str] | None) -> tuple[str, ...]:
    if "columns" not in said:
        return ()
    if known is None:
        return reader.texts(said, "columns", path)
    return reader.names(said, "columns", known, path)


def unknown(rules: Iterable[Rule], columns: Sequence[str]) -> tuple[str, ...]:
    """What rules name and a table without a schema lacks, as sentences."""
    return tuple(
        f"quality: {rule.check} names the column {shown(name)}, which is not there{near(name, columns)}"
        for rule in rules
        for name in rule.columns
        if name not in columns
    )
