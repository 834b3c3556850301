"""``harness export``: a scenario as files that other programs read."""

import difflib
from pathlib import Path

import click

from harness.cli import complete, options
from harness.errors import InputError

TARGETS = {"dvc": "a pipeline of data, features, models and metrics: dvc.yaml, params.yaml"}


@click.command(
    epilog="""\b
Targets:
  dvc   a pipeline of data, features, models and metrics: dvc.yaml, params.yaml

\b
Example:
  harness export dvc scenarios/canary_regression.yaml -o pipeline"""
)
@click.argument("target", metavar="TARGET")
@click.argument("scenario", metavar="SCENARIO", shell_complete=complete.scenarios)
@click.option(
    "--output", "-o", "folder", type=click.Path(file_okay=False, path_type=Path), required=True, metavar="DIR",
    help="Where the files go.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Write over files that are there.")
@options.scenario_flags
def export(target: str, scenario: str, folder: Path, force: bool, seed: int | None, overrides: tuple[str, ...]) -> None:
    """Write a scenario as files that other programs read.

    Files that are there and hold something else are left as they are, unless --force is given.
    """
    from harness import app
    from harness.exporters.dvc import pipeline

    if target not in TARGETS:
        near = difflib.get_close_matches(target, TARGETS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise InputError(f"there is no target {target!r}; {hint}there are: {', '.join(TARGETS)}")
    files = pipeline(app.load_scenario(scenario, overrides, seed=seed), folder)
    differing = [name for name, text in files.items() if _differs(folder / name, text)]
    if differing and not force:
        raise InputError(f"{folder}: {', '.join(differing)} is there and differs; --force writes over it")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
        click.echo(folder / name)


def _differs(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") != text
    except FileNotFoundError:
        return False
    except (OSError, UnicodeDecodeError):
        return True
