"""The seed's payloads: as many, as large and as alike as they say."""

import json
from typing import Any

import numpy as np
import pytest

from harness import generate_test_payloads
from harness.errors import InputError
from harness.load.generated import FEATURES

CONFIG: dict[str, Any] = {
    "concurrent_users": 50,
    "requests_per_user": 100,
    "test_duration": 300,
    "payload_size": "medium",
}


@pytest.mark.parametrize(("size", "length"), [("small", 75), ("medium", 750), ("large", 8000)])
def test_there_is_one_for_each_request_of_the_size_that_is_stated(size: str, length: int) -> None:
    rows = generate_test_payloads(CONFIG | {"payload_size": size, "requests_per_user": 4})
    assert len(rows) == 200
    assert list(rows[0]) == [f"feature{at}" for at in range(1, FEATURES[size] + 1)]
    lengths = [len(json.dumps(row, separators=(",", ":"))) for row in rows]
    assert np.mean(lengths) == pytest.approx(length, rel=0.05)


def test_the_default_is_medium_and_numbers_are_standard_normal() -> None:
    rows = generate_test_payloads({"concurrent_users": 50, "requests_per_user": 20})
    values = np.array([list(row.values()) for row in rows])
    assert values.shape == (1000, 40)
    assert abs(values.mean()) < 5 / np.sqrt(values.size)
    assert values.std() == pytest.approx(1, abs=0.02)


def test_the_seed_alone_decides() -> None:
    assert generate_test_payloads(CONFIG) == generate_test_payloads(
        dict(reversed(CONFIG.items())) | {"test_duration": 1}
    )
    assert generate_test_payloads(CONFIG) != generate_test_payloads(CONFIG | {"seed": 2})
    # A feature more leaves the others as they were.
    one = generate_test_payloads(CONFIG | {"features": {"age": "int"}})
    two = generate_test_payloads(CONFIG | {"features": {"plan": ["a", "b"], "age": int}})
    assert [row["age"] for row in one] == [row["age"] for row in two]


def test_features_have_the_values_that_are_given() -> None:
    features = {
        "age": range(20, 40),
        "plan": ("gold", None),
        "zip": "00123",
        "on": bool,
        "fee": float,
        "n": np.array([1, 2]),
        "c": str,
    }
    rows = generate_test_payloads(CONFIG | {"features": features})
    assert {row["age"] for row in rows} == set(range(20, 40))
    assert {row["plan"] for row in rows} == {"gold", None}
    assert {row["zip"] for row in rows} == {"00123"}
    assert {row["on"] for row in rows} == {True, False}
    assert {type(row["fee"]) for row in rows} == {float}
    assert {row["n"] for row in rows} == {1, 2}
    assert {row["c"] for row in rows} == {"A", "B", "C", "D"}
    assert json.loads(json.dumps(rows)) == rows
    assert list(generate_test_payloads(CONFIG | {"features": ["x", "y"]})[0]) == ["x", "y"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"payload_size": "huge"}, "payload_size is 'huge'; allowed: small, medium, large"),
        ({"concurrent_users": 0}, "concurrent_users is 0; it is a whole number from 1 on"),
        ({"requests_per_user": True}, "requests_per_user is True"),
        ({"requests_per_user": 10**9}, "lower concurrent_users, requests_per_user or payload_size"),
        ({"seed": "x"}, "seed is 'x'"),
        ({"features": {}}, "features is {}; it maps names to values or types"),
        ({"features": "age"}, "features is 'age'"),
        ({"features": {"age": []}}, "feature age has no value to draw from"),
        ({"features": {"age": list}}, "feature age is of type list; allowed: bool, float, int, str"),
    ],
)
def test_a_wrong_config_is_told(change: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        generate_test_payloads(CONFIG | change)


def test_a_missing_key_is_told() -> None:
    with pytest.raises(InputError, match="has no concurrent_users; nearest: concurent_users"):
        generate_test_payloads({"concurent_users": 1, "requests_per_user": 1})
