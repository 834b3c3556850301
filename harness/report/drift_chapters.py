"""What a comparison of two data sets has to tell: a sentence, a few figures, and tables that every form of it shows."""

from collections.abc import Iterator
from typing import Final

from harness.domain.drift import (
    ClassifierDrift,
    ColumnDrift,
    Columns,
    Detector,
    DriftReport,
    ReconstructionDrift,
    Rules,
    RuleVerdict,
    Tested,
)
from harness.report import text as words
from harness.report.chapter import NONE, Chapter, Line

NAMES: Final = {
    Detector.STATISTICAL: "columns, one by one",
    Detector.ML_BASED: "classifier, all columns together",
    Detector.DOMAIN_SPECIFIC: "domain rules",
    Detector.RECONSTRUCTION: "components (PCA)",
    Detector.PREDICTION: "the model's answers",
    Detector.LABEL: "labels",
}
MISSING: Final = "missing_values"
TESTS: Final = {
    "kolmogorov_smirnov": "KS",
    "chi_square": "chi-square",
    "chi_square_permuted": "chi-square, permuted",
    "fisher_exact": "Fisher",
    MISSING: "missing",
    "none": NONE,
}
NAMED: Final = 5
IMPORTANT: Final = 10


def sentence(report: DriftReport) -> str:
    """What came of it."""
    level = f"a false-alarm rate of {words.share(report.alpha)}"
    if not report.drift_detected:
        return f"No drift, at {level} over all detectors together."
    told = [_found(detector, part) for detector, part in report.parts.items() if part.drifted]
    return f"Drift, at {level}: {'; '.join(told)}."


def _found(detector: Detector, part: Tested) -> str:
    match part:
        case Columns() if detector is Detector.STATISTICAL:
            names = [*part.absent, *(column.name for column in part.columns if column.drifted)]
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            return f"{words.plural(len(names), 'column')} ({', '.join(names[:NAMED])}{more})"
        case Columns():
            return NAMES[detector]
        case ClassifierDrift():
            return f"a classifier tells the rows apart (AUC {part.auc:.3f})"
        case Rules():
            broken = [rule for rule in part.rules if not rule.passed]
            return f"{words.plural(len(broken), 'domain rule')} broken"
    return "rows that the reference's components do not describe"


def facts(report: DriftReport) -> Iterator[tuple[str, str, str]]:
    """Figures for the head of a report: name, value, and what it is."""
    yield "reference", f"{words.count(report.reference_rows)} rows", report.reference
    yield "current", f"{words.count(report.current_rows)} rows", report.current
    score = f"for people; a drift lies above {report.threshold:g}"
    yield "drift score", f"{report.drift_score:.3f}", score
    drifted = sum(column.drifted for column in report.columns)
    if report.columns:
        yield "columns drifted", f"{drifted} of {len(report.columns)}", ""
    expected = report.expected_false_alarms_per_month
    if expected is not None and report.every_s is not None:
        yield "false alarms", f"{expected:.3g} a month", f"at most, compared every {words.span(report.every_s)}"
    else:
        yield "false alarms", f"{words.share(report.alpha)} of comparisons", "at most, where nothing drifted"


def chapters(report: DriftReport, *, all_columns: bool = True) -> list[Chapter]:
    """The tables, what decides first."""
    told = [detectors(report), rules(report), columns(report, every=all_columns), importance(report)]
    return [chapter for chapter in told if chapter.lines]


def detectors(report: DriftReport) -> Chapter:
    """Each detector, its figure, and the p-value against its part of the false-alarm rate."""
    lines = [
        Line((_mark(part.drifted), NAMES[detector], *_judged(part)), not part.drifted)
        for detector, part in report.parts.items()
    ]
    note = (
        f"Each p-value is held to its detector's part of the false-alarm rate of {words.share(report.alpha)}. A broken "
        "rule is drift because whoever wrote it says so."
    )
    return Chapter("What decided", ("", "detector", "found", "p", "held to", ""), lines, frozenset({3, 4}), note)


def _judged(part: Tested) -> tuple[str, str, str, str]:
    match part:
        case Columns():
            least = min((column.adjusted_p_value for column in part.columns), default=None)
            drifted = sum(column.drifted for column in part.columns) + len(part.absent)
            found = f"{drifted} of {len(part.columns) + len(part.absent)} drifted"
            return found, p_text(least), f"≤ {part.alpha:.4g}", f"smallest p, corrected ({part.correction})"
        case ClassifierDrift():
            auc = NONE if part.auc is None else f"AUC {part.auc:.3f}"
            seen = part.note or f"{words.count(part.reference_rows)} and {words.count(part.current_rows)} rows"
            return auc, p_text(part.p_value), f"≤ {part.alpha:.4g}", seen
        case ReconstructionDrift():
            statistic = NONE if part.statistic is None else f"KS of errors {part.statistic:.3f}"
            kept = f"{words.plural(part.components, 'component')}, {words.share(part.variance)} of the variance"
            return statistic, p_text(part.p_value), f"≤ {part.alpha:.4g}", part.note or kept
        case Rules():
            broken = sum(not rule.passed for rule in part.rules)
            return f"{broken} of {len(part.rules)} broken" if part.rules else "none given", NONE, NONE, ""


def rules(report: DriftReport) -> Chapter:
    """Each domain rule with what it came to."""
    part = report.parts.get(Detector.DOMAIN_SPECIFIC)
    given = part.rules if isinstance(part, Rules) else ()
    lines = [
        Line(
            (_mark(not rule.passed), rule.text, of_rule(rule, rule.reference), of_rule(rule, rule.value), rule.bound),
            rule.passed,
        )
        for rule in given
    ]
    return Chapter("Domain rules", ("", "rule", "reference", "current", "held to"), lines, frozenset({2, 3}))


def of_rule(rule: RuleVerdict, value: float | None) -> str:
    """A figure of a rule; shares of rows as percentages."""
    return words.share(value) if rule.of_rows and value is not None else number(value)


def columns(report: DriftReport, *, every: bool) -> Chapter:
    """Columns, the drifted first, then answers and labels; without `every` only those that drifted and five more."""
    shown = list(report.columns)
    if not every:
        shown = [*(each for each in shown if each.drifted), *[each for each in shown if not each.drifted][:NAMED]]
    lines = [_column(each) for each in shown]
    for detector in (Detector.PREDICTION, Detector.LABEL):
        part = report.parts.get(detector)
        if isinstance(part, Columns):
            lines += [_column(each, f" ({detector})") for each in part.columns]
    left = len(report.columns) - len(shown)
    note = (
        "p is corrected for all columns. Effect: the largest difference of the distribution functions, or of the "
        "shares of any set of categories. PSI: deciles of the reference. JS: Jensen-Shannon distance, base 2."
    )
    if left:
        note = f"And {left} more that did not drift. {note}"
    heads = ("", "column", "test", "p", "effect", "PSI", "JS", "reference", "current")
    return Chapter("Columns", heads, lines, frozenset({3, 4, 5, 6}), note)


def _column(column: ColumnDrift, what: str = "") -> Line:
    cells = (
        _mark(column.drifted),
        f"{column.name}{what}",
        TESTS.get(column.test, column.test),
        p_text(column.adjusted_p_value),
        *(number(value) for value in (column.effect, column.figures.get("psi"), column.figures.get("jensen_shannon"))),
        *described(column),
    )
    return Line(cells, not column.drifted)


def described(column: ColumnDrift) -> tuple[str, str]:
    """A column before and now, in a word or two each.

    Numbers by mean and standard deviation; categories by the share that changed most; with what is missing.
    """
    told = []
    drawn = column.distribution
    sides = [(column.reference, drawn.reference if drawn else ()), (column.current, drawn.current if drawn else ())]
    for summary, shares in sides:
        said = ""
        if summary and summary.mean is not None:
            spread = f" ± {number(summary.deviation)}" if summary.deviation is not None else ""
            said = f"{number(summary.mean)}{spread}"
        elif drawn and drawn.labels:
            place = max(range(len(shares)), key=lambda at: abs(drawn.current[at] - drawn.reference[at]))
            said = f"{drawn.labels[place]} {words.share(shares[place])}"
        if summary and summary.missing and not said.startswith("missing "):
            said += f", {words.share(summary.missing)} missing"
        told.append(said.removeprefix(", ") or NONE)
    return told[0], told[1]


def importance(report: DriftReport) -> Chapter:
    """By which columns the classifier tells the rows apart."""
    part = report.parts.get(Detector.ML_BASED)
    shares = part.importance if isinstance(part, ClassifierDrift) and part.drifted else {}
    lines = [Line((name, words.share(share))) for name, share in list(shares.items())[:IMPORTANT] if share > 0]
    note = "Of the AUC that is lost when a column's values are shuffled, the share that each column loses."
    return Chapter("What tells the rows apart", ("column", "importance"), lines, frozenset({1}), note)


def _mark(drifted: bool) -> str:
    return "✗" if drifted else "✓"


def p_text(value: float | None) -> str:
    """A p-value in three digits.

    >>> p_text(0.01234), p_text(1e-40), p_text(1.0), p_text(0.0), p_text(None)
    ('0.0123', '1e-40', '1', '< 1e-300', '–')
    """
    if value is None:
        return NONE
    return "< 1e-300" if value == 0 else f"{value:.3g}"


def number(value: float | None) -> str:
    """A figure of a user's data, in four digits.

    >>> number(0.123456), number(7035.4), number(None)
    ('0.1235', '7,035', '–')
    """
    if value is None:
        return NONE
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"
