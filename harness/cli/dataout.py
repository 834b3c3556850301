"""What ``harness data validate`` leaves: its page, the files asked for, what it prints, the exit code."""

from pathlib import Path

import click

from harness.cli import ci, read_or_not
from harness.domain.quality import Validation
from harness.report import output


def tell(found: Validation, files: ci.Files, reports: Path, *, quiet: bool, verbose: bool, color: bool) -> int:
    """Write the page and the files, print the result, and answer with the exit code."""
    from harness.app.folders import page_for
    from harness.report import data_page, data_told

    page = page_for(reports, "data", found.file)
    data_page.write(found, page)
    told = data_told.json_text(found, str(page))
    output.write("--report", str(page.parent / "data.json"), told)
    if files.json:
        output.write("--json", files.json, told)
    if files.junit:
        output.write("--junit", files.junit, data_told.junit(found))
    if files.markdown:
        output.write("--markdown", files.markdown, data_told.markdown(found))
    ci.annotate(data_told.problems(found))
    with read_or_not():
        if quiet and not files.takes_stdout:
            click.echo(data_told.sentence(found))
        elif not files.takes_stdout:
            data_told.show(found, str(page), color=color, verbose=verbose)
    return 0 if found.valid else 1
