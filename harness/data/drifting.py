"""The stage ``drift``: the newest data, or those about to be served, against the data set that models learn from."""

from dataclasses import dataclass
from typing import Final

import pandas as pd

from harness.data.dataset import file_name
from harness.data.schema import ColumnRole, Schema, read_schema
from harness.data.table import infer, infinities, read_table, typed
from harness.domain.drift import (
    THRESHOLD,
    ClassifierDrift,
    Columns,
    Detector,
    DriftPlan,
    DriftReport,
    Rules,
    Summary,
)
from harness.domain.drift_event import ColumnChecked, DataDriftChecked
from harness.domain.event import GateChecked
from harness.domain.model import DataPlan
from harness.drift.decide import MISSING
from harness.drift.detect import DriftOptions, detect
from harness.drift.rules import parse
from harness.errors import DataError
from harness.protocols import Case, Tell

GATE: Final = "data drift"
NAMED: Final = 5


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two tables with the types of one schema."""

    reference: pd.DataFrame
    current: pd.DataFrame
    names: tuple[str, ...]
    """Columns that name rows, or that the schema leaves out: not compared."""
    target: str | None
    """As the schema names it."""
    notes: tuple[str, ...]


def typed_pair(reference: str, current: str, schema: str | None) -> Pair:
    """Read two files as one schema has them.

    Args:
        reference: a CSV (also gzipped) or Parquet file.
        current: likewise.
        schema: its file; None: inferred from the reference.

    Raises:
        DataError: a file cannot be read.
    """
    before = read_table(reference)
    given = read_schema(schema) if schema else None
    now = read_table(current)
    return pair(before, now, given or infer(before), inferred=given is None)


def pair(before: pd.DataFrame, now: pd.DataFrame, schema: Schema, *, inferred: bool) -> Pair:
    """Two tables with the types of a schema, and what is to be said of them."""
    names = tuple(
        name
        for role in (ColumnRole.KEY, ColumnRole.IGNORED)
        for name in schema.of(role)
        if name in before.columns or name in now.columns
    )
    target = next((name for name in schema.of(ColumnRole.TARGET) if name in before.columns), None)
    notes = [f"{name} names the rows (all its values differ): not compared" for name in names] if inferred else []
    notes += infinities(before, schema) if inferred else ()
    tables = []
    for word, raw in (("reference", before), ("current", now)):
        frame, unread = typed(raw, schema)
        tables.append(frame)
        notes += [
            f"{name}: {int(bad.sum()):,} values of the {word} data are no numbers ({str(raw[name][bad].iloc[0])!r}): "
            "counted as missing"
            for name, bad in unread.items()
        ]
    return Pair(tables[0], tables[1], names, target, tuple(notes))


def compared(data: DataPlan, plan: DriftPlan, seed: int) -> DriftReport:
    """The comparison that a scenario asks for.

    Raises:
        DataError: a file cannot be read, or lacks what a rule or an option names.
    """
    read = typed_pair(data.source, plan.current, data.schema)
    options = DriftOptions(
        alpha=plan.alpha,
        correction=plan.correction,
        detectors=plan.detectors,
        rules=tuple(map(parse, plan.rules)),
        target=data.target,
        ignore=read.names,
        seed=seed,
    )
    names = file_name(data.source), file_name(plan.current)
    return detect(read.reference, read.current, options, notes=read.notes, names=names)


class CheckDrift:
    """Compares the newest data with the data set, tells what was found, and refuses the candidate where it is to."""

    name = "drift"

    async def run(self, case: Case, tell: Tell) -> Case:
        """Answer with one refusal more, where data drifted and the scenario says that this counts.

        Raises:
            DataError: the newest data cannot be read, or do not fit.
        """
        data = case.scenario.model.data
        if data is None or data.drift is None:
            return case
        plan = data.drift
        try:
            report = compared(data, plan, case.scenario.seed)
        except DataError as error:
            raise DataError(f"{plan.current}: {error}" if plan.current not in str(error) else str(error)) from error
        _told(report, tell)
        if not plan.fail:
            return case
        passed, score = not report.drift_detected, report.drift_score
        tell(GateChecked, GATE, f"no drift in {report.current}", passed, score, None, f"<= {THRESHOLD:g}")
        return case if passed else case.having(refusals=(*case.refusals, reason(report)))


def reason(report: DriftReport) -> str:
    """Why data that drifted refuse the candidate."""
    part = report.parts.get(Detector.DOMAIN_SPECIFIC)
    broken = [f"rule `{rule.text}` broken" for rule in part.rules if not rule.passed] if isinstance(part, Rules) else []
    names = [*_absent(report), *(column.name for column in report.columns if column.drifted)]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    told = [f"{', '.join(names[:NAMED])}{more}"] if names else []
    if not told and not broken:
        told = ["columns together, though none alone"]
    return f"{report.current} drifted from {report.reference} (score {report.drift_score:.2f}): " + "; ".join(
        [*told, *broken[:NAMED]]
    )


def _absent(report: DriftReport) -> tuple[str, ...]:
    part = report.parts.get(Detector.STATISTICAL)
    return part.absent if isinstance(part, Columns) else ()


def _told(report: DriftReport, tell: Tell) -> None:
    classifier = report.parts.get(Detector.ML_BASED)
    rules = report.parts.get(Detector.DOMAIN_SPECIFIC)
    seen = classifier if isinstance(classifier, ClassifierDrift) else None
    tell(
        DataDriftChecked,
        reference=report.reference,
        current=report.current,
        reference_rows=report.reference_rows,
        current_rows=report.current_rows,
        alpha=report.alpha,
        detected=report.drift_detected,
        score=report.drift_score,
        columns=tuple(
            ColumnChecked(
                name=column.name,
                test=column.test,
                p_value=column.adjusted_p_value,
                effect=column.effect,
                drifted=column.drifted,
                reference=_shown(column.test, column.reference),
                current=_shown(column.test, column.current),
            )
            for column in report.columns
        ),
        absent=_absent(report),
        auc=seen.auc if seen else None,
        auc_p_value=seen.p_value if seen else None,
        rules=rules.rules if isinstance(rules, Rules) else (),
        recommendations=report.recommendations,
        notes=report.notes,
        told_apart=seen.drifted if seen else None,
    )


def _shown(test: str, summary: Summary | None) -> float | None:
    if summary is None:
        return None
    return summary.missing if test == MISSING else summary.mean
