"""The tree of a YAML text, with the place of every key and value.

It is built from the parser's events and not by recursion, so that hostile files (deep nesting, aliases of aliases) end
in an error with a place. Scalars follow the core schema of YAML 1.2: `on`, `yes` and `1:30` are words, not what 1.1
made of them. Anchors, aliases and the merge key `<<` work.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from ruamel.yaml import YAML, events
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from harness.errors import Problem
from harness.scenario.nodes import Entry, Items, Keys, Node, Place, Scalar, Value

DEEPEST: Final = 40
MOST_NODES: Final = 50_000

_TAGS: Final = "tag:yaml.org,2002:"
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS: Final = {word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")}
_INT: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF))")
_NANS: Final = frozenset({".nan", ".NaN", ".NAN"})
_LONGEST_INT: Final = 40
_NO_KEY: Final = -1
"""Marks what stands where a key should; its value is left out."""


class TreeError(Exception):
    """A text that is no tree at all; carries the one problem that can be told."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))


def read_tree(text: str, file: str) -> tuple[Node, list[Problem]]:
    """The tree of a text, and what is wrong but leaves a tree (duplicate keys, odd tags).

    Raises:
        TreeError: where there is no tree.
    """
    builder = _Builder(text, file)
    for event in _events(text, file):
        builder.take(event)
    return builder.finish(), builder.problems


@dataclass(slots=True)
class _Frame:
    """A list or mapping that is still open."""

    place: Place
    is_list: bool
    anchor: str | None
    items: list[Node] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    merged: list[Node] = field(default_factory=list)
    key: Scalar | None = None
    """The key that waits for its value."""


class _Builder:
    """Puts events together to a tree."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.problems: list[Problem] = []
        self.stack: list[_Frame] = []
        self.root: Node | None = None
        self.anchors: dict[str, Node] = {}
        self.documents = 0
        self.nodes = 0

    def take(self, event: events.Event) -> None:
        place = self._place(event.start_mark)
        match event:
            case events.DocumentStartEvent():
                self.documents += 1
                if self.documents > 1:
                    raise TreeError(place.problem("a second document begins here; a scenario is one document"))
            case events.ScalarEvent():
                self._add(self._scalar(event, place), event.anchor)
            case events.AliasEvent():
                self._add(self._alias(event, place), None)
            case events.SequenceStartEvent() | events.MappingStartEvent():
                self._open(event, place)
            case events.CollectionEndEvent():
                self._close()

    def finish(self) -> Node:
        if self.root is None:
            raise TreeError(Place(self.file, 1, 1).problem("the file is empty; a scenario begins with harness: 1"))
        return self.root

    def _open(self, event: events.CollectionStartEvent, place: Place) -> None:
        if len(self.stack) >= DEEPEST:
            raise TreeError(place.problem(f"nested more than {DEEPEST} deep"))
        self._check_tag(event, place, ("map", "seq"))
        self.stack.append(_Frame(place, isinstance(event, events.SequenceStartEvent), event.anchor))

    def _close(self) -> None:
        frame = self.stack.pop()
        if not frame.is_list:
            self._merge(frame)
        inner = frame.items if frame.is_list else [entry.node for entry in frame.entries.values()]
        size = 1 + sum(node.size for node in inner)
        depth = 1 + max((node.depth for node in inner), default=0)
        node = (
            Items(frame.place, tuple(frame.items), size, depth)
            if frame.is_list
            else Keys(frame.place, frame.entries, size, depth)
        )
        self._add(node, frame.anchor)

    def _add(self, node: Node, anchor: str | None) -> None:
        # Aliases count in full: what they stand for is read, checked and told as often as they are used.
        self.nodes += 1
        if self.nodes > MOST_NODES or node.size > MOST_NODES:
            raise TreeError(node.place.problem(f"more than {MOST_NODES} values; aliases count each time"))
        if len(self.stack) + node.depth > DEEPEST:
            raise TreeError(node.place.problem(f"nested more than {DEEPEST} deep"))
        if anchor is not None:
            self.anchors[anchor] = node
        if not self.stack:
            self.root = node
            return
        frame = self.stack[-1]
        if frame.is_list:
            frame.items.append(node)
        elif frame.key is None:
            frame.key = self._key(node)
        else:
            self._pair(frame, frame.key, node)
            frame.key = None

    def _key(self, node: Node) -> Scalar:
        if isinstance(node, Scalar):
            return node
        self.problems.append(node.place.problem("a list or mapping stands where a key should; a key is a word"))
        return Scalar(node.place, None, "", _NO_KEY)

    def _pair(self, frame: _Frame, key: Scalar, node: Node) -> None:
        if key.verbatim == _NO_KEY:
            return
        if key.text == "<<" and key.verbatim == 0:
            frame.merged.append(node)
        elif key.text in frame.entries:
            first = frame.entries[key.text].place.line
            self.problems.append(key.place.problem(f"the key {key.text} stands here twice; first on line {first}"))
        else:
            frame.entries[key.text] = Entry(key.place, node)

    def _merge(self, frame: _Frame) -> None:
        """Take in what `<<` names; a key of the mapping itself comes first, then the earlier of several sources."""
        for merged in frame.merged:
            for source in merged.items if isinstance(merged, Items) else (merged,):
                if not isinstance(source, Keys):
                    self.problems.append(source.place.problem("<< takes a mapping, or a list of mappings"))
                    continue
                for key, entry in source.entries.items():
                    frame.entries.setdefault(key, entry)

    def _alias(self, event: events.AliasEvent, place: Place) -> Node:
        if any(frame.anchor == event.anchor for frame in self.stack):
            raise TreeError(place.problem(f"the alias *{event.anchor} stands inside of what it names"))
        if event.anchor not in self.anchors:
            raise TreeError(place.problem(f"the alias *{event.anchor} names nothing; &{event.anchor} comes first"))
        return self.anchors[event.anchor]

    def _scalar(self, event: events.ScalarEvent, place: Place) -> Scalar:
        text = event.value
        start, end = event.start_mark.index, event.end_mark.index
        verbatim = None
        if event.start_mark.line == event.end_mark.line:
            raw = self.text[start:end]
            verbatim = next((skip for skip in (0, 1) if raw[skip : skip + len(text)] == text), None)
        if any("\ud800" <= character <= "\udfff" for character in text):
            self.problems.append(place.problem("half a character (a lone surrogate) stands in this text"))
            text = text.encode("utf-8", "replace").decode()
        tag = self._check_tag(event, place, ("str", "int", "float", "bool", "null"))
        is_text = tag in {"!", "str"} or (not event.implicit[0] and tag is None)
        return Scalar(place, text if is_text else resolve(text), text, verbatim)

    def _check_tag(self, event: events.NodeEvent, place: Place, known: tuple[str, ...]) -> str | None:
        written = getattr(event, "tag", None)
        if written is None:
            return None
        tag = str(written).removeprefix(_TAGS)
        if tag != "!" and tag not in known:
            self.problems.append(place.problem(f"the tag {written} means nothing in a scenario; leave it out"))
        return tag

    def _place(self, mark: Any) -> Place:
        return Place(self.file, mark.line + 1, mark.column + 1)


def resolve(text: str) -> Value:
    """The value of a word without quotes. A number beyond all measure becomes infinite, and is refused as such."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if _INT.fullmatch(text) and len(text) <= _LONGEST_INT:
        return int(text, 0 if text[:2] in {"0o", "0x"} else 10)
    if _INT.fullmatch(text) or _FLOAT.fullmatch(text):
        return float(text.replace(".inf", "inf").replace(".Inf", "inf").replace(".INF", "inf"))
    return float("nan") if text in _NANS else text


def _events(text: str, file: str) -> Iterator[events.Event]:
    try:
        yield from YAML(typ="safe", pure=True).parse(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file, 1, 1)
        raise TreeError(place.problem(_syntax(error, text, mark.index if mark else 0))) from None
    except ReaderError as error:
        place = place_at(text, int(error.position), file)
        raise TreeError(place.problem(f"the character U+{_code(error):04X} may not stand in YAML")) from None
    except (YAMLError, ValueError, ArithmeticError, LookupError, AttributeError, TypeError) as error:
        # The parser breaks on some malformed escapes and directives instead of refusing them.
        raise TreeError(Place(file, 1, 1).problem(f"not YAML: {error}")) from None


def place_at(text: str, index: int, file: str) -> Place:
    """The place of a character."""
    before = text[:index]
    lines = before.count("\n")
    return Place(file, lines + 1, index - (before.rfind("\n") + 1) + 1)


def _syntax(error: MarkedYAMLError, text: str, index: int) -> str:
    if text[index : index + 1] == "\t":
        return "a tab stands here; YAML is indented with spaces"
    told = " ".join(str(error.problem or error.context or "it cannot be read").split())
    if not error.context or not error.problem:
        return f"not YAML: {told}"
    began = f" that begins on line {error.context_mark.line + 1}" if error.context_mark else ""
    return f"not YAML: {told} ({' '.join(str(error.context).split())}{began})"


def _code(error: ReaderError) -> int:
    return error.character if isinstance(error.character, int) else ord(str(error.character)[:1] or "\0")
