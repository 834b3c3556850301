"""``harness export``: a scenario as files that other programs read."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from harness.cli import complete, options
from harness.errors import InputError

TARGETS = {
    "dvc": "a pipeline of data, features, models and metrics: dvc.yaml, params.yaml",
    "kubernetes": "manifests of both arms, their route and the harness's own rights, for production and staging",
    "helm": "the same as a chart",
}
VERSIONED = ("kubernetes", "helm")


@click.command(
    epilog="""\b
Targets:
  dvc         a pipeline of data, features, models and metrics: dvc.yaml, params.yaml
  kubernetes  manifests of both arms, their route and the harness's own rights, for production and staging
  helm        the same as a chart

\b
Examples:
  harness export dvc scenarios/canary_regression.yaml -o pipeline
  harness export kubernetes scenarios/local_canary.yaml --registry postgresql://db/models -o manifests"""
)
@click.argument("target", metavar="TARGET")
@click.argument("scenario", metavar="SCENARIO", shell_complete=complete.scenarios)
@click.option(
    "--output", "-o", "folder", type=click.Path(file_okay=False, path_type=Path), required=True, metavar="DIR",
    help="Where the files go.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Write over files that are there.")
@click.option(
    "--stable-version", type=click.IntRange(min=1), metavar="N", help="With kubernetes and helm: stable's (default: 1)."
)
@click.option("--candidate-version", type=click.IntRange(min=1), metavar="N", help="And the candidate's (default: 2).")
@options.scenario_flags
@options.backend_flags
def export(
    target: str,
    scenario: str,
    folder: Path,
    force: bool,
    stable_version: int | None,
    candidate_version: int | None,
    seed: int | None,
    overrides: tuple[str, ...],
    registry: str | None,
    tracker: str | None,
) -> None:
    """Write a scenario as files that other programs read.

    Files that are there and hold something else are left as they are, unless --force is given.
    """
    from harness import app

    if target not in TARGETS:
        near = difflib.get_close_matches(target, TARGETS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise InputError(f"there is no target {target!r}; {hint}there are: {', '.join(TARGETS)}")
    if target not in VERSIONED and (stable_version or candidate_version):
        raise InputError(f"--stable-version and --candidate-version are for {' and '.join(VERSIONED)}")
    given = app.load_scenario(scenario, options.with_backends(overrides, registry, tracker), seed=seed)
    files, notes = _made(target, given, folder, (stable_version or 1, candidate_version or 2))
    differing = [name for name, text in files.items() if _differs(folder / name, text)]
    if differing and not force:
        raise InputError(f"{folder}: {', '.join(differing)} is there and differs; --force writes over it")
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
        click.echo(folder / name)
    for note in notes:
        click.echo(f"note: {note}", err=True)


def _made(
    target: str, scenario: Any, folder: Path, versions: tuple[int, int]
) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """The files of a target by their path below the folder, and what is to be said of them."""
    if target == "dvc":
        from harness.exporters.dvc import pipeline

        return pipeline(scenario, folder), ()
    from harness.exporters import helm, kubernetes

    make = {"kubernetes": kubernetes.manifests, "helm": helm.chart}[target]
    made = make(scenario, folder, kubernetes.Versions(*versions))
    return made.files, made.notes


def _differs(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") != text
    except FileNotFoundError:
        return False
    except (OSError, UnicodeDecodeError):
        return True
