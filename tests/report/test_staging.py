"""What staging and monitoring came to, in the result and in the diary."""

from harness.analysis.conditions import parse
from harness.analysis.vocabulary import Scope, Standing
from harness.domain.fault import Errors
from harness.report import fold
from tests.build import fault, rehearse
from tests.staging.build import PLAN, replace, staged, staged_parts


def test_the_grade_of_staging_is_what_an_expectation_is_held_against() -> None:
    texts = ('grade == "A+"', "grade == B", "outcome == rejected")
    expect = tuple(parse(text, Scope(Standing.EXPECT, staged=True)) for text in texts)
    of = staged(expect=expect)
    _, events = rehearse(of, staged_parts(of))
    result = fold(list(events))
    assert [(each.passed, each.actual) for each in result.expectations] == [
        (True, "A+"),
        (False, "A+"),
        (False, "promoted"),
    ]
    bad = replace(of, staging=replace(PLAN, faults=(fault(Errors(0.3)),)))
    _, events = rehearse(bad, staged_parts(bad))
    result = fold(list(events))
    assert [(each.passed, each.actual) for each in result.expectations] == [
        (False, "F"),
        (False, "F"),
        (True, "rejected"),
    ]
    diary = [moment.text for moment in result.moments]
    assert "m:2 goes to a staging environment with 2 replicas" in diary
    assert any(text.startswith("load test in staging at 20/s for 1m: grade F") for text in diary)
    assert "the staging environment is gone" in diary


def test_without_staging_there_is_no_grade() -> None:
    expect = (parse("grade != F", Scope(Standing.EXPECT, staged=True)),)
    of = replace(staged(expect=expect), staging=None)
    from tests.build import parts

    _, events = rehearse(of, parts(of))
    (only,) = fold(list(events)).expectations
    assert (only.passed, only.actual) == (False, None)
