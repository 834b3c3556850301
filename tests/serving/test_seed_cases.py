"""The two cases of the handbook, as they stand there: with a server, without one, and inside a running loop."""

from collections.abc import Iterator

import pytest

from harness import ModelServingClient
from tests.faulty_servers import Server, in_thread, refused


@pytest.fixture(params=["served", "refused"])
def endpoint(request: pytest.FixtureRequest) -> Iterator[str]:
    with in_thread(Server()) if request.param == "served" else refused() as port:
        yield f"http://localhost:{port}"


class TestModelDeploymentIntegration:
    """Test model deployment integration"""

    def test_model_serving_health_check(self, endpoint: str) -> None:
        """Test model serving health check"""
        serving_client = ModelServingClient(endpoint=endpoint, timeout=30)

        # Test health endpoint
        health_result = serving_client.health_check()

        # In a real test environment, this would check actual service health
        assert health_result.status in ["healthy", "unhealthy"]  # Either state is acceptable

    def test_model_prediction_endpoint(self, endpoint: str, request: pytest.FixtureRequest) -> None:
        """Test model prediction endpoint"""
        serving_client = ModelServingClient(endpoint=endpoint, timeout=30)

        # Test prediction with sample data
        sample_input = {"feature1": 1.5, "feature2": 2.5, "feature3": "A"}
        answered = True
        try:
            prediction_result = serving_client.predict(sample_input)
            assert "prediction" in prediction_result
            assert "confidence" in prediction_result
        except ConnectionError:
            answered = False  # the handbook skips here; whether it may is known
        assert answered == ("served" in request.node.name)


async def test_the_blocking_client_inside_a_running_loop() -> None:
    with in_thread(Server()) as port:
        client = ModelServingClient(f"http://127.0.0.1:{port}")
        assert client.health_check().status == "healthy"
        assert client.predict({"feature1": 1.5})["prediction"] == 1
        client.close()
