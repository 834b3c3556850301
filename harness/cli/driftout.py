"""What ``harness drift`` leaves: its page, the files asked for, what it prints, the exit code."""

from pathlib import Path

import click

from harness.cli import ci, read_or_not
from harness.domain.drift import DriftReport
from harness.report import output


def tell(
    report: DriftReport, files: ci.Files, reports: Path, *, seed: int, quiet: bool, verbose: bool, color: bool
) -> int:
    """Write the page and the files, print the result, and answer with the exit code."""
    from harness.app.folders import page_for
    from harness.report import drift_ci, drift_page, drift_terminal

    page = page_for(reports, "drift", report.current, f"-{seed}")
    drift_page.write(report, page)
    told = drift_ci.as_json(report, str(page))
    output.write("--report", str(page.parent / "drift.json"), told)
    if files.json:
        output.write("--json", files.json, told)
    if files.junit:
        output.write("--junit", files.junit, drift_ci.junit(report))
    if files.markdown:
        output.write("--markdown", files.markdown, drift_ci.markdown(report))
    ci.annotate(drift_ci.problems(report))
    with read_or_not():
        if quiet and not files.takes_stdout:
            click.echo(drift_ci.sentence(report))
        elif not files.takes_stdout:
            drift_terminal.show(report, str(page), color=color, verbose=verbose)
    return 1 if report.drift_detected else 0
