"""What an HTTPRoute cannot do of a rollout stands in the answer of `harness check`, at its place in the file."""

from pathlib import Path

import pytest

from harness import app
from harness.errors import ScenarioError
from tests.shipped import SCENARIOS

FILE = SCENARIOS / "kubernetes_canary.yaml"
SHADOW = "rollout={strategy: shadow, mirror: 20%, for: 1m}"
AB_TEST = "rollout={strategy: ab_test, metric: accuracy, max_duration: 1h, effect: 5%}"


def problems(*changes: str) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        app.load_scenario(FILE, changes, quick=True)
    return [str(each) for each in caught.value.problems]


def test_the_shipped_file_is_one_that_it_can_do() -> None:
    scenario = app.load_scenario(FILE, quick=True)
    assert scenario.backends.router == "httproute"
    assert scenario.real.kubernetes.front == "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("change", "place", "said"),
    [
        ("rollout.sticky=true", "rollout.sticky is on", "the Gateway API's standard channel has no field for it"),
        (SHADOW, "rollout.mirror copies requests", "nobody learns what copies met"),
        ("rollout.steps=[{mirror: 10%}, {weight: 10%}]", "rollout.steps[0].mirror copies", "a small weight"),
        ("backends.serving=local", "backends.router is httproute", "needs `serving: kubernetes`"),
    ],
)
def test_what_it_cannot_do_is_told_at_its_place_with_a_remedy(change: str, place: str, said: str) -> None:
    (problem,) = problems(change)
    assert place in problem
    assert said in problem


def test_it_must_know_where_users_ask(tmp_path: Path) -> None:
    text = FILE.read_text(encoding="utf-8").replace("    front: http://127.0.0.1:8080\n", "")
    path = tmp_path / "without.yaml"
    path.write_text(text.replace("data/", f"{SCENARIOS}/data/"), encoding="utf-8")
    with pytest.raises(ScenarioError, match=r"real lacks kubernetes\.front: where users ask"):
        app.load_scenario(path, quick=True)


def test_an_ab_test_keeps_users_to_their_arm_and_is_refused(tmp_path: Path) -> None:
    text = (SCENARIOS / "ab_test.yaml").read_text(encoding="utf-8")
    path = tmp_path / "ab_test.yaml"
    path.write_text(text.replace("data/", f"{SCENARIOS}/data/"), encoding="utf-8")
    changes = ("backends.router=httproute", "real.kubernetes.front=http://127.0.0.1:1")
    with pytest.raises(ScenarioError, match=r"rollout\.strategy is ab_test, which keeps users to their arm"):
        app.load_scenario(path, changes, quick=True)


def test_there_is_room_for_fifteen_headers() -> None:
    shares = ["85%", *["1%"] * 15]
    headers = ", ".join(f"{{name: c{i}, share: {share}, headers: {{x-h{i}: 'on'}}}}" for i, share in enumerate(shares))
    routes = [f"{{route: {{name: r{i}, header: x-h{i}, value: 'on'}}}}" for i in range(16)]

    def steps(count: int) -> tuple[str, str]:
        return f"traffic.classes=[{headers}]", f"rollout.steps=[{', '.join(routes[:count])}, {{weight: 10%}}]"

    app.load_scenario(FILE, steps(15), quick=True)
    (problem,) = problems(*steps(16))
    assert "rollout.steps lead 16 headers; an HTTPRoute has room for 15" in problem
