"""Options that mean the same wherever they stand."""

import json
import os
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

from harness.domain.scenario import Backends
from harness.errors import InputError

F = TypeVar("F", bound=Callable[..., Any])
UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class OfOneCall(click.Option):
    """An option that no file and no variable sets: it says what one call is about."""


def age(text: str) -> timedelta:
    """How long ago: ``30d``, ``12h``, ``2w``.

    Raises:
        ValueError: it is no age.
    """
    match = re.fullmatch(r"(\d{1,6})([mhdw])", text.strip())
    if match is None:
        raise ValueError(f"{text!r}: an age is a whole number and a unit (m, h, d, w), such as 30d")
    return timedelta(seconds=int(match[1]) * UNITS[match[2]])


def age_text(text: str) -> str:
    """An age as it was written: checked where it is read, so that a wrong one in a file is told with its place."""
    try:
        age(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return text


def _lease_s(ctx: click.Context, parameter: click.Parameter, text: str) -> float:
    """How long a lease lasts, in seconds."""
    del ctx, parameter
    from harness.domain.units import SECOND
    from harness.scenario import parse_duration

    try:
        seconds = parse_duration(text) / SECOND
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if seconds < 1:
        raise click.BadParameter(f"{text}: a lease lasts at least 1s, for it has to be renewed in that time")
    return seconds


seed = click.option("--seed", type=click.IntRange(min=0), help="Seed of everything random, instead of the file's.")
overrides = click.option(
    "--set", "overrides", multiple=True, metavar="PATH=VALUE",
    help="Override a value of the scenario: rollout.steps.0.weight=20%. Repeatable.",
)  # fmt: skip
trust_pickle = click.option(
    "--trust-pickle",
    is_flag=True,
    help="Load models that are pickles, of files and MLflow; loading one runs whatever it holds.",
)
clock = click.option("--clock", type=click.Choice(["virtual", "real"]), help="Time to run on, instead of the file's.")
lease = click.option(
    "--lease", "lease_s", default="15s", show_default=True, callback=_lease_s, metavar="DURATION",
    help="On real time: a harness that gave no sign of life for so long may be taken over from.",
)  # fmt: skip
registry = click.option(
    "--registry",
    metavar="URI",
    help="Model registry, instead of the file's: memory:, sqlite:///PATH, postgresql://…, mlflow+…",
)
tracker = click.option("--tracker", metavar="URI", help="Tracker of training runs, instead of the file's.")
json_file = click.option(
    "--json", "json_file", metavar="FILE", help="Write the result as JSON; - is standard output, and then nothing else."
)
junit = click.option(
    "--junit", metavar="FILE", help="Write the result as JUnit XML, for a CI system; - is standard output."
)
markdown = click.option(
    "--markdown",
    metavar="FILE",
    help="Write a summary in Markdown; - is standard output.",
)
report_dir = click.option(
    "--report", "reports", type=click.Path(file_okay=False, path_type=Path), default=Path("reports"),
    show_default=True, metavar="DIR", help="Where runs are kept.",
)  # fmt: skip
quiet = click.option("--quiet", "-q", is_flag=True, help="Only the result; no progress.")
verbose = click.option("--verbose", "-v", is_flag=True, help="Every look and event, not only the summary.")


def _no_color(ctx: click.Context, parameter: click.Parameter, value: bool) -> bool:
    del ctx, parameter
    return value or bool(os.environ.get("NO_COLOR"))  # https://no-color.org: any value but the empty one


no_color = click.option("--no-color", is_flag=True, callback=_no_color, help="No colours (also: NO_COLOR).")


def all_of(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Several options at once, in the order they are named."""

    def apply(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return apply


def backends(registry: str | None, tracker: str | None) -> Backends:
    """The backends that the flags name; their paths are relative to this folder."""
    given = {"registry": registry, "tracker": tracker}
    return Backends(**{kind: _normal(kind, value) for kind, value in given.items() if value is not None})


def with_backends(overrides: Sequence[str], registry: str | None, tracker: str | None) -> list[str]:
    """The overrides, and those that the flags of the backends amount to; their paths are relative to this folder."""
    told = list(overrides)
    for kind, value in (("registry", registry), ("tracker", tracker)):
        if value is not None:
            told.append(f"backends.{kind}={json.dumps(_normal(kind, value))}")
    return told


def _normal(kind: str, value: str) -> str:
    from harness.backends.uri import BackendUriError, masked, normal

    try:
        return normal(value, Path.cwd())
    except BackendUriError as error:
        raise InputError(f"--{kind} is {masked(value)}; {error}") from None


scenario_flags = all_of(seed, overrides)
backend_flags = all_of(registry, tracker)
ci_flags = all_of(junit, markdown)
retention_flags = all_of(
    click.option(
        "--keep-runs", type=click.IntRange(min=1), metavar="N",
        help="Afterwards, keep only the newest N runs of each scenario (default: all).",
    ),
    click.option(
        "--keep-for", type=age_text, metavar="AGE",
        help="Afterwards, keep only runs younger than this: 30d, 12h, 2w (default: all).",
    ),
)  # fmt: skip
output_flags = all_of(json_file, report_dir, quiet, verbose, no_color)
