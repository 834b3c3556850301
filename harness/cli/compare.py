"""``harness compare``: two runs of a kind, held against each other; training runs, as many as there are."""

import sys
from pathlib import Path
from typing import Any

import click

from harness.cli import complete, options, training_runs
from harness.errors import InputError, LogError


def _share(ctx: click.Context, parameter: click.Parameter, value: str) -> float:
    del ctx, parameter
    from harness.domain.quantity import share

    try:
        return share(float(value) if value.replace(".", "", 1).isdigit() else value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r}: {error}") from None


@click.command(
    epilog="""\b
Examples:
  harness compare 20260101T120000-1 latest --tolerance 10%
  harness compare 20260101T120000-7 latest --html two.html
  harness runs compare --tracker mlflow+sqlite:///mlflow.db --experiment churn --html runs.html

Exit codes: 0 no regression; 1 the second load test is worse; 2 the runs cannot be compared."""
)
@click.argument("runs", metavar="[RUN]...", nargs=-1, shell_complete=complete.runs)
@click.option(
    "--tolerance", default="5%", show_default=True, metavar="SHARE", callback=_share,
    help="Load tests: how much longer latencies may be.",
)  # fmt: skip
@click.option(
    "--failed-tolerance", default="0.1%", show_default=True, metavar="SHARE", callback=_share,
    help="Load tests: how much lower the success rate may be, in points.",
)  # fmt: skip
@training_runs.tracker
@training_runs.experiment
@click.option("--html", metavar="FILE", help="Write the two side by side as a page; - is standard output.")
@options.json_file
@options.report_dir
@options.no_color
def compare(
    runs: tuple[str, ...],
    tolerance: float,
    failed_tolerance: float,
    tracker: str | None,
    experiments: tuple[str, ...],
    html: str | None,
    json_file: str | None,
    reports: Path,
    no_color: bool,
) -> None:
    """Hold two runs side by side; of two load tests, tell whether the second is worse.

    Load tests: each latency and the success rate, with its difference, a 95 % interval and a test for a regression;
    exit code 1 where the second is worse beyond chance and beyond the tolerance. Rehearsals: sentence, cost, gates,
    rules, arms, drift, plots, and what their scenarios differ in.

    Training runs (with --tracker): metrics and parameters of two or more, the newest where none are named, and in
    the page a plot with a line for each.

    RUN is a run's folder, its id, or `latest`; of a training run, its id in the tracker or the beginning of it.
    """
    from harness.report import Result, output
    from harness.report import json as report_json

    if html == json_file == "-":
        raise InputError("--html and --json cannot both be standard output; name a file for one of them")
    output.check("--html", html)
    report_json.check(json_file)
    if tracker and training_runs.meant(tracker, runs):
        training_runs.compared(tracker, runs, experiments, html, json_file, color=not no_color)
        return
    if len(runs) != 2:
        raise click.UsageError(f"Missing argument 'RUN...': two runs are compared, not {len(runs)}.")
    first, second = runs
    a, b = folded(first, reports), folded(second, reports)
    if a.kind == "load" and a.event_log == b.event_log:
        raise InputError(f"{first} and {second} are the same run; name another one (`harness runs list` shows them)")
    if a.kind != b.kind or a.kind == "capacity":
        raise InputError(
            f"{first} is a {WORDS[a.kind]} and {second} a {WORDS[b.kind]}: "
            "two load tests can be compared, or two rehearsals"
        )
    both = _Rehearsals(a, b) if isinstance(a, Result) else _LoadTests(a, b, tolerance, failed_tolerance)
    if "-" not in (html, json_file):
        both.show(color=not no_color)
    if html:
        output.write("--html", html, both.page(Path("index.html" if html == "-" else html)))
    if json_file:
        report_json.write(both.json(), json_file)
    sys.exit(1 if both.regressed else 0)


WORDS = {"rehearsal": "rehearsal", "load": "load test", "capacity": "capacity search"}


class _Rehearsals:
    """Two rehearsals, in each form."""

    regressed = False

    def __init__(self, a: Any, b: Any) -> None:
        from harness.report import compare as comparison

        self.compared = comparison.compare(a, b)

    def show(self, *, color: bool) -> None:
        from harness.report import listing

        listing.show_comparison(self.compared, color=color)

    def page(self, path: Path) -> str:
        from harness.report import compare_page

        return compare_page.render(self.compared, path)

    def json(self) -> dict[str, Any]:
        from harness.report import compare as comparison

        return comparison.as_json(self.compared)


class _LoadTests:
    """Two load tests, in each form."""

    def __init__(self, a: Any, b: Any, tolerance: float, failed_tolerance: float) -> None:
        from harness.report.load_compare import compare_load

        self.compared = compare_load(a, b, tolerance=tolerance, failed_tolerance=failed_tolerance)
        self.regressed = self.compared.regressed

    def show(self, *, color: bool) -> None:
        from harness.report import listing

        listing.show_load_comparison(self.compared, color=color)

    def page(self, path: Path) -> str:
        from harness.report import load_compare_page

        return load_compare_page.render(self.compared, path)

    def json(self) -> dict[str, Any]:
        from harness.report import load_compare

        return load_compare.as_json(self.compared)


def folded(run: str, reports: Path) -> Any:
    """The result of a kept run, of any kind.

    Raises:
        InputError: there is no such run, or its log cannot be read.
    """
    from harness import app, log
    from harness.report import fold_any

    folder = app.find_run(run, reports)
    page, path = folder / app.PAGE_NAME, folder / app.LOG_NAME
    try:
        events, torn = log.read_torn(path)
        result = fold_any(events, log_path=path, report_path=page if page.is_file() else None)
    except LogError as error:
        raise InputError(str(error)) from error
    if torn:
        click.echo(f"{path}: the log ends in the middle of line {torn}; that line is left out", err=True)
    return result
