"""The stage ``validate``: nothing is trained on data that breaks its schema."""

from collections.abc import Sequence

from harness.data import dataset
from harness.data.rule import Check
from harness.domain.data_event import DataQualityChecked
from harness.domain.event import DataChecked
from harness.domain.fault import LabelDrift, Missing, Scale, Shift, Swap
from harness.domain.quality import Failure, Severity
from harness.drift import inject
from harness.errors import DataError, InputError, Rejected
from harness.protocols import Case, Population, Tell

FAILURES_IN_REASON = 3


class Validate:
    """Reads the data set, holds it against its schema, and splits it into training rows and held-out rows."""

    name = "validate"

    def __init__(self) -> None:
        self.notes: tuple[str, ...] = ()
        """After `run`: what a reader should know of the data and no check forbids."""

    async def run(self, case: Case, tell: Tell) -> Case:
        """Answer with the rows and the data's digest.

        Raises:
            DataError: a file cannot be used, or does not fit the scenario.
            InputError: an injected drift does not fit the data.
            Rejected: the data break their schema.
        """
        plan = case.scenario.model.data
        if plan is None:
            return case
        data = dataset.load(plan)
        self.notes = data.notes
        accepted = not data.failures
        training, held = data.split(case.scenario.seed) if accepted else (None, None)
        tell(
            DataChecked,
            source=dataset.file_name(plan.source),
            rows=len(data.frame),
            columns=len(data.frame.columns),
            digest=data.digest,
            missing=data.missing(),
            failures=tuple(str(failure) for failure in data.failures),
            train_rows=len(training.rows) if training else 0,
            test_rows=len(held.rows) if held else 0,
            notes=data.notes,
        )
        shared = data.shared(training, held) if training and held else ()
        if data.quality or shared:
            tell(DataQualityChecked, source=dataset.file_name(plan.source), found=(*data.quality, *shared))
        refused = [*data.failures, *(each for each in shared if each.severity is Severity.CRITICAL)]
        if refused or not training or not held:
            raise Rejected(_reason(data, refused))
        _check_drifts(case, held)
        return case.having(training=training, population=held, data_digest=data.digest)


def _reason(data: dataset.Dataset, refused: Sequence[Failure]) -> str:
    count = len(refused)
    told = "; ".join(str(failure) for failure in refused[:FAILURES_IN_REASON])
    more = f"; and {count - FAILURES_IN_REASON} more" if count > FAILURES_IN_REASON else ""
    against = " and ".join(dict.fromkeys(_file(data, failure) for failure in refused))
    return f"{dataset.file_name(data.plan.source)} breaks {against} in {count} way{'s' * (count > 1)}: {told}{more}"


def _file(data: dataset.Dataset, failure: Failure) -> str:
    """Where the rule stands that forbids it: in the schema, or in the file of further rules."""
    further = failure in data.further
    if failure.kind == Check.OVERLAP:  # found after the split
        further = all(rule.check is not Check.OVERLAP for rule in data.schema.quality)
    return dataset.file_name(data.plan.quality if further else data.plan.schema)


def _check_drifts(case: Case, held: Population) -> None:
    """Tell now, not when traffic runs, that a drift names a column or a value that the data lack."""
    problems = []
    for fault in case.scenario.faults:
        if isinstance(fault.effect, Shift | Scale | Swap | Missing | LabelDrift):
            try:
                inject.check(held.rows, fault.effect)
            except InputError as error:
                problems.append(f"inject `{fault.text}`: {error}")
    if problems:
        raise DataError("\n".join(problems))
