"""``harness plan``: what the policy would do if all goes well."""

from typing import Any

import click

from harness.cli import complete, options


@click.command(
    epilog="""\b
Example:
  harness plan scenarios/canary_regression.yaml"""
)
@click.argument("scenario", metavar="SCENARIO", shell_complete=complete.scenarios)
@options.scenario_flags
@options.json_file
@options.no_color
def plan(scenario: str, seed: int | None, overrides: tuple[str, ...], json_file: str | None, no_color: bool) -> None:
    """The timeline that the policy would take if all goes well: steps, weights, looks, total time.

    Says beforehand where a look will find too few requests to judge by, and when the first labels can be there.
    """
    from harness import app
    from harness.report import json as report_json

    report_json.check(json_file)
    loaded = app.load_scenario(scenario, overrides, seed=seed, quick=True, trust_pickle=True)  # no model is loaded
    timeline = app.timeline(loaded)
    if json_file != "-":
        _show(timeline, color=not no_color)
    if json_file:
        report_json.write(timeline.as_json(), json_file)


def _show(timeline: Any, *, color: bool) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from harness.report.terminal import screen

    console = screen(color=color)
    console.print(Text(timeline.name, style="bold").append(f": {timeline.sentence}", style="default"), soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading, justify in (
        ("from", "right"), ("step", "left"), ("share", "right"), ("requests", "right"),
        ("looks", "right"), ("per look", "right"), ("", "left"),
    ):  # fmt: skip
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for row in timeline.rows:
        table.add_row(*row.as_text())
    console.print(table)
    for remark in timeline.remarks:
        console.print(f"• {remark}", soft_wrap=True)
