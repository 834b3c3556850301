"""``harness stage``: one stage of a scenario's lifecycle, and the files it leaves."""

from pathlib import Path
from typing import Any

import click

from harness.cli import complete, options

NAMES = ("validate", "features", "train", "evaluate")


@click.command(
    epilog="""\b
Examples:
  harness stage train scenarios/canary_regression.yaml -o build
  harness stage evaluate scenarios/canary_regression.yaml -o build"""
)
@click.argument("name", metavar="STAGE", type=click.Choice(NAMES))
@click.argument("scenario", metavar="SCENARIO", shell_complete=complete.scenarios)
@click.option(
    "--output", "-o", "folder", type=click.Path(file_okay=False, path_type=Path), default=Path(), metavar="DIR",
    help="Where its files go.  [default: the current folder]",
)  # fmt: skip
@click.option(
    "--params", "params", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="A params.yaml whose values stand in place of the scenario's, before --set.",
)  # fmt: skip
@options.scenario_flags
@options.trust_pickle
@options.json_file
@options.quiet
def stage(
    name: str,
    scenario: str,
    folder: Path,
    params: Path | None,
    seed: int | None,
    overrides: tuple[str, ...],
    trust_pickle: bool,
    json_file: str | None,
    quiet: bool,
) -> int:
    """Run one stage of a scenario's lifecycle: validate, features, train or evaluate.

    validate holds the data against their schema and writes data.json; features fits what models see of them and writes
    features.json; train writes models/ and models.json; evaluate measures these models on the held-out rows and writes
    metrics.json and plots/. No registry is asked, and nothing is rolled out. Exit code 1 where the data break their
    schema.
    """
    from harness import app
    from harness.app.stages import read_params, run_stage
    from harness.errors import Rejected
    from harness.report import json as report_json

    report_json.check(json_file)
    given = (*(read_params(params) if params else ()), *overrides)
    loaded = app.load_scenario(scenario, given, seed=seed, trust_pickle=trust_pickle)
    try:
        found = run_stage(name, loaded, folder)
    except Rejected as error:
        click.echo(str(error), err=True)
        return 1
    if json_file:
        report_json.write(found, json_file)
    if not quiet and json_file != "-":
        click.echo(_line(name, found))
    return 0


def _line(name: str, found: dict[str, Any]) -> str:
    match name:
        case "validate":
            return f"{found['source']}: {found['rows']:,} rows of {found['columns']} columns hold to their schema"
        case "features":
            counts = {role: len(each["columns"]) for role, each in found.items() if role != "training"}
            return ", ".join(f"{role} sees {count} features" for role, count in counts.items()) or "no model is trained"
        case "train":
            return ", ".join(f"{role}: {each['algorithm']}" for role, each in found.items())
        case _:
            return "\n".join(
                f"{role}: " + ", ".join(f"{metric} {value:.4g}" for metric, value in sorted(metrics.items()))
                for role, metrics in found.items()
            )
