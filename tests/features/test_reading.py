"""Feature sets from files: what is wrong is told with its place, and all at once."""

from pathlib import Path

import pytest

from harness.errors import InputError
from harness.features.reading import feature_set, read_features

WRONG = """\
features: 1
columns:
  tenure: {impte: median, scale: standrd}
  day: {date: [yaer], clip: [1, 0]}
  plain: 3
groups:
  - {columns: [x, tenure], encode: onehot}
derived:
  a: b/c
others: dorp
"""
PLACES = [
    ":3:12: columns.tenure.impte is not known here; did you mean impute?",
    ":3:34: columns.tenure.scale (standrd) is not one of standard, min_max, robust, none; did you mean standard?",
    ":4:15: columns.day.date ([yaer]) names yaer, which is not one of year",
    ":4:29: columns.day.clip ([1, 0]) must be the least and the greatest value",
    ":5:10: columns.plain (3) must be a mapping",
    ":7:15: groups[0].columns ([x, tenure]) lists tenure, of which something is said before",
    ":7:36: groups[0].encode (onehot) is not one of one_hot, ordinal, target; did you mean one_hot?",
    ":9:6: derived.a (b/c) must be two columns",
    ":10:9: others (dorp) is not one of usual, drop, refuse; did you mean drop?",
]


def test_every_problem_has_its_place(tmp_path: Path) -> None:
    file = tmp_path / "features.yaml"
    file.write_text(WRONG)
    with pytest.raises(InputError) as caught:
        read_features(str(file))
    lines = str(caught.value).splitlines()
    for place in PLACES:
        assert sum(line.startswith(f"{file}{place}") for line in lines) == 1, place


def test_a_version_is_asked_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "features.yaml"
    file.write_text("columns: {x: drop}\n")
    with pytest.raises(InputError, match="features must be the version that this program reads: 1"):
        read_features(str(file))


def test_a_set_is_known_by_what_it_says(tmp_path: Path) -> None:
    """Order, names, groups and how YAML writes it are nothing to the digest; any treatment is."""
    file = tmp_path / "f.yaml"
    file.write_text("features: 1\nname: a\ngroups:\n- {columns: [x, y], scale: robust}\n")
    one, other = (
        read_features(str(file)),
        feature_set({"columns": {"y": {"scale": "robust"}, "x": {"scale": "robust"}}}),
    )
    assert one.digest == other.digest
    assert feature_set({"columns": {"y": {"scale": "robust"}, "x": {"scale": "min_max"}}}).digest != one.digest
    assert one.digest.startswith("sha256:")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"columns": {"a": {"impute": "constant"}}}, "belongs with the other"),
        ({"columns": {"a": {"encode": "target", "scale": "robust"}}}, "does not stand with scale"),
        ({"columns": {"a": {"bins": 3, "scale": "robust"}}}, "does not stand with bins"),
        ({"columns": {"a": {"order": ["x"]}}}, "belongs with encode: ordinal"),
        ({"columns": {"a": {"cyclic": ["year"]}}}, "does not come round again"),
        ({"columns": {"a": {"format": "%d"}}}, "belongs with date or cyclic"),
        ({"columns": {"a": {"bins": 1}}}, "whole number from 2 on"),
        ({"columns": {"a": {"min_share": 2}}}, "must be a share between 0% and 100%"),
        ({"columns": {"a": {"date": ["year"], "reference": "soon"}}}, "must be a date such as 2020-01-01"),
        ({"columns": {"a": {"date": ["year"], "format": "%Q"}}}, "must be a form as strftime has it"),
    ],
)
def test_what_does_not_stand_together_is_refused(said: object, told: str) -> None:
    with pytest.raises(InputError, match=told):
        feature_set(said)  # type: ignore[arg-type]
