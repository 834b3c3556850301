"""``harness load``: load-test a live endpoint, and grade it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from harness.cli import options
from harness.cli.loadflags import Sectioned, asked, common_flags, load_name, pace_flags, slo_flags, worker_flags


@click.command(
    cls=Sectioned,
    epilog="""\b
Examples:
  harness load http://127.0.0.1:8080 --rate 200/s --duration 30s --payload rows.csv
  harness load http://127.0.0.1:8080 --users 64 --think 1s --slo 'p99 < 250ms' --min-grade B
  harness load http://127.0.0.1:8080 --stages 0s:10/s,1m:500/s --abort-when 'error_rate > 50%' --json -""",
)
@click.argument("urls", nargs=-1, required=True, metavar="URL...")
@pace_flags
@slo_flags
@common_flags
@worker_flags
@click.option(
    "--weights", metavar="N,N,…", help="Of several URLs: each one's part of the requests (default: all alike)."
)
@click.option(
    "--abort-when",
    multiple=True,
    metavar="RULE",
    help="Stop when this holds over the last 10 s, or over the last 20 requests if they took longer; not before 20 "
    "requests. Repeatable.",
)
@click.option(
    "--mlperf",
    type=click.Choice(["server", "single-stream"]),
    help="Judge by MLPerf's rules, too: server (with --rate and a p99 SLO) or single-stream (one user, p90).",
)
@click.option(
    "--save-profile", metavar="FILE", help="Write the service times as a table of quantiles for a simulated service."
)
@click.option("--csv", "csv_file", metavar="FILE", help="Write the series, interval by interval, as CSV.")
@click.option("--prometheus", metavar="FILE", help="Write the result in Prometheus's text format.")
@options.output_flags
@options.ci_flags
@click.option("--live/--no-live", default=None, help="The live view (default: where standard error is a terminal).")
def load(
    urls: tuple[str, ...],
    json_file: str | None,
    reports: Path,
    quiet: bool,
    verbose: bool,
    no_color: bool,
    junit: str | None,
    markdown: str | None,
    save_profile: str | None,
    csv_file: str | None,
    prometheus: str | None,
    live: bool | None,
    workers: int,
    engine: str,
    scheduler: str | None,
    grades: str | None,
    weights: str | None,
    mlperf: str | None,
    **flags: Any,
) -> int:
    """Load-test a live endpoint and grade it.

    URL is the endpoint's base (http://HOST:PORT), to which the protocol's path is added, or a whole URL. In an open
    loop (--rate) each request has a due time, fixed before any answer is seen, and its latency runs from then, so a
    server that stands still is seen whole. In a closed loop (--users) each user waits for the answer before asking
    again.

    Exit code 1 where an SLO or the minimum grade is missed, or cannot be judged since the generator spoiled the
    figures; or where no request succeeded, or the test was cut short.
    """
    from harness.app.loading import LoadOptions, load_test
    from harness.app.loadplan import check_workers, prepare
    from harness.cli import loadout
    from harness.load.rules import by_rules

    check_workers(workers, engine, scheduler)
    wanted = asked(urls, weights=weights, **flags)
    files = loadout.Files(json_file, junit, markdown, csv_file, prometheus, save_profile)
    files.check()
    rungs = loadout.ladder(grades)
    loadout.check_grade(wanted.min_grade, rungs)
    prepared = prepare(wanted)
    plan = by_rules(prepared.plan, mlperf.replace("-", "_")) if mlperf else prepared.plan
    how = LoadOptions(
        reports=reports,
        name=load_name(plan.targets[0].url),
        workers=workers,
        engine=engine,
        scheduler=scheduler,
        rungs=rungs,
        secrets=prepared.secrets,
    )
    with loadout.shown(live=False if quiet else live, verbose=verbose and not quiet, color=not no_color) as watchers:
        done = load_test(plan, replace(how, watchers=watchers))
    return loadout.tell(done, files, quiet=quiet, color=not no_color, verbose=verbose)
