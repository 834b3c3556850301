"""What can be set of the stand-in, what is drawn from it, and when it stands still."""

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.domain.service import Exponential, Fixed, Lognormal, ServiceTime
from harness.errors import InputError
from harness.serving.fake import FLAGS, FakeSettings, from_flags, read, shown
from harness.serving.fake.fate import Fates, Fault
from harness.serving.fake.still import Stillness

LAWS = {
    "constant": (Fixed(0.03), {"constant": "30ms"}),
    "exponential": (Exponential(0.04), {"exponential": {"mean": "40ms"}}),
    "lognormal": (Lognormal(0.03, 0.12), {"lognormal": {"median": "30ms", "p99": "120ms"}}),
}


@pytest.mark.parametrize(("law", "written"), LAWS.values(), ids=LAWS)
def test_a_law_is_written_as_in_a_scenario(law: ServiceTime, written: Any) -> None:
    assert read({"latency": written}).latency == law
    assert shown(FakeSettings(latency=law))["latency"] == written


def test_what_is_shown_can_be_said_again() -> None:
    said = {flag.word.replace("-", "_"): flag.example for flag in FLAGS}
    settings = from_flags(said)
    assert all(getattr(settings, name) != getattr(FakeSettings(), name) for name in FakeSettings.__slots__)
    assert read(json.loads(json.dumps(shown(settings)))) == settings
    assert read(shown(FakeSettings())) == FakeSettings()


def test_a_change_leaves_the_rest() -> None:
    before = read({"workers": 3, "stall": {"every": "10s", "for": "1s"}})
    after = read({"stall": None, "error_rate": "5%"}, before)
    assert (after.workers, after.stall_every_ns, after.error_rate) == (3, 0, 0.05)


def test_all_that_is_wrong_is_said_at_once() -> None:
    wrong = {
        "latancy": "30ms",
        "latency": {"lognormal": {"median": "3s", "p99": "1s"}},
        "workers": -1,
        "queue": True,
        "error_rate": "200%",
        "error_status": 200,
        "stall": {"every": "1s", "for": "2s"},
        "readiness": "maybe",
        "warmup": 5,
        "model": "a\nb",
        "redirect": "a b",
    }
    with pytest.raises(InputError) as caught:
        read(wrong)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(wrong)
    assert lines[0] == "latancy is no setting; did you mean latency?"
    assert all(line.startswith(word) for line, word in zip(lines, wrong, strict=True))


def test_flags_that_cannot_be_read_are_said_with_the_others() -> None:
    with pytest.raises(InputError) as caught:
        from_flags({"latency": "{lognormal: [", "workers": "many"})
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("latency is '{lognormal: [', which is not to be read; write it as {lognormal:")
    assert lines[1].startswith("workers is 'many'; a number of workers is a whole number")


@pytest.mark.parametrize(
    ("law", "theirs"),
    [
        (Exponential(0.04), stats.expon(scale=0.04)),
        (Lognormal(0.03, 0.12), stats.lognorm(s=np.log(4) / stats.norm.ppf(0.99), scale=0.03)),
    ],
)
def test_times_are_drawn_from_their_law(law: ServiceTime, theirs: Any) -> None:
    fates = Fates(FakeSettings(latency=law, chunks=11, gap=law, seed=5))
    drawn = np.array([fates(n).service_ns for n in range(5000)]) / 1e9
    gaps = np.array([gap for n in range(500) for gap in fates.gaps_ns(n)]) / 1e9
    assert stats.kstest(drawn, theirs.cdf).pvalue > 0.01
    assert stats.kstest(gaps, theirs.cdf).pvalue > 0.01
    assert len(gaps) == 5000


def test_faults_are_drawn_at_their_share_and_the_first_is_what_happens() -> None:
    share = {"reset_headers": 0.1, "reset_body": 0.2, "error_rate": 0.3, "wrong_content": 0.4}
    fates = Fates(FakeSettings(**share, seed=1))
    counts = Counter(fates(n).fault for n in range(10_000))
    left = 1.0
    for fault in Fault:
        expected = left * share[fault]
        assert stats.binomtest(counts[fault], 10_000, expected).pvalue > 0.001, fault
        left -= expected
    assert stats.binomtest(counts[None], 10_000, left).pvalue > 0.001


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=4), st.integers(0, 2**40))
def test_a_fate_is_its_own(numbers: list[int], seed: int) -> None:
    said = FakeSettings(latency=Exponential(1.0), error_rate=0.5, seed=seed)
    fates = Fates(said)
    in_turn = [fates(number) for number in numbers]
    assert in_turn == [Fates(said)(number) for number in numbers]
    # Another share changes whether it happens, and nothing else.
    others = Fates(FakeSettings(latency=Exponential(1.0), error_rate=0.9, seed=seed))
    for fate in in_turn:
        other = others(fate.number)
        assert (other.service_ns, other.prediction) == (fate.service_ns, fate.prediction)
        assert other.fault is Fault.ERROR or fate.fault is None


@settings(deadline=None)
@given(st.integers(2, 12), st.data())
def test_work_stands_still_as_if_it_were_counted(every: int, data: st.DataObject) -> None:
    stalled = data.draw(st.integers(1, every - 1))
    origin, at, work = (data.draw(st.integers(0, 40)) for _ in range(3))
    at += origin
    done, now = 0, at
    while True:  # tick by tick
        works = (now - origin) % every < every - stalled
        if done == work and (works or work):
            break
        done += works
        now += 1
    assert Stillness(every, stalled, origin).advance(at, work) == now
