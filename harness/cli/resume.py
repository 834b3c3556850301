"""``harness resume``: take a real run up again that was cut off."""

from pathlib import Path

import click

from harness.cli import complete, options


@click.command(
    epilog="""\b
Examples:
  harness resume latest
  harness resume 20260101T120000-7 --rollback"""
)
@click.argument("run", metavar="RUN", shell_complete=complete.runs)
@click.option("--rollback", is_flag=True, help="Do not carry the rollout on: stable gets all traffic back.")
@click.option(
    "--set", "again", multiple=True, metavar="PATH=VALUE",
    help="Give a value once more that the run was begun with and its log hides: a webhook's URL. Repeatable.",
)  # fmt: skip
@options.lease
@options.trust_pickle
@options.output_flags
@options.ci_flags
def resume(
    run: str,
    rollback: bool,
    again: tuple[str, ...],
    lease_s: float,
    trust_pickle: bool,
    json_file: str | None,
    reports: Path,
    quiet: bool,
    verbose: bool,
    no_color: bool,
    junit: str | None,
    markdown: str | None,
) -> int:
    """Carry on, or safely roll back, a real run whose harness was cut off.

    RUN is a run's folder, its id, or `latest` for the newest that was cut off. Its log goes on where it stopped. A
    rollout is carried on from its last checkpoint if what it had running is there or comes back, else it is rolled
    back; what was decided is settled as it was decided. A run that has ended is left as it is.
    """
    from harness import app
    from harness.cli import ci, read_or_not
    from harness.cli.run import exit_code
    from harness.cli.suite import Done, Task, conducted
    from harness.report import fold, terminal

    files = ci.Files(json_file, junit, markdown)
    files.check()
    found = app.cut_off(app.find_cut_off(run, reports), again, trust_pickle=trust_pickle)
    if found.scenario is None:
        click.echo(f"{found.folder.name} has ended; there is nothing to resume", err=True)
        page = found.folder / app.PAGE_NAME
        shown = page if page.exists() else None
        done = Done(fold(found.events, log_path=found.folder / app.LOG_NAME, report_path=shown))
        code = 0
    else:
        how = app.Options(reports=reports, lease_s=lease_s)
        task = Task(found.scenario, how, False if quiet else None, quiet, no_color)
        done = conducted(task, lambda given, stop: app.resume(found, given, stop, rollback=rollback))
        code = exit_code([done])
    results = [done.result] if done.result else []
    try:
        if results and not files.takes_stdout:
            with read_or_not():
                terminal.show(results, [], [], color=not no_color, verbose=verbose)
        if done.error:
            click.echo(done.error, err=True)
    finally:
        with read_or_not():
            files.write(results, [], [], passed=code == 0)
    return code
