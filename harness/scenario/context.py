"""What one part of a scenario file must know of the others, read leniently before any part is checked.

Whether `accuracy` may stand in a rule depends on the labels and the data set; whether a fault ever begins depends on
the horizon. Taking these facts from the tree, and not from checked values, lets every part of a broken file be judged.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from harness.analysis.vocabulary import METRICS, QUALITY
from harness.backends.uri import split
from harness.domain.model import ARMS, Role, Task
from harness.domain.quantity import duration_ns
from harness.domain.service import Service
from harness.domain.units import HOUR, MINUTE
from harness.scenario.catalog import Catalog
from harness.scenario.files import TABLES, header, resolved
from harness.scenario.nodes import Items, Keys, Node, Scalar

UNTIL_APPROVED: Final = "until approved"
"""The pause that a person ends."""


@dataclass(frozen=True, slots=True)
class Context:
    """The facts of a scenario, and what is installed."""

    catalog: Catalog = field(default_factory=lambda: Catalog((), (), {}))
    folder: str = ""
    """Paths of the file are relative to this."""
    horizon_ns: int = 4 * HOUR
    policy_ns: int = 0
    """The pauses of the rollout's steps."""
    waits_for_people: bool = False
    """Some of its pauses last until somebody approves: nobody knows how long that takes."""
    models_ns: int = 0
    """What training and fetching the models takes before the rollout, one after the other."""
    task: Task | None = None
    """None without a data set."""
    labels: bool = False
    """Whether true answers become known; an empty section is an error of its own."""
    label_delay_ns: int = 0
    trained: frozenset[Role] = frozenset()
    """The arms whose model is trained in the run."""
    columns: tuple[str, ...] | None = None
    """The data set's columns; None where they cannot be known without reading it."""
    target: str | None = None
    replicas: Mapping[Role, int] = field(default_factory=dict)
    keepers: Mapping[str, str] = field(default_factory=dict)
    """The registry and the tracker, by their words: one of them may be asked for a model by URI."""
    mirrored: bool = False
    """Whether requests are copied to the candidate."""
    staged: bool = False
    """Whether the candidate stands a load test first, in staging or as a stage of its own, which gives it a grade."""
    real: bool = False
    """Whether time is real."""
    walks: bool = False
    """Whether rows are in order of time, and labels come."""
    headers: frozenset[str] = frozenset()
    """Names of the headers that classes of requests carry, in small letters."""
    quality_rule: str = ""
    """Path of the first rule, of analysis or expectation, that rests on true answers."""


def context_of(root: Node, catalog: Catalog, folder: str) -> Context:
    """Gather what can be known of a file, however wrong the rest of it is."""
    data = _at(root, "model", "data")
    source, target = _at(data, "source"), _at(data, "target")
    columns = None
    if isinstance(source, Scalar) and source.text.lower().endswith(TABLES):
        try:
            columns = header(resolved(source.text, folder))
        except (OSError, ValueError):
            columns = None
    words = ("algorithm", "experiments")
    trained = {role for role in ARMS if any(_at(root, "model", role, word) for word in words)}
    return Context(
        catalog=catalog,
        folder=folder,
        horizon_ns=_duration(_at(root, "horizon"), 4 * HOUR),
        policy_ns=_policy_ns(_at(root, "rollout")),
        waits_for_people=_waits_for_people(_at(root, "rollout")),
        models_ns=sum(_duration(_at(root, "model", role, "duration"), 0) for role in ARMS),
        task=_task(data),
        labels=_at(root, "labels") is not None,
        label_delay_ns=_duration(_at(root, "labels", "delay"), 0),
        trained=frozenset(trained),
        columns=columns,
        target=target.text if isinstance(target, Scalar) else None,
        replicas={role: _replicas(root, role) for role in ARMS},
        keepers={kind: _word(_at(root, "backends", kind)) for kind in ("registry", "tracker")},
        mirrored=_mirrored(_at(root, "rollout")),
        staged=_given(_at(root, "staging")) or _given(_at(root, "load")),
        real=_word(_at(root, "clock")) == "real",
        walks=_given(_at(data, "walk")) and _given(_at(root, "labels")),
        headers=_headers(root),
        quality_rule=next(_quality_rules(root), ""),
    )


def _policy_ns(rollout: Node | None) -> int:
    """How long the policy takes by the clock, whatever its strategy; an A/B test may be decided sooner."""
    steps = sum(_step_ns(step) for step in _items(_at(rollout, "steps")))
    preview = _duration(_at(rollout, "preview", "wait"), 0) + _analysis_ns(_at(rollout, "preview", "analyze"))
    whole = _duration(_at(rollout, "for"), 0) + _duration(_at(rollout, "at_most"), 0)
    return steps + preview + whole + _analysis_ns(_at(rollout, "after"))


def _waits_for_people(rollout: Node | None) -> bool:
    places = (rollout, _at(rollout, "preview"), *_items(_at(rollout, "steps")))
    pauses = [_at(place, "pause") for place in places]
    return any(_given(_at(place, "approve")) for place in places) or any(
        isinstance(pause, Scalar) and pause.text == UNTIL_APPROVED for pause in pauses
    )


def _step_ns(step: Node) -> int:
    return _duration(_at(step, "pause"), 0) + _analysis_ns(_at(step, "analyze"))


def _analysis_ns(node: Node | None) -> int:
    looks = _at(node, "looks")
    count = looks.value if isinstance(looks, Scalar) and isinstance(looks.value, int) else 0
    return count * _duration(_at(node, "every"), MINUTE) if node is not None else 0


def _mirrored(rollout: Node | None) -> bool:
    return _given(_at(rollout, "mirror")) or any(_given(_at(step, "mirror")) for step in _items(_at(rollout, "steps")))


def _headers(root: Node) -> frozenset[str]:
    found = [_at(kind, "headers") for kind in _items(_at(root, "traffic", "classes"))]
    return frozenset(name.lower() for node in found if isinstance(node, Keys) for name in node.entries)


def _at(node: Node | None, *keys: str) -> Node | None:
    for key in keys:
        entry = node.entries.get(key) if isinstance(node, Keys) else None
        node = entry.node if entry else None
    return node


def _items(node: Node | None) -> tuple[Node, ...]:
    return node.items if isinstance(node, Items) else ()


def _given(node: Node | None) -> bool:
    return node is not None and not (isinstance(node, Scalar) and node.value is None)


def _task(data: Node | None) -> Task | None:
    if not _given(data):
        return None
    return Task.CLASSIFICATION if _given(_at(data, "positive")) else Task.REGRESSION


def _duration(node: Node | None, default: int) -> int:
    try:
        return duration_ns(node.text) if isinstance(node, Scalar) else default
    except ValueError:
        return default


def _word(node: Node | None) -> str:
    return split(node.text)[0] if isinstance(node, Scalar) else ""


def _replicas(root: Node, role: Role) -> int:
    for node in (_at(root, "service", role, "replicas"), _at(root, "service", "replicas")):
        if isinstance(node, Scalar) and isinstance(node.value, int) and node.value > 0:
            return node.value
    return Service().replicas


def _quality_rules(root: Node) -> Iterator[str]:
    for keys in (("rollout", "analysis", "rules"), ("expect",)):
        for index, rule in enumerate(_items(_at(root, *keys))):
            words = re.findall(r"[a-z_0-9]+", rule.text) if isinstance(rule, Scalar) else ()
            if any(word in METRICS and METRICS[word].kind in QUALITY for word in words):
                yield f"{'.'.join(keys)}[{index}]"
