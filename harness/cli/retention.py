"""What becomes of older runs at the end of ``harness run``, where settings say that not all are kept."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from harness.cli import options
from harness.errors import InputError


def apply(reports: Path, results: Sequence[Any], keep_runs: int | None, keep_for: str | None, *, quiet: bool) -> None:
    """Delete older runs of every scenario; without a limit nothing is looked at.

    With both limits a run goes that is beyond both. What cannot be deleted is told, and is no failure of the runs.

    Args:
        reports: where runs are kept.
        results: of the runs just made, which stay.
        keep_runs: how many of each scenario stay, the newest.
        keep_for: how old a run may be.
        quiet: say nothing of what was deleted.
    """
    if keep_runs is None and keep_for is None:
        return
    from harness import app
    from harness.report.text import plural

    made = [Path(result.event_log).parent for result in results if getattr(result, "event_log", None)]
    older_than = None if keep_for is None else options.age(keep_for)
    try:
        gone = app.retain(reports, keep=keep_runs, older_than=older_than, made=made)
    except InputError as error:
        click.echo(f"retention: {error}", err=True)
        return
    if gone and not quiet:
        limits = {"keep-runs": keep_runs, "keep-for": keep_for}
        said = ", ".join(f"{name} {value}" for name, value in limits.items() if value is not None)
        click.echo(f"retention ({said}): {plural(len(gone), 'older run')} deleted below {reports}", err=True)
