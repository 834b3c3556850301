"""``harness drift``: compare two data files."""

from pathlib import Path
from typing import Any

import click

from harness.cli import options

DETECTORS = ("statistical", "ml_based", "domain_specific", "reconstruction")


@click.command(
    epilog="""\b
Examples:
  harness drift train.csv.gz today.csv
  harness drift train.parquet today.parquet --target Churn --rule 'max(age) <= 120' --every 1h --json -
  harness drift train.csv today.csv --model model.skops --detectors statistical,reconstruction""",
)
@click.argument("reference", metavar="REFERENCE")
@click.argument("current", metavar="CURRENT")
@click.option("--alpha", default="1%", show_default=True, metavar="SHARE", help="False-alarm rate over all detectors.")
@click.option(
    "--correction",
    type=click.Choice(["holm", "bonferroni", "benjamini_hochberg"]),
    default="holm",
    show_default=True,
    help="For many columns.",
)
@click.option(
    "--detectors",
    metavar="WORD,WORD,…",
    default="statistical,ml_based,domain_specific",
    show_default=True,
    help=f"Of {', '.join(DETECTORS)}. Labels and answers are tested where they are named.",
)
@click.option("--target", metavar="COLUMN", help="Its true answers: tested as label drift, and no part of the rest.")
@click.option("--prediction", metavar="COLUMN", help="A model's answers: tested as prediction drift.")
@click.option("--model", metavar="FILE", help="A skops file, whose answers to both data sets are compared.")
@click.option("--columns", metavar="NAME,NAME,…", help="Compare only these.")
@click.option("--ignore", metavar="NAME,NAME,…", help="Leave these out: keys, dates.")
@click.option(
    "--rule", "rules", multiple=True, metavar="RULE", help="Such as 'mean(price) within 10% of reference'. Repeatable."
)
@click.option("--rules", "rules_file", metavar="FILE", help="A file with a rule on each line.")
@click.option("--schema", metavar="FILE", help="Types, keys and target of the columns (default: inferred).")
@click.option(
    "--rows-max",
    type=click.IntRange(min=100, max=1_000_000),
    default=5000,
    show_default=True,
    metavar="N",
    help="Rows of each that classifier and components look at.",
)
@click.option("--every", metavar="DURATION", help="How often this is done, such as 1h: for the false alarms to expect.")
@click.option("--sketch", is_flag=True, help="Read in pieces, in bounded memory; large files always are.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of samples and permutations.")
@options.output_flags
@options.ci_flags
def drift(
    json_file: str | None,
    reports: Path,
    quiet: bool,
    verbose: bool,
    no_color: bool,
    junit: str | None,
    markdown: str | None,
    detectors: str,
    columns: str | None,
    ignore: str | None,
    **flags: Any,
) -> int:
    """Compare two data files (CSV, also gzipped, or Parquet): has the distribution of CURRENT changed?

    One decision, at one false-alarm rate, over all columns and detectors: a test for each column, corrected for their
    number; a classifier that tries to tell the rows apart; domain rules. The score is for people to look at: a drift
    lies above 0.1, anything else at or below.

    Exit code 0 where there is no drift, 1 where there is.
    """
    from harness.app.drift import Wanted, compare
    from harness.cli import ci, driftout

    files = ci.Files(json_file, junit, markdown)
    files.check()
    wanted = Wanted(
        detectors=tuple(_detector(word) for word in _words(detectors)),
        columns=tuple(_words(columns)),
        ignore=tuple(_words(ignore)),
        **flags,
    )
    report = compare(wanted)
    return driftout.tell(report, files, reports, seed=wanted.seed, quiet=quiet, verbose=verbose, color=not no_color)


def _words(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def _detector(word: str) -> str:
    import difflib

    if word not in DETECTORS:
        near = difflib.get_close_matches(word, DETECTORS, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(DETECTORS)}"
        raise click.BadParameter(f"no detector is called {word!r}; {hint}", param_hint="--detectors")
    return word
