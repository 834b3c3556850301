"""The command line: one program, `harness`; a command's module is imported only when it is called."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final

import click

COMMANDS: Final = {
    "abort": ("orders", "End a run that is under way in another terminal; stable keeps all traffic."),
    "approve": ("orders", "Let a run go on that waits for a person, in another terminal."),
    "capacity": ("capacity", "The highest rate at which a live endpoint holds its SLOs."),
    "card": ("card", "Write a first model card of a scenario's candidate."),
    "check": ("check", "Validate scenarios, and what they refer to, without running them."),
    "compare": ("compare", "Hold two runs against each other; of load tests, is the second worse?"),
    "completion": ("completion", "A script that lets your shell complete commands, files and runs."),
    "config": ("config", "Each setting, its value, and where it comes from."),
    "data": ("data", "The data gate: hold a file against a schema; write a first one."),
    "drift": ("drift", "Compare two data files: has the distribution changed?"),
    "load": ("load", "Load-test a live endpoint and grade it."),
    "export": ("export", "A scenario as files that other programs read: DVC, Kubernetes, Helm."),
    "init": ("init", "Write a first scenario from your own data, and model."),
    "plan": ("plan", "The timeline that the policy would take if all goes well."),
    "promote": ("orders", "Leave out the steps that are left of a run in another terminal."),
    "registry": ("registry", "The model registry: list, show, promote, roll back, trace, verify."),
    "reject": ("orders", "Refuse the candidate of a run in another terminal; stable gets all traffic back."),
    "report": ("report", "Render a run's reports again from its event log."),
    "resume": ("resume", "Carry on, or safely roll back, a real run that was cut off."),
    "run": ("run", "Run scenarios; several are one suite."),
    "runs": ("runs", "Runs that are kept, load tests too: list, show, compare, prune."),
    "schema": ("schema", "JSON Schema of the scenario file, for editors."),
    "stage": ("stage", "One stage of a scenario's lifecycle, and the files it leaves."),
    "serve": ("serve", "A model server, or with --fake a tunable stand-in."),
}
"""Module below `harness.cli` and short help of each command."""

UNSET: Final = frozenset({"completion", "config"})
"""Commands that take no settings: no file and no variable changes what they print."""


class _ReaderGoneError(Exception):
    """Nobody reads our output any more (`harness plan … | head`), which is no error of ours.

    A class of its own, because click takes a broken pipe for a failure and ends the program with 1.
    """


@contextmanager
def _piped() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise _ReaderGoneError from error


@contextmanager
def read_or_not() -> Iterator[None]:
    """What is printed inside may find no reader, and the program goes on to its exit code."""
    try:
        yield
    except BrokenPipeError:
        forget(sys.stdout)


class LazyGroup(click.Group):
    """Knows its commands by name and imports the one that is asked for."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the words of the command line; `--help` prints here."""
        with _piped():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Do what was asked."""
        with _piped():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command."""
        del ctx
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(f"harness.cli.{COMMANDS[cmd_name][0]}"), cmd_name)
        return command if isinstance(command, click.Command) else None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """The command asked for; a misspelt one is answered with the nearest."""
        import difflib

        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            hint = f" Did you mean {near[0]!r}?" if near else f" There are: {', '.join(sorted(COMMANDS))}."
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        found = super().resolve_command(ctx, args)
        # Help, and what explains settings, come whatever they say; completion must never fail.
        if not ctx.resilient_parsing and found[0] not in UNSET and not {"-h", "--help"} & set(args):
            from harness.cli.settings import defaults

            ctx.default_map = defaults(self)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in sorted(COMMANDS.items())])


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"harness {version('rollout-harness')}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="""\b
Example:
  harness run scenarios/canary_regression.yaml""",
)
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Show the version.")
def cli() -> None:
    """Rehearse an ML rollout before production does.

    A scenario file names a model and its data, a rollout policy, traffic, drift and faults, and what is expected;
    harness runs the whole lifecycle with the really trained model in the loop: on virtual time, or with real servers.

    Exit codes: 0 all held; 1 an expectation or gate was not met; 2 the command line or an input file is wrong;
    3 a backend or the harness failed; 130 interrupted, traffic already back on stable.
    """


def main() -> None:
    """The program's entry point: errors become one clear message and an exit code, never a traceback."""
    code: Any = 0
    try:
        code = cli.main(standalone_mode=False)
        if sys.stdout:
            sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        code = 2
    except (click.Abort, KeyboardInterrupt):
        code = 130
    except (BrokenPipeError, _ReaderGoneError):
        forget(sys.stdout)  # what the program came to is what it came to, read or not
    except Exception as error:  # noqa: BLE001 - a defect is raised again
        code = _failed(error)
    sys.exit(code if isinstance(code, int) else 0)


def forget(stream: Any) -> None:
    """Let what is still to be written go nowhere: Python writes it when it ends, and would fail once more."""
    import os

    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _failed(error: Exception) -> int:
    """Say what went wrong; the exit code it asks for."""
    from contextlib import suppress

    from harness.domain.secrets import mask
    from harness.errors import HarnessError, InputError

    message, code = mask(str(error)), 2 if isinstance(error, InputError) else 3
    if isinstance(error, OSError) and error.filename is None:
        # Files that we open have a name: this is one of the standard streams, on a full disk or a closed terminal.
        message = f"the output cannot be written: {error.strerror}; make room, or send it elsewhere"
        with suppress(OSError, ValueError):
            sys.stdout.close()  # or Python tries what is left once more when it ends
    elif not isinstance(error, HarnessError):
        raise error
    with suppress(OSError, ValueError):
        click.echo(message, err=True)
    return code
