"""Defaults of flags that mean the same everywhere: from `harness.toml`, `[tool.harness]`, and `HARNESS_*` variables.

A flag beats a variable, a variable the file, the file the built-in default. The file is the nearest, in the current
folder or one above it; `harness.toml` beats a `pyproject.toml` beside it. Every option of every command is a setting
under its long name, apart from those that concern one call alone; a new option is one without a line here.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from harness.cli.options import OfOneCall
from harness.domain.secrets import mask
from harness.errors import InputError, Problem

PREFIX: Final = "HARNESS_"
OF_ONE_CALL: Final = frozenset(
    {"set", "output", "force", "yes", "help", "version", "model", "positive", "trust-pickle"}
)
"""Options that no file sets: they say what one call is about, or that something unsafe is meant."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, and where its value comes from."""

    name: str
    value: Any
    source: str
    """``default``, ``file`` or ``variable``."""
    place: str = ""
    """``harness.toml:3``, or the variable's name."""
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Use:
    """An option of a command."""

    path: tuple[str, ...]
    option: click.Option


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    text: str
    values: Mapping[str, Any]
    tables: tuple[str, ...]
    """The headings that its settings stand below."""


def defaults(root: click.Group) -> dict[str, Any]:
    """What click takes as `default_map`: by command and parameter, only what a file or a variable sets.

    Raises:
        InputError: a file or a variable is wrong; all of it is told at once.
    """
    file = find_file(Path.cwd())
    if file is None and not any(name.startswith(PREFIX) for name in os.environ):
        return {}
    made: dict[str, Any] = {}
    uses = _uses(root)
    for setting in _read(uses, file):
        for use in uses[setting.name] if setting.source != "default" else ():
            place = made
            for word in use.path:
                place = place.setdefault(word, {})
            place[str(use.option.name)] = setting.value
    return made


def settings(root: click.Group) -> tuple[list[Setting], Path | None]:
    """Every setting in the order of its name, and the file that was read.

    Raises:
        InputError: a file or a variable is wrong; all of it is told at once.
    """
    file = find_file(Path.cwd())
    return _read(_uses(root), file), file.path if file else None


def find_file(folder: Path) -> _File | None:
    """The nearest file with settings.

    Raises:
        InputError: it is no TOML, or cannot be read.
    """
    for each in (folder, *folder.parents):
        own, shared = each / "harness.toml", each / "pyproject.toml"
        if own.is_file():
            text = _text(own)
            return _File(_shown(own, folder), text, _parsed(own, text), ("",))
        text = _text(shared) if shared.is_file() else ""
        if "harness" in text:
            tool = _parsed(shared, text).get("tool", {})
            found = tool.get("harness") if isinstance(tool, dict) else None
            if isinstance(found, dict):
                return _File(_shown(shared, folder), text, found, ("tool.harness",))
    return None


def _shown(path: Path, folder: Path) -> Path:
    return path.relative_to(folder) if path.is_relative_to(folder) else path


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def _parsed(path: Path, text: str) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        line, column = (int(at[1]), int(at[2])) if at else (text.count("\n") + 1, 1)
        told = str(error).partition(" (at ")[0]
        raise InputError(str(Problem(str(path), line, column, f"not TOML: {told}"))) from error


# --- which options there are ------------------------------------------------------------------------------------------


def _uses(root: click.Group) -> dict[str, list[_Use]]:
    """By setting: every command that has it."""
    found: dict[str, list[_Use]] = {}
    for use in _options(root, ()):
        option = use.option
        name = max(option.opts, key=len).lstrip("-")
        of_one_call = name in OF_ONE_CALL or isinstance(option, OfOneCall)
        if not (option.required or option.multiple or option.is_eager or of_one_call):
            found.setdefault(name, []).append(use)
    return dict(sorted(found.items()))


def _options(command: click.Command, path: tuple[str, ...]) -> Iterator[_Use]:
    yield from (_Use(path, option) for option in command.params if isinstance(option, click.Option) and path)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for word in command.list_commands(context):
            below = command.get_command(context, word)
            if below:
                yield from _options(below, (*path, word))


# --- their values -----------------------------------------------------------------------------------------------------


def _read(uses: Mapping[str, list[_Use]], file: _File | None) -> list[Setting]:
    problems: list[str] = []
    found = {name: _default(name, those) for name, those in uses.items()}
    for key, raw in file.values.items() if file else ():
        assert file
        line = _line(file, key)
        name = key.replace("_", "-")
        if name not in uses:
            problems.append(str(Problem(str(file.path), line, 1 if line else 0, _unknown(key, name, uses))))
            continue
        try:
            value = _converted(uses[name][0].option, raw, file.path.parent)
        except ValueError as error:
            problems.append(str(Problem(str(file.path), line, 1 if line else 0, mask(f"{key}: {error}"))))
        else:
            place = f"{file.path}:{line}" if line else str(file.path)
            found[name] = Setting(name, value, "file", place, found[name].commands)
    for variable, text in sorted(os.environ.items()):
        name = variable.removeprefix(PREFIX).lower().replace("_", "-")
        if not variable.startswith(PREFIX) or not text:
            continue
        if name not in uses:  # others may use the prefix too: only what looks like a slip is one
            problems += [f"{variable} is no setting; did you mean {_variable(near)}?" for near in _near(name, uses)]
            continue
        try:
            value = _converted(uses[name][0].option, text, None)
        except ValueError as error:
            problems.append(mask(f"{variable}: {error}"))
        else:
            found[name] = Setting(name, value, "variable", variable, found[name].commands)
    if problems:
        raise InputError("\n".join(problems))
    return list(found.values())


def _default(name: str, uses: list[_Use]) -> Setting:
    known = uses[0].option.default
    value = known if isinstance(known, str | int | float | Path) else None
    return Setting(name, value, "default", "", tuple(" ".join(use.path) for use in uses))


def _converted(option: click.Option, raw: Any, folder: Path | None) -> Any:
    """The value as the option would have it from the command line; ValueError says what is allowed."""
    if option.is_flag:
        if folder is not None and not isinstance(raw, bool):
            raise ValueError(f"{raw!r} is not true or false")
        return _by_click(click.BOOL, option, raw)
    if isinstance(raw, list) and (option.metavar or "").endswith(",…") and all(isinstance(each, str) for each in raw):
        raw = ",".join(raw)
    if isinstance(raw, bool) or not isinstance(raw, str | int | float):
        raise ValueError(  # noqa: TRY004 - of a file, as the others are
            f"{raw!r} is no text and no number"
        )
    value = _by_click(option.type, option, str(raw))
    is_file = isinstance(option.type, click.Path) or option.metavar in ("FILE", "DIR")
    if folder is not None and is_file and raw != "-":
        value = type(value)(folder / str(value))
    return value


def _by_click(kind: Any, option: click.Option, raw: Any) -> Any:
    try:
        return kind.convert(raw, option, None)
    except click.BadParameter as error:
        raise ValueError(error.message.rstrip(".")) from error


def _unknown(key: str, name: str, uses: Mapping[str, Any]) -> str:
    near = _near(name, uses)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(uses)}"
    return f"{key} is no setting; {hint}"


def _near(name: str, uses: Mapping[str, Any]) -> list[str]:
    import difflib

    return difflib.get_close_matches(name, uses, 1, 0.75)


def _variable(name: str) -> str:
    return PREFIX + name.upper().replace("-", "_")


def _line(file: _File, key: str) -> int:
    """The line of a key, counted from 1; 0 where it is written in a way that is not looked for (an inline table)."""
    heading = ""
    for number, line in enumerate(file.text.splitlines(), start=1):
        opened = re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line)
        if opened:
            heading = re.sub(r"[\s\"']", "", opened[1])
            if heading in {f"{table}.{key}".lstrip(".") for table in file.tables}:
                return number
        elif heading in file.tables and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[.=]", line):
            return number
    return 0
