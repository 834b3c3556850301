"""The JSON Schema of the scenario file, for editors: completion, descriptions, and most errors while typing."""

from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from harness.backends.uri import PATTERN
from harness.scenario.catalog import Catalog
from harness.scenario.document import Document
from harness.scenario.inputs import Input

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def json_schema(catalog: Catalog | None = None) -> dict[str, Any]:
    """The schema; with a catalog, the words of what is installed are enumerated."""
    schema = Document.model_json_schema(schema_generator=_Generator)
    if catalog is not None:
        definitions = schema["$defs"]
        for owner in ("SourceInput", "ExperimentInput"):
            _allow(definitions[owner]["properties"]["algorithm"], catalog.algorithms)
        _allow(definitions["RolloutInput"]["properties"]["strategy"], catalog.strategies)
        for kind, words in definitions["BackendsInput"]["properties"].items():
            _allow(words, catalog.backend_words(kind))
            if kind in ("registry", "tracker"):
                words["anyOf"] = [{"enum": words.pop("enum")}, {"pattern": PATTERN}]
    return {"$schema": DIALECT, **schema, "title": "harness scenario"}


def _allow(schema: dict[str, Any], words: Any) -> None:
    schema["enum"] = sorted(words)


class _Generator(GenerateJsonSchema):
    """Pydantic's generator, without accidents of Python: null for what is left out, titles from class names."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """An optional key may be left out; it may not be null."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Defaults as they would be written; none where it is only Python's way of leaving a key out."""
        if schema.get("default") is None or isinstance(schema["default"], Input):
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)

    def field_title_should_be_set(self, schema: Any) -> bool:
        """The key is title enough."""
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """Exactly one of the keys that tell the kinds apart."""
        made = super().model_schema(schema)
        made.pop("title", None)
        kinds = schema["cls"].ONE_OF if issubclass(schema["cls"], Input) else ()
        if kinds:
            made["oneOf"] = [{"required": [kind]} for kind in kinds]
        return made
