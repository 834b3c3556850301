"""Rules: read, written, refused with a place and a remedy, and judged in three values."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.conditions import (
    RuleError,
    condition_text,
    describe,
    evaluate,
    metrics_of,
    parse,
)
from harness.analysis.vocabulary import METRICS, OUTCOMES, QUALITY, Kind, Scope, Standing
from harness.domain.analysis import Absolute, And, Comparison, Not, Op, Or, Relative, Unit
from harness.domain.model import Role, Task

A, B, C = (Comparison(metric, Op.LE, Absolute(bound)) for metric, bound in (("p95", 1.0), ("p99", 2.0), ("mean", 3.0)))
TEXTS = {"a": "p95 <= 1s", "b": "p99 <= 2s", "c": "mean <= 3s"}


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "metric", "op", "bound"),
    [
        ("error_rate <= stable + 2%", "error_rate", Op.LE, Relative(offset=0.02)),
        ("p95 <= stable * 1.5", "p95", Op.LE, Relative(factor=1.5)),
        ("accuracy >= stable - 5%", "accuracy", Op.GE, Relative(offset=-0.05)),
        ("accuracy>=stable-5%", "accuracy", Op.GE, Relative(offset=-0.05)),
        ("p99 < stable + 20ms", "p99", Op.LT, Relative(offset=0.02)),
        ("rmse <= stable", "rmse", Op.LE, Relative()),
        ("p95 <= 250ms", "p95", Op.LE, Absolute(0.25)),
        ("p95 <= 35ms", "p95", Op.LE, Absolute(0.035)),
        ("p95 <= 1h30m", "p95", Op.LE, Absolute(5400.0)),
        ("error_rate < 0.1", "error_rate", Op.LT, Absolute(0.1)),
        ("error_rate < .1", "error_rate", Op.LT, Absolute(0.1)),
        ("error_rate < 10%", "error_rate", Op.LT, Absolute(0.1)),
        ("error_rate < 1e-3", "error_rate", Op.LT, Absolute(0.001)),
        ("rate > 12000/m", "rate", Op.GT, Absolute(200.0)),
        ("r2 >= -0.5", "r2", Op.GE, Absolute(-0.5)),
        ("bad_responses == 0", "bad_responses", Op.EQ, Absolute(0.0)),
        ("outcome != rolled_back", "outcome", Op.NE, Absolute("rolled_back")),
        ("outcome == 'promoted'", "outcome", Op.EQ, Absolute("promoted")),
        ('reason == "every step was passed"', "reason", Op.EQ, Absolute("every step was passed")),
        ("  p95\t<=\n1s ", "p95", Op.LE, Absolute(1.0)),
    ],
)
def test_a_comparison_is_read_in_base_units(text, metric, op, bound):
    assert parse(text).condition == Comparison(metric, op, bound)
    assert parse(text).text == text


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("{a} and {b}", And((A, B))),
        ("{a} or {b} and {c}", Or((A, And((B, C))))),
        ("({a} or {b}) and {c}", And((Or((A, B)), C))),
        ("not {a} and {b}", And((Not(A), B))),
        ("not ({a} and {b})", Not(And((A, B)))),
        ("not not {a}", Not(Not(A))),
        ("(({a}))", A),
        ("{a} and ({b} and {c})", And((A, And((B, C))))),
        ("{a} and {b} and {c}", And((A, B, C))),
    ],
)
def test_or_binds_least_and_not_most(text, condition):
    assert parse(text.format(**TEXTS)).condition == condition


def test_metrics_are_told_once_in_order():
    assert metrics_of(parse("p99 < 1s and (error_rate < 1% or not p99 < 2s) and mean < 1s").condition) == (
        "p99",
        "error_rate",
        "mean",
    )


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ("", 0, "a rule is METRIC OP BOUND, such as error_rate <= stable + 2%"),
        (" \n", 0, "a rule is METRIC OP BOUND"),
        ("accuray > 0.5", 0, "no metric is called accuray; nearest: accuracy; allowed: "),
        ("p95 < 1s and p99.9 < 2s", 13, "no metric is called p99.9; nearest: p999"),
        ("p95", 3, "after p95 comes one of <, <=, >, >=, ==, !="),
        ("p95 1s", 4, "after p95 comes one of"),
        ("p95 =< 1s", 4, "write <= instead of =<"),
        ("p95 = 1s", 4, "write == instead of ="),
        ("f1 > = 0.5", 3, "write >= without the space"),
        ("p95 < = 1s", 4, "write <= without the space"),
        ("p95 ≤ 1s", 4, "write <= instead of ≤"),
        ("p95 < 1s && p99 < 1s", 9, "write and instead of &&"),
        ("!(p95 < 1s)", 0, "write not instead of !"),
        ("p95 < 1s AND p99 < 1s", 9, "write and"),
        ("NOT p95 < 1s", 0, "write not"),
        ("p95 < 1s p99 < 1s", 9, "and, or or the end should stand here, not p99"),
        ("p95 < 1s)", 8, "and, or or the end should stand here, not )"),
        ("(p95 < 1s", 0, "this parenthesis is never closed"),
        ("p95 < 1s and", 12, "a comparison begins with a metric: METRIC OP BOUND"),
        ("1% < error_rate", 0, "a comparison begins with a metric, not with 1%"),
        ("1% < error_rate < 5%", 0, "a comparison begins with a metric, not with 1%"),
        ("error_rate > 1% < 5%", 16, "a comparison has one operator; join two comparisons with and"),
        ("p95 <= 20%", 7, "p95 is a time; write 250ms, or a multiple of stable's own: stable * 1.5"),
        ("p95 <= 0.25", 7, "p95 is a time, and a time has a unit; write 0.25s or 250ms"),
        ("p95 <= 250", 7, "p95 is a time, and a time has a unit; write 250ms or 250s"),
        ("p95 <= 5min", 7, "p95 is a time; write 5m"),
        ("p95 <= 5 m", 7, "write 5m, without the space"),
        ("p95 <= 200/s", 7, "p95 is a time; "),
        ("p95 <= -1s", 8, "p95 is never below 0s"),
        ("p95 <= stable + 2%", 16, "p95 is no share, to which points are added; write stable * 1.02"),
        ("p95 <= stable - 10%", 16, "p95 is no share, to which points are added; write stable * 0.9"),
        ("p95 <= stable + 2", 16, "p95 is a time, and a time has a unit; write 2s or 2000ms"),
        ("p95 <= stable * 150%", 16, "a factor has no unit; write stable * 1.5"),
        ("p95 <= stable * 0", 16, "a factor is above 0"),
        ("p95 <= 1.5 * stable", 7, "write stable * 1.5"),
        ("p95 <= stable / 2", 14, "stable stands alone or as stable + N, stable - N, stable * N"),
        ("p95 <= stable +", 14, "stable stands alone or as"),
        ("p95 <= stabel", 7, "stabel is no bound; nearest: stable"),
        ("p95 <= fast", 7, "p95 is compared with a number such as 250ms, or with stable"),
        ("error_rate <= 5", 14, "error_rate is a share, from 0% to 100% or from 0 to 1; write 5%"),
        ("error_rate <= 120%", 14, "error_rate is a share, from 0% to 100%"),
        ("error_rate <= 10 %", 14, "write 10%, without the space"),
        ("error_rate <= -1%", 15, "error_rate is never below 0%"),
        ("error_rate <= 1s", 14, "error_rate is a share; write 10% or 0.1"),
        ("rate > 100", 7, "rate is a rate; a rate is a number per s, m or h"),
        ("requests > 10%", 11, "requests is a plain number; write its bound without a unit"),
        ("requests > 1e400", 11, "requests is a plain number"),
        ("requests > inf", 11, "requests is compared with a number such as 100"),
        ("requests > ٣", 11, "'٣' means nothing in a rule"),
        ("detected_after < stable", 17, "detected_after belongs to the whole run; stable has none to compare with"),
        ("outcome == roled_back", 11, "roled_back is no outcome; nearest: rolled_back; allowed: promoted, "),
        ("outcome < promoted", 8, "outcome is a word; compare it with == or !="),
        ("outcome == 5", 11, "outcome is compared with one of promoted, "),
        ('reason == "x', 10, "this quote is never closed"),
        ("p95 < 1s # c", 9, "'#' means nothing in a rule"),
        ("stable < 1s", 0, "a comparison begins with a metric, not with stable"),
        ("(" * 40 + "p95 < 1s" + ")" * 40, 30, "a rule nests at most 30 deep"),
        ("p95 < 1s and " * 100 + "p95 < 1s", 0, "a rule has at most 1000 characters"),
    ],
)
def test_a_wrong_rule_says_where_and_what_to_write(text, offset, message):
    with pytest.raises(RuleError) as raised:
        parse(text)
    assert raised.value.offset == offset
    assert raised.value.message.startswith(message)


# --- what is measured where -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_gates_judge_quality_and_only_quality(metric):
    for task in Task:
        measured = Scope(Standing.GATES, task, labels=False).refusal(metric) is None
        wanted = Kind.CLASSIFICATION if task is Task.CLASSIFICATION else Kind.REGRESSION
        assert measured is (metric.kind is wanted)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_analysis_needs_labels_for_quality_and_data_for_drift(metric):
    bare = Scope(Standing.ANALYSIS, None, labels=True)
    unlabelled = Scope(Standing.ANALYSIS, Task.CLASSIFICATION, labels=False)
    full = Scope(Standing.ANALYSIS, Task.CLASSIFICATION, labels=True)
    always = {Kind.LATENCY, Kind.ERRORS, Kind.TRAFFIC, Kind.GAUGE}
    assert (bare.refusal(metric) is None) is (metric.kind in always)
    assert (unlabelled.refusal(metric) is None) is (metric.kind in always | {Kind.DRIFT})
    assert (full.refusal(metric) is None) is (metric.kind in always | {Kind.DRIFT, Kind.CLASSIFICATION})


def test_an_expectation_may_speak_of_all_that_analysis_may_and_of_the_run():
    expect, analysis = Scope(Standing.EXPECT).names(), Scope(Standing.ANALYSIS).names()
    run = {name for name, metric in METRICS.items() if metric.kind is Kind.RUN}
    assert set(expect) == set(analysis) | run


@pytest.mark.parametrize(
    ("text", "scope", "message"),
    [
        (
            "agreement > 99%",
            Scope(Standing.ANALYSIS),
            "agreement is only measured where requests are copied: in a shadow, or by a step mirror: 10%",
        ),
        (
            "grade == A",
            Scope(Standing.EXPECT),
            "grade is only given by a load test; add load, or staging, where the candidate stands one",
        ),
        (
            "grade == A",
            Scope(Standing.ANALYSIS, staged=True),
            "grade is given to the load test before the rollout; it belongs under expect",
        ),
        (
            "outcome == promoted",
            Scope(Standing.ANALYSIS),
            "outcome is known when the run is over; it belongs under expect",
        ),
        (
            "p95 < 1s",
            Scope(Standing.GATES),
            "a gate judges held-out rows, before any request; p95 is not measured there",
        ),
        (
            "f1 > 0.5",
            Scope(Standing.EXPECT, labels=False),
            "f1 needs true answers; add labels: {delay: 15m, share: 30%}",
        ),
        ("f1 > 0.5", Scope(Standing.GATES, None), "f1 is measured on a data set; add model.data"),
        (
            "drift_score < 0.1",
            Scope(Standing.ANALYSIS, None),
            "drift_score is measured against a data set; add model.data",
        ),
    ],
)
def test_a_metric_out_of_place_says_where_it_belongs(text, scope, message):
    with pytest.raises(RuleError) as raised:
        parse(text, scope)
    assert raised.value.message == message


def test_the_vocabulary_is_that_of_the_interface():
    """What the interface fixes, and after it what was added."""
    assert " ".join(METRICS) == (
        "mean p50 p90 p95 p99 p999 error_rate success_rate rate requests accuracy precision recall f1 auc log_loss "
        "rmse mae r2 drift_score prediction_drift utilisation queue_length replicas_ready outcome reason "
        "detected_after candidate_requests candidate_share_max bad_responses failed_requests duration agreement grade "
        "score_distance users_exposed users_harmed ttfb_mean ttfb_p50 ttfb_p90 ttfb_p95 ttfb_p99 gap_mean gap_p50 "
        "gap_p90 gap_p95 gap_p99"
    )
    assert sum(metric.kind in QUALITY for metric in METRICS.values()) == 9


# --- writing ----------------------------------------------------------------------------------------------------------


def bounds(metric):
    """Bounds that a rule about that metric may have."""
    if metric.unit is Unit.TEXT:
        words = st.sampled_from(metric.words) if metric.words else st.text(st.characters(exclude_characters="\"'"))
        return words.map(Absolute)
    top = {Unit.SHARE: 1.0, Unit.RATE: 1e6, Unit.SECONDS: 1e6, Unit.NONE: 1e9}[metric.unit]
    digits = {Unit.SECONDS: 9, Unit.RATE: 9}.get(metric.unit, 12)
    numbers = st.floats(0.0, top).map(lambda number: round(number, digits))
    absolute = numbers.map(Absolute)
    if not metric.relative:
        return absolute
    factors = st.floats(0.001, 1000).map(lambda number: round(number, 6))
    offsets = st.builds(lambda number, sign: Relative(offset=number * sign), numbers, st.sampled_from([1, -1]))
    return st.one_of(absolute, factors.map(lambda factor: Relative(factor=factor)), offsets, st.just(Relative()))


def comparisons_of(metric):
    ops = [Op.EQ, Op.NE] if metric.unit is Unit.TEXT else list(Op)
    return st.builds(Comparison, st.just(metric.name), st.sampled_from(ops), bounds(metric))


COMPARISONS = st.sampled_from([metric for metric in METRICS.values() if metric.name != "grade"]).flatmap(comparisons_of)
CONDITIONS = st.recursive(
    COMPARISONS,
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: And(tuple(parts))),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: Or(tuple(parts))),
    ),
    max_leaves=6,
)


@given(CONDITIONS)
def test_what_is_written_reads_back_the_same(condition):
    text = condition_text(condition)
    if len(text) <= 1000:
        assert parse(text).condition == condition


def refusal(text):
    """Why a text is no rule; None where it is one."""
    try:
        parse(text)
    except RuleError as error:
        return error
    return None


@given(st.text())
def test_any_text_is_a_rule_or_a_rule_error(text):
    error = refusal(text)
    assert error is None or 0 <= error.offset <= len(text)


@given(
    st.lists(st.sampled_from(["p95", "<=", "1s", "stable", "*", "+", "1.5", "and", "or", "not", "(", ")", "%", "="]))
)
def test_any_words_of_the_grammar_are_a_rule_or_a_rule_error(words):
    error = refusal(" ".join(words))
    assert error is None or error.message


# --- judging ----------------------------------------------------------------------------------------------------------


def reader(candidate=None, stable=None):
    """Figures by metric, for each role."""
    figures = {Role.CANDIDATE: candidate or {}, Role.STABLE: stable or {}}
    return lambda metric, role: figures[role].get(metric)


VALUES = {True: 0.5, False: 99.0, None: None}


@pytest.mark.parametrize(("first", "second"), list(itertools.product((True, False, None), repeat=2)))
def test_three_valued_logic(first, second):
    read = reader({"p95": VALUES[first], "p99": VALUES[second]})
    conjunction = False if False in (first, second) else None if None in (first, second) else True
    disjunction = True if True in (first, second) else None if None in (first, second) else False
    assert evaluate(And((A, B)), read).holds is conjunction
    assert evaluate(Or((A, B)), read).holds is disjunction
    assert evaluate(Not(A), read).holds is (None if first is None else not first)
    assert evaluate(Not(And((A, B))), read).holds is evaluate(Or((Not(A), Not(B))), read).holds


def test_the_deciding_comparison_is_the_first_that_the_answer_rests_on():
    read = reader({"p95": 0.5, "p99": 99.0, "mean": 99.0})
    assert evaluate(And((A, B, C)), read).comparison == B
    assert evaluate(Or((C, B, A)), read).comparison == A
    assert evaluate(Or((B, C)), read).comparison == B
    assert evaluate(Not(And((A, C))), read).comparison == C
    assert evaluate(And((A, B)), reader({"p95": 0.5})).comparison == B


@pytest.mark.parametrize("nothing", [None, math.nan])
def test_what_was_not_measured_decides_nothing(nothing):
    rule = parse("p95 <= stable * 1.5").condition
    assert evaluate(rule, reader({"p95": nothing}, {"p95": 0.1})).holds is None
    found = evaluate(rule, reader({"p95": 0.1}, {"p95": nothing}))
    assert (found.holds, found.candidate, found.stable, found.bound) == (None, 0.1, None, None)
    assert describe(found) == "p95 has no figure for stable"
    assert describe(evaluate(rule, reader({}, {"p95": 0.1}))) == "p95 has no figure for the candidate"


def test_a_bound_on_stable_is_told_with_the_figures_it_rests_on():
    found = evaluate(parse("error_rate <= stable + 2%").condition, reader({"error_rate": 0.04}, {"error_rate": 0.01}))
    assert (found.holds, found.candidate, found.stable, found.bound) == (False, 0.04, 0.01, 0.03)
    assert str(found) == "error_rate is 4%, not <= 3% (stable + 2%, stable is 1%)"
    found = evaluate(parse("p95 < stable").condition, reader({"p95": 0.04}, {"p95": 0.1}))
    assert str(found) == "p95 is 40ms, < 100ms (stable's)"


@pytest.mark.parametrize(
    ("text", "candidate", "stable", "holds"),
    [
        ("accuracy >= stable - 5%", 0.85, 0.9, True),
        ("accuracy >= stable - 10%", 0.7, 0.8, True),
        ("error_rate <= stable + 2%", 0.12, 0.1, True),
        ("error_rate < stable + 2%", 0.12, 0.1, False),
        ("p95 <= stable * 1.1", 0.33, 0.3, True),
        ("p95 > stable * 1.1", 0.33, 0.3, False),
        ("accuracy == 30%", 0.1 + 0.2, None, True),
        ("accuracy != 30%", 0.1 + 0.2, None, False),
        ("p95 <= stable", math.inf, 0.3, False),
        ("requests == 10", 10, None, True),
    ],
)
def test_the_last_bit_of_a_figure_decides_nothing(text, candidate, stable, holds):
    condition = parse(text).condition
    metric = metrics_of(condition)[0]
    assert evaluate(condition, reader({metric: candidate}, {metric: stable})).holds is holds


@pytest.mark.parametrize("word", OUTCOMES)
def test_words_are_equal_or_not(word):
    read = reader({"outcome": "rolled_back"})
    assert evaluate(parse(f"outcome == {word}").condition, read).holds is (word == "rolled_back")
    assert evaluate(parse(f"outcome != {word}").condition, read).holds is (word != "rolled_back")


def test_an_outcome_is_described_by_its_words():
    found = evaluate(parse("outcome == promoted").condition, reader({"outcome": "rolled_back"}))
    assert str(found) == "outcome is rolled_back, not == promoted"


@pytest.mark.parametrize("text", ["grade == A", 'grade == "A+" or grade == B', "grade != F"])
def test_a_grade_may_be_expected_where_there_is_staging(text):
    assert metrics_of(parse(text, Scope(Standing.EXPECT, staged=True)).condition) == ("grade",)
