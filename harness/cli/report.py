"""``harness report``: render a run's reports again."""

from pathlib import Path

import click

from harness.cli import complete, options
from harness.errors import InputError, LogError


@click.command(
    epilog="""\b
Examples:
  harness report latest
  harness report reports/canary-regression/latest --json -
  harness report latest --junit junit.xml --markdown summary.md
  harness report RUN --csv series.csv --prometheus load.prom --save-profile service.yaml"""
)
@click.argument("run", metavar="RUN", shell_complete=complete.runs)
@options.output_flags
@options.ci_flags
@click.option("--csv", metavar="FILE", help="Of a load test: its series, interval by interval.")
@click.option("--prometheus", metavar="FILE", help="Of a load test: its metrics in Prometheus's text format.")
@click.option("--save-profile", metavar="FILE", help="Of a load test: its service times as a table for scenarios.")
def report(
    run: str,
    json_file: str | None,
    reports: Path,
    quiet: bool,
    verbose: bool,
    no_color: bool,
    junit: str | None,
    markdown: str | None,
    csv: str | None,
    prometheus: str | None,
    save_profile: str | None,
) -> None:
    """Render a run's reports again from its event log.

    RUN is a run's folder, its id, or `latest`. The page is written beside the log; a report made anew from the same
    log is the same report.
    """
    from harness import app, log
    from harness.cli import loadout
    from harness.cli.ci import Files
    from harness.cli.compare import WORDS
    from harness.report import Result, fold_any, html, load_page, load_terminal, terminal

    of_load = {"--csv": csv, "--prometheus": prometheus, "--save-profile": save_profile}
    files = loadout.Files(json_file, junit, markdown, csv, prometheus, save_profile)
    files.check()
    folder = app.find_run(run, reports)
    page, path = folder / app.PAGE_NAME, folder / app.LOG_NAME
    try:
        events, torn = log.read_torn(path)
        result = fold_any(events, log_path=path, report_path=page)
    except LogError as error:
        raise InputError(str(error)) from error
    wrong = [flag for flag, file in of_load.items() if file]
    if wrong and result.kind != "load":
        raise InputError(f"{' and '.join(wrong)}: only a load test has that, and {run} is a {WORDS[result.kind]}")
    if torn:
        click.echo(f"{path}: the log ends in the middle of line {torn}; that line is left out", err=True)
    shown = not files.takes_stdout and not quiet
    # Files first: a reader of what is printed may go before its end.
    if isinstance(result, Result):
        html.write(result, page)
        Files(json_file, junit, markdown).write([result])
        if shown:
            terminal.show([result], [], color=not no_color, verbose=verbose)
        return
    load_page.write(result, page)
    files.write(result)
    if shown:
        load_terminal.show(result, color=not no_color, verbose=verbose)
