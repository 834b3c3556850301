"""``harness data``: hold data against a schema and rules of quality; a first schema."""

from pathlib import Path

import click

from harness.cli import options
from harness.errors import InputError


@click.group(
    epilog="""\b
Examples:
  harness data infer customers.csv --target churned -o customers.schema.yaml
  harness data validate customers.csv --schema customers.schema.yaml"""
)
def data() -> None:
    """The data gate: hold a file against a schema and rules of quality; write a first schema."""


@data.command(
    epilog="""\b
Examples:
  harness data validate today.csv.gz --schema schema.yaml --json -
  harness data validate test.parquet --schema schema.yaml --against train.parquet --quality quality.yaml
  harness data validate rows.csv --quality quality.yaml --target churned --junit data.xml"""
)
@click.argument("file", metavar="FILE")
@click.option("--schema", metavar="FILE", help="What the data may hold.")
@click.option("--quality", metavar="FILE", help="Rules of quality, beside those of the schema.")
@click.option("--against", metavar="FILE", help="The training data: no row of FILE may stand there too.")
@click.option("--target", metavar="COLUMN", help="The column to predict, where no schema says so.")
@click.option(
    "--chunk-rows", type=click.IntRange(min=1), default=100_000, show_default=True, metavar="N",
    help="Rows that are read at once; the result is the same for any number.",
)  # fmt: skip
@options.json_file
@options.junit
@options.markdown
@options.report_dir
@options.quiet
@options.verbose
@options.no_color
def validate(
    file: str, schema: str | None, quality: str | None, against: str | None, target: str | None, chunk_rows: int,
    json_file: str | None, junit: str | None, markdown: str | None, reports: Path,
    quiet: bool, verbose: bool, no_color: bool,
) -> int:  # fmt: skip
    """Hold a file (CSV, also gzipped, or Parquet) of any size against a schema and rules of quality.

    Each finding is told with its column, check, severity, count, share and first rows. Warnings are told and refuse
    nothing. Exit code 0 where nothing critical was found, 1 where something was.
    """
    from harness.app.data import Asked, validated
    from harness.cli import ci, dataout

    files = ci.Files(json_file, junit, markdown)
    files.check()
    found = validated(Asked(file, schema, quality, against, target, chunk_rows))
    return dataout.tell(found, files, reports, quiet=quiet, verbose=verbose, color=not no_color)


@data.command(
    epilog="""\b
Examples:
  harness data infer customers.csv
  harness data infer customers.parquet --target churned --output customers.schema.yaml"""
)
@click.argument("file", metavar="FILE")
@click.option("--target", metavar="COLUMN", help="The column to predict.")
@click.option("--output", "-o", type=click.Path(path_type=Path), metavar="FILE", help="Default: standard output.")
@click.option("--force", is_flag=True, help="Replace a file that exists.")
def infer(file: str, target: str | None, output: Path | None, force: bool) -> None:
    """Write a first schema of a file, which the file itself passes: a start, for you to correct.

    Types, ranges with room, categories, missing values, keys, dates, patterns, numbers of rows, and relations between
    columns that hold in every row.
    """
    from harness.app.data import inferred
    from harness.report import output as files

    if output and output.exists() and not force:
        raise InputError(f"{output} exists; --force replaces it")
    files.check("--output", str(output) if output else None)
    first = inferred(file, target)
    files.write("--output", str(output or "-"), first.text)
    for broken in first.broken:
        click.echo(f"{file}: a later row breaks it: {broken}", err=True)
    if output:
        click.echo(f"{output}: {first.columns} columns, made of {first.rows:,} rows of {file}")
        click.echo(f"next: harness data validate {file} --schema {output}")
