"""Checks of answers, against a naive way to do each: jsonschema alone, a tree walked in Python, numpy's closeness."""

import json
import math
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.domain.load import AnswerChecks, Speech
from harness.errors import InputError
from harness.load.checks import KNOWN, Checker, close
from harness.load.expressions import (
    All,
    AnyOf,
    Comparison,
    Condition,
    Exists,
    Field,
    Not,
    OneOf,
    Value,
    compiled,
    fields,
)
from harness.load.schemas import AnswerSchema, quick
from harness.load.wording import parse

NUMBERS = st.integers(-3, 3) | st.sampled_from([-1.5, 0.0, 0.5, 1.0, 2.0])
TEXTS = st.sampled_from(["", "a", "no", "yes", "Ä"])
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
KEYS = st.sampled_from(["a", "b", "in", "odd key", "true"])
ANSWERS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)


def outcome(checks: AnswerChecks, answer: Any, speech: Speech = Speech.JSON) -> str:
    return Checker(checks, speech).check(200, "application/json", json.dumps(answer).encode(), 0)


# --- the order, and the words ---


def test_the_first_that_applies_is_the_kind() -> None:
    checks = AnswerChecks(
        content_type="application/json",
        schema='{"required": ["prediction"]}',
        conditions=("confidence >= 0.5",),
        golden=('"yes"', '"no"'),
    )
    checker = Checker(checks, Speech.JSON)
    good = b'{"prediction": "yes", "confidence": 0.5}'
    asked = [
        (200, "Application/JSON; charset=utf-8", good, 0),
        (503, "application/json", b'{"error": "busy"}', 0),
        (200, "text/html", good, 0),
        (200, "application/json", b"<html>", 0),
        (200, "application/json", b'{"confidence": 0}', 0),
        (200, "application/json", b'{"prediction": "yes", "confidence": 0.25}', 0),
        (200, "application/json", good, 1),
        (404, "", b"", 0),
        (200, "application/json", good, 0),
    ]
    assert [checker.check(*each) for each in asked] == [
        "", "http_503", "content_type", "not_json", "schema", "condition", "golden", "http_404", "",
    ]  # fmt: skip
    assert checker.detail == {
        "http_503": 'status 503: {"error": "busy"}',
        "content_type": "the content type is text/html, and should begin with application/json",
        "not_json": "the answer is not JSON: Expecting value at line 1, column 1; it begins <html>",
        "schema": "the answer: 'prediction' is a required property",
        "condition": "confidence >= 0.5 does not hold: confidence is 0.25",
        "golden": 'body 2 of the payload: prediction is "yes", and should be "no"',
        "http_404": "status 404, without a body",
    }


def test_only_the_first_of_a_kind_is_told() -> None:
    checker = Checker(AnswerChecks(conditions=("a == 1",)), Speech.JSON)
    for found in (2, 3):
        assert checker.check(200, "", b'{"a": %d}' % found, 0) == "condition"
    assert checker.detail == {"condition": "a == 1 does not hold: a is 2"}


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"NaN", b'{"a": Infinity}', b"[" * 100_000, b"1" * 5000, b"\xef\xbb\xbf{}"]
)
def test_what_is_no_json(body: bytes) -> None:
    checker = Checker(AnswerChecks(schema="true"), Speech.JSON)
    assert [checker.check(200, "", body, 0) for _ in range(2)] == ["not_json", "not_json"]
    assert "JSON" in checker.detail["not_json"]
    assert Checker(AnswerChecks(), Speech.JSON).check(200, "", body, 0) == ""


@given(st.lists(st.tuples(st.integers(0, 3), ANSWERS), min_size=1, max_size=20))
@settings(deadline=None, max_examples=60)
def test_what_is_remembered_changes_nothing(asked: list[tuple[int, Any]]) -> None:
    checks = AnswerChecks(
        schema='{"type": "object", "properties": {"a": {"type": "number"}}}',
        conditions=("not b == 1",),
        golden=("1", '"a"', "null", "[1, 2]"),
    )
    remembering = Checker(checks, Speech.JSON)
    for index, answer in asked * 2:
        body = json.dumps({"prediction": answer} | (answer if isinstance(answer, dict) else {})).encode()
        assert remembering.check(200, "", body, index) == Checker(checks, Speech.JSON).check(200, "", body, index)


def test_what_is_remembered_has_a_bound() -> None:
    checker = Checker(AnswerChecks(conditions=("n >= 0",)), Speech.JSON)
    for n in range(3 * KNOWN):
        assert checker.check(200, "", b'{"n": %d}' % n, 0) == ""
        assert len(checker._known) <= KNOWN
    checker.check(200, "", b'{"n": 1, "pad": "' + b"x" * 100_000 + b'"}', 0)
    assert max(map(len, checker._known)) < 100_000


# --- JSON Schema ---

TYPES = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])


def schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {},
        optional={
            "title": st.just("t"),
            "type": TYPES | st.lists(TYPES, min_size=1, max_size=2, unique=True),
            "properties": st.dictionaries(KEYS, inner, max_size=2),
            "required": st.lists(KEYS, max_size=2, unique=True),
            "additionalProperties": inner,
            "items": inner,
            "enum": st.lists(ANSWERS, min_size=1, max_size=3),
            "const": ANSWERS,
            "minimum": NUMBERS,
            "maximum": NUMBERS,
            "exclusiveMinimum": NUMBERS,
            "exclusiveMaximum": NUMBERS,
            "minLength": st.integers(0, 3),
            "maxLength": st.integers(0, 3),
            "minItems": st.integers(0, 2),
            "maxItems": st.integers(0, 2),
            "minProperties": st.integers(0, 2),
            "maxProperties": st.integers(0, 2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "not": inner,
        },
    )


SCHEMAS = st.recursive(st.booleans() | schemas(st.booleans()), schemas, max_leaves=4)


@given(SCHEMAS, ANSWERS)
@settings(deadline=None, max_examples=200)
def test_schemas_mean_what_jsonschema_says(schema: Any, answer: Any) -> None:
    valid = jsonschema.Draft202012Validator(schema).is_valid(answer)
    ours = AnswerSchema(json.dumps(schema))
    assert ours.valid(answer) is valid
    assert bool(ours.problem(answer)) is not valid
    short = quick(schema)
    if short is not None:
        assert short(answer) is valid


def test_the_quick_way_is_taken_where_it_can_be() -> None:
    common = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["prediction"],
        "properties": {"prediction": {"enum": ["no", "yes"]}, "confidence": {"type": "number", "minimum": 0}},
        "additionalProperties": False,
    }
    assert quick(common) is not None
    assert quick({"properties": {"a": {"pattern": "x"}}}) is None


def test_a_failure_is_told_with_its_place() -> None:
    checks = AnswerChecks(schema='{"properties": {"scores": {"items": {"maximum": 1}}}}')
    checker = Checker(checks, Speech.JSON)
    assert checker.check(200, "", b'{"scores": [0.5, 1.5]}', 0) == "schema"
    assert checker.detail["schema"] == "scores[1]: 1.5 is greater than the maximum of 1"


def test_a_schema_that_says_its_draft_is_of_it() -> None:
    old = '{"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 1, "exclusiveMinimum": true}'
    assert [outcome(AnswerChecks(schema=old), number) for number in (1, 2)] == ["schema", ""]
    local = '{"$ref": "#/$defs/share", "$defs": {"share": {"maximum": 1}}}'
    assert [outcome(AnswerChecks(schema=local), number) for number in (1, 2)] == ["", "schema"]
    tree = '{"type": "object", "additionalProperties": {"$ref": "#"}}'
    assert [outcome(AnswerChecks(schema=tree), answer) for answer in ({"a": {"b": {}}}, {"a": 1})] == ["", "schema"]


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ("{", "the schema is not JSON: line 1, column 2"),
        ('{"type": "objekt"}', "the schema is none: type: 'objekt' is not valid"),
        ('{"minLength": -1}', "the schema is none: minLength: -1 is less than the minimum of 0"),
        ('{"pattern": "("}', "the schema is none: pattern"),
        ("[]", "the schema is none: it is an object"),
        ('{"$schema": "https://example.org/mine"}', r"\$schema is 'https://example.org/mine', which is no known draft"),
        ('{"$ref": "https://example.org/s.json"}', "refers to 'https://example.org/s.json', which is not in it"),
        ('{"properties": {"a": {"$ref": "#/$defs/x"}}}', r"refers to '#/\$defs/x', which is not in it"),
        ('{"$ref": "#"}', "refers to itself in a circle"),
        ("[" * 100_000, "the schema is not JSON"),
    ],
)
def test_a_wrong_schema_is_told_before_the_test(schema: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        Checker(AnswerChecks(schema=schema), Speech.JSON)


@given(
    st.text(max_size=60)
    | st.dictionaries(st.sampled_from(["$ref", "type", "items", "$schema", "enum", "$id"]), ANSWERS).map(json.dumps)
)
@settings(deadline=None)
def test_any_schema_is_taken_or_refused(text: str) -> None:
    try:
        schema = AnswerSchema(text)
    except InputError:
        return
    assert schema.valid({}) in {True, False}


# --- conditions ---

FIELDS = st.builds(Field, st.lists(KEYS | st.integers(-2, 2), min_size=1, max_size=3).map(tuple))
VALUES = st.builds(Value, SCALARS)
OPS = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
TESTS = st.one_of(
    st.builds(Comparison, FIELDS, OPS, FIELDS | VALUES),
    st.builds(Comparison, VALUES, OPS, FIELDS),
    st.builds(OneOf, FIELDS, st.lists(VALUES, min_size=1, max_size=3).map(tuple)),
    st.builds(Exists, FIELDS),
)
CONDITIONS: st.SearchStrategy[Condition] = st.recursive(
    TESTS,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(All, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)


def wrong_or_raise(text: str) -> Condition | None:
    try:
        return parse(text)
    except InputError:
        return None


def written(tree: Any) -> str:
    """A condition as text, with every parenthesis."""
    match tree:
        case Comparison(left, op, right):
            return f"{written(left)} {op} {written(right)}"
        case OneOf(field, values):
            return f"{field} in [{', '.join(map(written, values))}]"
        case Exists(field):
            return f"{field} exists"
        case Not(part):
            return f"not ({written(part)})"
        case All(parts):
            return " and ".join(f"({written(part)})" for part in parts)
        case AnyOf(parts):
            return " or ".join(f"({written(part)})" for part in parts)
        case Value(value):
            return json.dumps(value)
        case field:
            return str(field)


GONE = object()


def naive(tree: Any, answer: Any) -> Any:
    """The meaning of a condition, the plain way."""
    match tree:
        case Field(keys):
            for key in keys:
                try:
                    if type(answer) is not (dict if isinstance(key, str) else list):
                        return GONE
                    answer = answer[key]
                except (KeyError, IndexError, TypeError):
                    return GONE
            return answer
        case Value(value):
            return value
        case Exists(field):
            return naive(field, answer) is not GONE
        case OneOf(field, values):
            return any(naive(Comparison(field, "==", value), answer) for value in values)
        case Not(part):
            return not naive(part, answer)
        case All(parts):
            return all(naive(part, answer) for part in parts)
        case AnyOf(parts):
            return any(naive(part, answer) for part in parts)
        case Comparison(left, op, right):
            one, other = naive(left, answer), naive(right, answer)
            if one is GONE or other is GONE:
                return False
            # JSON text tells true from 1; 1.0 and 1 are one number.
            plain = [json.dumps(side, sort_keys=True).replace(".0", "") for side in (one, other)]
            if op in {"==", "!="}:
                return (plain[0] == plain[1]) is (op == "==")
            kinds = {"number" if type(side) in {int, float} else type(side).__name__ for side in (one, other)}
            if kinds not in ({"number"}, {"str"}):
                return False
            return {"<": one < other, "<=": one <= other, ">": one > other, ">=": one >= other}[op]
    raise AssertionError(tree)


@given(CONDITIONS, ANSWERS)
@settings(deadline=None, max_examples=250)
def test_conditions_mean_what_a_naive_reading_says(tree: Condition, answer: Any) -> None:
    assert compiled(tree)(answer) is naive(tree, answer)


@given(CONDITIONS)
@settings(deadline=None, max_examples=60)
def test_a_condition_is_read_as_it_is_written(tree: Condition) -> None:
    assert parse(written(tree)) == tree
    assert all(str(field) in written(tree) for field in fields(tree))


@given(
    st.text(max_size=40)
    | st.lists(
        st.sampled_from(
            [
                "a",
                "and",
                "or",
                "not",
                "in",
                "exists",
                "==",
                "=",
                "<",
                "(",
                ")",
                "[",
                "]",
                ",",
                ".",
                "1",
                "-",
                '"x"',
                "'",
                "true",
                "\\",
                "$",
            ]
        ),
        max_size=12,
    ).map(" ".join)
)
@settings(deadline=None, max_examples=300)
def test_any_text_is_a_condition_or_refused(text: str) -> None:
    tree = wrong_or_raise(text)
    if tree is not None:
        assert compiled(tree)({"a": 1}) in {True, False}
        assert parse(written(tree)) == tree


@pytest.mark.parametrize(
    ("text", "column", "told"),
    [
        ("", 1, "a condition compares a field of the answer"),
        ("confidence = 1", 12, "write == instead of ="),
        ("a == 1 && b == 2", 8, "write and instead of &&"),
        ("a == 1 AND b == 2", 8, "write and"),
        ("a == yes and", 13, "a field or a value should stand here"),
        ("a", 2, "after a field comes"),
        ("1 == 2", 1, "compares two values"),
        ("1 < a < 2", 7, "one operator; join two comparisons with and"),
        ('a in "yes"', 6, 'in brackets: in ["no", "yes"]'),
        ("a in [yes]", 7, 'true, false or null; write "yes"'),
        ("a in [1 2]", 9, "a comma or ]"),
        ("exists a", 1, "write FIELD exists"),
        ("(a == 1", 1, "this parenthesis is never closed"),
        ('a == "x', 6, "this quote is never closed"),
        ("a == 50%", 6, "'50%' means nothing here"),
        ("a[1.5] == 1", 3, "in brackets stands a whole number"),
        ("a[1 == 1", 5, "this bracket should be closed"),
        ("a. == 1", 4, "after a dot comes a name"),
        ("a == 1e999", 6, "beyond what a float holds"),
        ('a == "\\x"', 6, "an escape that JSON does not have"),
        ("in == 1", 1, r'a field of that name is ["in"]'),
        ("a == 1)", 7, "and, or or the end should stand here, not )"),
        ("not " * 40 + "a == 1", 121, "nests at most 30 deep"),
    ],
)
def test_a_wrong_condition_is_told_with_its_column(text: str, column: int, told: str) -> None:
    with pytest.raises(InputError) as caught:
        Checker(AnswerChecks(conditions=(text,)), Speech.JSON)
    assert f", column {column}: " in str(caught.value)
    assert told in str(caught.value)


def test_a_long_condition_is_refused() -> None:
    with pytest.raises(InputError, match="at most 1000 characters, this one 1200"):
        parse("a == 1 or a " * 100)


@pytest.mark.parametrize(
    ("text", "answer", "holds"),
    [
        ('prediction in ["no", "yes"]', {"prediction": "yes"}, True),
        ('prediction not in ["no"]', {"prediction": "yes"}, True),
        ("outputs[0].data[-1] > 0.5", {"outputs": [{"data": [0.1, 0.9]}]}, True),
        ('["odd key"].in exists', {"odd key": {"in": None}}, True),
        ("[0].a == 1.0", [{"a": 1}], True),
        ("a == 1", {"a": True}, False),
        ("a != 1", {}, False),
        ("not a == 1", {}, True),
        ("a < b", {"a": "x", "b": "y"}, True),
        ("a < b", {"a": 1, "b": "y"}, False),
        ("a == 1 or a == 2 and b == 3", {"a": 1}, True),
        ("(a == 1 or a == 2) and b == 3", {"a": 1}, False),
        ("0.5 <= confidence", {"confidence": 0.5}, True),
        ("big-name == 'x'", {"big-name": "x"}, True),
    ],
)
def test_what_conditions_mean(text: str, answer: Any, holds: bool) -> None:
    assert outcome(AnswerChecks(conditions=(text,)), answer) == ("" if holds else "condition")


# --- golden predictions ---

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(FINITE, FINITE, st.sampled_from([0.0, 1e-9, 1e-3, 1.0]))
def test_numbers_are_close_as_the_larger_of_both_bounds_allows(found: float, golden: float, tolerance: float) -> None:
    absolute = np.isclose(found, golden, rtol=0, atol=tolerance)
    relative = np.isclose(found, golden, rtol=tolerance, atol=0)
    assert close(found, golden, tolerance) == (absolute or relative)


@given(ANSWERS, ANSWERS)
def test_without_tolerance_close_is_equal(found: Any, golden: Any) -> None:
    plain = [json.dumps(side, sort_keys=True).replace(".0", "") for side in (found, golden)]
    assert close(found, golden, 0.0) is (plain[0] == plain[1])
    assert close(golden, golden, 0.0)


@pytest.mark.parametrize(
    ("speech", "answer", "golden", "wrong"),
    [
        (Speech.JSON, {"prediction": 0.1 + 0.2}, "0.3", ""),
        (Speech.JSON, {"prediction": [1, 2]}, "[1, 2.0]", ""),
        (
            Speech.JSON,
            {"prediction": [1, 2, 4]},
            "[1, 3, 4]",
            "prediction (its element 1) is [1,2,4], and should be [1,3,4]",
        ),
        (Speech.JSON, {"prediction": "1"}, "1", 'prediction is "1", and should be 1'),
        (Speech.JSON, {"answer": 1}, "1", "prediction is not there, and should be 1"),
        (Speech.JSON, {"prediction": 10**400}, "0.5", "and should be 0.5"),
        (Speech.MLFLOW, {"predictions": [1]}, "1", ""),
        (Speech.MLFLOW, {"predictions": [[0.2, 0.8]]}, "[0.2, 0.8]", ""),
        (Speech.V2, {"outputs": [{"data": [[0.2], [0.8]]}]}, "[[0.2], [0.8]]", ""),
        (Speech.V2, {"outputs": [{"data": [0.2, 0.8]}]}, "[[0.2], [0.8]]", ""),
        (Speech.V2, {"outputs": []}, "1", "outputs[0].data is not there"),
    ],
)
def test_golden_predictions(speech: Speech, answer: Any, golden: str, wrong: str) -> None:
    checker = Checker(AnswerChecks(golden=(golden,)), speech)
    assert checker.check(200, "", json.dumps(answer).encode(), 0) == ("golden" if wrong else "")
    assert wrong in checker.detail.get("golden", "")


def test_a_golden_prediction_that_is_no_json_is_told() -> None:
    with pytest.raises(InputError, match="golden prediction 2 is yes, which is not JSON"):
        Checker(AnswerChecks(golden=("1", "yes")), Speech.JSON)
    assert math.isfinite(AnswerChecks().tolerance)
