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
        values = {value.strip() for value in match["values"].split(",")}
        if match["how"] == "in":
            return lambda labels: labels.get(match["key"]) in values
        return lambda labels: labels.get(match["key"]) not in values
    if match := EQUAL.match(part):
        if match["how"] == "!=":
            return lambda labels: labels.get(match["key"]) != match["value"]
        return lambda labels: labels.get(match["key"]) == match["value"]
    if match := BARE.match(part):
        return lambda labels: (match["key"] in labels) != bool(match["no"])
    raise bad_request(f"unable to parse requirement: found '{part}', expected: in, notin, =, ==, != or a key")


FIELDS: Final = ("metadata.name", "metadata.namespace", "spec.nodeName", "status.phase", "involvedObject.name")


def _field(part: str) -> Callable[[Object], bool]:
    match = EQUAL.match(part)
    if match is None:
        raise bad_request(f"invalid selector: '{part}'; can't understand it")
    if match["key"] not in FIELDS:
        raise bad_request(f'field label not supported: "{match["key"]}"')
    path = match["key"].split(".")
    return lambda obj: (str(_at(obj, path)) == match["value"]) == (match["how"] != "!=")


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
