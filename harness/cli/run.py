"""``harness run``: one scenario or a suite."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from harness.cli import complete, options
from harness.errors import InputError, Problem, ScenarioError


@click.command(
    epilog="""\b
Examples:
  harness run scenarios/canary_regression.yaml
  harness run scenarios/ --workers 2
  harness run scenarios/canary_regression.yaml --seed 9 --set rollout.steps.0.weight=5% --json -"""
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", shell_complete=complete.scenarios)
@options.scenario_flags
@options.backend_flags
@options.clock
@click.option(
    "--time-scale", type=click.FloatRange(min=1, max=100_000), default=1.0, metavar="FACTOR", cls=options.OfOneCall,
    help="On real time: make what the policy waits for so many times shorter, such as 60.",
)  # fmt: skip
@options.lease
@options.trust_pickle
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Scenarios side by side.")
@options.output_flags
@options.ci_flags
@options.retention_flags
@click.option("--live/--no-live", default=None, help="The live view (default: where standard error is a terminal).")
@click.option("--no-cache", is_flag=True, help="Train anew, even what an earlier run has trained.")
@click.option("--yes", is_flag=True, help="Those who run the live endpoint of a load test (load.url) agree to it.")
@click.option("--allow-targets", metavar="HOST,…", help="Live endpoints that need no --yes; for a file of settings.")
@click.option(
    "--max-rate", metavar="RATE", help="Ceiling for live endpoints that are not on loopback (default: 100/s)."
)
@click.option(
    "--window", metavar="DURATION", help="Cut the simulator's windows at least this often; changes no result."
)
def run(
    paths: tuple[str, ...],
    seed: int | None,
    overrides: tuple[str, ...],
    registry: str | None,
    tracker: str | None,
    clock: str | None,
    time_scale: float,
    lease_s: float,
    trust_pickle: bool,
    workers: int,
    json_file: str | None,
    reports: Path,
    quiet: bool,
    verbose: bool,
    no_color: bool,
    junit: str | None,
    markdown: str | None,
    keep_runs: int | None,
    keep_for: str | None,
    live: bool | None,
    no_cache: bool,
    window: str | None,
    yes: bool,
    allow_targets: str | None,
    max_rate: str | None,
) -> int:
    """Run scenarios and say whether each went as expected.

    PATH is a scenario file, or a folder: then every scenario below it is run (those with `clock: real` only with
    `--clock real`, and those whose backends are installed). Several scenarios are one suite. Progress goes to standard
    error, the result to standard output.
    """
    from harness import app
    from harness.cli import ci, read_or_not, retention
    from harness.cli.suite import Task, rehearse_all, write_page
    from harness.report import terminal

    given = options.with_backends(overrides, registry, tracker)
    files = ci.Files(json_file, junit, markdown)
    files.check()
    ci.check_summary()
    try:
        scenarios, skipped = _load(paths, seed, given, clock, trust_pickle=trust_pickle)
    except ScenarioError as error:
        ci.annotate(ci.wrong_files(error.problems))
        raise
    scenarios = [_scaled(scenario, time_scale, quiet=quiet) for scenario in scenarios]
    how = app.Options(
        reports=reports,
        window_ns=_window_ns(window),
        cache=not no_cache,
        yes=yes,
        allow_targets=tuple(host.strip() for host in (allow_targets or "").split(",") if host.strip()),
        max_rate=max_rate,
        lease_s=lease_s,
    )
    show = False if quiet else live
    tasks = [Task(scenario, replace(how), show, quiet, no_color) for scenario in scenarios]
    done = rehearse_all(tasks, workers)
    code = exit_code(done)
    if not any(each.result for each in done):
        click.echo("interrupted before any run began; nothing was started", err=True)
    results = [each.result for each in done if each.result]
    unreached = [task.scenario.path for task, each in zip(tasks, done, strict=True) if not each.result]
    page = None
    try:
        page = write_page(results, skipped, unreached, reports)
    except InputError as error:
        click.echo(str(error), err=True)
        code = code or 3
    try:
        if not files.takes_stdout:
            with read_or_not():
                terminal.show(results, skipped, unreached, color=not no_color, verbose=verbose, page=page)
        for each in done:
            if each.error:
                click.echo(each.error, err=True)
        for task, each in zip(tasks, done, strict=True):
            if each.result:
                ci.annotate(ci.unmet(task.scenario, each.result))
    finally:
        with read_or_not():
            files.write(results, skipped, unreached, passed=code == 0, page=page)
        ci.summarize(results, skipped, unreached)
        retention.apply(reports, results, keep_runs, keep_for, quiet=quiet)
    return code


def _load(
    paths: Sequence[str], seed: int | None, overrides: Sequence[str], clock: str | None, *, trust_pickle: bool
) -> tuple[list[Any], list[str]]:
    """Every scenario below the paths; the problems of all files are told at once."""
    from harness import app
    from harness.cli.files import scenario_files
    from harness.domain.scenario import Clock

    found: list[Any] = []
    skipped: list[str] = []
    problems: list[Problem] = []
    for path, listed in scenario_files(paths):
        try:
            scenario = app.load_scenario(path, overrides, seed=seed, clock=clock, trust_pickle=trust_pickle)
        except ScenarioError as error:
            problems.extend(error.problems)
            continue
        if listed and scenario.clock is Clock.REAL and clock != "real":
            skipped.append(str(path))
        elif listed and (lack := app.lacking(scenario)):
            click.echo(f"{path}: skipped: {lack}", err=True)
            skipped.append(str(path))
        else:
            found.append(scenario)
    if problems:
        raise ScenarioError(problems)
    return found, skipped


def _scaled(scenario: Any, factor: float, *, quiet: bool) -> Any:
    """What the policy waits for made shorter; says where looks will find too little."""
    if factor == 1:
        return scenario
    from harness.domain.faster import faster, thin
    from harness.domain.scenario import Clock

    if scenario.clock is not Clock.REAL:
        raise InputError(
            f"{scenario.path} runs on virtual time, where waiting takes none: leave --time-scale out, or add "
            "--clock real"
        )
    shorter = faster(scenario, factor)
    for warning in () if quiet else thin(shorter):
        click.echo(f"{scenario.path}: {warning}", err=True)
    return shorter


def _window_ns(text: str | None) -> int | None:
    if text is None:
        return None
    from harness.scenario import parse_duration

    try:
        duration = parse_duration(text)
    except ValueError as error:
        raise InputError(f"--window {text}: {error}") from error
    if duration <= 0:
        raise InputError(f"--window {text}: a window is longer than 0s")
    return duration


def exit_code(done: Sequence[Any]) -> int:
    """What runs come to."""
    # Asked to stop after the decision to promote: that was carried out, and traffic is not on stable.
    if any(each.interrupted and (each.result is None or each.result.outcome != "promoted") for each in done):
        return 130
    if any(each.code == 2 for each in done):
        return 2
    if any(each.code == 3 or (each.result.outcome in ("error", "failed") and not each.result.passed) for each in done):
        return 3
    return 0 if all(each.result.passed for each in done) else 1
