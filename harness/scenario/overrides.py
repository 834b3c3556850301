"""Overrides of single values: ``--set rollout.steps.0.weight=20%``.

An override sets what is there or adds what is not, as if it stood in the file; what is wrong with its value is told at
the override, not at a line.
"""

import re
import typing
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.analysis.vocabulary import suggestion
from harness.errors import Problem
from harness.scenario.inputs import Input, Loc
from harness.scenario.nodes import Entry, Items, Keys, Node, Place, Scalar, printable
from harness.scenario.problems import path_text, shape_at, value_text
from harness.scenario.tree import TreeError, read_tree


class _PathError(Exception):
    """A path that leads nowhere."""


def place_of(override: str) -> Place:
    """Where problems of an override are told."""
    return Place(printable(f"--set {override}"))


def apply(root: Node, overrides: Sequence[str], model: type[Input]) -> tuple[Node, list[Problem]]:
    """The tree with the overrides in it, and what is wrong with their paths. A wrong one changes nothing."""
    problems = []
    for override in overrides:
        place = place_of(override)
        try:
            path, value = _parsed(override)
            root = _Setting(_moved(value, place), place, model).into(root, (), path)
        except _PathError as refused:
            problems.append(place.problem(str(refused)))
        except TreeError as error:
            problems.append(place.problem(f"its value: {error.problem.message}"))
    return root, problems


def _parsed(override: str) -> tuple[list[str], Node]:
    path, equals, text = override.partition("=")
    parts = re.sub(r"\[(\d+)\]", r".\1", path.strip()).split(".")
    if not equals or not all(parts):
        raise _PathError("an override is PATH=VALUE, such as rollout.steps.0.weight=20%")
    value, problems = read_tree(text, "") if text.strip() else (Scalar(Place(""), None, ""), [])
    if problems:
        raise TreeError(problems[0])
    return parts, value


@dataclass(frozen=True, slots=True)
class _Setting:
    """One override on its way down the tree; lists and mappings on the way are copied, not changed."""

    value: Node
    place: Place
    model: type[Input]

    def into(self, node: Node | None, above: Loc, path: Sequence[str]) -> Node:
        """The node, or what is to be in its place, with the value at a path below it."""
        if not path:
            return self.value
        if isinstance(node, Scalar) and node.value is not None:
            raise _PathError(f"{path_text(above)} is {value_text(node)}, which has nothing below it")
        is_list = typing.get_origin(shape_at(self.model, above)) is list
        if isinstance(node, Items) or (is_list and not isinstance(node, Keys)):
            return self._into_items(node, above, path)
        return self._into_keys(node, above, path)

    def _into_items(self, node: Node | None, above: Loc, path: Sequence[str]) -> Items:
        items = list(node.items) if isinstance(node, Items) else []
        index = _index(path[0], above, len(items))
        before = items[index] if index < len(items) else None
        items[index : index + 1] = [self.into(before, (*above, index), path[1:])]
        return Items(node.place if isinstance(node, Items) else self.place, tuple(items))

    def _into_keys(self, node: Node | None, above: Loc, path: Sequence[str]) -> Keys:
        entries = dict(node.entries) if isinstance(node, Keys) else {}
        key, rest = path[0], path[1:]
        entry = entries.get(key)
        shape = shape_at(self.model, above)
        known = shape.written_keys() if isinstance(shape, type) and issubclass(shape, Input) else None
        if entry is None and known is not None and key not in known:
            raise _PathError(f"{path_text((*above, key))}: no such key; {suggestion(key, known)}")
        below = self.into(entry.node if entry else None, (*above, key), rest)
        entries[key] = Entry(entry.place if entry and rest else self.place, below)
        return Keys(node.place if isinstance(node, Keys) else self.place, entries)


def _index(part: str, above: Loc, length: int) -> int:
    """The index that a part of a path means; one past the end appends."""
    if re.fullmatch("[0-9]{1,6}", part) and int(part) <= length:
        return int(part)
    raise _PathError(
        f"{path_text(above)} is a list of {length}; its items are 0 to {length - 1}, and {length} appends one"
    )


def _moved(node: Node, place: Place) -> Node:
    """The node with everything in it at one place."""
    match node:
        case Scalar():
            return replace(node, place=place, verbatim=None)
        case Items(items=items):
            return replace(node, place=place, items=tuple(_moved(item, place) for item in items))
        case Keys(entries=entries):
            moved = {key: Entry(place, _moved(entry.node, place)) for key, entry in entries.items()}
            return replace(node, place=place, entries=moved)
