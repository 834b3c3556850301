"""Payloads out of nothing, for a first load test: rows of made-up features, the same for the same seed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from harness import seeds
from harness.analysis.vocabulary import suggestion
from harness.errors import InputError

FEATURES: Final = {"small": 4, "medium": 40, "large": 400}
"""Features of a row, by ``payload_size``; as JSON about 75 bytes, 750 bytes and 8 kB."""
MOST_VALUES: Final = 50_000_000
"""Of all payloads together: beyond that they would fill memory."""
KEYS: Final = ("concurrent_users", "requests_per_user", "test_duration", "payload_size", "features", "seed")

_WORDS: Final = ("A", "B", "C", "D")
_Draw = Callable[[np.random.Generator, int], list[Any]]


def generate_test_payloads(test_config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The payloads of a load test, one for each request: ``concurrent_users`` times ``requests_per_user``.

    Args:
        test_config: beside these two, ``payload_size``: ``small`` (4 features, about 75 bytes of JSON), ``medium``
            (40, 750 bytes; the default) or ``large`` (400, 8 kB), called ``feature1``, ``feature2``, …: numbers of mean
            0 and deviation 1. ``features`` replaces them by those of the model: names, each with the values that are
            drawn from, with one value, or with a type (``"int"``, ``"float"``, ``"str"``, ``"bool"`` or Python's own);
            rows are then as large as these make them. ``seed`` (1): the same payloads for the same. Other keys are for
            others.

    Raises:
        InputError: a key is missing or its value cannot be used.

    >>> config = {"concurrent_users": 2, "requests_per_user": 2, "features": {"age": [41], "plan": ["basic", "gold"]}}
    >>> [row["plan"] for row in generate_test_payloads(config)] == [r["plan"] for r in generate_test_payloads(config)]
    True
    >>> generate_test_payloads({"concurrent_users": 1, "requests_per_user": 1, "payload_size": "small"})[0].keys()
    dict_keys(['feature1', 'feature2', 'feature3', 'feature4'])
    """
    count = _count(test_config, "concurrent_users") * _count(test_config, "requests_per_user")
    size = test_config.get("payload_size", "medium")
    if size not in FEATURES:
        raise InputError(f"payload_size is {size!r}; {suggestion(str(size), FEATURES)}")
    seed = test_config.get("seed", 1)
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise InputError(f"seed is {seed!r}; it is a whole number")
    given = test_config.get("features")
    draws = {f"feature{at}": _number for at in range(1, FEATURES[size] + 1)} if given is None else _draws(given)
    if count * len(draws) > MOST_VALUES:
        raise InputError(
            f"{count:,} payloads of {len(draws)} features are more than memory should hold ({MOST_VALUES:,} values);"
            " lower concurrent_users, requests_per_user or payload_size"
        )
    stream = seeds.stream(seed, "load/generated")
    columns = [draw(stream.child(name).generator(), count) for name, draw in draws.items()]
    return [dict(zip(draws, values, strict=True)) for values in zip(*columns, strict=True)]


def _count(config: Mapping[str, Any], key: str) -> int:
    if key not in config:
        raise InputError(f"the load test's config has no {key}; {suggestion(key, list(config), 'it has')}")
    value = config[key]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"{key} is {value!r}; it is a whole number from 1 on")
    return value


def _draws(features: Any) -> dict[str, _Draw]:
    if isinstance(features, Mapping) and features:
        return {str(name): _draw(str(name), wanted) for name, wanted in features.items()}
    if isinstance(features, Sequence) and not isinstance(features, str) and features:
        return {str(name): _number for name in features}
    raise InputError(
        f"features is {features!r}; it maps names to values or types: {{'age': [20, 40], 'income': 'float'}}"
    )


def _draw(name: str, wanted: Any) -> _Draw:
    word = wanted.__name__ if isinstance(wanted, type) else wanted
    if isinstance(word, str) and word in _TYPES:
        return _TYPES[word]
    if isinstance(wanted, type):
        raise InputError(f"feature {name} is of type {word}; {suggestion(str(word), _TYPES)}")
    if not isinstance(wanted, Iterable) or isinstance(wanted, str | bytes | Mapping):
        return _among([wanted])
    values = [value.item() if isinstance(value, np.generic) else value for value in wanted]
    if not values:
        raise InputError(f"feature {name} has no value to draw from; give at least one, or a type")
    return _among(values)


def _among(values: Sequence[Any]) -> _Draw:
    return lambda drawn, count: [values[at] for at in drawn.integers(len(values), size=count)]


def _number(drawn: np.random.Generator, count: int) -> list[Any]:
    rounded: list[Any] = drawn.standard_normal(count).round(4).tolist()
    return rounded


def _whole(drawn: np.random.Generator, count: int) -> list[Any]:
    whole: list[Any] = drawn.integers(0, 100, size=count).tolist()
    return whole


_TYPES: Final[dict[str, _Draw]] = {
    "bool": _among([False, True]),
    "float": _number,
    "int": _whole,
    "str": _among(_WORDS),
}
