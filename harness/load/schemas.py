"""JSON Schema of answers: read once, told at once what is wrong with it, and quick for answers that are valid.

The ``jsonschema`` package decides. It takes some 20 µs for a small object, so the keywords that most schemas are made
of are compiled to closures too, which know most valid answers in 1; whatever they do not know it is asked.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from harness.errors import InputError
from harness.load.expressions import same

Valid = Callable[[Any], bool]

_NOTES: Final = frozenset(
    {
        "$comment",
        "$schema",
        "default",
        "deprecated",
        "description",
        "examples",
        "format",
        "readOnly",
        "title",
        "writeOnly",
    }
)
"""Keywords that forbid nothing; ``format`` neither, unless one asks for it."""
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class AnswerSchema:
    """A schema that answers are held against.

    Args:
        text: JSON Schema, as JSON; of Draft 2020-12, or what its ``$schema`` says. Nothing is fetched: what it refers
            to stands in it.

    Raises:
        InputError: it is no JSON, no schema, or refers to what it does not hold.
    """

    def __init__(self, text: str) -> None:
        schema = _parsed(text)
        self._validator = validator(schema)
        self._quick = quick(schema) if _is_current(schema) else None
        _try_out(self._validator)

    def valid(self, answer: Any) -> bool:
        """Whether an answer, as parsed JSON, is valid."""
        if self._quick is not None and self._quick(answer):
            return True
        try:
            return bool(self._validator.is_valid(answer))
        except RecursionError:
            return False

    def problem(self, answer: Any) -> str:
        """What is wrong with an answer that is not valid, and where."""
        from jsonschema.exceptions import best_match

        try:
            error = best_match(self._validator.iter_errors(answer))
        except RecursionError:
            return "the answer nests too deep to be held against the schema"
        return "" if error is None else told(error)


def told(error: Any) -> str:
    """One of jsonschema's errors, with its place."""
    place = error.json_path.removeprefix("$").removeprefix(".")
    message = error.message if len(error.message) <= 200 else f"{error.message[:199]}…"
    return f"{place or 'the answer'}: {message}"


def validator(schema: Any, default: Any = None) -> Any:
    """A validator of jsonschema that never fetches anything.

    Args:
        schema: as parsed JSON.
        default: the class of a schema that does not say its draft; None: Draft 2020-12.

    Raises:
        InputError: it is no schema, of a draft nobody knows, or refers to what it does not hold.
    """
    import jsonschema
    from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]

    if not isinstance(schema, dict | bool):
        raise InputError("the schema is none: it is an object, or true or false")
    dialect = schema.get("$schema") if isinstance(schema, dict) else None
    if dialect is not None and not isinstance(dialect, str):
        raise InputError(f"the schema's $schema is {json.dumps(dialect)}; it is a text: {_DIALECT}")
    kind = jsonschema.validators.validator_for(schema, default=default or jsonschema.Draft202012Validator)
    if dialect is not None and str(kind.META_SCHEMA.get("$schema", "")).rstrip("#") != str(dialect).rstrip("#"):
        raise InputError(f"the schema's $schema is {dialect!r}, which is no known draft; write {_DIALECT}")
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise InputError(f"the schema is none: {told(error)}") from None
    except RecursionError:
        raise InputError("the schema nests too deep; write it flatter") from None
    _check_references(schema, str(kind.META_SCHEMA["$schema"]))
    return kind(schema, registry=REGISTRY)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"the schema is not JSON: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"the schema is not JSON: {error}") from None


def _check_references(schema: Any, dialect: str) -> None:
    from jsonschema_specifications import REGISTRY
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import specification_with

    def walk(resource: Any, resolver: Any) -> None:
        if isinstance(resource.contents, Mapping):
            for key in ("$ref", "$dynamicRef"):
                reference = resource.contents.get(key)
                if isinstance(reference, str):
                    _look_up(resolver, reference)
        for part in resource.subresources():
            walk(part, resolver.in_subresource(part))

    def _look_up(resolver: Any, reference: str) -> None:
        try:
            resolver.lookup(reference)
        except (Unresolvable, ValueError, LookupError, TypeError):
            raise InputError(
                f"the schema refers to {reference!r}, which is not in it; copy it to its $defs, for nothing is fetched"
            ) from None

    resource = specification_with(dialect).create_resource(schema)
    try:
        walk(resource, REGISTRY.resolver_with_root(resource))
    except RecursionError:
        raise InputError("the schema nests too deep; write it flatter") from None


def _try_out(made: Any) -> None:
    """Some schemas are fine by the rules and end in a circle: found here, and not amid the test."""
    probes: tuple[Any, ...] = (None, {}, [], "", 0)
    for probe in probes:
        try:
            made.is_valid(probe)
        except RecursionError:
            raise InputError("the schema refers to itself in a circle; let each $ref lead to something") from None


def _is_current(schema: Any) -> bool:
    return not isinstance(schema, dict) or str(schema.get("$schema", _DIALECT)).rstrip("#") == _DIALECT


# --- quick ---


def quick(schema: Any) -> Valid | None:
    """What tells of a value that it is surely valid; None where the schema has a keyword that is not compiled here.

    >>> positive = quick({"type": "number", "exclusiveMinimum": 0})
    >>> positive(0.5), positive(0), positive("0.5"), quick({"$ref": "#"})
    (True, False, False, None)
    """
    if isinstance(schema, bool):
        return lambda _: schema
    parts: list[Valid] = []
    for keyword, given in schema.items():
        if keyword in _NOTES or keyword == "additionalProperties":
            continue
        make = _KEYWORDS.get(keyword)
        part = make(given) if make else None
        if part is None:
            return None
        parts.append(part)
    if "additionalProperties" in schema:
        others = _others(schema)
        if others is None:
            return None
        parts.append(others)
    return _every(parts)


def _every(parts: list[Valid]) -> Valid:
    if not parts:
        return lambda _: True
    if len(parts) == 1:
        return parts[0]

    def valid(value: Any) -> bool:
        for part in parts:  # noqa: SIM110 - a generator would take as long again
            if not part(value):
                return False
        return True

    return valid


def _type(given: Any) -> Valid | None:
    names = [given] if isinstance(given, str) else given
    tests = [_TYPES[name] for name in names]
    if len(tests) == 1:
        return tests[0]
    return lambda value: any(test(value) for test in tests)


def _is_integer(value: Any) -> bool:
    return type(value) is int or (type(value) is float and value.is_integer())


_TYPES: Final[dict[str, Valid]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: value is True or value is False,
    "integer": _is_integer,
    "number": lambda value: type(value) is float or type(value) is int,
    "string": lambda value: type(value) is str,
    "array": lambda value: type(value) is list,
    "object": lambda value: type(value) is dict,
}


def _properties(given: Mapping[str, Any]) -> Valid | None:
    tests = [(name, quick(schema)) for name, schema in given.items()]
    known = [(name, test) for name, test in tests if test is not None]
    if len(known) < len(tests):
        return None

    def valid(value: Any) -> bool:
        if type(value) is dict:
            for name, test in known:
                if name in value and not test(value[name]):
                    return False
        return True

    return valid


def _others(schema: Mapping[str, Any]) -> Valid | None:
    """Properties that ``properties`` does not name."""
    test = quick(schema["additionalProperties"])
    if test is None or "patternProperties" in schema:
        return None
    named = frozenset(schema.get("properties", ()))

    def valid(value: Any) -> bool:
        if type(value) is dict and not value.keys() <= named:
            return all(test(each) for name, each in value.items() if name not in named)
        return True

    return valid


def _items(given: Any) -> Valid | None:
    test = quick(given)
    if test is None:
        return None
    return lambda value: type(value) is not list or all(map(test, value))


def _required(given: list[str]) -> Valid:
    names = frozenset(given)
    return lambda value: type(value) is not dict or names <= value.keys()


def _bound(holds: Callable[[Any, Any], bool]) -> Callable[[Any], Valid]:
    def make(given: Any) -> Valid:
        return lambda value: not (type(value) is float or type(value) is int) or holds(value, given)

    return make


def _size(
    kind: type[str] | type[list[Any]] | type[dict[str, Any]], holds: Callable[[int, float], bool]
) -> Callable[[Any], Valid]:
    def make(given: Any) -> Valid:
        return lambda value: type(value) is not kind or holds(len(value), given)

    return make


def _enum(given: list[Any]) -> Valid:
    words = frozenset(each for each in given if isinstance(each, str))
    others = [each for each in given if not isinstance(each, str)]
    return lambda value: value in words if type(value) is str else any(same(value, each) for each in others)


def _all_of(given: list[Any]) -> Valid | None:
    tests = [test for test in map(quick, given) if test is not None]
    return _every(tests) if len(tests) == len(given) else None


def _any_of(given: list[Any]) -> Valid | None:
    tests = [test for test in map(quick, given) if test is not None]
    return (lambda value: any(test(value) for test in tests)) if len(tests) == len(given) else None


_KEYWORDS: Final[dict[str, Callable[[Any], Valid | None]]] = {
    "type": _type,
    "properties": _properties,
    "required": _required,
    "items": _items,
    "enum": _enum,
    "const": lambda given: _enum([given]),
    "minimum": _bound(lambda value, given: value >= given),
    "maximum": _bound(lambda value, given: value <= given),
    "exclusiveMinimum": _bound(lambda value, given: value > given),
    "exclusiveMaximum": _bound(lambda value, given: value < given),
    "minLength": _size(str, lambda size, given: size >= given),
    "maxLength": _size(str, lambda size, given: size <= given),
    "minItems": _size(list, lambda size, given: size >= given),
    "maxItems": _size(list, lambda size, given: size <= given),
    "minProperties": _size(dict, lambda size, given: size >= given),
    "maxProperties": _size(dict, lambda size, given: size <= given),
    "allOf": _all_of,
    "anyOf": _any_of,
}
