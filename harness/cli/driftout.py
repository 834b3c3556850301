"""What ``harness drift`` leaves: its page, the files asked for, what it prints, the exit code."""

from pathlib import Path

import click

from harness.cli import ci, read_or_not
from harness.domain.drift import DriftReport
from harness.report import output

LONGEST = 60


def tell(
    report: DriftReport, files: ci.Files, reports: Path, *, seed: int, quiet: bool, verbose: bool, color: bool
) -> int:
    """Write the page and the files, print the result, and answer with the exit code."""
    from harness import clock
    from harness.app.folders import PAGE_NAME, folder_for, link
    from harness.report import drift_ci, drift_page, drift_terminal

    below = reports / f"drift-{name_of(report)}"
    folder = folder_for(below, f"{clock.utc_now():%Y%m%dT%H%M%S}-{seed}")
    link(below, folder)
    page = folder / PAGE_NAME
    drift_page.write(report, page)
    told = drift_ci.as_json(report, str(page))
    output.write("--report", str(folder / "drift.json"), told)
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


def name_of(report: DriftReport) -> str:
    """The name of the folder of such comparisons: that of the current file, in plain letters."""
    stem = report.current.split(".")[0]
    return "".join(each if each.isalnum() or each in "-_" else "-" for each in stem)[:LONGEST] or "data"
