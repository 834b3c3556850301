"""Training data held against expectations, under the names of the handbooks; the gate of a pipeline."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from harness.domain.quality import Failure, Severity
from harness.errors import DataError, DataValidationError

_LOG: Final = logging.getLogger(__name__)
NAME: Final = "training_data_suite"


@dataclass(frozen=True, slots=True)
class Expectation:
    """One thing that is expected of a column, or of the table."""

    name: str
    column: str | None
    """None: of the table."""
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    kinds: tuple[str, ...] = ()
    """The checks by which data fail it (`Failure.kind`)."""
    severity: Severity = Severity.CRITICAL


@dataclass(frozen=True, slots=True)
class ExpectationSuite:
    """All that is expected, and the schema that it comes to."""

    expectation_suite_name: str
    expectations: tuple[Expectation, ...]
    schema: Any
    """A `harness.data.schema.Schema`."""


@dataclass(frozen=True, slots=True)
class ExpectationResult:
    """What came of one expectation."""

    expectation: Expectation
    success: bool
    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """What came of all of them."""

    success: bool
    results: tuple[ExpectationResult, ...]
    failures: tuple[Failure, ...]
    """What was found, each with its severity."""


class DataValidationPipeline:
    """Validates training data before a model is trained on them."""

    def validate_training_data(self, data_path: Any, schema_config: Mapping[str, Any]) -> SuiteResult:
        """Hold a file (or a frame) against what is expected; failures are logged.

        Args:
            data_path: a CSV (also ``.gz``) or Parquet file, of any size.
            schema_config: ``columns`` by name, each with ``data_type``, ``nullable``, ``min_value``, ``max_value``,
                ``unique`` and ``severity`` (``critical`` or ``warning``); ``row_count`` with ``min``, ``max``.

        Raises:
            DataError: the file or the configuration cannot be used.
            DataValidationError: something critical was found.
        """
        from harness.data.validate import Held, validate
        from harness.facades.data import _source

        suite = self.create_expectation_suite(schema_config)
        found = validate(_source(data_path), Held(suite.schema))
        result = _judged(suite, found.failures)
        if not result.success:
            self.log_validation_failures(result)
            critical = self.get_critical_failures(result)
            if critical:
                raise DataValidationError(f"Critical validation failures: {'; '.join(critical)}")
        return result

    def create_expectation_suite(self, schema_config: Mapping[str, Any]) -> ExpectationSuite:
        """What a configuration expects, as a list under the usual names.

        ``min_value`` and ``max_value`` themselves are allowed.

        Raises:
            DataError: the configuration cannot be used.
        """
        from harness.data.given import schema_given

        columns = schema_config.get("columns")
        if not isinstance(columns, Mapping):
            raise DataError("schema_config lacks `columns`: a mapping of each column to what is expected of it")
        rows = schema_config.get("row_count")
        schema = schema_given(columns, rows)
        expected = [each for name, said in columns.items() for each in _of_column(str(name), said)]
        if rows:
            told = {"min_value": rows.get("min"), "max_value": rows.get("max")}
            expected.append(Expectation("expect_table_row_count_to_be_between", None, told, ("rows",)))
        return ExpectationSuite(NAME, tuple(expected), schema)

    def get_critical_failures(self, validation_result: SuiteResult) -> list[str]:
        """What of the failures refuses the data, as text."""
        return [str(each) for each in validation_result.failures if each.severity is Severity.CRITICAL]

    def log_validation_failures(self, validation_result: SuiteResult) -> None:
        """Log each failure by Python's logging: what is critical as an error, the rest as a warning."""
        for each in validation_result.failures:
            level = logging.ERROR if each.severity is Severity.CRITICAL else logging.WARNING
            _LOG.log(level, "data validation: %s", each)


def _of_column(name: str, said: Any) -> Iterator[Expectation]:
    said = said if isinstance(said, Mapping) else {"type": said}
    word = str(said.get("severity", "critical"))
    if word not in list(Severity):
        raise DataError(f"{name}.severity is {word!r}, not one of {', '.join(Severity)}")

    def expect(what: str, kinds: Sequence[str], **kwargs: Any) -> Expectation:
        return Expectation(f"expect_column_{what}", name, kwargs, tuple(kinds), Severity(word))

    yield expect("to_exist", ["present"])
    kind = said.get("data_type", said.get("type"))
    if kind is not None:
        yield expect("values_to_be_of_type", ["type", "whole"], type_=kind)
    if said.get("nullable") is False:
        yield expect("values_to_not_be_null", ["missing"])
    if said.get("min_value") is not None:
        yield expect("values_to_be_greater_than", ["min"], min_value=said["min_value"])
    if said.get("max_value") is not None:
        yield expect("values_to_be_less_than", ["max"], max_value=said["max_value"])
    if said.get("unique"):
        yield expect("values_to_be_unique", ["unique"])
    if said.get("allowed"):
        yield expect("values_to_be_in_set", ["allowed"], value_set=tuple(said["allowed"]))
    if said.get("pattern"):
        yield expect("values_to_match_regex", ["pattern"], regex=said["pattern"])


def _judged(suite: ExpectationSuite, failures: Sequence[Failure]) -> SuiteResult:
    """Each failure with the severity of the expectation that it fails; one of none of them is critical."""
    results: list[ExpectationResult] = []
    severities = {(each.column or "", kind): each.severity for each in suite.expectations for kind in each.kinds}
    told = [
        replace(failure, severity=severities.get((failure.column, failure.kind), Severity.CRITICAL))
        for failure in failures
    ]
    for each in suite.expectations:
        mine = tuple(one for one in told if one.column == (each.column or "") and one.kind in each.kinds)
        results.append(ExpectationResult(each, not mine, mine))
    return SuiteResult(not told, tuple(results), tuple(told))
