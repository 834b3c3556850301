"""The client against the model server with a really trained model: what it says is what the model says."""

import pytest
from sklearn.pipeline import Pipeline

from harness.errors import EndpointError
from tests.serving.doors import DOORS, ask
from tests.serving.trained import pipeline, rows_of, running, serving

CHURN = serving(pipeline("logistic_regression"))
ROWS = rows_of(CHURN, 20)


def expected() -> tuple[list[str], list[float]]:
    import pandas as pd

    estimator: Pipeline = CHURN.model.estimator
    frame = pd.DataFrame(ROWS)
    return [str(label) for label in estimator.predict(frame)], estimator.predict_proba(frame).max(axis=1).tolist()


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("protocol", ["json", "mlflow", "v2"])
async def test_predictions_are_the_models_own(door: str, protocol: str) -> None:
    labels, confidences = expected()
    async with running(CHURN) as (_, session):
        port = session._base_url.port
        given = {"protocol": protocol, "model": "churn"}
        assert (await ask(door, port, "health_check", **given)).healthy
        assert await ask(door, port, "ready", **given)
        said = await ask(door, port, "predict_many", ROWS, **given)
        about = await ask(door, port, "metadata", **given)
    assert [str(each["prediction"]) for each in said] == labels
    assert {each["model"] for each in said} == {"churn"}
    assert about["model"] == "churn"
    if protocol == "mlflow":
        assert {(each["confidence"], each["version"]) for each in said} == {(None, None)}
    else:
        assert [each["confidence"] for each in said] == pytest.approx(confidences, abs=1e-12)
        assert {each["version"] for each in said} == {3} == {about["version"]}


@pytest.mark.parametrize("door", DOORS)
async def test_what_it_refuses_is_told_in_its_words(door: str) -> None:
    async with running(CHURN) as (_, session):
        port = session._base_url.port
        with pytest.raises(EndpointError, match="tenure") as caught:
            await ask(door, port, "predict", {**ROWS[0], "tenure": "long"})
        assert caught.value.status == 422
        with pytest.raises(EndpointError, match="are the endpoint, the protocol and the model's name right"):
            await ask(door, port, "predict", ROWS[0], protocol="v2", model="other")
