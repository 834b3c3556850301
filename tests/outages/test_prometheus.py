"""Prometheus fails under a rollout that is judged by it.

Real: the program, its users, the HTTP of all of it. The user's own servers, their router and Prometheus' query API are
stand-ins on loopback; `benchmarks/outages.py` takes the program `prometheus` itself away.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.domain.analysis import Verdict
from harness.domain.event import Measured, Routed
from harness.domain.model import Role
from harness.domain.rollout import Order
from tests.outages.metrics import QUERIES, Prometheus
from tests.outages.runs import LOOKS, Begin, Run, drawn_s, later, order
from tests.outages.stage import Service, Site, Stage

RULE = "rules: [error_rate <= stable + 50%]"
ON_STABLE = {"stable": 1.0, "candidate": 0.0}
Fail = Callable[[Stage, Prometheus, Site], object]


def failing(mode: str) -> Fail:
    def fail(_: Stage, prometheus: Prometheus, __: Site) -> None:
        prometheus.mode = mode

    return fail


def gone(stage: Stage, _: Prometheus, site: Site) -> None:
    stage.down(site)


def watched(stage: Stage, begin: Begin, fail: Fail, timeout: str = "5s", **parts: str) -> tuple[Run, Service]:
    """A run that is judged by a Prometheus that fails at a moment drawn from a seed."""
    service = Service()
    prometheus = Prometheus(service)
    front, counts = stage.site(service.app).url, stage.site(prometheus.app)
    service.began = later(drawn_s("prometheus"), lambda: fail(stage, prometheus, counts))
    queries = ", ".join(f"{name}: '{query}'" for name, query in QUERIES.items())
    real = (
        f"http: {{stable: {front}/stable, candidate: {front}/candidate, front: {front}}}, "
        f"router: {{webhook: {front}/weights}}, "
        f"prometheus: {{url: {counts.url}, timeout: {timeout}, retries: 0, queries: {{{queries}}}}}"
    )
    return begin(backends="serving: http, router: webhook, metrics: prometheus", real=real, **parts), service


@pytest.mark.parametrize(
    ("fail", "timeout", "told"),
    [
        pytest.param(gone, "5s", "gave no answer: Cannot connect to host", id="gone"),
        pytest.param(failing("500"), "5s", "gave no answer: HTTP 500, out of memory", id="500"),
        pytest.param(failing("late"), "100ms", "gave no answer: nothing within 0.1 s", id="late"),
    ],
)
def test_one_that_does_not_answer_ends_the_rollout_on_stable(
    fail: Fail, timeout: str, told: str, stage: Stage, begin: Begin
) -> None:
    run, service = watched(stage, begin, fail, timeout)
    assert (run.outcome, run.code) == ("error", 3)
    assert service.weights == run.weights == ON_STABLE
    assert run.verified is Role.STABLE
    assert run.failed == {}
    assert [each.verdict for each in run.events.of(Measured)[-2:]] == [Verdict.ERROR] * 2
    run.tells("could not be measured 2 times in a row", told)
    last = run.result["outages"][-1]
    assert (last["what"], last["times"] >= 2, told in last["text"]) == ("metrics", True, True)


NOTHING = "the metric source says nothing of stable and candidate (NaN, or no series)"


def test_nan_is_no_figure_and_people_decide(stage: Stage, begin: Begin, tmp_path: Path) -> None:
    order(tmp_path, Order.REJECT, after=['"event":"Awaited"'])
    run, service = watched(
        stage, begin, failing("nan"), analysis=f"{{{LOOKS}, inconclusive_limit: 2, {RULE}}}"
    )  # fmt: skip
    assert (run.outcome, run.code) == ("rolled_back", 1)
    assert service.weights == run.weights == ON_STABLE
    assert max(each.weights[Role.CANDIDATE] for each in run.events.of(Routed)) == 2000  # it has stayed there
    assert (run.verified, run.failed) == (Role.STABLE, {})
    run.tells(NOTHING, "a test")


def test_nan_counts_as_a_failure_where_the_policy_says_so(stage: Stage, begin: Begin) -> None:
    run, service = watched(
        stage, begin, failing("nan"), analysis=f"{{{LOOKS}, failure_limit: 2, no_data: fail, {RULE}}}"
    )
    assert (run.outcome, run.code) == ("rolled_back", 1)
    assert service.weights == run.weights == ON_STABLE
    assert (run.verified, run.failed) == (Role.STABLE, {})
    run.tells("the metric source says nothing of")
