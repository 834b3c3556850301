"""Lineage in a terminal, as JSON, and as a graph for Graphviz: data → features → training → model → deployments."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

from rich.text import Text
from rich.tree import Tree

from harness.domain.lineage import REPLACED, WARM_START, Deployment, Lineage, Origin, Parent
from harness.protocols import Version
from harness.report import text as words
from harness.report.models import SHORT
from harness.report.terminal import screen

OUTCOMES: Final = {"promoted": "green", "kept_stable": "green", "rolled_back": "yellow", "rejected": "yellow"}
KINDS: Final = {REPLACED: "took the place of", WARM_START: "training began from"}
MOST_PARAMS: Final = 6


def show(version: Version, lineage: Lineage, *, color: bool = True) -> None:
    """Print the way of a version as a tree, each thing below what it was made of."""
    console = screen(color=color)
    tree = Tree(_line("data", _origin(lineage.data, "not recorded")))
    features = tree.add(_line("features", _origin(lineage.features, "the columns of the data")))
    training = features.add(_line("training", _training(lineage)))
    model = training.add(_model(version, lineage))
    for parent in lineage.parents:
        model.add(Text(f"{KINDS.get(parent.kind, parent.kind)} {parent.what}", style="dim"))
    for each in lineage.deployments:
        model.add(_deployment(each))
    if not lineage.deployments:
        model.add(Text("no deployment recorded", style="dim"))
    console.print(tree)


def _line(name: str, told: str) -> Text:
    return Text(f"{name}  ", style="dim").append(told, style="not dim")


def _origin(origin: Origin | None, otherwise: str) -> str:
    if origin is None:
        return otherwise
    return ", ".join(filter(None, (origin.name, origin.digest[:SHORT])))


def _training(lineage: Lineage) -> str:
    params = [f"{name}={value}" for name, value in sorted(lineage.params.items())]
    more = f", and {len(params) - MOST_PARAMS} more" if len(params) > MOST_PARAMS else ""
    how = f"{lineage.algorithm or 'unknown'} ({', '.join(params[:MOST_PARAMS])}{more})" if params else lineage.algorithm
    return "\n".join(filter(None, (how, f"run {lineage.run}" if lineage.run else "")))


def _model(version: Version, lineage: Lineage) -> Text:
    told = Text(str(lineage.revision), style="bold cyan")
    told.append(f"  {lineage.revision.digest[:SHORT]}", style="not bold default")
    for word in (*version.aliases, version.status):
        told.append(f"  {word}" if word else "", style="bold" if word in version.aliases else "not bold default")
    made = " by ".join(filter(None, (lineage.created_at, lineage.created_by)))
    figures = words.figures({name: value for name, value in lineage.metrics.items() if math.isfinite(value)})
    return told.append("".join(f"\n{line}" for line in (figures, made) if line), style="not bold default")


def _deployment(deployment: Deployment) -> Text:
    told = Text(deployment.outcome, style=OUTCOMES.get(deployment.outcome, "red"))
    over = f" over {deployment.stable}" if deployment.stable else ""
    told.append(f"  {deployment.scenario} ({deployment.strategy}{over})", style="default")
    about = (f"run {deployment.run}, {deployment.at}", deployment.reason)
    return told.append("".join(f"\n{line}" for line in about if line), style="default")


def as_json(version: Version, lineage: Lineage) -> dict[str, Any]:
    """Lineage as a program reads it; what is not known is null."""
    return {
        "data": _origin_json(lineage.data),
        "features": _origin_json(lineage.features),
        "training": {
            "run": lineage.run or None,
            "algorithm": lineage.algorithm or None,
            "params": dict(lineage.params),
            "metrics": {name: _finite(value) for name, value in sorted(lineage.metrics.items())},
        },
        "model": {
            "name": lineage.revision.name,
            "version": lineage.revision.version,
            "digest": lineage.revision.digest or None,
            "aliases": list(version.aliases),
            "status": version.status or None,
            "created_at": lineage.created_at or None,
            "created_by": lineage.created_by or None,
        },
        "parents": [{name: value or None for name, value in asdict(parent).items()} for parent in lineage.parents],
        "deployments": [
            {name: None if value == "" else value for name, value in asdict(each).items()}
            for each in lineage.deployments
        ],
    }


def _origin_json(origin: Origin | None) -> dict[str, str | None] | None:
    return {"digest": origin.digest or None, "name": origin.name or None} if origin else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def as_dot(lineage: Lineage) -> str:
    """Lineage as a graph in Graphviz's language (``dot -Tsvg``)."""
    lines = [f"  {name} [{_quoted_all(about)}];" for name, about in _nodes(lineage)]
    lines += [
        f"  {before} -> {after}{f' [{_quoted_all(about)}]' if about else ''};"
        for before, after, about in _edges(lineage)
    ]
    return "\n".join(["digraph lineage {", "  rankdir=LR;", "  node [shape=box];", *lines, "}"]) + "\n"


def _nodes(lineage: Lineage) -> Iterator[tuple[str, Mapping[str, str]]]:
    yield "data", {"label": f"data\n{_origin(lineage.data, 'not recorded')}", "shape": "cylinder"}
    yield "features", {"label": f"features\n{_origin(lineage.features, 'the columns of the data')}"}
    run = f"run {lineage.run}" if lineage.run else ""
    yield "training", {"label": "\n".join(filter(None, ("training", lineage.algorithm, run)))}
    yield "model", {"label": f"{lineage.revision}\n{lineage.revision.digest[:SHORT]}", "style": "bold"}
    for number, parent in enumerate(lineage.parents, start=1):
        yield f"parent{number}", {"label": parent.what, "style": "dashed"}
    for number, each in enumerate(lineage.deployments, start=1):
        yield f"deployment{number}", {"label": f"{each.outcome}\n{each.scenario}\n{each.run}", "shape": "ellipse"}


def _edges(lineage: Lineage) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    yield from (("data", "features", {}), ("features", "training", {}), ("training", "model", {}))
    for number, parent in enumerate(lineage.parents, start=1):
        if parent.kind == REPLACED:
            yield "model", f"parent{number}", {"label": "replaced", "style": "dashed"}
        else:
            yield f"parent{number}", _into(parent), {"label": parent.kind}
    yield from (("model", f"deployment{number}", {}) for number in range(1, len(lineage.deployments) + 1))


def _into(parent: Parent) -> str:
    return "training" if parent.kind == WARM_START else "model"


def _quoted_all(about: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={_quoted(value)}" for name, value in about.items())


def _quoted(value: str) -> str:
    r"""A text as DOT has it.

    >>> print(_quoted('say "it"'))
    "say \"it\""
    """
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
