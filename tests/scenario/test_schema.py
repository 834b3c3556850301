"""The JSON Schema for editors: accepts what is right, describes every key, and knows what is installed."""

import re

import pytest

from harness import scenario
from harness.scenario.nodes import plain
from harness.scenario.tree import read_tree


@pytest.fixture
def schema(catalog):
    return scenario.json_schema(catalog)


def objects(schema):
    """Every mapping that the schema describes."""
    yield schema
    yield from schema["$defs"].values()


def test_every_key_has_a_description(schema):
    for described in objects(schema):
        for key, each in described["properties"].items():
            assert each.get("description"), key


def test_no_key_is_allowed_that_is_not_described(schema):
    assert all(described["additionalProperties"] is False for described in objects(schema))


def test_what_is_installed_is_enumerated(schema):
    definitions = schema["$defs"]
    strategies = ["ab_test", "blue_green", "canary", "rolling", "shadow"]
    assert definitions["RolloutInput"]["properties"]["strategy"]["enum"] == strategies
    assert definitions["BackendsInput"]["properties"]["registry"]["anyOf"][0]["enum"] == ["memory", "mlflow"]
    assert definitions["BackendsInput"]["properties"]["metrics"]["enum"] == ["inprocess"]
    assert "random_forest" in definitions["SourceInput"]["properties"]["algorithm"]["enum"]
    assert "enum" not in scenario.json_schema()["$defs"]["RolloutInput"]["properties"]["strategy"]


def test_of_some_keys_exactly_one_is_asked_for(schema):
    assert schema["$defs"]["StepInput"]["oneOf"] == [
        {"required": [kind]} for kind in ("weight", "pause", "scale", "route", "mirror", "analyze", "approve", "smoke")
    ]


def test_defaults_are_as_one_would_write_them(schema):
    assert schema["properties"]["horizon"]["default"] == "4h"
    assert schema["$defs"]["DataInput"]["properties"]["test_share"]["default"] == "25%"
    assert "default" not in schema["properties"]["labels"]


def test_nothing_of_python_leaks(schema):
    text = str(schema)
    assert "null" not in text
    assert "_ns" not in text
    assert "'title': 'harness scenario'" in text
    assert text.count("'title'") == 1


@pytest.mark.parametrize(
    ("kind", "key", "right", "wrong"),
    [
        ("LabelsInput", "delay", ["15m", "250ms", "1h30m", "1.5s", "0s"], ["15", "5 m", "-1s", "m", "5min", ""]),
        ("RampInput", "to", ["200/s", "12000/m", "0.5/h"], ["200", "/s", "200/d", "-1/s"]),
        ("DriftInput", "scale", ["x1.8", "x2"], ["1.8", "x", "x-1"]),
        ("DriftInput", "shift", ["1.5sd", "-2sd", "+1sd"], ["1.5", "sd"]),
    ],
)
def test_patterns_draw_the_same_line_as_the_reader(kind, key, right, wrong, schema):
    pattern = schema["$defs"][kind]["properties"][key]["pattern"]
    assert all(re.search(pattern, each) for each in right)
    assert not any(re.search(pattern, each) for each in wrong)


def test_an_editor_accepts_what_is_right_and_no_more(schema, valid):
    import jsonschema

    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert not list(validator.iter_errors(plain(read_tree(valid, "")[0])))
    for wrong in (valid.replace("10%}", "10 %}"), valid.replace("seed:", "sed:"), valid.replace("30m}", "30}")):
        assert list(validator.iter_errors(plain(read_tree(wrong, "")[0])))


def test_a_scenario_fits_the_schema(schema, valid):
    """The same by hand, for where the package is not installed: keys, patterns, words and bounds."""
    assert fits(plain(read_tree(valid, "")[0]), schema, schema) == []
    broken = valid.replace("seed: 7", "sed: 7").replace("{pause: 30m}", "{pause: 30}").replace("virtual", "virtul")
    assert len(fits(plain(read_tree(broken, "")[0]), schema, schema)) == 4


def fits(value, schema, root, path=""):
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        return [] if any(not fits(value, each, root) for each in schema["anyOf"]) else [path]
    types = {"object": dict, "array": list, "string": str, "integer": int, "number": int | float}
    named = schema.get("type", [])
    wanted = tuple(types[each] for each in ([named] if isinstance(named, str) else named))
    if wanted and not isinstance(value, wanted):
        return [path]
    if "const" in schema and value != schema["const"]:
        return [path]
    if "enum" in schema and value not in schema["enum"]:
        return [path]
    if "pattern" in schema and not re.search(schema["pattern"], value):
        return [path]
    if isinstance(value, list):
        return [each for item in value for each in fits(item, schema["items"], root, f"{path}[]")]
    if not isinstance(value, dict) or "properties" not in schema:
        return []
    wrong = [f"{path}.{key}" for key in value if key not in schema["properties"]]
    wrong += [f"{path}.{key} is missing" for key in schema.get("required", ()) if key not in value]
    if "oneOf" in schema and sum(each["required"][0] in value for each in schema["oneOf"]) != 1:
        wrong.append(f"{path}: not one of")
    for key, each in value.items():
        if key in schema["properties"]:
            wrong += fits(each, schema["properties"][key], root, f"{path}.{key}")
    return wrong
