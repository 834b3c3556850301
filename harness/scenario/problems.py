"""From what the input models found wrong to problems with a place, in the words of the scenario file."""

import typing
from collections.abc import Iterator
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from harness.analysis.vocabulary import nearest, suggestion
from harness.errors import Problem
from harness.scenario.inputs import ContradictionError, Input, Loc, WrongValueError
from harness.scenario.nodes import Entry, Items, Keys, Node, Place, Scalar, one_line, printable
from harness.scenario.tree import resolve

_LONGEST_VALUE: Final = 60


def problems_of(error: ValidationError, root: Node, model: type[Input]) -> Iterator[Problem]:
    """Every problem of a document; one for a key that is misspelt, not a second one for its absence."""
    details = error.errors(include_url=False)
    meant = set()
    for detail in details:
        if detail["type"] == "extra_forbidden":
            *above, key = detail["loc"]
            close = nearest(str(key), _keys_at(model, tuple(above)))
            meant.add((*above, close))
    for detail in details:
        if detail["type"] != "missing" or detail["loc"] not in meant:
            yield _problem(detail, root, model)


def path_text(loc: Loc) -> str:
    """A path as errors write it.

    >>> path_text(("rollout", "steps", 2, "weight"))
    'rollout.steps[2].weight'
    """
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{_clean(part) or chr(34) * 2}" for part in loc)
    return text.removeprefix(".") or "the scenario"


def value_text(node: Node) -> str:
    """A value as errors quote it: in one line, and not for ever."""
    match node:
        case Scalar(value=None):
            return "empty"
        case Scalar(value=str() as text) if set(text) & set(" ,#:\n") or resolve(text) != text:
            return f'"{_clean(text)}"'
        case Scalar(text=text):
            return _clean(text)
        case Items(items=()):
            return "an empty list"
        case Items():
            return _clean(one_line(node))
        case Keys(entries=entries):
            return f"a mapping of {_clean(', '.join(entries))}" if entries else "an empty mapping"


def shape_at(model: type[Input], loc: Loc) -> Any:
    """What a path leads to: an input model, ``list[...]``, ``dict[...]``, or None where it leads nowhere.

    >>> from harness.scenario.document import Document
    >>> shape_at(Document, ("model", "data")).__name__
    'DataInput'
    """
    shape: Any = model
    for part in loc:
        origin = typing.get_origin(shape)
        if origin in {list, dict}:
            shape = _bare(typing.get_args(shape)[-1])
        elif isinstance(shape, type) and issubclass(shape, Input):
            fields = {field.alias or name: field for name, field in shape.model_fields.items()}
            shape = _bare(fields[part].annotation) if part in fields else None
        else:
            return None
    return shape


def _bare(annotation: Any) -> Any:
    """An annotation without ``Annotated`` and ``| None``."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _bare(typing.get_args(annotation)[0])
    inner = [each for each in typing.get_args(annotation) if each is not type(None)]
    if type(None) in typing.get_args(annotation) and len(inner) == 1:
        return _bare(inner[0])
    return annotation


def _keys_at(model: type[Input], loc: Loc) -> tuple[str, ...]:
    shape = shape_at(model, loc)
    return shape.written_keys() if isinstance(shape, type) and issubclass(shape, Input) else ()


def _problem(detail: ErrorDetails, root: Node, model: type[Input]) -> Problem:
    loc = detail["loc"]
    error = detail.get("ctx", {}).get("error")
    match detail["type"]:
        case "missing":
            return _key_place(root, loc[:-1]).problem(f"{path_text(loc)} is missing{_example(model, loc)}")
        case "extra_forbidden":
            told = suggestion(str(loc[-1]), _keys_at(model, loc[:-1]))
            return _key_place(root, loc).problem(f"{path_text(loc)}: no such key; {told}")
        case "value_error" if isinstance(error, ContradictionError):
            return _key_place(root, loc).problem(f"{path_text(loc)} {error}")
    node = _node_at(root, loc)
    offset = 0
    if isinstance(error, WrongValueError) and isinstance(node, Scalar) and node.verbatim is not None and error.offset:
        offset = node.verbatim + error.offset
    place = _key_place(root, loc) if isinstance(node, Scalar) and node.text == "" else node.place
    return place.problem(f"{path_text(loc)} is {value_text(node)}; {error or _wanted(model, loc)}", offset)


def _wanted(model: type[Input], loc: Loc) -> str:
    """What belongs at a path where something of another shape stands."""
    shape = shape_at(model, loc)
    if isinstance(shape, type) and issubclass(shape, Input):
        return f"a mapping belongs here, with the keys {', '.join(shape.written_keys())}"
    return "a list belongs here" if typing.get_origin(shape) is list else "a mapping belongs here"


def _example(model: type[Input], loc: Loc) -> str:
    shape = shape_at(model, loc[:-1])
    for name, field in shape.model_fields.items():
        if (field.alias or name) == loc[-1] and field.examples:
            return f"; such as {loc[-1]}: {_flow(field.examples[0])}"
    return ""


def _flow(value: Any) -> str:
    """A plain value as YAML in one line."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_flow(each)}' for key, each in value.items())}}}"
    return f"[{', '.join(_flow(each) for each in value)}]" if isinstance(value, list) else str(value)


def _node_at(root: Node, loc: Loc) -> Node:
    """The node of a path, or the innermost one on the way to it."""
    return entry_at(root, loc).node


def _key_place(root: Node, loc: Loc) -> Place:
    return entry_at(root, loc).place


def entry_at(root: Node, loc: Loc) -> Entry:
    """The entry of a path, or the innermost one on the way to it."""
    entry = Entry(root.place, root)
    for part in loc:
        match entry.node:
            case Keys(entries=entries) if part in entries:
                entry = entries[str(part)]
            case Items(items=items) if isinstance(part, int) and part < len(items):
                entry = Entry(items[part].place, items[part])
            case _:
                return entry
    return entry


def _clean(text: str) -> str:
    """Text in one line, and not for ever."""
    shown = printable(text)
    return shown if len(shown) <= _LONGEST_VALUE else f"{shown[: _LONGEST_VALUE - 1]}…"
