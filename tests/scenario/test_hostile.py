"""Whatever is done to a scenario file, it is read or refused with places; nothing else is ever raised."""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from harness import scenario
from harness.errors import ScenarioError
from harness.scenario.nodes import plain
from harness.scenario.tree import read_tree

SETTINGS = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**40), 10**40),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        [
            ".inf",
            "-0s",
            "1e400",
            "10 %",
            "5 m",
            "-5%",
            "x0",
            "x1e9",
            "0sd",
            "+",
            "stable",
            "and",
            "١٠%",
            "１s",
            "~",
            "=",
            "<<",
        ]
    ),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from(["weight", "at", "source", "<<", ""]), st.integers(), max_size=2),
)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "data").mkdir()
    (folder / "data" / "churn.csv").write_text("age,charges,plan,churn\n30,9.5,DSL,No\n", encoding="utf-8")
    (folder / "data" / "schema.yaml").write_text("columns: {}\n", encoding="utf-8")
    return folder


def judge(home, catalog, text, overrides=()):
    """Read it; where that fails, every problem has a place and one printable line."""
    file = str(home / "canary.yaml")
    try:
        scenario.load(file, catalog, overrides, text=text)
    except ScenarioError as error:
        problems = error.problems
    else:
        return
    assert problems
    for problem in problems:
        assert problem.file == file or problem.file.startswith("--set ")
        assert (problem.line > 0 and problem.column > 0) is (problem.file == file)
        assert problem.message
        assert str(problem).isprintable()
        assert "Input should" not in problem.message
        assert "pydantic" not in problem.message
    in_file = [(each.line, each.column) for each in problems if each.file == file]
    assert in_file == sorted(in_file)


def paths(value, above=()):
    """Every place in a document."""
    yield above
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from paths(value[key], (*above, key))


def changed(value, path, how):
    """A copy with what stands at a path put through a function; None of it: left out."""
    if not path:
        return how(value)
    copy = value.copy()
    if len(path) == 1 and how is None:
        del copy[path[0]]
    else:
        copy[path[0]] = changed(value[path[0]], path[1:], how)
    return copy


def dumped(document) -> str:
    import io

    out = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.dump(document, out)
    return out.getvalue()


@SETTINGS
@given(data=st.data())
def test_a_value_replaced_by_junk(data, valid, home, catalog):
    document = plain(read_tree(valid, "")[0])
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from([path for path in paths(document) if path]))
        document = changed(document, path, lambda _: data.draw(JUNK))
    judge(home, catalog, dumped(document))


@SETTINGS
@given(data=st.data())
def test_a_key_left_out(data, valid, home, catalog):
    document = plain(read_tree(valid, "")[0])
    for _ in range(data.draw(st.integers(1, 4))):
        document = changed(document, data.draw(st.sampled_from([path for path in paths(document) if path])), None)
        if not document:
            break
    judge(home, catalog, dumped(document))


@SETTINGS
@given(data=st.data())
def test_two_values_swapped(data, valid, home, catalog):
    document = plain(read_tree(valid, "")[0])
    places = st.sampled_from([path for path in paths(document) if path])
    first, second = data.draw(places), data.draw(places)
    values = {}
    for path in (first, second):
        value = document
        for part in path:
            value = value[part]
        values[path] = value
    if first[: len(second)] != second and second[: len(first)] != first:
        document = changed(changed(document, first, lambda _: values[second]), second, lambda _: values[first])
    judge(home, catalog, dumped(document))


@SETTINGS
@given(at=st.integers(0, 1400), cut=st.integers(0, 30), put=st.text(st.characters(codec=None), max_size=8))
@example(at=700, cut=0, put='"\\U00110000"')
@example(at=700, cut=3, put='"\\uD800"')
@example(at=0, cut=0, put="%TAG ! !\n---\n")
def test_characters_put_in_and_cut_out(at, cut, put, valid, home, catalog):
    judge(home, catalog, valid[:at] + put + valid[at + cut :])


@SETTINGS
@given(
    at=st.integers(0, 1400),
    put=st.sampled_from(["&a ", "*a ", "!!int ", "? ", "- ", "<<: ", "|\n", ">-\n", "'", "{", "]", "\t"]),
)
def test_pieces_of_yaml_put_in(at, put, valid, home, catalog):
    judge(home, catalog, valid[:at] + put + valid[at:])


@SETTINGS
@given(content=st.binary(max_size=60))
def test_bytes_of_any_kind(content, tmp_path, catalog):
    file = tmp_path / "any.yaml"
    file.write_bytes(content)
    with pytest.raises(ScenarioError):
        scenario.load(file, catalog)
    file.write_bytes(b"harness: 1\n" + content)
    with pytest.raises(ScenarioError):
        scenario.load(file, catalog)


@SETTINGS
@given(opening=st.lists(st.sampled_from(["[", "{a: ", "- ", "? ", "a:\n ", "&a ", "!!map "]), max_size=120))
def test_nesting_of_any_kind_and_depth(opening, home, catalog):
    judge(home, catalog, "harness: 1\nexpect: " + "".join(opening))
    judge(home, catalog, "".join(opening))


@SETTINGS
@given(data=st.data(), value=st.one_of(JUNK.map(str), st.text(max_size=20)))
def test_overrides_of_any_kind(data, value, valid, home, catalog):
    document = plain(read_tree(valid, "")[0])
    path = list(data.draw(st.sampled_from([path for path in paths(document) if path])))
    if data.draw(st.booleans()):
        path.append(data.draw(st.sampled_from(["0", "x", "", "weight", "-1", "99999999999"])))
    judge(home, catalog, valid, [f"{'.'.join(map(str, path))}={value}"])


@SETTINGS
@given(text=st.text(max_size=40))
def test_rules_of_any_text(text, valid, home, catalog):
    document = plain(read_tree(valid, "")[0])
    judge(home, catalog, dumped({**document, "expect": [text]}))
