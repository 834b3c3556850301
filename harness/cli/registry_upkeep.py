"""``harness registry``: where versions come from, whether they are whole, keys, and what nobody names any more."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import options
from harness.cli.registry_asked import asked, where
from harness.errors import InputError

if TYPE_CHECKING:
    from harness.app.upkeep import Verified


@click.command(
    epilog="""\b
Examples:
  harness registry lineage churn-prediction@stable --registry sqlite:///registry.db
  harness registry lineage churn-prediction:2 --dot --registry sqlite:///registry.db | dot -Tsvg > lineage.svg"""
)
@click.argument("model", metavar="NAME[@ALIAS|:VERSION]")
@click.option("--dot", cls=options.OfOneCall, is_flag=True, help="Print it as a graph for Graphviz.")
@where
@options.json_file
@options.no_color
def lineage(model: str, dot: bool, uri: str | None, json_file: str | None, no_color: bool) -> None:
    """Show where a version comes from and what became of it.

    Data, features, training, model, deployments; NAME alone is the version that is stable.
    """
    from harness.app import registry as act
    from harness.app import upkeep
    from harness.report import json as report_json
    from harness.report import lineage as told

    report_json.check(json_file)
    if dot and json_file == "-":
        raise InputError("--dot and --json - both print to standard output; give --json a file")
    wanted = act.named(model)
    version, found = asked(uri, lambda at: upkeep.traced(at, wanted))
    if dot:
        click.echo(told.as_dot(found), nl=False)
    elif json_file != "-":
        told.show(version, found, color=not no_color)
    if json_file:
        report_json.write({"version": 1, **told.as_json(version, found)}, json_file)


@click.command(
    epilog="""\b
Examples:
  harness registry verify churn-prediction --registry sqlite:///registry.db
  HARNESS_TRUSTED_KEYS=release.key.pub harness registry verify churn-prediction@stable --registry sqlite:///registry.db"""
)
@click.argument("model", metavar="NAME[@ALIAS|:VERSION]")
@where
@options.json_file
def verify(model: str, uri: str | None, json_file: str | None) -> int:
    """Verify that versions are what was registered; NAME alone means all of them.

    Every file is held against the manifest, the manifest against its signature, and the signature against the public
    keys in the files that HARNESS_TRUSTED_KEYS names. Exit code 1 where something is wrong; it is named.
    """
    from harness.app import registry as act
    from harness.app import upkeep
    from harness.report import json as report_json

    report_json.check(json_file)
    wanted = act.named(model)
    every = not wanted.version and "@" not in model
    found = asked(uri, lambda at: upkeep.verified(at, wanted, every=every))
    wrong = [each for each in found if each.problems]
    if json_file != "-":
        _say(found, len(wrong))
    if json_file:
        report_json.write({"version": 1, "name": wanted.name, "passed": not wrong, "versions": _told(found)}, json_file)
    return 1 if wrong else 0


def _say(found: "list[Verified]", wrong: int) -> None:
    for each in found:
        signed = f"signed by {each.signed_by}" if each.signed_by else "not signed"
        if not each.recorded and not each.problems:
            signed = "it loads; what was registered is not recorded, so nothing could be held against it"
        click.echo(f"{each.version.revision}  {'WRONG' if each.problems else 'ok'}  {signed}")
        for problem in each.problems:
            click.echo(f"  {problem}")
    click.echo(f"{len(found) - wrong} of {len(found)} versions passed")
    if any(each.signed_by for each in found) and not _trusting():
        click.echo("signatures were not held against any key: name public keys in HARNESS_TRUSTED_KEYS", err=True)


def _trusting() -> bool:
    from harness.backends.signing import trust

    return bool(trust().keys)


def _told(found: "list[Verified]") -> list[dict[str, object]]:
    return [
        {
            "version": each.version.revision.version,
            "passed": not each.problems,
            "problems": list(each.problems),
            "signed_by": each.signed_by or None,
            "recorded": each.recorded,
        }
        for each in found
    ]


@click.command(
    epilog="""\b
Example:
  harness registry keygen -o release.key"""
)
@click.option(
    "--output", "-o", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The private key's file."
)
def keygen(output: Path) -> None:
    """Make a pair of keys to sign versions with (Ed25519); the public one goes to FILE.pub.

    What is registered where HARNESS_SIGNING_KEY_FILE names the private key is signed; where HARNESS_TRUSTED_KEYS names
    the public one, nothing is loaded that it did not sign.
    """
    from harness.backends.signing import KEY_FILE, TRUSTED, make_key

    public, name = make_key(output)
    paths = [shlex.quote(str(path.absolute())) for path in (output, public)]
    click.echo(f"{name}\nto sign:   export {KEY_FILE}={paths[0]}\nto verify: export {TRUSTED}={paths[1]}")


@click.command(
    epilog="""\b
Example:
  harness registry gc --dry-run --registry sqlite:///registry.db"""
)
@click.option("--dry-run", cls=options.OfOneCall, is_flag=True, help="Only say what would be taken away.")
@click.option(
    "--older-than", cls=options.OfOneCall, default="1h", show_default=True, metavar="AGE",
    callback=lambda ctx, parameter, value: options.age_text(value),
    help="Leave younger files: a registration may be under way.",
)  # fmt: skip
@where
def gc(dry_run: bool, older_than: str, uri: str | None) -> None:
    """Take away files that no version names, as a registration that was cut off leaves them."""
    from harness.app import upkeep

    age_s = int(options.age(older_than).total_seconds())
    found = asked(uri, lambda at: upkeep.swept(at, age_s, only_look=dry_run))
    would = "would be taken away" if dry_run else "taken away"
    young = f"; {found.waiting} younger than {older_than} are left" if found.waiting else ""
    click.echo(f"{found.removed} files {would}, {found.kept} are named by versions{young}")
