"""The ladder of grades, held against the table that is printed for users, and against what must hold of any ladder."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.stats.grade import GRADES, LOWEST, Rung, conditions, grade, rung_of

TABLE = """
| A+ | >= 99 % | < 100 ms | < 200 ms | < 500 ms |
| A | >= 98 % | < 200 ms | < 400 ms | < 1 s |
| B | >= 95 % | < 500 ms | < 1 s | < 2 s |
| C | >= 90 % | < 1 s | < 2 s | < 5 s |
"""
ORDER = [*(rung.grade for rung in GRADES), LOWEST]


def seconds(cell: str) -> float:
    number, unit = cell.removeprefix("<").split()
    return float(number) * {"ms": 0.001, "s": 1.0}[unit]


def test_the_ladder_is_the_one_that_is_printed() -> None:
    read = []
    for line in TABLE.strip().splitlines():
        name, rate, *latencies = (cell.strip() for cell in line.strip("|").split("|"))
        read.append((name, float(rate.removeprefix(">=").removesuffix("%")) / 100, *map(seconds, latencies)))
    assert [(r.grade, r.success_rate, r.mean_s, r.p95_s, r.p99_s) for r in GRADES] == [
        (name, pytest.approx(rate), *map(pytest.approx, latencies)) for name, rate, *latencies in read
    ]


@pytest.mark.parametrize("rung", GRADES, ids=lambda rung: rung.grade)
def test_a_success_rate_may_be_just_reached_and_a_latency_may_not(rung: Rung) -> None:
    below = {"mean": math.nextafter(rung.mean_s, 0), "p95": math.nextafter(rung.p95_s, 0)}
    good = {"success_rate": rung.success_rate, **below, "p99": math.nextafter(rung.p99_s, 0)}
    assert grade(good) == rung.grade
    worse = ORDER[ORDER.index(rung.grade) + 1]
    assert grade({**good, "success_rate": math.nextafter(rung.success_rate, 0)}) == worse
    for name, bound in (("mean", rung.mean_s), ("p95", rung.p95_s), ("p99", rung.p99_s)):
        assert grade({**good, name: bound}) == worse


FIGURES = st.fixed_dictionaries(
    {"success_rate": st.floats(0, 1), **{name: st.floats(0, 6) for name in ("mean", "p95", "p99")}}
)


@given(FIGURES, st.sampled_from(["success_rate", "mean", "p95", "p99"]), st.floats(0, 1))
def test_no_figure_that_gets_worse_makes_a_better_grade(figures: dict[str, float], name: str, by: float) -> None:
    worse = {**figures, name: figures[name] * (1 - by) if name == "success_rate" else figures[name] * (1 + by)}
    assert ORDER.index(str(grade(worse))) >= ORDER.index(str(grade(figures)))


@given(FIGURES)
def test_a_grade_is_reached_exactly_where_its_conditions_hold(figures: dict[str, float]) -> None:
    given_ = str(grade(figures))
    for rung in GRADES:
        met = all(condition.met for condition in conditions(rung, figures))
        assert met is (ORDER.index(given_) <= ORDER.index(rung.grade))


def test_without_requests_there_is_no_grade_and_without_answers_the_lowest() -> None:
    nothing = dict.fromkeys(("mean", "p95", "p99"))
    assert grade({"success_rate": None, **nothing}) is None
    assert grade({"success_rate": 0.0, **nothing}) == LOWEST


def test_an_unknown_grade_is_told_with_those_there_are() -> None:
    assert rung_of(LOWEST) is None
    with pytest.raises(ValueError, match=r"no grade is called 'D'; there are A\+, A, B, C and F"):
        rung_of("D")
