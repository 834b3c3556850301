"""``harness check``: validate without running."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from harness.cli import complete, options
from harness.errors import Problem, ScenarioError


@click.command(
    epilog="""\b
Example:
  harness check scenarios/"""
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", shell_complete=complete.scenarios)
@options.scenario_flags
@options.trust_pickle
@options.backend_flags
@options.json_file
@options.quiet
def check(
    paths: tuple[str, ...],
    seed: int | None,
    overrides: tuple[str, ...],
    trust_pickle: bool,
    registry: str | None,
    tracker: str | None,
    json_file: str | None,
    quiet: bool,
) -> int:
    """Validate scenarios, and what they refer to, without running them.

    Reads each file, its data and their schema, its model files, and the models that it names in a registry; tries every
    algorithm with its parameters, and every drift on the data. Makes nothing. Tells every problem with its place. Exit
    code 2 where there is any.
    """
    from harness import app
    from harness.cli import ci
    from harness.cli.files import scenario_files
    from harness.domain.secrets import mask
    from harness.report import json as report_json

    report_json.check(json_file)
    told = []
    overrides = tuple(options.with_backends(overrides, registry, tracker))
    for path, _ in scenario_files(paths):
        problems: Sequence[Problem] = ()
        notes: Sequence[str] = ()
        try:
            found = app.check_references(app.load_scenario(path, overrides, seed=seed, trust_pickle=trust_pickle))
        except ScenarioError as error:
            problems = error.problems
            click.echo(mask(str(error)), err=True)
            ci.annotate(ci.wrong_files(problems))
        else:
            notes = found.notes
            if not quiet and json_file != "-":
                click.echo(f"{path}: ok: {found}")
                for note in notes:
                    click.echo(f"{path}: note: {note}")
        told.append(_as_json(str(path), problems, notes))
    valid = all(each["valid"] for each in told)
    if json_file:
        report_json.write({"version": 1, "valid": valid, "scenarios": told}, json_file)
    return 0 if valid else 2


def _as_json(path: str, problems: Sequence[Problem], notes: Sequence[str]) -> dict[str, Any]:
    return {
        "path": path,
        "valid": not problems,
        "problems": [asdict(problem) for problem in problems],
        "notes": list(notes),
    }
