"""Data held against a schema and rules of quality, from Python."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.domain.quality import Failure, Severity, Validation
from harness.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, eq=False)
class ValidationResult:
    """What came of holding data against a schema."""

    is_valid: bool
    """Whether nothing critical was found."""
    errors: tuple[str, ...]
    """What is critical, each with its column, how often it is so and its first rows."""
    warnings: tuple[str, ...]
    validated_data: Any
    """The data: a frame as it was given; of a file its typed table (float64 and texts, missing values as NaN)."""
    failures: tuple[Failure, ...] = ()
    """Errors and warnings as values."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check of quality found."""

    passed: bool
    failures: tuple[Failure, ...]

    @property
    def errors(self) -> tuple[str, ...]:
        """What was found, as text."""
        return tuple(map(str, self.failures))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it is about, each once."""
        return tuple(dict.fromkeys(name for failure in self.failures for name in failure.columns))


@dataclass(frozen=True, slots=True)
class DuplicatesResult:
    """Rows that are an earlier row again."""

    has_duplicates: bool
    duplicate_count: int
    duplicate_rows: tuple[Any, ...]
    """Their labels in the frame's index."""


@dataclass(frozen=True, slots=True)
class OutliersResult:
    """Values far from the rest of their column."""

    has_outliers: bool
    outlier_values: tuple[Any, ...]
    outlier_rows: tuple[Any, ...]
    """Their labels in the frame's index."""
    low: float | None
    """What lies below is an outlier; None where the column has no spread to measure by."""
    high: float | None


class DataValidator:
    """Holds data against schemas and rules of quality.

    >>> import pandas as pd
    >>> ages = pd.DataFrame({"age": [31, -1]})
    >>> found = DataValidator().validate_schema(ages, {"age": {"type": "integer", "min_value": 0}})
    >>> found.is_valid, found.errors
    (False, ("age: below 0 ('-1') in 1 row (2)",))
    """

    def validate(
        self,
        source: Any,
        schema: Any = None,
        quality_rules: Any = None,
        *,
        target: str | None = None,
        against: Any = None,
    ) -> ValidationResult:
        """Hold a file or a frame against a schema and rules of quality.

        Args:
            source: a CSV (also ``.gz``) or Parquet file, or a frame.
            schema: its file, a mapping as in that file, a mapping of columns as `validate_schema` takes it, or None.
            quality_rules: a file, a list such as ``[{"check": "duplicates", "severity": "warning"}]``, or a mapping
                such as ``{"missing": {"max_share": 0.05}}``.
            target: the column to predict, where no schema says so.
            against: the training data, for rules that look for rows and types of theirs; a file or a frame.

        Raises:
            DataError: a file, the schema or a rule cannot be used. What they forbid raises nothing.
        """
        from harness.data.given import schema_given
        from harness.data.rulefile import rules_of
        from harness.data.validate import Held, validate

        held_to = None if schema is None else schema_given(schema)
        rules = rules_of(quality_rules, None if held_to is None else list(held_to.columns))
        data, other = _source(source), None if against is None else _source(against)
        found = validate(data, Held(held_to, rules, target or ""), other)
        return _result(found, source if _is_frame(source) else _typed(str(source), held_to))

    def validate_schema(self, data: "pd.DataFrame", schema: Mapping[str, Any]) -> ValidationResult:
        """Hold a frame against a mapping of columns: ``{"feature1": {"type": "float", "nullable": False}}``.

        Types are float, integer, string, boolean, datetime and category; beside ``nullable`` (true unless it is said)
        stand ``min_value``, ``max_value`` (both allowed), ``allowed``, ``unique`` and ``pattern``. The frame's own
        types count: a text is no number, and a number no text.

        Raises:
            DataError: the schema cannot be used.
        """
        from harness.data.given import schema_given
        from harness.data.source import FrameSource
        from harness.data.validate import Held, validate

        held_to = schema_given(schema)
        found = validate(FrameSource(data), Held(held_to))
        return _result(found, data, _mistyped(data, held_to))

    def check_duplicates(self, data: "pd.DataFrame", columns: Sequence[str] | None = None) -> DuplicatesResult:
        """Find rows that are an earlier row again, in all columns or in some."""
        again = data.duplicated(subset=None if columns is None else list(columns))
        count = int(again.sum())
        return DuplicatesResult(count > 0, count, tuple(data.index[again].tolist()))

    def detect_outliers(
        self, data: "pd.DataFrame", column: str, method: str = "iqr", factor: float | None = None
    ) -> OutliersResult:
        """Find values far from the rest of a column.

        Args:
            data: the frame.
            column: one of numbers.
            method: ``iqr`` (beyond the quartiles by 1.5 interquartile ranges), ``zscore`` (3 standard deviations from
                the mean; of n values none can be farther than (n - 1)/√n) or ``mad`` (modified z-score of 3.5).
            factor: another bound than the usual.

        Raises:
            DataError: there is no such column or method, or it holds no numbers.
        """
        from harness.data.outliers import fences
        from harness.data.spill import Numbers

        values = _numbers(data, column)
        kept = Numbers()
        kept.add(values.to_numpy())
        found = fences(kept, _method(method), factor)
        if found is None:
            return OutliersResult(has_outliers=False, outlier_values=(), outlier_rows=(), low=None, high=None)
        far = ((values < found.low) | (values > found.high)).to_numpy()
        there = tuple(data[column][far].tolist())
        return OutliersResult(bool(far.any()), there, tuple(data.index[far].tolist()), found.low, found.high)

    def check_missing_values(self, data: "pd.DataFrame", max_share: float = 0.0) -> CheckResult:
        """Find columns of which a greater share of the rows has no value."""
        return self._one(data, {"check": "missing", "max_share": max_share})

    def check_constant_columns(self, data: "pd.DataFrame") -> CheckResult:
        """Find columns that hold one value, or none."""
        return self._one(data, {"check": "constant"})

    def check_leakage(self, data: "pd.DataFrame", target: str, max_score: float = 0.95) -> CheckResult:
        """Find columns that are the target, or alone predict it almost perfectly (`harness.data.leak`)."""
        return self._one(data, {"check": "leakage", "max_score": max_score}, target)

    def check_label_balance(self, data: "pd.DataFrame", target: str, min_share: float = 0.1) -> CheckResult:
        """Find classes of the target that have a smaller share of the rows."""
        return self._one(data, {"check": "balance", "min_share": min_share}, target)

    def check_train_test_leakage(
        self,
        train: "pd.DataFrame",
        test: "pd.DataFrame",
        columns: Sequence[str] | None = None,
        max_share: float = 0.0,
    ) -> CheckResult:
        """Find test rows that stand in the training data too, by all columns or by some, such as the key."""
        rule = {"check": "overlap", "max_share": max_share, **({"columns": list(columns)} if columns else {})}
        return self._one(test, rule, against=train)

    def _one(
        self, data: "pd.DataFrame", rule: Mapping[str, Any], target: str | None = None, against: Any = None
    ) -> CheckResult:
        found = self.validate(data, None, [rule], target=target, against=against)
        return CheckResult(found.is_valid, found.failures)


def _is_frame(source: Any) -> bool:
    return hasattr(source, "columns") and hasattr(source, "iloc")


def _source(given: Any) -> Any:
    from harness.data.source import FrameSource, file_source

    return FrameSource(given) if _is_frame(given) else file_source(str(given))


def _typed(path: str, schema: Any) -> Any:
    from harness.data.table import infer, read_table, typed

    raw = read_table(path)
    return typed(raw, schema or infer(raw))[0]


def _result(found: Validation, data: Any, more: Sequence[Failure] = ()) -> ValidationResult:
    failures = (*more, *found.failures)
    critical = tuple(str(each) for each in failures if each.severity is Severity.CRITICAL)
    warnings = tuple(str(each) for each in failures if each.severity is Severity.WARNING)
    return ValidationResult(not critical, critical, warnings, data, failures)


def _mistyped(data: "pd.DataFrame", schema: Any) -> list[Failure]:
    """Texts where numbers should be, though they could be read as such; and the other way round."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    from harness.data.schema import ColumnType

    found = []
    for name, column in schema.columns.items():
        if name not in data or not len(data):
            continue
        values, numeric = data[name], is_numeric_dtype(data[name]) and not is_bool_dtype(data[name])
        if column.type is ColumnType.TEXT and (numeric or is_bool_dtype(values)) and values.notna().any():
            found.append(Failure(name, f"holds {values.dtype}, not texts", kind="type", columns=(name,)))
        texts = values.map(lambda value: isinstance(value, str) and _reads_as_number(value))
        if column.type.numeric and not numeric and texts.any():
            rows = tuple(int(place) + 1 for place in texts.to_numpy().nonzero()[0][:5])
            count = int(texts.sum())
            told = f"a text, not a number ({values[texts].iloc[0]!r})"
            found.append(Failure(name, told, count, rows, "type", share=count / len(data), columns=(name,)))
    return found


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(data: "pd.DataFrame", column: str) -> Any:
    from pandas.api.types import is_numeric_dtype

    from harness.data.nodes import near

    if column not in data:
        raise DataError(f"there is no column {column!r}{near(column, map(str, data.columns))}")
    if not is_numeric_dtype(data[column]):
        raise DataError(f"the column {column} holds {data[column].dtype}; outliers are looked for among numbers")
    return data[column].astype("float64")


def _method(word: str) -> Any:
    from harness.data.nodes import near
    from harness.data.rule import Method

    try:
        return Method(word)
    except ValueError:
        known = [method.value for method in Method]
        raise DataError(f"method is {word!r}, not one of {', '.join(known)}{near(word, known)}") from None
