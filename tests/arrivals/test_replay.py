"""Replay against source: what comes is what was recorded, and what is fitted is Poisson along the recorded curve."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness import arrivals
from harness.arrivals import Reader
from harness.domain.traffic import Process, RateFactor, Trace, Traffic
from harness.domain.units import HOUR, MINUTE, SECOND
from harness.errors import InputError
from harness.seeds import stream

TRACES = Path(__file__).parents[2] / "scenarios" / "traces"
AZURE, NASA = str(TRACES / "azure_llm_conv.csv.gz"), str(TRACES / "nasa_http.tsv.gz")
RNG = stream(4, "arrivals")
LONG = 14 * HOUR


def replayed(path, rng=RNG, stop_ns=LONG, **options):
    source = arrivals.of(Traffic("trace", Process.POISSON, Trace(path, **options)))
    return source.times(0, stop_ns, rng)


def recorded(path):
    """Straight from the file, by pandas."""
    pd = pytest.importorskip("pandas")
    table = pd.read_csv(path, sep="\t" if "tsv" in path else ",")
    column = table["time"] * SECOND if "tsv" in path else pd.to_datetime(table["TIMESTAMP"]).astype("datetime64[ns]")
    at = column.to_numpy().astype(np.int64)
    return at - at[0]


def per_minute(times, minutes):
    return np.bincount((times // MINUTE).astype(int), minlength=minutes)


# --- as recorded ------------------------------------------------------------------------------------------------------


def test_exact_stamps_are_replayed_to_the_nanosecond():
    times = replayed(AZURE)
    assert np.array_equal(times, recorded(AZURE))
    assert stats.ks_2samp(np.diff(times), np.diff(recorded(AZURE))).statistic == 0.0


@pytest.mark.parametrize("path", [AZURE, NASA])
def test_every_minute_has_as_many_requests_as_recorded(path):
    minutes = int(LONG // MINUTE)
    assert np.array_equal(per_minute(replayed(path), minutes), per_minute(recorded(path), minutes))


def test_whole_seconds_keep_their_counts_and_are_uniform_within():
    source = recorded(NASA)
    times = replayed(NASA)
    assert np.array_equal(times // SECOND, source // SECOND)
    within = (times % SECOND) / SECOND
    assert stats.kstest(within, "uniform").pvalue > 0.001
    # Of seconds with k requests, the mean of the first is 1/(k+1): uniform order statistics, as of a Poisson process.
    second, first, count = np.unique(times // SECOND, return_index=True, return_counts=True)
    del second
    for k in (1, 2, 3):
        places = within[first[count == k]]
        assert abs(places.mean() - 1 / (k + 1)) < 4 * places.std() / np.sqrt(places.size)


def test_unspread_seconds_stay_as_they_are_written():
    assert np.array_equal(replayed(NASA, spread=False), recorded(NASA))


def test_the_seed_says_where_in_its_second_a_request_comes():
    assert np.array_equal(replayed(NASA), replayed(NASA, stream(4, "arrivals")))
    assert not np.array_equal(replayed(NASA), replayed(NASA, stream(5, "arrivals")))


def test_a_repetition_draws_places_anew_and_keeps_the_seconds():
    length = 46_322 * SECOND
    both = replayed(NASA, stop_ns=2 * length, repeat=True)
    first, second = both[: both.size // 2], both[both.size // 2 :] - length
    assert np.array_equal(first // SECOND, second // SECOND)
    assert not np.array_equal(first, second)


@settings(deadline=None, max_examples=40)
@given(
    options=st.fixed_dictionaries(
        {},
        optional={
            "repeat": st.booleans(),
            "speed": st.sampled_from([0.5, 3.0, 7.7]),
            "rate": st.sampled_from([0.3, 9.0, RateFactor(2.5)]),
            "from_ns": st.integers(0, 20 * MINUTE),
            "until_ns": st.integers(30 * MINUTE, 50 * MINUTE),
        },
    ),
    path=st.sampled_from([AZURE, NASA]),
    cuts=st.sets(st.integers(0, 2 * HOUR), max_size=8),
)
def test_any_cut_gives_the_same_times(options, path, cuts):
    source = arrivals.of(Traffic("trace", Process.POISSON, Trace(path, **options)))
    whole = source.times(0, 2 * HOUR, RNG)
    edges = [0, *sorted(cuts), 2 * HOUR]
    pieces = [source.times(start, stop, RNG) for start, stop in pairwise(edges)]
    assert np.array_equal(np.concatenate(pieces), whole)
    reader = Reader(source, RNG)
    assert np.array_equal(np.concatenate([reader.until(stop) for stop in edges[1:]]), whole)
    assert np.all(np.diff(whole) >= 0)
    if "rate" not in options:
        # What is expected is what comes, but for the second that an edge lies in.
        found = np.searchsorted(whole, edges)
        assert np.all(np.abs(source.curve.expected(edges) - found) <= 17 * max(options.get("speed", 1), 1))


def test_speed_divides_every_time():
    assert np.array_equal(replayed(AZURE, speed=2.0), recorded(AZURE) // 2)


def test_a_cut_begins_at_its_own_zero():
    source = recorded(AZURE)
    cut = source[(source >= 10 * MINUTE) & (source < 20 * MINUTE)] - 10 * MINUTE
    assert np.array_equal(replayed(AZURE, from_ns=10 * MINUTE, until_ns=20 * MINUTE), cut)


def test_a_repeated_cut_is_as_long_as_it_says():
    twice = replayed(AZURE, from_ns=10 * MINUTE, until_ns=20 * MINUTE, repeat=True, stop_ns=20 * MINUTE)
    once = twice[twice < 10 * MINUTE]
    assert np.array_equal(twice[once.size :], once + 10 * MINUTE)


def test_a_cut_without_requests_is_refused():
    with pytest.raises(InputError, match=r"no request was recorded from 2h; the recording lasts 58m21\.\d+s"):
        replayed(AZURE, from_ns=2 * HOUR)


def test_a_speed_that_would_fill_the_memory_is_refused():
    with pytest.raises(InputError, match=r"give a lower traffic\.trace\.speed"):
        replayed(AZURE, speed=1e9)


# --- fitted to a rate -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "rate"), [(AZURE, 200.0), (AZURE, 1.0), (NASA, 20.0), (NASA, 0.2)])
def test_a_fitted_rate_is_the_mean_and_the_shape_stays(path, rate):
    source = recorded(path)
    times = replayed(path, rate=rate)
    length = (source[-1] + (SECOND if path == NASA else source[-1] / (source.size - 1))) / SECOND
    assert abs(times.size - rate * length) < 4 * np.sqrt(rate * length)
    minutes = int(source[-1] // MINUTE)  # whole ones
    wanted = per_minute(source, minutes)[:minutes] * (rate * length / source.size)
    if path == NASA:  # what belongs to a minute is known to the second there
        assert wanted.size == 772
    got = per_minute(times, minutes)[:minutes]
    busy = wanted > 5
    if busy.sum() > 20:
        chi2 = float(((got - wanted)[busy] ** 2 / wanted[busy]).sum())
        assert stats.chi2.sf(chi2, busy.sum()) > 0.001
    assert np.all(got[wanted == 0] == 0)


@pytest.mark.parametrize(("path", "rate"), [(AZURE, 50.0), (NASA, 5.0)])
def test_fitted_arrivals_are_poisson_along_the_recorded_curve(path, rate):
    """Time-rescaling: in the expected count of the curve, gaps of a Poisson process are exponential."""
    process = arrivals.of(Traffic("trace", Process.POISSON, Trace(path, rate=rate)))
    gaps = np.diff(process.curve.expected(process.times(0, LONG, RNG)))
    assert stats.kstest(gaps, "expon").pvalue > 0.001


FACTORS = [
    (AZURE, 3.0, {}),
    (AZURE, 0.5, {"speed": 2.0}),
    (AZURE, 3.0, {"from_ns": 10 * MINUTE, "until_ns": 30 * MINUTE}),
    (NASA, 3.0, {}),
]


@pytest.mark.parametrize(("path", "factor", "options"), FACTORS)
def test_a_factor_multiplies_what_was_recorded_in_every_minute(path, factor, options):
    """As many times as recorded by the source, in all and minute by minute, and that many come, as a Poisson count."""
    source = recorded(path)
    begin, speed = options.get("from_ns", 0), options.get("speed", 1.0)
    source = (source[(source >= begin) & (source < options.get("until_ns", LONG))] - begin) / speed
    process = arrivals.of(Traffic("trace", Process.POISSON, Trace(path, rate=RateFactor(factor), **options)))
    assert process.curve.expected(LONG) == pytest.approx(factor * source.size, rel=1e-9)
    edges = np.arange(int(source[-1] // MINUTE) + 1) * MINUTE
    assert np.diff(process.curve.expected(edges)) == pytest.approx(factor * np.histogram(source, edges)[0], abs=1e-6)
    assert abs(process.times(0, LONG, RNG).size - factor * source.size) < 4 * np.sqrt(factor * source.size)


def test_fitted_to_its_own_rate_gaps_are_close_to_those_recorded():
    times = replayed(AZURE, rate=19_366 / 3501.9)
    figure = stats.ks_2samp(np.diff(times), np.diff(recorded(AZURE))).statistic
    assert figure < 0.1
