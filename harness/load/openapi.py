"""Bodies out of an OpenAPI document: the operation's own examples, or values made from its JSON Schema.

OpenAPI 3.0 and 3.1. What is made is the same for the same document, and is held against the schema before it is sent.
"""

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from harness.errors import InputError

DEEPEST: Final = 20
"""References, or parts of ``allOf`` and alternatives, that lead from one to the next."""
MOST: Final = 1000
"""Elements of an array, or letters of a text, that a schema can ask for."""
MOST_VALUES: Final = 10_000
"""Of a body that is made."""

_FORMATS: Final = {
    "date": "2024-01-15",
    "date-time": "2024-01-15T12:00:00Z",
    "duration": "PT1H",
    "email": "ann@example.org",
    "hostname": "example.org",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "time": "12:00:00Z",
    "uri": "https://example.org/",
    "uuid": "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
}
_TEXTS: Final = ("text", "A", "a", "1", "2024-01-15", "AA", "A1", "abc", "123", "a@example.org", "12345", "0123456789")
"""What is tried where a text must match a pattern."""

Document = Mapping[str, Any]


class Unmade(InputError):
    """No body can be made of the document; tells why."""


def bodies(document: Document, url: str) -> tuple[list[Any], str]:
    """The bodies that a document has for a URL's POST.

    Args:
        document: as parsed JSON.
        url: where predictions are asked for.

    Returns:
        At least one body, and where they come from: ``an example`` or ``its schema``.

    Raises:
        Unmade: it says nothing of that path, or no body can be made.
    """
    operation = _operation(document, url)
    content = _resolved(document, _resolved(document, operation).get("requestBody")).get("content")
    kinds = _mapping(content)
    media = next((_mapping(kinds[kind]) for kind in kinds if _is_json(kind)), None)
    if media is None:
        found = f"takes {', '.join(map(str, kinds))}" if kinds else "does not say what it takes"
        raise Unmade(f"POST {urlsplit(url).path} {found}, and no JSON")
    if examples := [*_examples(document, media)]:
        return examples, "its examples" if len(examples) > 1 else "its example"
    schema = media.get("schema")
    if schema is None or schema is True or schema == {}:
        raise Unmade(f"POST {urlsplit(url).path} takes any JSON: the document has neither an example nor a schema")
    made = _Maker(document).value(schema, "the body")
    _check(document, schema, made)
    return [made], "its schema"


def _is_json(kind: str) -> bool:
    plain = kind.partition(";")[0].strip().lower()
    return plain == "application/json" or plain.endswith("+json")


def _operation(document: Document, url: str) -> Any:
    paths = _mapping(document.get("paths"))
    wanted = unquote(urlsplit(url).path).rstrip("/") or "/"
    posts = {path: item["post"] for path, item in paths.items() if isinstance(item, Mapping) and "post" in item}
    if wanted in posts:
        return posts[wanted]
    fitting = [path for path in posts if _fits(path, wanted)]
    if fitting:
        return posts[max(fitting, key=len)]
    listed = ", ".join(sorted(map(str, posts))[:10]) or "none"
    raise Unmade(f"it has no POST {wanted}; its POST paths are: {listed}")


def _fits(path: str, wanted: str) -> bool:
    """Whether the wanted path ends in a path of the document, whose parts in braces fit anything: it may be mounted."""
    parts = re.split(r"(\{[^}]*\})", path.rstrip("/"))
    pattern = "".join("[^/]+" if part.startswith("{") else re.escape(part) for part in parts)
    return bool(pattern) and re.fullmatch(rf"(?:/.*)?{pattern}", wanted) is not None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _resolved(document: Document, value: Any) -> Mapping[str, Any]:
    """What a reference leads to within the document, step by step."""
    for _ in range(DEEPEST):
        reference = _mapping(value).get("$ref")
        if not isinstance(reference, str):
            return _mapping(value)
        if not reference.startswith("#"):
            raise Unmade(f"it refers to {reference}, which is not in it")
        rest = _mapping({key: part for key, part in value.items() if key != "$ref"})
        found: Any = document
        for part in reference.lstrip("#").split("/")[1:]:
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            elif isinstance(found, Mapping) and key in found:
                found = found[key]
            else:
                raise Unmade(f"it refers to {reference}, which is not in it")
        value = {**_mapping(found), **rest}
    raise Unmade("its references lead to each other in a circle")


def _examples(document: Document, media: Mapping[str, Any]) -> Iterator[Any]:
    if "example" in media:
        yield media["example"]
        return
    examples = media.get("examples")
    for given in examples.values() if isinstance(examples, Mapping) else ():
        example = _resolved(document, given)
        if "value" in example:
            yield example["value"]


class _Endless(Unmade):
    """A schema leads into itself."""


class _Maker:
    """Makes a value of a schema."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._inside: list[str] = []
        """The references that are being followed, the outermost first."""
        self._left = MOST_VALUES

    def value(self, given: Any, place: str) -> Any:
        """The schema's own example, else its default, else the first it allows, else something of its type."""
        self._left -= 1
        if self._left < 0:
            raise Unmade(f"its schema asks for more than {MOST_VALUES:,} values")
        followed: list[str] = []
        schema = self._whole(given, followed, 0)
        if again := next((reference for reference in followed if reference in self._inside), None):
            raise _Endless(f"{place} leads into itself without an end ({again})")
        for keyword in ("example", "default", "const"):
            if keyword in schema:
                return schema[keyword]
        for keyword in ("examples", "enum"):
            if isinstance(schema.get(keyword), list) and schema[keyword]:
                return schema[keyword][0]
        self._inside += followed
        try:
            return self._made(schema, place)
        finally:
            del self._inside[len(self._inside) - len(followed) :]

    def _made(self, schema: Mapping[str, Any], place: str) -> Any:
        match _type(schema):
            case "object":
                return self._object(schema, place)
            case "array":
                return self._array(schema, place)
            case "string":
                return _text(schema, place)
            case "integer" | "number" as kind:
                return _number(schema, place, whole=kind == "integer")
            case "boolean" | "null" as kind:
                return True if kind == "boolean" else None
            case other:
                raise Unmade(f"{place} is of type {other!r}, which JSON Schema does not have")

    def _whole(self, given: Any, followed: list[str], depth: int) -> Mapping[str, Any]:
        """A schema with its references followed, its ``allOf`` merged, and one of its alternatives chosen."""
        if depth > DEEPEST:
            raise Unmade("its schemas lead to each other in a circle")
        if reference := _reference(given):
            followed.append(reference)
        schema = dict(_resolved(self._document, given))
        for part in _list(schema.pop("allOf", None)):
            schema = _merged(schema, self._whole(part, followed, depth + 1))
        for keyword in ("oneOf", "anyOf"):
            if options := _list(schema.pop(keyword, None)):
                schema = _merged(schema, self._whole(min(options, key=self._less_wanted), followed, depth + 1))
        return schema

    def _less_wanted(self, option: Any) -> tuple[bool, bool]:
        """Of alternatives the first is taken that does not lead into itself, and is not null."""
        return _reference(option) in self._inside, _resolved(self._document, option).get("type") == "null"

    def _object(self, schema: Mapping[str, Any], place: str) -> dict[str, Any]:
        required = [name for name in _list(schema.get("required")) if isinstance(name, str)]
        made = {}
        for name, part in _mapping(schema.get("properties")).items():
            if name not in required and _resolved(self._document, part).get("readOnly") is True:
                continue  # a server only answers with it
            try:
                made[name] = self.value(part, f"{place}.{name}")
            except _Endless:
                if name in required:
                    raise
        for name in required:
            if name not in made:
                made[name] = self.value(_mapping(schema.get("additionalProperties")), f"{place}.{name}")
        return made

    def _array(self, schema: Mapping[str, Any], place: str) -> list[Any]:
        made = [self.value(part, f"{place}[{at}]") for at, part in enumerate(_list(schema.get("prefixItems")))]
        least = schema.get("minItems", 0)
        if not isinstance(least, int) or least > MOST:
            raise Unmade(f"{place} asks for {least} elements")
        items = _mapping(schema.get("items"))
        wanted = max(least, 0 if made or schema.get("maxItems") == 0 else 1)
        for at in range(len(made), wanted):
            try:
                made.append(self.value(items, f"{place}[{at}]"))
            except _Endless:
                if least > at:
                    raise
        return made


def _reference(schema: Any) -> str:
    reference = _mapping(schema).get("$ref")
    return reference if isinstance(reference, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _type(schema: Mapping[str, Any]) -> Any:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    if kind is not None:
        return kind
    if "properties" in schema or "required" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    return "number" if {"minimum", "maximum"} & schema.keys() else "string"


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**other, **one}
    if "properties" in one and "properties" in other:
        merged["properties"] = {**_mapping(other["properties"]), **_mapping(one["properties"])}
    if "required" in one and "required" in other:
        merged["required"] = [*one["required"], *other["required"]]
    return merged


@contextmanager
def _quiet_patterns() -> Iterator[None]:
    """Patterns of a description are JavaScript's: what Python may come to read otherwise is not its author's fault."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _text(schema: Mapping[str, Any], place: str) -> str:
    least, most = schema.get("minLength", 0), schema.get("maxLength", MOST)
    if not isinstance(least, int) or not isinstance(most, int) or not 0 <= least <= min(most, MOST):
        raise Unmade(f"{place} asks for a text of {least} to {most} letters")
    text = _FORMATS.get(str(schema.get("format")), "text")
    fitted = [(each * (least + 1))[: max(least, min(most, len(each)))] for each in (text, *_TEXTS)]
    pattern = schema.get("pattern")
    if pattern is None:
        return fitted[0]
    try:
        with _quiet_patterns():
            return next(each for each in fitted if re.search(str(pattern), each))
    except (StopIteration, re.error):
        raise Unmade(f"{place} asks for a text that matches {pattern}, and has no example of one") from None


def _number(schema: Mapping[str, Any], place: str, *, whole: bool) -> float:
    """A small number that the bounds allow: 1 where they say nothing."""
    lows = [_bound(schema, key) for key in ("minimum", "exclusiveMinimum")]
    highs = [_bound(schema, key) for key in ("maximum", "exclusiveMaximum")]
    low = max((bound for bound in lows if bound is not None), default=None)
    high = min((bound for bound in highs if bound is not None), default=None)
    step = _bound(schema, "multipleOf") or (1 if whole else 0)
    tried: list[float] = [1, 0]
    if low is not None:
        tried += [low, low + 1]
    if high is not None:
        tried += [high, high - 1]
    if low is not None and high is not None:
        tried.append(low + (high - low) / 2)
    if step > 0:
        tried = [count * step for each in tried for count in (round(each / step), each // step + 1)]
    for each in tried:
        if _within(each, schema):
            return int(each) if whole and float(each).is_integer() else each
    raise Unmade(f"{place} asks for a number that nothing tried is: {_told(schema)}")


def _bound(schema: Mapping[str, Any], key: str) -> float | None:
    """A number of a schema; in OpenAPI 3.0 exclusive bounds are true or false, and none themselves."""
    value = schema.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _within(value: float, schema: Mapping[str, Any]) -> bool:
    low, high = _bound(schema, "minimum"), _bound(schema, "maximum")
    above = low if schema.get("exclusiveMinimum") is True else _bound(schema, "exclusiveMinimum")
    below = high if schema.get("exclusiveMaximum") is True else _bound(schema, "exclusiveMaximum")
    return (
        (low is None or value >= low)
        and (high is None or value <= high)
        and (above is None or value > above)
        and (below is None or value < below)
    )


def _told(schema: Mapping[str, Any]) -> str:
    keys = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf")
    return ", ".join(f"{key} {schema[key]}" for key in keys if key in schema)


def _check(document: Document, schema: Any, made: Any) -> None:
    """Hold what was made against its schema: better to ask for a payload than to send what is refused."""
    import jsonschema

    from harness.load.schemas import told, validator

    old = str(document.get("openapi", "")).startswith("3.0")
    kind = jsonschema.Draft4Validator if old else None
    whole = {**_mapping(schema), "components": document.get("components", {})}
    try:
        with _quiet_patterns():
            error = next(iter(validator(whole, kind).iter_errors(made)), None)
    except (InputError, RecursionError) as wrong:
        raise Unmade(f"its schema cannot be used: {wrong}") from None
    if error is not None:
        raise Unmade(f"a body made of its schema would be refused: {told(error)}")
