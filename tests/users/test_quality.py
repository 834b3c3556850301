"""Quality from the answers that really came, held against scikit-learn; and what is bad."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics

from harness.clock import now_ns
from harness.domain.fault import Fault, LabelDrift
from harness.domain.model import ARMS, Role, Task
from harness.domain.traffic import Labels
from harness.domain.units import HOUR, SECOND
from harness.sim.population import Answers
from tests.users.asked import Servers, Told, asked, asks, models, population, rows, until
from tests.users.test_users import SPLIT, by_turns

FRAME = rows()


def said(role: Role, body: dict) -> dict:
    """Answers that are no model's of ours: the servers may run whatever they like."""
    draws = np.random.default_rng([body["number"], role is Role.CANDIDATE])
    sure = round(float(draws.uniform(0.5, 1.0)), 1)  # with ties
    return {"prediction": "no" if draws.random() < 0.5 else "yes", "confidence": sure}


def judged(told: list[Told], truth: np.ndarray) -> dict[str, float]:
    """scikit-learn's figures."""
    true = truth[[each.body["number"] for each in told]]
    answer = np.array([each.answer["prediction"] == "yes" for each in told])
    sure = np.array([each.answer["confidence"] for each in told])
    score = np.where(answer, sure, 1 - sure)
    return {
        "accuracy": metrics.accuracy_score(true, answer), "precision": metrics.precision_score(true, answer),
        "recall": metrics.recall_score(true, answer), "f1": metrics.f1_score(true, answer),
        "auc": metrics.roc_auc_score(true, score), "log_loss": metrics.log_loss(true, np.stack([1 - score, score], 1)),
    }  # fmt: skip


async def test_classification_is_scikit_learns():
    servers, people = Servers(by_turns, said), population()
    async with asked(servers, asks(), people) as users:
        users.routed(SPLIT)
        start = now_ns()
        await until(lambda: len(servers.told) >= 200)
    found, totals = await users.sample(start, now_ns()), await users.totals()
    stable_model = models()[Role.STABLE].estimator.predict(FRAME[["number", "x"]]) == "yes"
    for role in ARMS:
        told = servers.of(role)
        wanted = judged(told, people.target)
        assert found[role].labelled == len(told)
        assert found[role].quality == pytest.approx(wanted)
        assert {name: totals[role].figures[name] for name in wanted} == pytest.approx(wanted)
    bad = [
        (each.answer["prediction"] == "yes") != people.target[each.body["number"]]
        and stable_model[each.body["number"]] == people.target[each.body["number"]]
        for each in servers.of(Role.CANDIDATE)
    ]
    assert totals[Role.CANDIDATE].bad == sum(bad) > 0
    assert totals[Role.STABLE].bad == 0
    harmed = {each.headers["x-user-id"] for each, hurt in zip(servers.of(Role.CANDIDATE), bad, strict=True) if hurt}
    assert totals[Role.CANDIDATE].harmed == len(harmed)


async def test_regression_is_scikit_learns():
    servers = Servers(answer=lambda role, body: {"prediction": body["number"] / 30 - 1, "confidence": None})
    people = population(Task.REGRESSION)
    async with asked(servers, asks(), people, Task.REGRESSION) as users:
        start = now_ns()
        await until(lambda: len(servers.told) >= 100)
    found = (await users.sample(start, now_ns()))[Role.STABLE].quality
    true = people.target[[each.body["number"] for each in servers.told]]
    answer = [each.answer["prediction"] for each in servers.told]
    assert found == pytest.approx({
        "rmse": metrics.root_mean_squared_error(true, answer), "mae": metrics.mean_absolute_error(true, answer),
        "r2": metrics.r2_score(true, answer),
    })  # fmt: skip
    totals = (await users.totals())[Role.STABLE].figures
    assert {name: totals[name] for name in found} == pytest.approx(found)


async def test_the_truth_drifts_and_what_is_never_known_is_left_out():
    people = population()
    known = np.where(FRAME.number % 3 == 0, np.nan, people.target)
    servers = Servers(answer=said)
    async with asked(servers, asks(), replace(people, known=known)) as users:
        start = now_ns()
        await until(lambda: len(servers.told) >= 100)
    told = [each for each in servers.told if each.body["number"] % 3]
    found = (await users.sample(start, now_ns()))[Role.STABLE]
    assert found.labelled == len(told)
    assert found.quality == pytest.approx(judged(told, people.target))

    faults = (Fault("labels", frozenset(ARMS), LabelDrift(0.5)),)
    scenario = asks(faults=faults)
    truth = Answers.build(models(), people, faults, scenario.seed, HOUR).truth(1)
    assert (truth != people.target).any()
    servers = Servers(answer=said)
    async with asked(servers, scenario, people) as users:
        start = now_ns()
        await until(lambda: len(servers.told) >= 100)
    found = (await users.sample(start, now_ns()))[Role.STABLE]
    assert found.quality == pytest.approx(judged(servers.told, truth))


async def test_labels_come_after_their_delay_for_their_share():
    servers = Servers(answer=said)
    async with asked(servers, asks(labels=Labels(SECOND // 2, 0.4)), population()) as users:
        await until(lambda: len(servers.told) >= 10)
        early = now_ns()
        first = await users.sample(early - SECOND // 10, early)
        await until(lambda: now_ns() > early + SECOND // 2 and len(servers.told) >= 60)
        whole = await users.sample(early - 10 * SECOND, now_ns())
        parts = [await users.sample(early - 10 * SECOND, early), await users.sample(early, now_ns())]
    assert first[Role.STABLE].labelled == 0 or early < now_ns() - 10 * SECOND  # unless the machine stood still
    assert 0 < whole[Role.STABLE].labelled < 0.7 * whole[Role.STABLE].requests
    assert parts[0][Role.STABLE].labelled + parts[1][Role.STABLE].labelled >= whole[Role.STABLE].labelled


async def test_without_confidence_there_is_no_auc():
    servers = Servers(answer=lambda role, body: {"prediction": said(role, body)["prediction"], "confidence": None})
    async with asked(servers, asks(), population()) as users:
        start = now_ns()
        await until(lambda: len(servers.told) >= 60)
    assert set((await users.sample(start, now_ns()))[Role.STABLE].quality) == {"accuracy", "precision", "recall", "f1"}


async def test_what_is_no_answer_of_the_model_is_a_failure():
    wrong = iter([{"prediction": "perhaps"}, {"prediction": None}, {}, {"prediction": 1}] * 1000)
    servers = Servers(answer=lambda role, body: next(wrong))
    async with asked(servers, asks(), population()) as users:
        await until(lambda: len(servers.told) >= 8)
    assert (await users.totals())[Role.STABLE].errors == {"bad_answer": len(servers.told)}
