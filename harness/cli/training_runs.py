"""``--tracker`` of ``harness runs``: training runs that a tracker keeps, listed and held side by side."""

import re
from collections.abc import Sequence
from typing import Any, Final

import click

from harness.cli.options import OfOneCall

NEWEST: Final = 20
"""Runs that are compared where none are named."""
RUN_ID: Final = re.compile(r"[0-9a-f]{6,32}")

tracker = click.option(
    "--tracker", metavar="URI", help="Training runs of this tracker: mlflow+sqlite:///PATH, mlflow+http://HOST[:PORT]."
)
experiment = click.option(
    "--experiment", "experiments", cls=OfOneCall, multiple=True, metavar="NAME", help="Only its training runs."
)


def meant(tracker: str | None, runs: Sequence[str]) -> bool:
    """Whether a comparison is of training runs: a tracker is named, and no name is one of a kept run."""
    return tracker is not None and all(RUN_ID.fullmatch(run) for run in runs)


def listed(uri: str, experiments: Sequence[str], *, show: bool, color: bool) -> list[dict[str, Any]]:
    """List the training runs of a tracker; as JSON has them."""
    from harness.app.tracked import training_runs
    from harness.report import tracked

    found = training_runs(uri, experiments)
    if show:
        tracked.show_tracked(found, color=color)
    return [tracked.run_as_json(run) for run in found]


def shown(uri: str, run: str, json_file: str | None, *, color: bool) -> None:
    """Show one training run.

    Raises:
        BackendError: the tracker is not there, or holds no such run.
    """
    from harness.app.tracked import training_runs_of
    from harness.report import json as report_json
    from harness.report import tracked

    (found,) = training_runs_of(uri, [run])
    if json_file != "-":
        tracked.show_tracked_run(found, color=color)
    if json_file:
        report_json.write({"version": 1, "training_runs": [tracked.run_as_json(found)]}, json_file)


def compared(
    uri: str, runs: Sequence[str], experiments: Sequence[str], html: str | None, json_file: str | None, *, color: bool
) -> None:
    """Hold training runs side by side, in a terminal, as a page and as JSON.

    Raises:
        InputError: there are fewer than two, or a file cannot be written.
        BackendError: the tracker is not there, or holds no such run.
    """
    from harness.app.tracked import training_runs, training_runs_of
    from harness.errors import InputError
    from harness.report import json as report_json
    from harness.report import output, tracked, tracked_page

    found = training_runs_of(uri, runs) if runs else training_runs(uri, experiments, NEWEST)
    if len(found) < 2:
        raise InputError(f"{len(found)} training run: two or more can be compared (harness runs list --tracker URI)")
    both = tracked.compare_tracked(found)
    if "-" not in (html, json_file):
        tracked.show_tracked_comparison(both, color=color)
    if html:
        output.write("--html", html, tracked_page.render(both))
    if json_file:
        report_json.write(tracked.comparison_as_json(both), json_file)
