"""``harness capacity``: the highest rate at which a live endpoint holds its SLOs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from harness.cli import options
from harness.cli.loadflags import Sectioned, asked, common_flags, load_name, worker_flags


@click.command(
    cls=Sectioned,
    epilog="""\b
Examples:
  harness capacity http://127.0.0.1:8080 --slo 'p99 < 250ms' --payload rows.csv
  harness capacity http://127.0.0.1:8080 --slo 'p95 < 100ms' --slo 'error_rate < 1%' --first-rate 50/s --json -""",
)
@click.argument("url", metavar="URL")
@click.option("--slo", "slos", multiple=True, required=True, metavar="RULE", help="Such as 'p99 < 250ms'. Repeatable.")
@click.option("--first-rate", default="10/s", show_default=True, metavar="RATE", help="The lowest rate to try.")
@click.option("--most-rate", metavar="RATE", help="The highest rate to try (default: whatever the generator can make).")
@click.option("--precision", default="5%", show_default=True, metavar="SHARE", help="How wide the bracket may be.")
@click.option("--confidence", default="95%", show_default=True, metavar="SHARE", help="That the limit lies in it.")
@click.option(
    "--trial",
    default="10s",
    show_default=True,
    metavar="DURATION",
    help="Of a trial near the limit, at least; those on the way there take half.",
)
@click.option(
    "--within",
    default="20m",
    show_default=True,
    metavar="DURATION",
    help="For all trials, begun within it; waits between them count.",
)
@click.option("--arrivals", default="poisson", show_default=True, metavar="WORD", help="constant, poisson or gamma:CV.")
@common_flags
@worker_flags
@options.output_flags
@options.ci_flags
@click.option("--live/--no-live", default=None, help="The live view (default: where standard error is a terminal).")
def capacity(
    url: str,
    json_file: str | None,
    reports: Path,
    quiet: bool,
    verbose: bool,
    no_color: bool,
    junit: str | None,
    markdown: str | None,
    live: bool | None,
    workers: int,
    engine: str,
    scheduler: str | None,
    first_rate: str,
    most_rate: str | None,
    precision: str,
    confidence: str,
    trial: str,
    within: str,
    **flags: Any,
) -> int:
    """Find the highest rate at which a live endpoint holds its SLOs, as a bracket with its confidence.

    Trials in an open loop, each at a rate of its own: doubled until an SLO is missed, then gathered around the rate at
    which it is. The report draws latency against rate, with the bracket and the knee.

    Exit code 1 where the bracket is wider than asked for, or even the lowest rate misses an SLO.
    """
    from harness.app.capacity import Sought, find_capacity
    from harness.app.loading import LoadOptions
    from harness.app.loadplan import check_workers, prepare
    from harness.app.loadwanted import per_second, share_of, span
    from harness.cli import loadout

    check_workers(workers, engine, scheduler)
    files = loadout.Files(json_file, junit, markdown)
    files.check()
    sought = Sought(
        first_rate=per_second(first_rate, "--first-rate"),
        most_rate=per_second(most_rate, "--most-rate") if most_rate else None,
        precision=share_of(precision, "--precision"),
        confidence=share_of(confidence, "--confidence"),
        trial_ns=span(trial, "--trial"),
        most_ns=span(within, "--within"),
    )
    ceiling = most_rate if most_rate and not flags["max_rate"] else first_rate
    prepared = prepare(asked((url,), rate=ceiling, **flags))
    how = LoadOptions(
        reports=reports,
        name=load_name(prepared.plan.targets[0].url).replace("load-", "capacity-", 1),
        workers=workers,
        engine=engine,
        scheduler=scheduler,
        secrets=prepared.secrets,
    )
    with loadout.shown(live=False if quiet else live, verbose=verbose and not quiet, color=not no_color) as watchers:
        done = find_capacity(prepared.plan, sought, replace(how, watchers=watchers))
    return loadout.tell(done, files, quiet=quiet, color=not no_color, verbose=verbose)
