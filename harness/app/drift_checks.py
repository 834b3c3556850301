"""What a scenario's comparison of the newest data refers to, held against them before anything runs."""

from collections.abc import Iterator
from pathlib import Path

from harness.domain.model import DataPlan
from harness.errors import DataError


def check(plan: DataPlan) -> Iterator[str]:
    """What was found, in a line; nothing where no comparison is asked for.

    Raises:
        DataError: the newest data cannot be read, or share no column with the data set.
        DriftRuleError: a rule names a column that is not there, or of another kind.
    """
    if plan.drift is None:
        return
    from harness.data.drifting import typed_pair
    from harness.drift.detect import check_rules
    from harness.drift.rules import parse
    from harness.drift.tables import prepared

    read = typed_pair(plan.source, plan.drift.current, plan.schema)
    check_rules([parse(text) for text in plan.drift.rules], prepared(read.reference, read.current)[0])
    apart = {plan.target, *read.names}
    if not (set(read.reference.columns) & set(read.current.columns)) - apart:
        raise DataError(f"{plan.drift.current}: it shares no column with {Path(plan.source).name} that is compared")
    rules = len(plan.drift.rules)
    told = f", {rules} domain rule{'s' * (rules > 1)}" if rules else ""
    yield f"{len(read.current)} rows of {Path(plan.drift.current).name} are compared with them{told}"
