"""What the commands of ``harness registry`` have in common: which registry, and how it is asked."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from harness.cli import options
from harness.errors import InputError

where = click.option(
    "--registry",
    "uri",
    metavar="URI",
    help="The model registry: sqlite:///PATH, postgresql://HOST/DATABASE, mlflow+sqlite:///PATH or mlflow+http://HOST.",
)


def asked(uri: str | None, work: Callable[[Any], Awaitable[Any]]) -> Any:
    """What a registry answers.

    Raises:
        InputError: no registry is named, or what was asked for is not there.
        BackendError: it could not be asked.
    """
    from harness.app import registry as act
    from harness.clock import run_real

    place = options.backends(uri, None).registry if uri else None
    opened = act.opened(place)
    with _names_what_is_not_there():
        return run_real(work, opened)


@contextmanager
def _names_what_is_not_there() -> Iterator[None]:
    """What the command line names and the registry does not hold is wrong input, and no failure of the registry."""
    from harness.errors import NotRegistered

    try:
        yield
    except NotRegistered as error:
        raise InputError(str(error)) from None
