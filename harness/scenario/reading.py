"""Reading a scenario file: text to values, or every problem of the file with its place."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from harness.analysis.vocabulary import nearest
from harness.domain.scenario import Scenario
from harness.errors import Problem, ScenarioError
from harness.scenario.catalog import Catalog
from harness.scenario.context import context_of
from harness.scenario.convert import FaultTexts, scenario_of
from harness.scenario.document import VERSION, Document
from harness.scenario.files import read_text
from harness.scenario.inputs import Loc
from harness.scenario.nodes import Items, Keys, Node, Place, Scalar, one_line, plain
from harness.scenario.overrides import apply, place_of
from harness.scenario.problems import entry_at, problems_of, value_text
from harness.scenario.tree import TreeError, read_tree


def load(source: str | Path, catalog: Catalog, overrides: Sequence[str] = (), *, text: str | None = None) -> Scenario:
    """Read a scenario.

    Args:
        source: the file; errors and the scenario name it as it is given here, and its paths are relative to it.
        catalog: the words of what is installed.
        overrides: ``PATH=VALUE`` each, as after ``--set``, applied in order.
        text: the file's text, where it is at hand; the file itself is then not read and need not exist.

    Raises:
        ScenarioError: with every problem found, in the order of the file, those of the overrides last.
    """
    name = str(source)
    try:
        text = read_text(name) if text is None else text.removeprefix("\ufeff")
        root, problems = read_tree(text, name)
        root = _scenario_root(root)
    except TreeError as error:
        raise ScenarioError([error.problem]) from None
    root, refused = apply(root, overrides, Document)
    problems += refused
    context = context_of(root, catalog, str(Path(name).parent))
    try:
        document = Document.model_validate(plain(root), context=context)
    except ValidationError as error:
        problems += problems_of(error, root, Document)
        document = None
    if problems or document is None:
        raise ScenarioError(_in_order(problems, name, overrides))
    return scenario_of(document, _faults(root), name, text, tuple(overrides), trust_pickle=catalog.trust_pickle)


def place_in(scenario: Scenario, loc: Loc) -> Place:
    """Where a value of a scenario that was read stands: in its file, or in the override that set it.

    Args:
        scenario: as `load` gave it.
        loc: the keys and indices that lead to the value; where they lead no further, the innermost one counts.
    """
    root, _ = read_tree(scenario.text, scenario.path)
    root, _ = apply(root, scenario.overrides, Document)
    return entry_at(root, loc).place


def _scenario_root(root: Node) -> Keys:
    """The top of the file, if it is a scenario's and of a version that this program reads."""
    if not isinstance(root, Keys):
        raise TreeError(
            root.place.problem(f"the file is {value_text(root)}; a scenario is a mapping, from harness: 1 on")
        )
    version = root.entries.get("harness")
    if version is None:
        meant = nearest("harness", tuple(root.entries))
        told = f"; {meant} is misspelt" if meant else ""
        raise TreeError(
            root.place.problem(f"harness is missing; only a file with the key harness: 1 is a scenario{told}")
        )
    value = version.node.value if isinstance(version.node, Scalar) else None
    if isinstance(value, int) and not isinstance(value, bool) and value > VERSION:
        told = f"harness is {value}; this program reads version {VERSION}: install a newer one"
        raise TreeError(version.node.place.problem(told))
    return root


def _faults(root: Node) -> FaultTexts:
    """What is injected, wherever: each in one line as the user wrote it."""
    return FaultTexts(
        inject=_lines(root, "inject"),
        staging=_lines(_under(root, "staging"), "inject"),
        successors=tuple(_lines(each, "inject") for each in _items(root, "successors")),
    )


def _lines(node: Node | None, key: str) -> tuple[str, ...]:
    return tuple(one_line(item) for item in _items(node, key))


def _items(node: Node | None, key: str) -> tuple[Node, ...]:
    found = _under(node, key)
    return tuple(found.items) if isinstance(found, Items) else ()


def _under(node: Node | None, key: str) -> Node | None:
    entry = node.entries.get(key) if isinstance(node, Keys) else None
    return entry.node if entry else None


def _in_order(problems: Sequence[Problem], name: str, overrides: Sequence[str]) -> list[Problem]:
    """In the order of the file; then those of the overrides, in theirs."""
    rank = {name: 0} | {place_of(override).file: number for number, override in enumerate(overrides, start=1)}
    return sorted(problems, key=lambda problem: (rank.get(problem.file, 0), problem.line, problem.column))
