"""``harness config``: each setting, its value, and where it comes from."""

from pathlib import Path
from typing import Any

import click

from harness.cli import options


@click.command(
    epilog="""\b
Examples:
  harness config
  HARNESS_WORKERS=2 harness config --json -"""
)
@options.json_file
@options.no_color
def config(json_file: str | None, no_color: bool) -> None:
    """Show each setting, its value, and where it comes from; secrets are masked.

    A flag beats a variable (HARNESS_WORKERS), a variable the file, the file the built-in default. The file is the
    nearest harness.toml, or pyproject.toml with [tool.harness], in the current folder or one above it.
    """
    from harness.cli import cli
    from harness.cli.settings import settings
    from harness.domain.secrets import MASKED, mask, secret_name
    from harness.report import json as report_json

    report_json.check(json_file)
    found, file = settings(cli)

    def shown(name: str, value: Any) -> Any:
        plain = str(value) if isinstance(value, Path) else value
        if value is not None and secret_name(name):
            return MASKED
        return mask(plain) if isinstance(plain, str) else plain

    if json_file != "-":
        _show([(each.name, shown(each.name, each.value), each.place or each.source) for each in found], file, no_color)
    if json_file:
        told = [
            {"name": each.name, "value": shown(each.name, each.value), "source": each.source,
             "place": each.place or None, "commands": list(each.commands)}
            for each in found
        ]  # fmt: skip
        report_json.write({"version": 1, "file": str(file) if file else None, "settings": told}, json_file)


def _show(rows: list[tuple[str, Any, str]], file: Path | None, no_color: bool) -> None:
    from rich import box
    from rich.table import Table

    from harness.report.terminal import screen

    console = screen(color=not no_color)
    console.print(
        f"file: {file}" if file else "no harness.toml, and no pyproject.toml with [tool.harness], here or above"
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("setting", "value", "from"):
        table.add_column(heading, overflow="fold")
    for name, value, source in rows:
        table.add_row(
            name, "–" if value is None else str(value).lower() if isinstance(value, bool) else str(value), source
        )
    console.print(table)
