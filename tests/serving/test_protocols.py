"""The three protocols against a really trained model: the contract of staging, MLflow's own answers, and tensors."""

import io
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from harness.domain.model import Revision
from harness.load.speech import Speech, body, prediction
from harness.protocols import Reply
from harness.serving.server import Settings
from harness.staging.contract import contract, golden
from tests import requires
from tests.serving.trained import churn, pipeline, post, rows_of, running, serving

ONE = serving(pipeline("random_forest"))
ROWS = rows_of(ONE, 40)
INFER = "/v2/models/churn/infer"


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with running(ONE, Settings()) as (_, session):
        yield session


# --- json -------------------------------------------------------------------------------------------------------------


class Endpoint:
    """The server as the staging stage asks it."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def ready(self) -> bool:
        async with self._session.get("/ready") as response:
            return response.status == 200

    async def predict(self, body: Any) -> Reply:
        return Reply(*await post(self._session, "/predict", body))


async def test_the_contract_of_staging_is_kept(session: aiohttp.ClientSession) -> None:
    endpoint = Endpoint(session)
    assert await endpoint.ready()
    findings = await contract(endpoint, ONE.model, Revision("churn", 3, ""), golden(ONE.model, churn(), 30))
    assert [each.detail for each in findings if not each.passed] == []


async def test_a_list_of_rows_is_answered_with_a_list(session: aiohttp.ClientSession) -> None:
    alone = [(await post(session, "/predict", row))[1] for row in ROWS]
    status, said = await post(session, "/predict", ROWS, X_Request_Id="q")
    assert status == 200
    assert [each.pop("id") for each in said] == [f"q/{number}" for number in range(40)]
    for one, wanted in zip(said, alone, strict=True):
        assert one == {name: wanted[name] for name in wanted if name != "id"}
    status, said = await post(session, "/predict", ROWS[:1], X_Request_Id="q")
    assert (status, said) == (200, [alone[0] | {"id": "q"}])


async def test_rows_as_the_load_tester_sends_them_are_answered(session: aiohttp.ClientSession) -> None:
    _, wanted = await post(session, "/invocations", {"dataframe_records": ROWS})
    for speech, path in ((Speech.JSON, "/predict"), (Speech.MLFLOW, "/invocations"), (Speech.V2, INFER)):
        status, said = await post(session, path, body(ROWS, speech))
        assert (status, prediction(said, speech)) == (200, wanted["predictions"]), speech


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "there is no row to answer; send at least one"),
        ([[ROWS[0]]], "row 0 is ["),
        ([ROWS[0], 7], "row 1 is 7; a row is an object"),
        ([ROWS[0], ROWS[1] | {"tenure": "x"}], 'row 1: tenure is "x"; it takes a number'),
        ("x", 'an object, features by name, or a list of such; this is "x"'),
    ],
)
async def test_lists_that_hold_no_rows_are_refused(session: aiohttp.ClientSession, rows: Any, told: str) -> None:
    status, said = await post(session, "/predict", rows)
    assert (status, told in said["error"]) == (422, True)


async def test_every_fault_of_a_row_is_told_at_once(session: aiohttp.ClientSession) -> None:
    row = ROWS[0] | {"tenure": "12", "gender": 3, "MonthlyCharges": True, "more": 1}
    row["Contrat"] = row.pop("Contract")
    status, said = await post(session, "/predict", row)
    assert status == 422
    assert {(each["field"], each["value"]) for each in said["errors"]} == {
        ("tenure", '"12"'),
        ("gender", "3"),
        ("MonthlyCharges", "true"),
        ("Contract", None),
    }
    assert 'Contract is missing; is "Contrat" meant?' in said["error"]
    assert "more" not in said["error"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "not JSON"),
        (b"[", "line 1, column 2"),
        (b'{"tenure": NaN}', "NaN is no number of JSON"),
        (b'{"tenure": -Infinity}', "Infinity"),
        (b'{"tenure": 1e999}', "beyond the largest number"),
        (b'{"tenure": ' + b"9" * 5000 + b"}", "too many digits"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b'{"gender": "\xff"}', "not UTF-8: byte 12"),
        (b"\xef\xbb\xbf{}", "not JSON"),
    ],
)
async def test_what_is_no_json_is_refused(session: aiohttp.ClientSession, body: bytes, told: str) -> None:
    for path in ("/predict", "/invocations", INFER):
        status, said = await post(session, path, body)
        assert status == 400
        assert told in (said.get("error") or said["message"])


@pytest.mark.parametrize("value", ["\ud800", 10**400, 1e200, [], {}, True])
async def test_values_that_no_column_takes_are_refused(session: aiohttp.ClientSession, value: Any) -> None:
    for name in ("tenure", "gender"):
        status, said = await post(session, "/predict", ROWS[0] | {name: value})
        assert status == 422
        assert [each["field"] for each in said["errors"]] == [name]


async def test_content_types_are_held_to(session: aiohttp.ClientSession) -> None:
    for path in ("/predict", "/invocations", INFER):
        for media in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1", ""):
            status, _ = await post(session, path, ROWS[0], Content_Type=media)
            assert status == 415, (path, media)
    status, _ = await post(session, "/predict", ROWS[0], Content_Type="Application/JSON; Charset=UTF-8")
    assert status == 200


# --- mlflow -----------------------------------------------------------------------------------------------------------

NAMES = list(ROWS[0])
SPLIT = {"columns": NAMES, "data": [list(row.values()) for row in ROWS]}
COLUMNS = {name: [row[name] for row in ROWS] for name in NAMES}
GOOD = {
    "split": {"dataframe_split": SPLIT},
    "split, columns in another order": {
        "dataframe_split": {"columns": NAMES[::-1], "data": [list(row.values())[::-1] for row in ROWS]}
    },
    "records": {"dataframe_records": ROWS},
    "records, one more column": {"dataframe_records": [row | {"customerID": "x"} for row in ROWS]},
    "one record": {"dataframe_records": ROWS[:1], "params": {"any": 1}},
}
WRONG = {
    "nothing": {},
    "two forms": {"dataframe_split": SPLIT, "dataframe_records": ROWS},
    "old form": SPLIT,
    "a list": ROWS,
    "a text": "x",
    "null": None,
    "records no list": {"dataframe_records": ROWS[0]},
    "split no object": {"dataframe_split": ROWS},
    "split without data": {"dataframe_split": {"columns": NAMES}},
    "split ragged": {"dataframe_split": {"columns": NAMES, "data": [[1, 2]]}},
    "a column is missing": {"dataframe_records": [{k: v for k, v in ROWS[0].items() if k != "tenure"}]},
    "a number is a text": {"dataframe_records": [ROWS[0] | {"tenure": "many"}]},
    "no rows": {"dataframe_records": []},
}


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """MLflow's own scoring of the same model: body and content type in, status and JSON out."""
    requires.module("mlflow")
    import mlflow
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc import scoring_server

    path = tmp_path_factory.mktemp("theirs") / "model"
    mlflow.sklearn.save_model(
        pipeline("random_forest"), path, serialization_format="skops", pip_requirements=["scikit-learn"],
        skops_trusted_types=["numpy.dtype", "sklearn.tree._tree.Tree"],
    )  # fmt: skip
    model = mlflow.pyfunc.load_model(str(path))

    def score(body: bytes, media: str) -> tuple[int, Any]:
        try:
            said = scoring_server.invocations(body.decode(), media, model, None)
        except MlflowException as error:
            return error.get_http_status_code(), json.loads(error.serialize_as_json())
        return said.status, json.loads(said.response) if said.status == 200 else said.response

    return score


@pytest.mark.parametrize("word", GOOD)
@pytest.mark.xdist_group("mlflow")
@pytest.mark.filterwarnings("ignore")
async def test_what_mlflow_answers_is_answered_alike(session: aiohttp.ClientSession, theirs: Any, word: str) -> None:
    body = json.dumps(GOOD[word]).encode()
    assert theirs(body, "application/json") == (200, (await post(session, "/invocations", body))[1])


@pytest.mark.xdist_group("mlflow")
@pytest.mark.filterwarnings("ignore")
async def test_csv_is_answered_as_mlflow_answers_it(session: aiohttp.ClientSession, theirs: Any) -> None:
    text = io.StringIO()
    churn().rows.iloc[:40].to_csv(text, index=False)
    body = text.getvalue().encode()
    ours = await post(session, "/invocations", body, Content_Type="text/csv; charset=utf-8")
    assert ours == theirs(body, "text/csv")
    assert len(ours[1]["predictions"]) == 40


@pytest.mark.parametrize("word", WRONG)
@pytest.mark.xdist_group("mlflow")
@pytest.mark.filterwarnings("ignore")
async def test_what_mlflow_refuses_is_refused_alike(session: aiohttp.ClientSession, theirs: Any, word: str) -> None:
    body = json.dumps(WRONG[word]).encode()
    their_status, their_words = theirs(body, "application/json")
    status, said = await post(session, "/invocations", body)
    assert (status, their_status) == (400, 400)
    assert set(said) == {"error_code", "message"}
    assert set(said) <= set(their_words)
    assert said["error_code"] == "BAD_REQUEST"


@pytest.mark.parametrize(
    "body",
    [
        {"instances": ROWS},
        {"instances": [list(row.values()) for row in ROWS]},
        {"inputs": COLUMNS},
        {"inputs": {name: [[cell] for cell in cells] for name, cells in COLUMNS.items()}},
        {"inputs": ROWS},
    ],
)
async def test_instances_and_inputs_are_taken(session: aiohttp.ClientSession, body: Any) -> None:
    _, wanted = await post(session, "/invocations", {"dataframe_records": ROWS})
    assert await post(session, "/invocations", body) == (200, wanted)


@pytest.mark.parametrize(
    ("body", "media", "told"),
    [
        ({"inputs": COLUMNS | {"tenure": [1, 2]}}, "application/json", "not equally long: "),
        ({"inputs": 3}, "application/json", "inputs is a list"),
        ({"instances": [[1, 2]]}, "application/json", "instances[0] is a list of 2; a row is a list of 19 values"),
        ({"dataframe_records": [ROWS[0], 7]}, "application/json", "row 1 is 7"),
        ({"dataframe_records": [ROWS[0], ROWS[1] | {"tenure": []}]}, "application/json", "row 1: tenure is []"),
        ({"dataframe_split": {"columns": ["a", "a"], "data": []}}, "application/json", "names a column twice"),
        (b"tenure,gender\nmany,Male\n", "text/csv", "row 0: tenure is"),
        (b"", "text/csv", "no CSV"),
        (b"a,b\n", "text/csv", "no row"),
        (b'a,"b\n1', "text/csv", "no CSV"),
        (b"\xff\xfe", "text/csv", "not UTF-8"),
    ],
)
async def test_refusals_say_where(session: aiohttp.ClientSession, body: Any, media: str, told: str) -> None:
    status, said = await post(session, "/invocations", body, Content_Type=media)
    assert status == 400
    assert told in said["message"]


# --- v2 ---------------------------------------------------------------------------------------------------------------


def tensors(rows: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    types = {True: "FP64", False: "BYTES"}
    numbers = {"SeniorCitizen", "tenure", "MonthlyCharges", "TotalCharges"}
    return {
        "inputs": [
            {
                "name": name,
                "shape": [len(rows)],
                "datatype": types[name in numbers],
                "data": [row[name] for row in rows],
            }
            | changes.get(name, {})
            for name in NAMES
        ]
    }


async def test_tensors_are_answered(session: aiohttp.ClientSession) -> None:
    _, wanted = await post(session, "/invocations", {"dataframe_records": ROWS})
    for path in (INFER, "/v2/models/churn/versions/3/infer"):
        status, said = await post(session, path, tensors(ROWS) | {"id": "q-7"})
        assert status == 200
        assert (said["model_name"], said["model_version"], said["id"]) == ("churn", "3", "q-7")
        prediction, confidence = said["outputs"]
        shape = {"shape": [40]}
        assert prediction == {"name": "prediction", "datatype": "BYTES", "data": wanted["predictions"]} | shape
        assert (confidence["datatype"], len(confidence["data"])) == ("FP64", 40)
    asked = tensors(ROWS, tenure={"shape": [40, 1], "datatype": "INT32", "data": [[1]] * 40})
    _, said = await post(session, INFER, asked | {"outputs": [{"name": "confidence"}]})
    assert [each["name"] for each in said["outputs"]] == ["confidence"]


async def test_one_tensor_holds_all_features_where_they_are_numbers() -> None:
    import numpy as np
    import pandas as pd
    from sklearn.linear_model import LogisticRegression

    frame = pd.DataFrame(np.arange(12.0).reshape(6, 2), columns=["a", "b"])
    model = LogisticRegression().fit(frame, [0, 1, 0, 1, 1, 1])
    async with running(serving(model)) as (_, session):
        for data in (frame.to_numpy().tolist(), frame.to_numpy().ravel().tolist()):
            asked = {"inputs": [{"name": "any", "shape": [6, 2], "datatype": "FP32", "data": data}]}
            status, said = await post(session, INFER, asked)
            assert status == 200, said
            assert said["outputs"][0]["data"] == model.predict(frame).tolist()
            assert said["outputs"][0]["datatype"] == "INT64"
        asked["inputs"][0]["shape"] = [4, 3]
        status, said = await post(session, INFER, asked)
        assert (status, "the model has 2 features" in said["error"]) == (400, True)
        _, said = await post(session, "/predict", {"a": 4, "b": 5})
        assert said["prediction"] == str(model.predict(frame.iloc[2:3])[0])  # a label is a text, as in the data set


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"tenure": {"shape": [2]}}, "which is not what its shape"),
        ({"tenure": {"shape": [40, 1, 1]}}, "[n], [n, 1] or [n, features] is taken"),
        ({"tenure": {"shape": [-1]}}, "list of sizes"),
        ({"tenure": {"shape": []}}, "list of sizes"),
        ({"tenure": {"datatype": "FP128"}}, "datatype is"),
        ({"tenure": {"datatype": "INT64", "data": [0.5] * 40}}, "which is no INT64"),
        ({"tenure": {"data": ["x"] * 40}}, "which is no FP64"),
        ({"gender": {"datatype": "FP64", "data": [1] * 40}}, "gender is 1; it takes a text"),
        ({"tenure": {"data": [[1]] * 40}}, "nested otherwise"),
        ({"tenure": {"data": {"a": 1}}}, "list of values"),
        ({"tenure": {"name": "gender"}}, "two inputs of the name"),
        ({"tenure": {"name": "tenur"}}, "tenure is missing"),
        ({"tenure": {"shape": [1], "data": [1]}}, "not equally long"),
        ({"tenure": {"parameters": {"binary_data_size": 320}}}, "binary data"),
    ],
)
async def test_tensors_that_do_not_fit_are_refused(
    session: aiohttp.ClientSession, change: dict[str, Any], told: str
) -> None:
    status, said = await post(session, INFER, tensors(ROWS, **change))
    assert status == 400
    assert list(said) == ["error"]
    assert told in said["error"]


@pytest.mark.parametrize(
    "body",
    [
        *({}, [], {"inputs": []}, {"inputs": [3]}, tensors([])),
        *(tensors(ROWS) | {"id": 3}, tensors(ROWS) | {"outputs": 3}, tensors(ROWS) | {"outputs": [{"name": "x"}]}),
        tensors(ROWS) | {"outputs": [{"name": "prediction", "parameters": {"binary_data": True}}]},
    ],
)
async def test_requests_that_are_none_are_refused(session: aiohttp.ClientSession, body: Any) -> None:
    assert (await post(session, INFER, body))[0] == 400


async def test_binary_bodies_are_refused_by_name(session: aiohttp.ClientSession) -> None:
    status, said = await post(session, INFER, b'{"inputs": []}\x00\x00', Inference_Header_Content_Length="14")
    assert (status, "binary data" in said["error"]) == (400, True)


async def test_other_models_are_not_found(session: aiohttp.ClientSession) -> None:
    for path in ("/v2/models/other/infer", "/v2/models/churn/versions/2/infer"):
        status, said = await post(session, path, tensors(ROWS))
        assert (status, "churn in version 3 is served here" in said["error"]) == (404, True)
    for path in ("/v2/models/other", "/v2/models/other/ready", "/v2/models/churn/versions/9/ready"):
        async with session.get(path) as response:
            assert response.status == 404


async def test_the_model_is_described(session: aiohttp.ClientSession) -> None:
    for path in ("/v2/models/churn", "/v2/models/churn/versions/3"):
        async with session.get(path) as response:
            said = await response.json()
        assert (said["name"], said["versions"]) == ("churn", ["3"])
        assert {"name": "tenure", "datatype": "FP64", "shape": [-1]} in said["inputs"]
        assert {"name": "prediction", "datatype": "BYTES", "shape": [-1]} in said["outputs"]


# --- all of them ------------------------------------------------------------------------------------------------------


async def test_all_three_say_the_same(session: aiohttp.ClientSession) -> None:
    _, split = await post(session, "/invocations", {"dataframe_split": SPLIT})
    _, infer = await post(session, INFER, tensors(ROWS))
    plain = [(await post(session, "/predict", row))[1] for row in ROWS]
    assert split["predictions"] == infer["outputs"][0]["data"] == [each["prediction"] for each in plain]
    assert infer["outputs"][1]["data"] == pytest.approx([each["confidence"] for each in plain], rel=1e-12)


async def test_a_regressor_answers_numbers() -> None:
    one = serving(pipeline("ridge"), "charges", "2")
    row = rows_of(one, 1)[0]
    async with running(one) as (_, session):
        _, plain = await post(session, "/predict", row)
        _, mlflow = await post(session, "/invocations", {"dataframe_records": [row]})
        _, v2 = await post(session, "/v2/models/charges", row)
    assert (plain["confidence"], plain["model"], plain["version"]) == (None, "charges", 2)
    assert mlflow["predictions"] == [plain["prediction"]]
    assert v2["error"].startswith("this takes GET")
