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
  harness report latest --junit junit.xml --markdown summary.md"""
)
@click.argument("run", metavar="RUN", shell_complete=complete.runs)
@options.output_flags
@options.ci_flags
def report(
    run: str,
    json_file: str | None,
    reports: Path,
    quiet: bool,
    verbose: bool,
    no_color: bool,
    junit: str | None,
    markdown: str | None,
) -> None:
    """Render a run's reports again from its event log.

    RUN is a run's folder, its id, or `latest`. The page is written beside the log; a report made anew from the same
    log is the same report.
    """
    from harness import app, log
    from harness.cli.ci import Files
    from harness.report import fold, html, terminal

    files = Files(json_file, junit, markdown)
    files.check()
    folder = app.find_run(run, reports)
    page, path = folder / app.PAGE_NAME, folder / app.LOG_NAME
    try:
        events, torn = log.read_torn(path)
        result = fold(events, log_path=path, report_path=page)
    except LogError as error:
        raise InputError(str(error)) from error
    if torn:
        click.echo(f"{path}: the log ends in the middle of line {torn}; that line is left out", err=True)
    html.write(result, page)
    if not files.takes_stdout and not quiet:
        terminal.show([result], [], color=not no_color, verbose=verbose)
    files.write([result])
