"""``harness registry``: the model registry, looked at and changed by hand."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click

from harness.cli import options, registry_upkeep
from harness.cli.registry_asked import asked, where
from harness.errors import InputError

if TYPE_CHECKING:
    from harness.app.registry import Moved


@click.group(
    epilog="""\b
Examples:
  harness registry list --registry sqlite:///registry.db
  harness registry rollback churn-prediction --registry mlflow+http://localhost:5000"""
)
def registry() -> None:
    """The model registry: list models and versions, show one, promote one, go back; trace and verify them.

    The registry is named by --registry, or once and for all in harness.toml.
    """


for command in (registry_upkeep.gc, registry_upkeep.keygen, registry_upkeep.lineage, registry_upkeep.verify):
    registry.add_command(command)


@registry.command(
    "list",
    epilog="""\b
Example:
  harness registry list churn-prediction --registry mlflow+sqlite:///registry.db""",
)
@click.argument("name", required=False, metavar="[NAME]")
@where
@options.json_file
@options.no_color
def list_models(name: str | None, uri: str | None, json_file: str | None, no_color: bool) -> None:
    """List the versions of a model, or of all: aliases, status, data, metrics."""
    from harness.app import registry as act
    from harness.report import json as report_json
    from harness.report import models

    report_json.check(json_file)
    found = asked(uri, lambda at: act.listed(at, name))
    if json_file != "-":
        models.show_models(found, color=not no_color)
    if json_file:
        told = [{"name": each, "versions": [models.as_json(one) for one in all_of]} for each, all_of in found.items()]
        report_json.write({"version": 1, "models": told}, json_file)


@registry.command(
    epilog="""\b
Example:
  harness registry show churn-prediction@candidate --registry mlflow+sqlite:///registry.db"""
)
@click.argument("model", metavar="NAME[@ALIAS|:VERSION]")
@where
@options.json_file
@options.no_color
def show(model: str, uri: str | None, json_file: str | None, no_color: bool) -> None:
    """Show all that is known of a version; NAME alone is the one that is stable."""
    from harness.app import registry as act
    from harness.report import json as report_json
    from harness.report import models

    report_json.check(json_file)
    wanted = act.named(model)
    found = asked(uri, lambda at: act.shown(at, wanted))
    if json_file != "-":
        models.show_version(found, color=not no_color)
    if json_file:
        report_json.write({"version": 1, "model": models.as_json(found)}, json_file)


@registry.command(
    epilog="""\b
Example:
  harness registry promote churn-prediction:3 --registry mlflow+sqlite:///registry.db"""
)
@click.argument("model", metavar="NAME:VERSION")
@click.option("--force", is_flag=True, help="Also a version that is marked bad, or is not what was registered.")
@where
@options.json_file
def promote(model: str, force: bool, uri: str | None, json_file: str | None) -> int:
    """Name a version stable; what was stable becomes `previous`, the way back.

    The version is marked verified. One that is marked bad, or whose files or signature are not what they should be, is
    refused, unless --force says so. Exit code 1 where it was.
    """
    from harness.app import registry as act

    wanted = act.named(model)
    if not wanted.version:
        raise InputError(f"{model!r} names no version by its number; write NAME:VERSION")
    return _tell(uri, json_file, lambda at: act.promote(at, wanted, force=force))


@registry.command(
    epilog="""\b
Example:
  harness registry rollback churn-prediction --registry mlflow+sqlite:///registry.db"""
)
@click.argument("name", metavar="NAME")
@where
@options.json_file
def rollback(name: str, uri: str | None, json_file: str | None) -> int:
    """Name the previous version stable again, and with it the data it was made of.

    What was stable is marked bad, and the alias `previous` is removed: asked again, nothing goes back further. Exit
    code 1 where there is no previous version; nothing is changed then.
    """
    from harness.app import registry as act

    return _tell(uri, json_file, lambda at: act.rollback(at, name))


def _tell(uri: str | None, json_file: str | None, work: "Callable[[Any], Awaitable[Moved]]") -> int:
    """Do it and say what was done; the exit code."""
    from harness.report import json as report_json
    from harness.report import models

    report_json.check(json_file)
    moved = asked(uri, work)
    if moved.refused:
        click.echo(moved.refused, err=True)
    elif json_file != "-":
        if moved.note:
            click.echo(moved.note)
        if moved.changed and moved.was:
            click.echo(f"was       {models.sentence(moved.was)}")
        click.echo(f"stable    {models.sentence(moved.stable)}")
        click.echo(f"previous  {models.sentence(moved.previous)}")
    if json_file:
        versions = {each: models.as_json(getattr(moved, each)) for each in ("was", "stable", "previous")}
        told = {"name": moved.name, "changed": moved.changed, **versions, "refused": moved.refused or None}
        report_json.write({"version": 1, **told}, json_file)
    return 1 if moved.refused else 0
