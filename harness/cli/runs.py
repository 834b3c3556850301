"""``harness runs``: the rehearsals that are kept."""

from pathlib import Path
from typing import Any

import click

from harness.cli import options
from harness.errors import InputError, LogError


@click.group(
    epilog="""\b
Examples:
  harness runs list --scenario canary-regression
  harness runs compare 20260101T120000-7 latest --html two.html
  harness runs prune --keep 20 --older-than 30d --yes"""
)
def runs() -> None:
    """Rehearsals that are kept: list them, show one, compare two, delete old ones."""


@runs.command("list")
@click.option("--scenario", metavar="NAME", help="Only runs of that scenario.")
@options.json_file
@options.report_dir
@options.no_color
def list_runs(scenario: str | None, json_file: str | None, reports: Path, no_color: bool) -> None:
    """List the runs that are kept, the newest first."""
    from harness import app
    from harness.report import json as report_json
    from harness.report import listing

    report_json.check(json_file)
    found = app.kept_runs(reports, scenario)
    if json_file != "-":
        listing.show_runs(found, color=not no_color)
    if json_file:
        report_json.write({"version": 1, "runs": [listing.as_json(run) for run in found]}, json_file)


@runs.command()
@click.argument("run", metavar="RUN")
@options.json_file
@options.report_dir
@options.verbose
@options.no_color
def show(run: str, json_file: str | None, reports: Path, verbose: bool, no_color: bool) -> None:
    """Show what a run came to, from its event log; writes nothing.

    RUN is a run's folder, its id, or `latest`.
    """
    from harness.report import json as report_json
    from harness.report import terminal

    report_json.check(json_file)
    result = _folded(run, reports)
    if json_file != "-":
        terminal.show([result], color=not no_color, verbose=verbose)
    if json_file:
        report_json.write(report_json.suite([result], []), json_file)


@runs.command(
    epilog="""\b
Example:
  harness runs compare 20260101T120000-7 latest --html two.html"""
)
@click.argument("first", metavar="RUN")
@click.argument("second", metavar="RUN")
@click.option("--html", metavar="FILE", help="Write the two side by side as a page; - is standard output.")
@options.json_file
@options.report_dir
@options.no_color
def compare(first: str, second: str, html: str | None, json_file: str | None, reports: Path, no_color: bool) -> None:
    """Hold two runs side by side: sentence, cost, gates, rules, arms, drift, plots, and what their scenarios differ in.

    RUN is a run's folder, its id, or `latest`.
    """
    from harness.report import compare as comparison
    from harness.report import compare_page, listing, output
    from harness.report import json as report_json

    if html == json_file == "-":
        raise InputError("--html and --json cannot both be standard output; name a file for one of them")
    output.check("--html", html)
    report_json.check(json_file)
    compared = comparison.compare(_folded(first, reports), _folded(second, reports))
    if "-" not in (html, json_file):
        listing.show_comparison(compared, color=not no_color)
    if html:
        output.write("--html", html, compare_page.render(compared, Path("index.html" if html == "-" else html)))
    if json_file:
        report_json.write(comparison.as_json(compared), json_file)


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


def _folded(run: str, reports: Path) -> Any:
    from harness import app, log
    from harness.report import fold

    folder = app.find_run(run, reports)
    page, path = folder / app.PAGE_NAME, folder / app.LOG_NAME
    try:
        events, torn = log.read_torn(path)
        result = fold(events, log_path=path, report_path=page if page.is_file() else None)
    except LogError as error:
        raise InputError(str(error)) from error
    if torn:
        click.echo(f"{path}: the log ends in the middle of line {torn}; that line is left out", err=True)
    return result
