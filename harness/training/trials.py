"""Trials that are kept as they end, so that a search that was cut off need not begin anew.

They are kept as trials of an optuna study, whose name says what decides a trial: the rows, the algorithm, its fixed
parameters, the space, the folds, the sampler and its seed. So one file may hold many searches, and optuna's own tools
(its dashboard) read it. How many trials a search may have is no part of the name: with more, it goes on.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from harness.data.split import Rows
from harness.domain.training import Trial, TrialState, TunePlan
from harness.errors import BackendError
from harness.training.cache import training_key
from harness.training.folds import Fold
from harness.training.space import words

Direction = Literal["minimize", "maximize"]

ABOUT: Final = "harness"
"""The attribute of an optuna trial that holds ours."""


class Storage(Protocol):
    """Keeps trials."""

    def known(self, number: int, params: Mapping[str, Any]) -> Trial | None:
        """The trial of that number, if it was of these parameters."""
        ...

    def took_s(self, number: int) -> float:
        """Real seconds of training that a known trial took."""
        ...

    def keep(self, trial: Trial, took_s: float, ranges: Mapping[str, Any]) -> None:
        """Keep a trial that is over."""
        ...


class Nowhere:
    """Keeps nothing."""

    def known(self, _number: int, _params: Mapping[str, Any]) -> Trial | None:
        """None."""
        return None

    def took_s(self, _number: int) -> float:
        """Nothing is known."""
        return 0.0

    def keep(self, _trial: Trial, _took_s: float, _ranges: Mapping[str, Any]) -> None:
        """Forget it."""


class Study:
    """Keeps trials in an optuna study.

    Args:
        study: of optuna, in a storage of its own.
    """

    def __init__(self, study: Any) -> None:
        self._study = study
        kept = [trial.user_attrs[ABOUT] for trial in study.get_trials(deepcopy=False) if ABOUT in trial.user_attrs]
        self._kept: dict[int, Mapping[str, Any]] = {about["number"]: about for about in kept}

    def known(self, number: int, params: Mapping[str, Any]) -> Trial | None:
        """The trial of that number, if it was of these parameters."""
        about = self._kept.get(number)
        if about is None or about["params"] != json.loads(json.dumps(params)):
            return None
        folds, state = tuple(about["folds"]), TrialState(about["state"])
        return Trial(number, dict(params), about["value"], folds, state, about["detail"])

    def took_s(self, number: int) -> float:
        """Real seconds of training that a known trial took."""
        return float(self._kept[number]["took_s"])

    def keep(self, trial: Trial, took_s: float, ranges: Mapping[str, Any]) -> None:
        """Keep a trial that is over."""
        from optuna.trial import TrialState as Optunas
        from optuna.trial import create_trial

        states = {TrialState.COMPLETE: Optunas.COMPLETE, TrialState.PRUNED: Optunas.PRUNED}
        about = {
            "number": trial.number,
            "params": dict(trial.params),
            "value": trial.value,
            "folds": list(trial.folds),
            "state": trial.state.value,
            "detail": trial.detail,
            "took_s": took_s,
        }
        drawn = {
            name: json.dumps(value) if isinstance(value, list | tuple) else value
            for name, value in trial.params.items()
        }
        self._study.add_trial(
            create_trial(
                state=states.get(trial.state, Optunas.FAIL),
                value=trial.value,
                params=drawn,
                distributions=dict(ranges),
                intermediate_values={
                    rung: sum(trial.folds[: rung + 1]) / (rung + 1) for rung in range(len(trial.folds))
                },
                user_attrs={ABOUT: about},
            )
        )


def storage_of(where: str | None, name: str, direction: Direction) -> AbstractContextManager[Storage]:
    """Where a search keeps its trials.

    Args:
        where: an SQLite file, or the URI of a database; None: nowhere.
        name: of the search (`search_key`).
        direction: minimize or maximize.
    """
    return nullcontext(Nowhere()) if where is None else _opened(where, name, direction)


@contextmanager
def _opened(where: str, name: str, direction: Direction) -> Iterator[Storage]:
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    try:
        storage = optuna.storages.RDBStorage(_uri(where))
    except (SQLAlchemyError, OSError, RuntimeError) as error:
        raise BackendError(f"{where}: trials cannot be kept there: {' '.join(str(error).split())[:300]}") from None
    try:
        yield Study(optuna.create_study(storage=storage, study_name=name, direction=direction, load_if_exists=True))
    except SQLAlchemyError as error:
        raise BackendError(f"{where}: trials cannot be kept there: {' '.join(str(error).split())[:300]}") from None
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _uri(where: str) -> str:
    if "://" in where:
        return where
    path = Path(where).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{path}"


def search_key(pipeline: Any, rows: Rows, plan: TunePlan, folds: Sequence[Fold], seed: int) -> str:
    """Names what decides each trial of a search.

    Args:
        pipeline: unfitted, with the fixed parameters.
        rows: all that may be learned from.
        plan: what is tried.
        folds: of these rows.
        seed: of the sampler.
    """
    sha = hashlib.sha256(training_key(pipeline, rows).encode())
    for fold in folds:
        sha.update(fold.train.astype("<i8").tobytes() + b"/" + fold.test.astype("<i8").tobytes())
    said = {
        "space": {name: words(each) for name, each in plan.space.items()},
        "metric": plan.metric,
        "sampler": [plan.sampler.value, seed],
        "prune": plan.prune,
        "limit_ns": plan.limit_ns,
    }
    sha.update(json.dumps(said).encode())
    return sha.hexdigest()
