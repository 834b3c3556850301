"""Our own client asks our own server, in each protocol."""

import asyncio

import pytest

from harness.serving.answering import Answerer
from harness.serving.checking import Checker
from harness.serving.client import ModelServingClient
from tests.serving.trained import pipeline, rows_of, running, serving

ONE = serving(pipeline("random_forest"))
ROWS = rows_of(ONE, 8)


@pytest.mark.parametrize("protocol", ["json", "mlflow", "v2"])
async def test_the_client_reads_what_the_model_said(protocol: str) -> None:
    said = Answerer(pipeline("random_forest"), ONE.features, ONE.task).slow(Checker(ONE.features).rows(ROWS))
    async with running(ONE) as (server, session):

        def ask() -> None:
            with ModelServingClient(str(session._base_url), protocol=protocol, model="churn") as client:
                assert client.ready()
                assert client.health_check().status == "healthy"
                answers = [client.predict(row) for row in ROWS]
                assert client.predict_many(ROWS)[-1]["prediction"] == answers[-1]["prediction"]
            assert [each["prediction"] for each in answers] == said.values
            if protocol != "mlflow":  # MLflow's answers do not say how sure the model is
                assert [each["confidence"] for each in answers] == pytest.approx(said.confidences)
                assert {(each["model"], each["version"]) for each in answers} == {("churn", 3)}

        await asyncio.to_thread(ask)
        assert server.in_flight == 0
