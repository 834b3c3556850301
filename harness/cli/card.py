"""``harness card``: a first model card of a scenario's candidate."""

from pathlib import Path

import click

from harness.cli import complete, options
from harness.errors import InputError


@click.command(
    epilog="""\b
Examples:
  harness card scenarios/fairness_gate.yaml -o MODEL_CARD.md
  harness card --check MODEL_CARD.md"""
)
@click.argument("path", required=False, metavar="[SCENARIO]", shell_complete=complete.scenarios)
@options.scenario_flags
@options.backend_flags
@options.trust_pickle
@click.option("--output", "-o", type=click.Path(path_type=Path), metavar="FILE", help="Default: standard output.")
@click.option("--force", is_flag=True, help="Replace a file that exists.")
@click.option(
    "--check", "written", type=click.Path(path_type=Path), metavar="FILE",
    help="Only say whether this card is complete: exit code 1 where it is not.",
)  # fmt: skip
def card(
    path: str | None, seed: int | None, overrides: tuple[str, ...], registry: str | None, tracker: str | None,
    trust_pickle: bool, output: Path | None, force: bool, written: Path | None,
) -> int:  # fmt: skip
    """Write a first model card: data, features, metrics with intervals, and fairness where a gate asks for it.

    Trains (or loads) and measures the candidate as a run would, and deploys nothing. What only a person knows is left
    as TODO, and the gate model_card counts that as missing until somebody has written it.
    """
    from harness import app
    from harness.app.card import card_of

    if written is not None:
        return _checked(written)
    if path is None:
        raise InputError("no scenario is named, whose candidate the card is of; or say --check FILE")
    if output is not None and output.exists() and not force:
        raise InputError(f"{output} is there already; say --force to replace what stands in it")
    given = options.with_backends(overrides, registry, tracker)
    text = card_of(app.load_scenario(Path(path), given, seed=seed, trust_pickle=trust_pickle))
    if output is None:
        click.echo(text, nl=False)
        return 0
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{output}: the card cannot be written: {error.strerror}") from error
    click.echo(f"{output}: a first card; what is left to write is marked TODO")
    return 0


def _checked(written: Path) -> int:
    from harness.domain.gates import ModelCard
    from harness.gates.card import judge

    (found,) = judge(ModelCard(str(written)))
    click.echo(found.reason)
    return 0 if found.passed else 1
