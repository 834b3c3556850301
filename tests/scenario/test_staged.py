"""What stands behind `staging`: servers of the same kind as production's, where those are real and so is time."""

import pytest

from harness import app
from harness.app.loadtold import asked
from harness.app.references import check_references
from harness.domain.load import OpenLoop
from harness.errors import ScenarioError
from tests.shipped import SCENARIOS

LOCAL, KUBERNETES = SCENARIOS / "local_canary.yaml", SCENARIOS / "kubernetes_canary.yaml"
STAGED = "staging={duration: 1s}"
FRONT = "real.kubernetes.staging_front=http://127.0.0.1:8081"
ENDPOINTS = (
    "backends.serving=http",
    "real.http={stable: http://127.0.0.1:1, candidate: http://127.0.0.1:2}",
)


@pytest.mark.parametrize(
    ("changes", "clock", "word"),
    [
        ((), None, "local"),
        ((), "virtual", "simulated"),
        (("backends.staging=simulated",), None, "simulated"),
        (("backends.staging=local",), "virtual", "simulated"),
        (("backends.serving=simulated",), None, "simulated"),
        (("backends.serving=simulated", "backends.staging=local"), None, "local"),
        ((*ENDPOINTS, "backends.staging=local"), None, "local"),
        (ENDPOINTS, "virtual", "simulated"),
    ],
)
def test_staging_is_of_productions_kind_unless_it_is_named(
    changes: tuple[str, ...], clock: str | None, word: str
) -> None:
    made = app.load_scenario(LOCAL, (STAGED, *changes), clock=clock, quick=True)
    assert made.backends.staging == word


def test_in_a_cluster_it_is_the_clusters() -> None:
    made = app.load_scenario(KUBERNETES, (STAGED, FRONT), quick=True)
    assert made.backends.staging == "kubernetes"
    assert made.real.kubernetes.staging_front == "http://127.0.0.1:8081"
    assert app.load_scenario(KUBERNETES, (STAGED,), clock="virtual", quick=True).backends.staging == "simulated"


@pytest.mark.parametrize(
    ("path", "changes", "place", "said"),
    [
        (LOCAL, (STAGED, *ENDPOINTS), "staging deploys the candidate", "`backends: {staging: local}`"),
        (KUBERNETES, (STAGED,), "real.kubernetes lacks staging_front", "the namespace staging"),
        (KUBERNETES, ("load={rate: 5/s}",), "real.kubernetes lacks staging_front", "the namespace staging"),
        (
            KUBERNETES,
            (STAGED, FRONT, "real.kubernetes.namespace=staging"),
            "real.kubernetes.staging_namespace is staging",
            "give staging one of its own",
        ),
    ],
)
def test_what_it_lacks_is_told_at_its_place_with_a_remedy(
    path: object, changes: tuple[str, ...], place: str, said: str
) -> None:
    with pytest.raises(ScenarioError) as caught:
        app.load_scenario(str(path), changes, quick=True)
    (problem,) = [str(each) for each in caught.value.problems]
    assert place in problem
    assert said in problem


def test_check_refuses_what_real_replicas_are_not_spoilt_by() -> None:
    drifts = "staging={inject: [{on: candidate, drift: {column: tenure, shift: 2sd}}]}"
    fails = "staging={inject: [{on: candidate, errors: 10%}]}"
    check_references(app.load_scenario(LOCAL, (fails,)))
    with pytest.raises(ScenarioError, match="real replicas in staging are not spoilt so"):
        check_references(app.load_scenario(LOCAL, (drifts,)))


def test_a_load_test_without_a_url_asks_the_same_replicas() -> None:
    made = app.load_scenario(LOCAL, ("load={rate: 5/s, replicas: 2}",), quick=True)
    assert made.load is not None
    assert isinstance(made.load.pace, OpenLoop)
    assert asked(made, made.load).startswith("of 2 real replicas at 5/s")
