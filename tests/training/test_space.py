"""Search spaces as users write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from harness.domain.training import Choice, Real, Whole
from harness.errors import InputError
from harness.training.space import distribution, drawn, grid, range_of, space_of, words

GOOD = [
    ([3, 5, None], Choice((3, 5, None))),
    ({"choice": ["gini", "entropy"]}, Choice(("gini", "entropy"))),
    ({"int": [50, 300], "step": 50}, Whole(50, 300, 50)),
    ({"int": [1, 1000], "log": True}, Whole(1, 1000, log=True)),
    ({"float": [0, 1]}, Real(0.0, 1.0)),
    ({"float": [0, 1], "step": 0.1}, Real(0.0, 1.0, 0.1)),
    ({"float": [0.1, 1], "log": True}, Real(0.1, 1.0, log=True)),
    ({"log": [0.01, 10]}, Real(0.01, 10.0, log=True)),
]


@pytest.mark.parametrize(("said", "meant"), GOOD, ids=str)
def test_each_form_is_read(said, meant):
    assert range_of(said) == meant
    assert range_of(meant) is meant
    assert words(meant)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (5, "a range is .*a fixed value belongs to params"),
        ([], "at least one value"),
        ([3, 3], "lists 3 twice"),
        ({}, "exactly one of int, float, log, choice"),
        ({"int": [1, 2], "float": [1, 2]}, "exactly one of"),
        ({"int": [1, 2.5]}, "both are to be whole numbers"),
        ({"int": [5, 1]}, "goes from 5 to 1; the first is to be the smaller"),
        ({"int": [1, 9], "step": 0}, "a whole number above 0"),
        ({"int": [0, 9], "log": True}, "begins above 0, not at 0"),
        ({"log": [0, 1]}, "begins above 0, not at 0"),
        ({"log": [1, 2], "step": 1}, "log takes no step"),
        ({"float": [1, 2], "log": True, "step": 0.1}, "by magnitude it has no step"),
        ({"float": [1, True]}, "takes two numbers"),
        ({"float": [1, float("inf")]}, "goes from 1 to inf"),
        ({"float": [0, 1], "steps": 0.1}, "float takes no steps; it takes float, log, step"),
        ({"float": [0, 1], "log": "yes"}, "true or false"),
        ({"int": [1, 10**30]}, r"whole numbers lie within 2\^53"),
        ({"float": [0, 10**400]}, r"whole numbers lie within 2\^53"),
        ({"float": [0, 1], "step": 10**400}, "a number above 0"),
        ([float("nan"), 2], "it lists a NaN, which equals nothing"),
    ],
)
def test_what_is_none_is_told(said, message):
    with pytest.raises(InputError, match=f"^C is .*; .*{message}"):
        space_of({"C": said})


def test_a_space_names_something():
    with pytest.raises(InputError, match="at least one parameter"):
        space_of({})


def test_a_grid_is_every_combination_the_last_parameter_first():
    space = space_of({"a": [1, None], "b": {"int": [1, 5], "step": 2}, "c": {"float": [0, 0.3], "step": 0.1}})
    found = grid(space)
    assert len(found) == 2 * 3 * 4
    assert found[:2] == [{"a": 1, "b": 1, "c": 0.0}, {"a": 1, "b": 1, "c": 0.1}]
    with pytest.raises(InputError, match=r"C: a grid takes values or steps, not 0\.01 to 10, by magnitude"):
        grid(space_of({"C": {"log": [0.01, 10]}}))
    with pytest.raises(InputError, match="1000000 combinations; at most 100000"):
        grid(space_of({name: list(range(100)) for name in "abc"}))
    with pytest.raises(InputError, match="1000000000001 combinations; at most 100000"):  # counted, not listed
        grid(space_of({"a": {"float": [0, 1], "step": 1e-12}}))


@given(some.lists(some.one_of(some.none(), some.booleans(), some.integers(-9, 9), some.text(max_size=3)), min_size=1))
def test_a_choice_comes_back_as_what_it_is(values):
    """Whatever optuna hands back, an estimator is given the value that was listed: True is not 1."""
    kinds = {(type(value), value): value for value in values}
    space = {"a": Choice(tuple(kinds.values()))}
    for value in distribution(space["a"]).choices:
        found = drawn(space, {"a": value})["a"]
        assert (type(found), found) in kinds
    layers = {"a": Choice(([10], [10, 5]))}
    assert [drawn(layers, {"a": each})["a"] for each in distribution(layers["a"]).choices] == [[10], [10, 5]]
