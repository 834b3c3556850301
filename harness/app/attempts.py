"""Whether searches, folds and experiments of a scenario can be carried out on its training rows."""

from typing import TYPE_CHECKING

from harness.domain.model import ExperimentsPlan, TrainPlan
from harness.domain.training import ExperimentPlan, FoldsPlan, TunePlan
from harness.errors import InputError

if TYPE_CHECKING:
    from harness.data.split import Rows


def search_of(plan: TrainPlan, training: "Rows") -> str:
    """What is asked of an algorithm besides, in words.

    Raises:
        InputError: it cannot be carried out on these rows.
    """
    alone = ExperimentPlan("", plan.algorithm, plan.params, plan.features, plan.tune)
    told = f", {_searched(alone, plan.tune, training)}" if plan.tune else ""
    return told + (f", {_cut(plan.cross_validation, training)}" if plan.cross_validation else "")


def experiments_of(plan: ExperimentsPlan, training: "Rows") -> str:
    """The names of experiments that can be carried out.

    Raises:
        InputError: one of them cannot.
    """
    from harness.training.fit import try_out

    for each in plan.experiments:
        try:
            try_out(each.algorithm, each.params, training, each.features)
            if each.tune:
                _searched(each, each.tune, training)
        except InputError as error:
            raise InputError(f"experiment {each.name}: {error}") from error
    return f"{', '.join(each.name for each in plan.experiments)} by {plan.choose}, {_cut(plan.folds, training)}"


def _searched(plan: ExperimentPlan, tune: TunePlan, training: "Rows") -> str:
    from harness.training.tuning import checked

    checked(plan.algorithm, plan.params, training, tune)
    _cut(tune.folds, training)
    return f"after {tune.trials} trials of {', '.join(tune.space)}"


def _cut(folds: FoldsPlan, training: "Rows") -> str:
    from harness.seeds import stream
    from harness.training.folds import folds_of, split_of

    folds_of(training, folds, stream(0, "check"))
    return f"judged on {folds.folds} {split_of(folds, classification=bool(training.classes))} folds"
