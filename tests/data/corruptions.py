"""Thirty and more ways in which data go wrong, each with all that a gate should name, and nothing else."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

Named = set[tuple[str, str]]
"""Column (several joined by commas) and check."""
WHOLE: Final = "TotalCharges, tenure, MonthlyCharges"
PAIR: Final = "TotalCharges, MonthlyCharges"


@dataclass(frozen=True)
class Corruption:
    """What is done to rows, and what should be found."""

    name: str
    apply: Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]
    named: Named
    data: str = "telco"


def some(frame: pd.DataFrame, draws: np.random.Generator, count: int = 20) -> Any:
    return np.sort(draws.choice(len(frame), count, replace=False))


def put(column: str, value: Any, count: int = 20) -> Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]:
    """Put a value, or what a function makes of the old one, into some rows."""

    def apply(frame: pd.DataFrame, draws: np.random.Generator) -> pd.DataFrame:
        there = frame[column].to_numpy(dtype=object, copy=True)
        for row in some(frame, draws, count):
            there[row] = value(there[row]) if callable(value) else value
        return frame.assign(**{column: there})

    return apply


def _scaled(column: str, factor: float) -> Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]:
    def apply(frame: pd.DataFrame, _: np.random.Generator) -> pd.DataFrame:
        numbers = pd.to_numeric(frame[column], errors="coerce") * factor
        return frame.assign(**{column: numbers.map(lambda x: "" if np.isnan(x) else f"{x:.6g}")})

    return apply


def _swapped(one: str, other: str) -> Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]:
    return lambda frame, _: frame.rename(columns={one: other, other: one})[list(frame.columns)]


def _again(frame: pd.DataFrame, draws: np.random.Generator) -> pd.DataFrame:
    return pd.concat([frame, frame.iloc[some(frame, draws)]], ignore_index=True)


def _same_key(frame: pd.DataFrame, _: np.random.Generator) -> pd.DataFrame:
    keys = frame["customerID"].to_numpy(dtype=object, copy=True)
    keys[100:105] = keys[0]
    return frame.assign(customerID=keys)


def _noisy(target: str, share: float) -> Callable[[pd.DataFrame, np.random.Generator], Any]:
    def values(frame: pd.DataFrame, draws: np.random.Generator) -> Any:
        truth = (frame[target] == frame[target].iloc[0]).to_numpy()
        return truth ^ (draws.random(len(frame)) < share)

    return values


def _noisy_copy(frame: pd.DataFrame, draws: np.random.Generator) -> pd.DataFrame:
    return frame.assign(PaperlessBilling=np.where(_noisy("Churn", 0.02)(frame, draws), "Yes", "No"))


def _noisy_score(frame: pd.DataFrame, draws: np.random.Generator) -> pd.DataFrame:
    """A score of a model that has seen the answers, where ages should stand."""
    truth = (frame["income-per-year"] == ">50K").to_numpy()
    return frame.assign(age=np.clip(30 + 30 * truth + draws.normal(0, 5, len(frame)), 16, 100).round().astype(int))


def _rare_class(target: str, label: str, share: float) -> Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]:
    """Labels of a class are flipped until a share of the rows is left with it."""

    def apply(frame: pd.DataFrame, draws: np.random.Generator) -> pd.DataFrame:
        other = next(word for word in frame[target].unique() if word != label)
        mine = np.flatnonzero((frame[target] == label).to_numpy())
        kept = draws.choice(mine, round(share * len(frame)), replace=False)
        labels = np.full(len(frame), other, dtype=object)
        labels[kept] = label
        return frame.assign(**{target: labels})

    return apply


def _broken_relation(frame: pd.DataFrame, _: np.random.Generator) -> pd.DataFrame:
    """A customer of months who was never billed."""
    rows = np.flatnonzero((frame["tenure"].astype(int) > 10).to_numpy())[:5]
    total = frame["TotalCharges"].to_numpy(dtype=object, copy=True)
    total[rows] = ""
    return frame.assign(TotalCharges=total)


def _two_services(frame: pd.DataFrame, _: np.random.Generator) -> pd.DataFrame:
    rows = np.flatnonzero((frame["PhoneService"] == "No").to_numpy())[:7]
    lines = frame["MultipleLines"].to_numpy(dtype=object, copy=True)
    lines[rows] = "Yes"
    return frame.assign(MultipleLines=lines)


def _unbilled_months(frame: pd.DataFrame, _: np.random.Generator) -> pd.DataFrame:
    rows = np.flatnonzero((frame["TotalCharges"].str.strip() == "").to_numpy())
    total = frame["TotalCharges"].to_numpy(dtype=object, copy=True)
    total[rows] = "100"
    return frame.assign(TotalCharges=total)


def _outliers(frame: pd.DataFrame, draws: np.random.Generator) -> pd.DataFrame:
    rows = draws.choice(np.flatnonzero((frame["TotalCharges"].str.strip() != "").to_numpy()), 5, replace=False)
    total = frame["TotalCharges"].to_numpy(dtype=object, copy=True)
    total[rows] = "19999"
    return frame.assign(TotalCharges=total)


def _cents(frame: pd.DataFrame, _: np.random.Generator) -> pd.DataFrame:
    """Total charges in thousands, which no range forbids."""
    return _scaled("TotalCharges", 0.001)(frame, _)


INTERNET: Final = (
    "OnlineSecurity", "OnlineBackup", "DeviceProtection", "TechSupport", "StreamingTV", "StreamingMovies"
)  # fmt: skip

TELCO: Final = [
    Corruption("wrong type", put("tenure", "two years"), {("tenure", "type")}),
    Corruption("infinite", put("MonthlyCharges", "inf"), {("MonthlyCharges", "type")}),
    Corruption("out of range", put("tenure", "480"), {("tenure", "max"), (WHOLE, "relation"), ("tenure", "outliers")}),
    Corruption("negative", put("MonthlyCharges", lambda x: f"-{x}"),
               {("MonthlyCharges", "min"), (WHOLE, "relation")}),
    Corruption("a new category", put("PaymentMethod", "Crypto"), {("PaymentMethod", "allowed")}),
    Corruption("another case", put("gender", str.upper), {("gender", "allowed")}),
    Corruption("blanks around", put("Contract", lambda x: f" {x} "), {("Contract", "allowed")}),
    Corruption("nulls", put("gender", ""), {("gender", "missing")}),
    Corruption("words for nulls", put("InternetService", "N/A"), {
        ("InternetService", "allowed"), *((f"InternetService, {name}", "relation") for name in INTERNET)}),
    Corruption("a service without a line", put("MultipleLines", "No phone service"),
               {("PhoneService, MultipleLines", "relation")}),
    Corruption("a service that another column denies", put("StreamingTV", "No internet service"),
               {("InternetService, StreamingTV", "relation")}),
    Corruption("missing burst", lambda frame, _: frame.assign(TotalCharges=frame["TotalCharges"].where(
        frame.index >= 500, "")), {("TotalCharges", "missing"), ("tenure, TotalCharges", "relation")}),
    Corruption("duplicate rows", _again, {("customerID", "key"), ("", "duplicates")}),
    Corruption("duplicate keys", _same_key, {("customerID", "key")}),
    Corruption("a missing column", lambda frame, _: frame.drop(columns="tenure"), {("tenure", "present")}),
    Corruption("an extra column", lambda frame, _: frame.assign(note="x"), {("note", "unlisted")}),
    Corruption("a renamed column", lambda frame, _: frame.rename(columns={"tenure": "Tenure"}),
               {("tenure", "present"), ("Tenure", "unlisted")}),
    Corruption("swapped columns",
        _swapped("tenure", "MonthlyCharges"),
        {("tenure", "whole"), ("tenure, TotalCharges", "relation")},
    ),
    Corruption("another unit", _scaled("MonthlyCharges", 1000), {("MonthlyCharges", "max"), (PAIR, "relation"),
                                                                 (WHOLE, "relation")}),
    Corruption("another unit that no range forbids", _cents, {(PAIR, "relation"), (WHOLE, "relation")}),
    Corruption("a constant column", lambda frame, _: frame.assign(gender="Male"), {("gender", "constant")}),
    Corruption("a copy of the target", lambda frame, _: frame.assign(Partner=frame["Churn"]), {("Partner", "leakage")}),
    Corruption("the target by other words", lambda frame, _: frame.assign(
        SeniorCitizen=(frame["Churn"] == "Yes").astype(int)), {("SeniorCitizen", "leakage")}),
    Corruption("a column more, which is the target", lambda frame, _: frame.assign(
        left=(frame["Churn"] == "Yes").astype(int)), {("left", "unlisted"), ("left", "leakage")}),
    Corruption("a noisy copy of the target", _noisy_copy, {("PaperlessBilling", "leakage")}),
    Corruption("a class at one per cent", _rare_class("Churn", "Yes", 0.01), {("Churn", "balance")}),
    Corruption("one class", lambda frame, _: frame.assign(Churn="No"), {("Churn", "balance"), ("Churn", "constant")}),
    Corruption("rows dropped", lambda frame, _: frame.head(400), {("", "rows")}),
    Corruption("outliers", _outliers, {("TotalCharges", "outliers"), (WHOLE, "relation")}),
    Corruption("a broken pattern", put("customerID", lambda x: x.replace("-", "")), {("customerID", "pattern")}),
    Corruption("encoding garbage", put("customerID", lambda x: f"\N{REPLACEMENT CHARACTER}{x[1:]}"),
               {("customerID", "pattern")}),
    Corruption("a broken relation", _broken_relation, {("tenure, TotalCharges", "relation")}),
    Corruption("billed before the first month", _unbilled_months, {("tenure, TotalCharges", "relation"),
                                                                  (WHOLE, "relation")}),
    Corruption("two services that exclude each other", _two_services, {("PhoneService, MultipleLines", "relation")}),
    Corruption("fractions among whole numbers", put("tenure", lambda x: f"{x}.5"), {("tenure", "whole")}),
    Corruption("labels that are none", put("Churn", "maybe"), {("Churn", "allowed")}),
    Corruption("labels that lack", put("Churn", ""), {("Churn", "missing")}),
]  # fmt: skip

ADULT: Final = [
    Corruption("wrong type", put("age", "forty"), {("age", "type")}, "adult"),
    Corruption("out of range", put("hours-per-week", "168"),
               {("hours-per-week", "max"), ("hours-per-week", "outliers")}, "adult"),
    Corruption("a new category", put("workclass", "Gig"), {("workclass", "allowed")}, "adult"),
    Corruption("numbers as words", put("native-country", "840"), {("native-country", "pattern")}, "adult"),
    Corruption("missing burst", lambda frame, _: frame.assign(occupation="?"), {("occupation", "missing"),
                                                                              ("occupation", "constant")}, "adult"),
    Corruption("many rows twice", lambda frame, draws: pd.concat([frame, frame.iloc[some(frame, draws, 200)]]),
               {("", "duplicates")}, "adult"),
    Corruption("a score that knows the answers", _noisy_score, {("age", "leakage")}, "adult"),
    Corruption("a broken relation", lambda frame, _: frame.assign(**{"education-num": frame["education-num"].where(
        frame["education"] != "HS-grad", "12")}), {("education, education-num", "relation")}, "adult"),
    Corruption("a word against its number", put("education", "Doctorate"),
               {("education, education-num", "relation")}, "adult"),
    Corruption("another unit", _scaled("capital-gain", 100), {("capital-gain", "max")}, "adult"),
    Corruption("a class at one per cent", _rare_class("income-per-year", ">50K", 0.01),
               {("income-per-year", "balance")}, "adult"),
]  # fmt: skip
ALL: Final = [*TELCO, *ADULT]
