"""Label selectors and field selectors, as in queries and as in objects."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from fakes.kube_errors import bad_request
from fakes.kube_script import Object
from fakes.kube_store import Fits

SPLIT: Final = re.compile(r",(?![^(]*\))")
IN: Final = re.compile(r"^\s*(?P<key>[^\s!=,()]+)\s+(?P<how>in|notin)\s*\((?P<values>[^)]*)\)\s*$")
EQUAL: Final = re.compile(r"^\s*(?P<key>[^\s!=,()]+)\s*(?P<how>==|=|!=)\s*(?P<value>[^\s=!,()]*)\s*$")
BARE: Final = re.compile(r"^\s*(?P<no>!?)\s*(?P<key>[^\s!=,()]+)\s*$")
Labels = Mapping[str, str]


def fits(labels: str, fields: str) -> Fits:
    """Whether an object is meant by both selectors of a query; empty: any is.

    Raises:
        Refused: 400; one cannot be read, or names a field that is none to select by.
    """
    terms = [_term(part) for part in SPLIT.split(labels)] if labels else []
    wanted = [_field(part) for part in fields.split(",")] if fields else []

    def chosen(obj: Object) -> bool:
        found = obj["metadata"].get("labels") or {}
        return all(term(found) for term in terms) and all(one(obj) for one in wanted)

    return chosen


def _term(part: str) -> Callable[[Labels], bool]:
    if match := IN.match(part):
        key, values, inside = (
            match["key"],
            {value.strip() for value in match["values"].split(",")},
            match["how"] == "in",
        )
        return lambda labels: (labels.get(key) in values) == inside
    if match := EQUAL.match(part):
        key, value, same = match["key"], match["value"], match["how"] != "!="
        return lambda labels: (labels.get(key) == value) == same
    if match := BARE.match(part):
        key, absent = match["key"], bool(match["no"])
        return lambda labels: (key in labels) != absent
    raise bad_request(f"unable to parse requirement: found '{part}', expected: in, notin, =, ==, != or a key")


FIELDS: Final = ("metadata.name", "metadata.namespace", "spec.nodeName", "status.phase", "involvedObject.name")


def _field(part: str) -> Callable[[Object], bool]:
    match = EQUAL.match(part)
    if match is None:
        raise bad_request(f"invalid selector: '{part}'; can't understand it")
    if match["key"] not in FIELDS:
        raise bad_request(f'field label not supported: "{match["key"]}"')
    path, value, same = match["key"].split("."), match["value"], match["how"] != "!="
    return lambda obj: (str(_at(obj, path)) == value) == same


def _at(obj: Any, path: list[str]) -> Any:
    for step in path:
        obj = obj.get(step, "") if isinstance(obj, dict) else ""
    return obj


def matches(selector: Mapping[str, Any], labels: Labels) -> bool:
    """Whether a LabelSelector of an object (matchLabels, matchExpressions) takes these labels."""
    if not (selector.get("matchLabels") or {}).items() <= labels.items():
        return False
    return all(_expression(each, labels) for each in selector.get("matchExpressions") or [])


def _expression(each: Mapping[str, Any], labels: Labels) -> bool:
    has, value = each["key"] in labels, labels.get(each["key"])
    return {
        "In": value in each.get("values", []),
        "NotIn": value not in each.get("values", []),
        "Exists": has,
        "DoesNotExist": not has,
    }[each["operator"]]
