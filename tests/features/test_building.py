"""What a feature set makes of a table, held against numpy, pandas and scikit-learn."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import TargetEncoder

from harness.data.split import Rows
from harness.domain.features import CYCLIC, Part
from harness.errors import InputError
from harness.features.building import transformer
from harness.features.known import date_part
from harness.features.naming import names_out
from harness.features.reading import feature_set
from harness.training import artifact
from harness.training.algorithms import effective
from harness.training.digest import model_digest
from harness.training.fit import fit, unfitted

EVERYTHING = {
    "columns": {
        "x": {"impute": "mean", "indicator": True, "clip": [-1, 1], "scale": "none"},
        "y": {"bins": 2},
        "z": {"log": True, "scale": "min_max"},
        "plan": {"encode": "ordinal", "order": ["basic", "plus", "max"]},
        "city": {"encode": "target"},
        "signup": {"date": ["year", "month", "weekday", "hour", "days"], "cyclic": ["month", "weekday", "hour"],
                   "reference": "2020-01-01", "scale": "none"},
    },
    "derived": {
        "ratio": {"of": "z / y", "scale": "none"},
        "less": {"of": "z - y", "scale": "none"},
        "times": {"of": "z * y", "scale": "none"},
        "both": {"of": "z + y", "scale": "none"},
    },
}  # fmt: skip


def made(said: Any, frame: pd.DataFrame, target: Any = None) -> pd.DataFrame:
    fitted = transformer(feature_set(said), frame)
    values = fitted.fit_transform(frame, np.arange(len(frame)) % 2 if target is None else target)
    return pd.DataFrame(values, columns=list(names_out(fitted)))


def test_each_treatment_is_what_numpy_says(frame: pd.DataFrame) -> None:
    out = made(EVERYTHING, frame)
    imputed = frame["x"].fillna(frame["x"].mean())
    np.testing.assert_array_equal(out["x"], imputed.clip(-1, 1))
    np.testing.assert_array_equal(out["x is missing"], frame["x"].isna())
    logged = np.log1p(frame["z"])
    np.testing.assert_allclose(out["z"], (logged - logged.min()) / (logged.max() - logged.min()), rtol=1e-14)
    wanted = frame["plan"].map({"basic": 0.0, "plus": 1.0, "max": 2.0}).fillna(-1)
    np.testing.assert_array_equal(out["plan"], wanted)
    np.testing.assert_allclose(out["ratio"], np.where(frame["y"] == 0, 0, frame["z"] / frame["y"].replace(0, 1)))
    np.testing.assert_array_equal(out["less"], frame["z"] - frame["y"])
    np.testing.assert_array_equal(out["times"], frame["z"] * frame["y"])
    np.testing.assert_array_equal(out["both"], frame["z"] + frame["y"])


def test_parts_of_dates_are_those_of_pandas(frame: pd.DataFrame) -> None:
    out = made(EVERYTHING, frame)
    when = pd.to_datetime(frame["signup"], unit="s", utc=True).dt
    months, hours, days = when.month, when.hour, when.day_of_week
    for part, wanted in (("year", when.year), ("month", months), ("weekday", days), ("hour", hours)):
        np.testing.assert_array_equal(out[f"signup.{part}"], wanted)
    since = (frame["signup"] - pd.Timestamp("2020-01-01", tz="UTC").timestamp()) / 86_400
    np.testing.assert_array_equal(out["signup.days"], since)
    for part, values in ((Part.MONTH, months), (Part.WEEKDAY, days), (Part.HOUR, hours)):
        angle = values * 2 * np.pi / CYCLIC[part]
        np.testing.assert_allclose(out[f"signup.{part}.sin"], np.sin(angle), atol=1e-15)
        np.testing.assert_allclose(out[f"signup.{part}.cos"], np.cos(angle), atol=1e-15)


@settings(max_examples=60, deadline=None)
@given(st.datetimes(pd.Timestamp("1900-01-01").to_pydatetime(), pd.Timestamp("2100-12-31T23:59:59").to_pydatetime()))
def test_any_second_of_two_centuries_has_its_parts(moment: Any) -> None:
    when = pd.Timestamp(moment, tz="UTC").floor("s")
    wanted = {Part.YEAR: when.year, Part.MONTH: when.month, Part.WEEKDAY: when.day_of_week, Part.HOUR: when.hour}
    for part, value in wanted.items():
        seen: Any = np.array([[when.timestamp()]])
        for _, step in date_part(part, 0.0):
            seen = step.fit(seen, None).transform(seen)
        assert seen[0, 0] == value


def test_target_encoding_is_cross_fitted(rows: Rows) -> None:
    """Encoded training rows are not the encoding of the whole, which would show each row its own answer."""
    labels = np.array(["No", "Yes"])[rows.target]
    out = made(EVERYTHING, rows.rows, labels)["city"].to_numpy()
    whole = TargetEncoder(target_type="binary").fit(rows.rows[["city"]], labels).transform(rows.rows[["city"]])[:, 0]
    assert not np.array_equal(out, whole)
    assert len(set(out[rows.rows["city"] == "a"])) == 5  # a mean of its own for each fold
    again = made(EVERYTHING, rows.rows, labels)["city"].to_numpy()
    np.testing.assert_array_equal(out, again)


def test_rare_categories_share_a_place_and_new_ones_take_it(frame: pd.DataFrame) -> None:
    fitted = transformer(feature_set({"columns": {"city": {"encode": "one_hot", "min_share": "5%"}}, "others": "drop"}),
                         frame).fit(frame)  # fmt: skip
    assert names_out(fitted) == ("city_a", "city_b", "city_c", "city_d", "city_infrequent_sklearn")
    new = frame.head(1).assign(city="never seen")
    assert fitted.transform(new).tolist() == [[0, 0, 0, 0, 1]]


def test_a_model_of_everything_is_loaded_with_nothing_trusted_beyond_numpy(rows: Rows, tmp_path: Any) -> None:
    features = feature_set(EVERYTHING)
    params = effective("logistic_regression", {}, 5)
    fitted = fit("logistic_regression", unfitted("logistic_regression", params, rows, features), rows)
    artifact.save(fitted.estimator, tmp_path / "m.skops")
    assert set(skops.io.get_untrusted_types(file=tmp_path / "m.skops")) <= {"numpy.dtype"}
    again = artifact.load(tmp_path / "m.skops")
    assert model_digest(again) == fitted.digest
    np.testing.assert_array_equal(again.predict_proba(rows.rows), fitted.estimator.predict_proba(rows.rows))


def test_only_training_rows_are_learned_from(rows: Rows) -> None:
    train, held = rows.take(np.arange(180)), rows.take(np.arange(180, 240))
    features = feature_set({"columns": {"x": {"impute": "mean", "scale": "none"}}, "others": "drop"})
    fitted = transformer(features, train.rows).fit(train.rows)
    seen = fitted.transform(held.rows)[:, 0]
    gaps = held.rows["x"].isna().to_numpy()
    assert gaps.any()
    assert set(seen[gaps]) == {train.rows["x"].mean()}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"columns": {"citi": {"encode": "one_hot"}}}, "columns.citi: there is no such feature; did you mean city?"),
        ({"columns": {"plan": {"scale": "robust"}}}, "columns.plan: scale asks for numbers, and it holds text"),
        ({"columns": {"plan": {"impute": "median"}}}, "impute: median asks for numbers"),
        ({"columns": {"plan": {"encode": "ordinal", "order": ["basic"]}}}, "order lacks max, plus"),
        ({"columns": {"plan": {"impute": "constant", "fill": 3}}}, "fill is 3, and it holds text"),
        ({"columns": {"plan": {"date": ["year"]}}}, "text where Unix time in seconds is expected"),
        ({"derived": {"r": "x / plan"}}, "derived.r: plan holds no numbers"),
        ({"derived": {"z": "x / y"}}, "derived.z: a column of the data has that name"),
        ({"columns": {"x": {}}, "others": "refuse"}, "says nothing of y, z, plan, city, signup"),
    ],
)
def test_a_set_that_does_not_fit_the_columns_says_where(said: Any, told: str, frame: pd.DataFrame) -> None:
    with pytest.raises(InputError, match=told.replace("?", r"\?").replace("(", r"\(")):
        transformer(feature_set(said), frame)
