"""From an algorithm's word and parameters to an estimator that is ready to be fitted."""

import difflib
import importlib
import inspect
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import threadpoolctl

from harness.errors import InputError
from harness.training.vocabulary import ALGORITHMS, Algorithm

KEPT: Final = frozenset({"n_jobs", "verbose", "warm_start", "copy_X", "self"})
"""Parameters that no scenario sets: a run uses one thread, prints nothing and fits once."""


def algorithm(word: str) -> Algorithm:
    """The algorithm of that word.

    Raises:
        InputError: there is none; the message lists those there are.
    """
    found = ALGORITHMS.get(word)
    if found is None:
        near = difflib.get_close_matches(word, ALGORITHMS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InputError(f"there is no algorithm {word!r}{hint} (known: {', '.join(ALGORITHMS)})")
    return found


def parameters(word: str) -> tuple[str, ...]:
    """The parameters that a scenario may give to an algorithm, sorted."""
    found = algorithm(word)
    estimator = getattr(importlib.import_module(found.module), found.estimator)
    return tuple(sorted(set(inspect.signature(estimator).parameters) - KEPT))


def effective(word: str, params: Mapping[str, Any], random_state: int) -> dict[str, Any]:
    """The parameters given, those that differ from scikit-learn's defaults, and the random state; sorted by name.

    Raises:
        InputError: the algorithm has no such parameter.
    """
    allowed = parameters(word)
    for name in params:
        if name in allowed:
            continue
        if name in KEPT:
            raise InputError(f"{word}: the parameter {name} is set by the harness; leave it out")
        near = difflib.get_close_matches(name, allowed, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InputError(f"{word} has no parameter {name!r}{hint} (allowed: {', '.join(allowed)})")
    seeded = {"random_state": random_state} if "random_state" in allowed else {}
    given = {name: value for name, value in params.items() if name != "random_state" or value is not None}
    return dict(sorted({**algorithm(word).defaults, **seeded, **given}.items()))


def estimator(word: str, params: Mapping[str, Any]) -> Any:
    """An estimator that is ready to be fitted.

    Raises:
        InputError: the parameters cannot stand together.
    """
    found = algorithm(word)
    try:
        return getattr(importlib.import_module(found.module), found.estimator)(**params)
    except (TypeError, ValueError) as error:
        raise InputError(f"{word} cannot be made with {dict(params)}: {error}") from error


@contextmanager
def calm() -> Iterator[list[warnings.WarningMessage]]:
    """One thread in numeric libraries, and warnings gathered instead of shown.

    Sums over several threads depend on how many there are, and a run must not.
    """
    with threadpoolctl.threadpool_limits(limits=1), warnings.catch_warnings(record=True) as gathered:
        warnings.simplefilter("always")
        yield gathered


def told(gathered: Iterable[warnings.WarningMessage]) -> list[str]:
    """The first line of each warning, once, sorted."""
    return sorted({str(warning.message).strip().splitlines()[0] for warning in gathered})
