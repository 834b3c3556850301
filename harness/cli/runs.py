"""``harness runs``: the rehearsals, load tests and capacity searches that are kept."""

from pathlib import Path

import click

from harness.cli import options, training_runs
from harness.cli.compare import compare, folded
from harness.errors import InputError


@click.group(
    epilog="""\b
Examples:
  harness runs list --scenario canary-regression
  harness runs list --tracker mlflow+sqlite:///mlflow.db
  harness runs show 1f2e3d4c --tracker mlflow+sqlite:///mlflow.db
  harness runs compare 20260101T120000-7 latest --html two.html
  harness runs prune --keep 20 --older-than 30d --yes"""
)
def runs() -> None:
    """Runs that are kept, load tests and training runs too: list them, show one, compare two, delete old ones."""


@runs.command(
    "list",
    epilog="""\b
Examples:
  harness runs list --scenario canary-regression
  harness runs list --tracker mlflow+sqlite:///mlflow.db --experiment churn""",
)
@click.option("--scenario", metavar="NAME", help="Only runs of that scenario, or load tests of that name.")
@training_runs.tracker
@training_runs.experiment
@options.json_file
@options.report_dir
@options.no_color
def list_runs(
    scenario: str | None,
    tracker: str | None,
    experiments: tuple[str, ...],
    json_file: str | None,
    reports: Path,
    no_color: bool,
) -> None:
    """List the runs that are kept, the newest first; with --tracker, training runs too.

    A tracker keeps training runs, whoever logged them: each with its experiment, status and metrics.
    """
    from harness import app
    from harness.report import json as report_json
    from harness.report import listing

    report_json.check(json_file)
    found = app.kept_runs(reports, scenario)
    if json_file != "-":
        listing.show_runs(found, color=not no_color)
    trained = None
    if tracker:
        trained = training_runs.listed(tracker, experiments, show=json_file != "-", color=not no_color)
    if json_file:
        told = {"version": 1, "runs": [listing.as_json(run) for run in found]}
        report_json.write(told | ({} if trained is None else {"training_runs": trained}), json_file)


@runs.command()
@click.argument("run", metavar="RUN")
@training_runs.tracker
@options.json_file
@options.report_dir
@options.verbose
@options.no_color
def show(run: str, tracker: str | None, json_file: str | None, reports: Path, verbose: bool, no_color: bool) -> None:
    """Show what a run came to, from its event log; writes nothing.

    RUN is a run's folder, its id, or `latest`; with --tracker also a training run's id there, or the beginning of it.
    """
    from harness.report import Result, load_json, load_terminal, terminal
    from harness.report import json as report_json

    report_json.check(json_file)
    if tracker and training_runs.meant(tracker, [run]):
        training_runs.shown(tracker, run, json_file, color=not no_color)
        return
    result = folded(run, reports)
    if json_file != "-" and isinstance(result, Result):
        terminal.show([result], color=not no_color, verbose=verbose)
    elif json_file != "-":
        load_terminal.show(result, color=not no_color, verbose=verbose)
    if json_file and isinstance(result, Result):
        report_json.write(report_json.suite([result], []), json_file)
    elif json_file:
        load_json.write(result, json_file)


runs.add_command(compare)


@runs.command(
    epilog="""\b
Example:
  harness runs prune --keep 20 --older-than 30d --yes"""
)
@click.option("--keep", type=click.IntRange(min=0), metavar="N", help="Keep the newest N of each scenario.")
@click.option("--older-than", type=options.age_text, metavar="AGE", help="Delete only what is older: 30d, 12h, 2w.")
@click.option("--scenario", metavar="NAME", help="Only runs of that scenario.")
@click.option("--yes", is_flag=True, help="Delete; without it, only say what would be deleted.")
@options.json_file
@options.report_dir
def prune(
    keep: int | None, older_than: str | None, scenario: str | None, yes: bool, json_file: str | None, reports: Path
) -> None:
    """Delete old runs; without --yes, only say which.

    With both --keep and --older-than, a run goes that is beyond both. A run that may be under way stays (its log has no
    end, and was written to within the last day), and so does whatever is not a run's folder.
    """
    from harness import app
    from harness.report import json as report_json

    if keep is None and older_than is None:
        raise InputError("say what may go: --keep N, --older-than AGE, or both")
    report_json.check(json_file)
    age = None if older_than is None else options.age(older_than)
    gone = app.prunable(app.kept_runs(reports, scenario), keep=keep, older_than=age)
    if yes:
        app.prune(gone, reports)
    if json_file != "-":
        for run in gone:
            click.echo(f"{'deleted' if yes else 'would delete'}  {run.folder}")
        click.echo(_counted(len(gone), yes=yes))
    if json_file:
        told = [{"run": run.id, "scenario": run.scenario} for run in gone]
        report_json.write({"version": 1, "deleted": yes, "runs": told}, json_file)


def _counted(number: int, *, yes: bool) -> str:
    from harness.report.text import plural

    said = f"{plural(number, 'run')} {'deleted' if yes else 'would be deleted'}"
    return said if yes or not number else f"{said}; nothing was touched: say --yes to delete"
