"""The feature store: nothing from the future, nothing too old, nothing that changes."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import DataError, InputError
from harness.features.joining import as_of
from harness.features.store import FeatureStore

START = pd.Timestamp("2024-01-01")


def times(hours: Any) -> Any:
    return [START + pd.Timedelta(hours=hour) for hour in hours]


@pytest.fixture(params=["parquet", "csv"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "store", format=request.param)


USAGE = pd.DataFrame(
    {
        "customer": ["a", "b", "a", "a"],
        "event_timestamp": times([5, 1, 1, 5]),
        "calls": [7, 3, 1, 9],
        "city": ["x", "y", None, "z"],
    }
)


def test_each_row_gets_what_was_known_then(store: FeatureStore) -> None:
    store.register("usage", USAGE, entity="customer", ttl="48h")
    asked = pd.DataFrame(
        {"customer": ["b", "a", "a", "a", "c", "b"], "event_timestamp": times([2, 0.9, 1, 5, 5, 49.5]), "churn": 0},
        index=[10, 11, 12, 13, 14, 15],
    )
    found = store.get_historical_features(asked)
    assert list(found.index) == list(asked.index)
    np.testing.assert_array_equal(found["calls"], [3, np.nan, 1, 9, np.nan, np.nan])
    assert found["city"].fillna("-").tolist() == ["y", "-", "-", "z", "-", "-"]
    assert list(asked.columns) == ["customer", "event_timestamp", "churn"]
    assert store.get_historical_features(asked.iloc[:1].assign(event_timestamp=START + pd.Timedelta(hours=49)))[
        "calls"
    ].tolist() == [3]


def test_rows_added_later_count_and_the_same_rows_are_added_once(store: FeatureStore) -> None:
    store.register("usage", USAGE, entity="customer")
    store.register("usage", USAGE, entity="customer")
    assert len(store.rows("usage")) == 4
    newer = USAGE.iloc[:1].assign(calls=11)
    store.register("usage", newer, entity="customer")
    asked = pd.DataFrame({"customer": ["a"], "event_timestamp": times([9])})
    assert store.get_historical_features(asked, ["usage:calls"])["calls"].tolist() == [11]
    assert "city" not in store.get_historical_features(asked, ["usage:calls"])


def test_values_for_serving_are_the_newest_that_are_still_good(store: FeatureStore) -> None:
    store.register("usage", USAGE, entity="customer", ttl=3600 * 4)
    found = store.get_online_features([{"customer": "b"}, {"customer": "a"}], at="2024-01-01T05:30")
    assert found["customer"].tolist() == ["b", "a"]
    np.testing.assert_array_equal(found["calls"], [np.nan, 9])
    assert store.get_online_features([{"customer": "a"}])["calls"].isna().all()  # years later


def test_two_tables_may_share_the_name_of_a_feature(store: FeatureStore) -> None:
    store.register("usage", USAGE[["customer", "event_timestamp", "calls"]], entity="customer")
    store.register("support", USAGE[["customer", "event_timestamp", "calls"]], entity="customer")
    found = store.get_historical_features(pd.DataFrame({"customer": ["b"], "event_timestamp": times([3])}))
    assert [name for name in found.columns if "calls" in name] == ["support:calls", "usage:calls"]


HOUR = st.integers(0, 12)
KEYS = st.sampled_from(["a", "b", "c", None])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(KEYS, HOUR, st.one_of(st.none(), st.integers(0, 99))), max_size=14),
    st.lists(st.tuples(KEYS, st.one_of(st.none(), HOUR)), min_size=1, max_size=10),
    st.one_of(st.none(), st.integers(0, 6)),
)
def test_the_join_is_the_loop_that_anybody_would_write(table: Any, asked: Any, ttl: int | None) -> None:
    right = pd.DataFrame({
        "k": pd.Series([key for key, _, _ in table], dtype="str"),
        "t": pd.Series(times(hour for _, hour, _ in table), dtype="datetime64[us]"),
        "v": pd.Series([value for _, _, value in table], dtype="float64"),
    })  # fmt: skip
    left = pd.DataFrame({
        "k": pd.Series([key for key, _ in asked], dtype="str"),
        "at": pd.Series(
            [pd.NaT if hour is None else START + pd.Timedelta(hours=hour) for _, hour in asked], dtype="datetime64[us]"
        ),
    })  # fmt: skip
    found = as_of(left, right, ["k"], "at", "t", None if ttl is None else ttl * 3600.0)["v"].tolist()
    for (key, hour), value in zip(asked, found, strict=True):
        best: Any = None
        for other, since, known in table:  # in order: of equal times the last
            late = hour is None or since > hour or (ttl is not None and hour - since > ttl)
            if key is not None and other == key and not late and (best is None or since >= best[0]):
                best = (since, known)
        wanted = np.nan if best is None or best[1] is None else best[1]
        np.testing.assert_equal(value, wanted)


def test_a_version_is_its_content_and_never_changes(store: FeatureStore) -> None:
    one = store.save("churn", USAGE, {"columns": {"calls": {"scale": "robust"}}})
    assert str(one) == "churn@1"
    assert str(store.save("churn", USAGE, {"columns": {"calls": {"scale": "robust"}}})) == "churn@1"
    other = store.save("churn", USAGE, {"columns": {"calls": {"scale": "min_max"}}})
    third = store.save("churn", USAGE.assign(calls=0), {"columns": {"calls": {"scale": "min_max"}}})
    assert [str(other), str(third)] == ["churn@2", "churn@3"]
    assert len({one.digest, other.digest, third.digest}) == 3
    assert store.feature_sets() == ("churn@1", "churn@2", "churn@3")
    assert store.load("churn").version == 3
    assert store.load(f"churn@{one.digest}").version == 1
    pd.testing.assert_frame_equal(store.load("churn@1").data, one.data)
    assert one.data["calls"].tolist() == [7, 3, 1, 9]


def test_what_was_changed_on_disk_is_not_loaded(store: FeatureStore) -> None:
    kept = store.save("churn", USAGE)
    (file,) = (store.root / "sets" / "churn" / "1").glob("rows.*")
    other = store.save("churn", USAGE.assign(calls=5))
    (store.root / "sets" / "churn" / str(other.version) / file.name).replace(file)
    with pytest.raises(DataError, match="changed since it was kept"):
        store.load(kept.reference)


def test_formats_do_not_differ(tmp_path: Path) -> None:
    frame = USAGE.assign(share=[0.1, 1 / 3, np.nan, 1e-300], known=[True, False, True, True])
    digests = {FeatureStore(tmp_path / form, format=form).save("s", frame).digest for form in ("csv", "parquet")}
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("what", "told"),
    [
        (lambda s: s.register("u", USAGE, entity="client"), "lacks the column client"),
        (lambda s: s.register("u/..", USAGE, entity="customer"), "names a folder"),
        (lambda s: s.register("u", USAGE.assign(event_timestamp=pd.NaT), entity="customer"), "have no event_timestamp"),
        (lambda s: s.get_historical_features(USAGE, ["nothing"]), "no feature table 'nothing'; there are usage"),
        (lambda s: s.get_historical_features(USAGE, ["usage:call"]), "usage has no feature 'call'"),
        (
            lambda s: s.get_historical_features(USAGE.drop(columns="event_timestamp"), ["usage"]),
            "lack the column event_timestamp",
        ),
        (lambda s: s.register("usage", USAGE, entity="customer", ttl="1h"), "registered otherwise"),
        (lambda s: s.load("churn@9"), "no feature set 'churn@9'; there are none yet"),
        (lambda s: s.register("u", USAGE, entity="customer", ttl=-5), "seconds from 0 on"),
        (lambda s: s.register("u", USAGE, entity="customer", ttl=float("nan")), "seconds from 0 on"),
        (lambda s: s.register("u", USAGE.rename(columns={"calls": 7}), entity="customer"), "a column is called 7"),
        (lambda s: s.save("u", USAGE.rename(columns={"calls": "city"})), "two columns are called city"),
        (lambda s: s.save("u", USAGE, {"by": object()}), "holds what JSON has not"),
    ],
)
def test_what_cannot_be_is_told(what: Any, told: str, tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.register("usage", USAGE, entity="customer")
    with pytest.raises(InputError, match=told):
        what(store)
