"""Durations, rates, shares, weights, factors and deviations, as people write them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.domain import quantity
from harness.domain.units import HOUR, MILLISECOND, MINUTE, SECOND, WHOLE, duration_text, share_text
from harness.scenario import parse_duration


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("250ms", 250 * MILLISECOND),
        ("0s", 0),
        ("0ms", 0),
        ("30s", 30 * SECOND),
        ("5m", 5 * MINUTE),
        ("2h", 2 * HOUR),
        ("1d", 24 * HOUR),
        ("1h30m", 90 * MINUTE),
        ("1d2h3m4s5ms", 26 * HOUR + 3 * MINUTE + 4 * SECOND + 5 * MILLISECOND),
        ("1.5h", 90 * MINUTE),
        ("0.001ms", 1000),
        ("1000d", 1000 * 24 * HOUR),
        ("007s", 7 * SECOND),
    ],
)
def test_durations(text, ns):
    assert parse_duration(text) == ns


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("30", "a duration has a unit: write 30s, 30m or 30h"),
        (" 30 ", "a duration has a unit: write 30s, 30m or 30h"),
        ("", "a duration is a number with a unit: 250ms, 30s, 5m, 2h or 1d"),
        ("soon", "a duration is a number with a unit"),
        ("5 m", "write 5m"),
        ("5M", "write 5m"),
        ("5 minutes", "write 5m"),
        ("1.5hrs", "write 1.5h"),
        ("5w", "the units of a duration are ms, s, m, h and d"),
        ("-5m", "a duration is never negative"),
        ("-0s", "a duration is never negative"),
        ("30m1h", "the units of a duration go from large to small, each once: 1h30m"),
        ("1m1m", "the units of a duration go from large to small, each once: 1h30m"),
        ("1001d", "a duration is at most 1000d"),
        ("1e3s", "a duration is a number with a unit"),
        ("٣s", "a duration is a number with a unit"),
        ("１s", "a duration is a number with a unit"),
        ("5s\n", "write 5s"),
        ("infs", "a duration is a number with a unit"),
        ("1" * 400 + "s", "a duration is a number with a unit"),
    ],
)
def test_what_is_no_duration_says_what_would_be(text, message):
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the message is asserted below
        parse_duration(text)
    assert str(raised.value).startswith(message)


@given(st.integers(0, 1000 * 24 * 3600 * 1000))
def test_a_duration_as_text_reads_back(ms):
    # duration_text shows six digits of the seconds, which is all of a duration in whole milliseconds.
    assert parse_duration(duration_text(ms * MILLISECOND)) == ms * MILLISECOND


@given(st.decimals(0, 1000, places=3))
def test_a_rate_is_per_second_whatever_it_was_written_per(number):
    assert quantity.rate_per_s(f"{number}/s") == float(number)
    assert quantity.rate_per_s(f"{number}/m") == pytest.approx(float(number) / 60, rel=1e-15)
    assert quantity.rate_per_s(f"{number * 3600}/h") == float(number)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("200", "write 200/s"),
        ("200rps", "write 200/s"),
        ("200 / s", "write 200/s"),
        ("200/min", "write 200/m"),
        ("/s", "a rate is a number per s, m or h"),
        ("-1/s", "a rate is a number per s, m or h"),
        ("99999999/s", "a rate is at most 10000000/s"),
    ],
)
def test_what_is_no_rate_says_what_would_be(text, message):
    with pytest.raises(ValueError, match=message):
        quantity.rate_per_s(text)


@given(st.integers(0, WHOLE))
def test_a_weight_as_text_reads_back(weight):
    assert quantity.weight(share_text(weight)) == weight
    assert quantity.weight(weight / WHOLE) == weight


@given(st.decimals(0, 100, places=6))
def test_a_percentage_is_the_nearest_float(percent):
    assert quantity.share(f"{percent}%") == float(percent / Decimal(100))


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("120%", "a share is from 0% to 100%"),
        (120, "a share is from 0% to 100%"),
        (30, "a share is from 0% to 100%, or from 0 to 1; write 30%"),
        (-0.1, "a share is from 0% to 100%"),
        (float("nan"), "a share is from 0% to 100%"),
        (float("inf"), "a share is from 0% to 100%"),
        ("-5%", "a share is from 0% to 100%"),
        ("10 %", "write 10%, without the space"),
        ("0,5", "a share is a percentage or a number from 0 to 1: 10% or 0.1"),
        ("half", "a share is a percentage"),
        ("%", "a share is a percentage"),
        ("１０%", "a share is a percentage"),
    ],
)
def test_what_is_no_share_says_what_would_be(written, message):
    with pytest.raises(ValueError, match=message):
        quantity.share(written)


@pytest.mark.parametrize("written", ["0.005%", 0.12345, 1e-9, 5e-324, "33.333%"])
def test_a_weight_that_cannot_be_kept_exactly_is_refused(written):
    with pytest.raises(ValueError, match="weights go in steps"):
        quantity.weight(written)


@pytest.mark.parametrize(
    ("text", "message"), [("1.8", "x1.8"), ("1.8x", "x1.8"), ("×2", "x2"), ("x0", "above 0"), ("", "x1.8")]
)
def test_what_is_no_factor_says_what_would_be(text, message):
    with pytest.raises(ValueError, match=message):
        quantity.factor(text)


@pytest.mark.parametrize(("text", "message"), [("1.5", "write 1.5sd"), ("-2σ", "write -2sd"), ("sd", "write 1.5sd")])
def test_what_is_no_deviation_says_what_would_be(text, message):
    with pytest.raises(ValueError, match=message):
        quantity.deviations(text)
