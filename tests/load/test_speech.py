"""Protocols: where they have what, and bodies that pandas and numpy read back as the rows they were made of."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.domain.load import Speech
from harness.errors import InputError
from harness.load import speech
from harness.load.speech import NOWHERE

JSON, MLFLOW, V2, RAW = Speech.JSON, Speech.MLFLOW, Speech.V2, Speech.RAW

NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=9),
)


@st.composite
def tables(draw: st.DrawFn, values: st.SearchStrategy[Any] | None = None) -> list[dict[str, Any]]:
    """Rows of one shape, whose columns have a type each."""
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    kinds = [
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(),
    ]
    columns = {name: values or draw(st.sampled_from(kinds)) for name in names}
    return draw(st.lists(st.fixed_dictionaries(columns), min_size=1, max_size=4))


@pytest.mark.parametrize(
    ("base", "asked", "model", "predict", "health", "ready", "described"),
    [
        ("http://h:1", JSON, None, "/predict", "/health", ["/ready"], "/openapi.json"),
        ("http://h:1/", JSON, None, "/predict", "/health", ["/ready"], "/openapi.json"),
        ("http://h:1/v1/score", JSON, None, "/v1/score", "/v1/health", ["/v1/ready"], "/v1/openapi.json"),
        ("http://h:1", MLFLOW, None, "/invocations", "/ping", ["/ping"], "/openapi.json"),
        ("http://h:1/churn", MLFLOW, None, "/churn/invocations", "/churn/ping", ["/churn/ping"], "/churn/openapi.json"),
        ("http://h:1/invocations", MLFLOW, None, "/invocations", "/ping", ["/ping"], "/openapi.json"),
        (
            "http://h:1", V2, "m", "/v2/models/m/infer", "/v2/health/live",
            ["/v2/health/ready", "/v2/models/m/ready"], "/v2/models/m",
        ),
        (
            "http://h:1/v2/models/m/versions/3/infer", V2, None, "/v2/models/m/versions/3/infer", "/v2/health/live",
            ["/v2/health/ready", "/v2/models/m/versions/3/ready"], "/v2/models/m/versions/3",
        ),
        (
            "http://h:1/v2", V2, "a/b", "/v2/models/a%2Fb/infer", "/v2/health/live",
            ["/v2/health/ready", "/v2/models/a%2Fb/ready"], "/v2/models/a%2Fb",
        ),
    ],
)  # fmt: skip
def test_where_things_are(
    base: str, asked: Speech, model: str | None, predict: str, health: str, ready: list[str], described: str
) -> None:
    assert speech.predict_url(base, asked, model) == f"http://h:1{predict}"
    assert speech.health_url(base, asked) == f"http://h:1{health}"
    assert speech.ready_urls(base, asked, model) == tuple(f"http://h:1{path}" for path in ready)
    assert speech.describe_url(base, asked, model) == f"http://h:1{described}"


@pytest.mark.parametrize("asked", Speech)
def test_a_predict_url_leads_to_itself(asked: Speech) -> None:
    once = speech.predict_url("http://h:1/deep?key=1", asked, "m")
    assert speech.predict_url(once, asked) == once
    assert once.endswith("?key=1")


def test_raw_promises_nothing() -> None:
    url = "http://h:1/any/where?x=1"
    assert (speech.predict_url(url, RAW), speech.health_url(url, RAW), speech.ready_urls(url, RAW)) == (url, None, ())
    assert speech.describe_url(url, RAW) is None
    with pytest.raises(InputError, match="makes none of rows"):
        speech.body([{"a": 1}], RAW)


def test_v2_needs_a_model() -> None:
    with pytest.raises(InputError, match="--model NAME"):
        speech.predict_url("http://h:1", V2)


@given(st.lists(st.dictionaries(NAMES, SCALARS | st.none(), min_size=1), min_size=1, max_size=4))
@settings(deadline=None, max_examples=60)
def test_json_bodies_are_the_rows(rows: list[dict[str, Any]]) -> None:
    assert json.loads(speech.body(rows, JSON)) == (rows[0] if len(rows) == 1 else rows)
    assert json.loads(speech.body(rows, MLFLOW, form="records"))["dataframe_records"] == rows


@given(tables())
@settings(deadline=None, max_examples=60)
def test_mlflow_bodies_are_what_pandas_writes(rows: list[dict[str, Any]]) -> None:
    split = json.loads(speech.body(rows, MLFLOW))["dataframe_split"]
    assert pd.DataFrame(**split).to_dict(orient="records") == pd.DataFrame(rows).to_dict(orient="records")


@given(tables())
@settings(deadline=None, max_examples=60)
def test_v2_tensors_hold_the_columns(rows: list[dict[str, Any]]) -> None:
    kinds = {"BOOL": np.bool_, "INT64": np.int64, "FP64": np.float64, "BYTES": object}
    tensors = json.loads(speech.body(rows, V2))["inputs"]
    for tensor in tensors:
        assert tensor["shape"] == ([1] if len(rows) == 1 else [len(rows), 1])
        held = np.array(tensor["data"], dtype=kinds[tensor["datatype"]]).reshape(tensor["shape"])
        assert held.ravel().tolist() == [row[tensor["name"]] for row in rows]
    assert [tensor["name"] for tensor in tensors] == list(rows[0])


def test_a_column_has_one_datatype_in_all_bodies() -> None:
    rows: list[dict[str, Any]] = [{"x": 1}, {"x": 1.5}]
    kinds = speech.datatypes_of(rows)
    bodies = [json.loads(speech.body([row], V2, datatypes=kinds)) for row in rows]
    assert [body["inputs"][0]["datatype"] for body in bodies] == ["FP64", "FP64"]
    vector = json.loads(speech.body([{"x": [1, 2, 3]}], V2))["inputs"][0]
    assert (vector["shape"], vector["data"]) == ([1, 3], [1, 2, 3])


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"age": None}], "column age has no value in a row, and v2 has no null.*--drop age"),
        ([{"age": {"a": 1}}], r'column age holds \{"a":1\}'),
        ([{"age": 1}, {"age": "old"}], "column age holds INT64 in one row and BYTES in another"),
        ([{"age": 1, "b": 2}, {"age": 1}], "column b is missing"),
        ([{"age": [1]}, {"age": [1, 2]}], "lists of different lengths"),
    ],
)
def test_what_v2_cannot_carry_is_told_by_column(rows: list[dict[str, Any]], told: str) -> None:
    with pytest.raises(InputError, match=told):
        speech.body(rows, V2)


@pytest.mark.parametrize(
    ("value", "asked", "whole"),
    [
        ({"dataframe_split": {}}, MLFLOW, True),
        ({"instances": [1], "params": {}}, MLFLOW, True),
        ({"inputs": "a prompt"}, MLFLOW, True),
        ({"inputs": 1, "age": 3}, MLFLOW, False),
        ({"params": {}}, MLFLOW, False),
        ({"inputs": [], "instances": []}, MLFLOW, False),
        ({"inputs": [{"name": "x"}], "id": "1"}, V2, True),
        ({"inputs": 5}, V2, False),
        ({"inputs": []}, JSON, False),
    ],
)
def test_a_whole_request_is_known_by_its_keys(value: dict[str, Any], asked: Speech, whole: bool) -> None:
    assert speech.is_request(value, asked) is whole


@pytest.mark.parametrize(
    ("answer", "asked", "found"),
    [
        ({"prediction": None}, JSON, None),
        ({"predictions": ["a", "b"]}, JSON, ["a", "b"]),
        ([{"prediction": 1}, {"prediction": 2}], JSON, [1, 2]),
        ([{"prediction": 1}, {}], JSON, NOWHERE),
        ([], JSON, NOWHERE),
        ("yes", JSON, NOWHERE),
        ({"predictions": [[0.1, 0.9]]}, MLFLOW, [0.1, 0.9]),
        ({"prediction": 1}, MLFLOW, NOWHERE),
        ({"outputs": [{"data": [1]}, {"data": [2]}]}, V2, 1),
        ({"outputs": []}, V2, NOWHERE),
        ({"outputs": [{"name": "p"}]}, V2, NOWHERE),
    ],
)
def test_where_a_prediction_is(answer: Any, asked: Speech, found: Any) -> None:
    assert speech.prediction(answer, asked) == found
