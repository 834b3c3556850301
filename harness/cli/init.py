"""``harness init``: a first scenario from a user's own data."""

from pathlib import Path

import click

from harness.cli import options


@click.command(
    epilog="""\b
Examples:
  harness init --data customers.csv --target churned
  harness init --data houses.parquet --target price --model model.skops --output scenarios/price.yaml
  harness init --data houses.csv --target price --model models:/price@champion --registry mlflow+http://localhost:5000"""
)
@click.option(
    "--data", required=True, type=click.Path(path_type=Path), metavar="FILE", help="CSV (also .gz) or Parquet."
)
@click.option("--target", required=True, metavar="COLUMN", help="The column to predict.")
@click.option(
    "--model", type=click.Path(), metavar="FILE|URI",
    help="A fitted model: the candidate. In MLflow: models:/NAME@ALIAS, models:/NAME/VERSION or runs:/RUN_ID/PATH.",
)  # fmt: skip
@click.option("--positive", metavar="LABEL", help="The label that counts as positive (default: chosen, and said).")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), metavar="FILE", help="Default: DATA's name .yaml, here."
)
@click.option("--force", is_flag=True, help="Replace files that exist.")
@options.trust_pickle
@options.backend_flags
def init(
    data: Path, target: str, model: str | None, positive: str | None, output: Path | None, force: bool,
    trust_pickle: bool, registry: str | None, tracker: str | None,
) -> None:  # fmt: skip
    """Write a first scenario, and the schema of its data, that runs at once.

    Looks at the data, finds the task, trains (or loads your model) and measures once, and writes a commented scenario
    whose gates hold. Two labels are a classification, numbers a regression. Your model is the candidate, and a plain
    baseline stable.
    """
    from harness.app.first import first_scenario, scenario_name
    from harness.app.firstfile import refuse_existing, write

    output = output or Path(f"{scenario_name(data)}.yaml")
    refuse_existing(output, force=force)
    first = first_scenario(
        data, target, model, beside=output.parent, positive=positive, trust_pickle=trust_pickle,
        backends=options.backends(registry, tracker),
    )  # fmt: skip
    scenario, schema = write(first, data, output, force=force)
    click.echo(f"{scenario}: {first.because}")
    click.echo(f"  stable {first.stable.label}, candidate {first.candidate.label}; schema of the data: {schema}")
    for note in first.notes:
        click.echo(f"  note: {note}")
    trust = " --trust-pickle" if trust_pickle and model else ""
    click.echo(f"next: harness run {scenario}{trust}")
