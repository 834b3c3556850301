"""What checks are made of: promises held, allowed and refused, and a small model."""

from collections.abc import Awaitable
from dataclasses import replace
from functools import cache
from typing import Any

from harness.domain.model import Role, Source, Task, TrainedModel
from harness.errors import BackendError, RegistryError


def hold(promise: bool, sentence: str) -> None:
    """Not ``assert``: checks hold under ``python -O`` too."""
    if not promise:
        raise AssertionError(f"broken promise: {sentence}")


async def allows(attempt: Awaitable[Any], what: str) -> None:
    """Hold that ``attempt`` is done without an error of a backend."""
    try:
        await attempt
    except BackendError as error:
        raise AssertionError(f"broken promise: {what} is no error, but it was told: {error}") from error


async def refuses(attempt: Awaitable[Any], what: str, kind: type[BackendError] = RegistryError) -> None:
    """Hold that ``attempt`` ends with an error of that kind, and with no other."""
    try:
        found = await attempt
    except kind:
        return
    except (BackendError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise AssertionError(f"broken promise: {what} is a {kind.__name__}, not {type(error).__name__}") from error
    raise AssertionError(f"broken promise: {what} is a {kind.__name__}, but the answer was {found!r}")


def sample_model(number: int, name: str = "checked-model") -> TrainedModel:
    """A small model that was really fitted; another number is another model."""
    return replace(_fitted(number), name=name)


def sample_rows(number: int) -> Any:
    """A frame of 20 rows, as `sample_model` of that number has learned from: columns ``amount`` and ``kind``."""
    import pandas as pd

    size = 20
    return pd.DataFrame(
        {"amount": [float((row * 7 + number) % size) for row in range(size)], "kind": ["new", "old"] * (size // 2)}
    )


@cache
def _fitted(number: int) -> TrainedModel:
    import numpy as np

    from harness.data.split import Rows
    from harness.training.algorithms import effective
    from harness.training.fit import fit, unfitted

    frame = sample_rows(number)
    target = (frame["amount"].to_numpy() > 8).astype(np.int64)
    params = effective("logistic_regression", {"C": float(number)}, random_state=number)
    rows = Rows(frame, target, ("No", "Yes"))
    fitted = fit("logistic_regression", unfitted("logistic_regression", params, rows), rows)
    return TrainedModel(
        name="checked-model",
        role=Role.CANDIDATE,
        source=Source.TRAINED,
        algorithm="logistic_regression",
        params=params,
        estimator=fitted.estimator,
        task=Task.CLASSIFICATION,
        features=("amount", "kind"),
        classes=("No", "Yes"),
        artifact_digest=fitted.digest,
        data_digest=f"sha256:{number:064x}",
        metrics={"accuracy": 0.9},
    )
