"""The scenario file's feature sets, in a file or in place: read at once, and held against the data's header."""

import difflib
from collections.abc import Iterator
from typing import Annotated, Any, Final

from pydantic import PlainValidator, ValidationInfo, WithJsonSchema

from harness.domain.features import FeatureSet
from harness.errors import InputError
from harness.features.reading import feature_set, read_features
from harness.scenario.files import resolved
from harness.scenario.inputs import WrongValueError
from harness.scenario.quantities import context_in

ENDINGS: Final = (".yaml", ".yml", ".json")


def _features(value: Any, info: ValidationInfo) -> FeatureSet:
    context = context_in(info)
    try:
        if isinstance(value, dict):
            made = feature_set(value)
        elif isinstance(value, str) and value.lower().endswith(ENDINGS):
            made = read_features(resolved(value, context.folder))
        else:
            raise WrongValueError(f"the path of a feature set ({', '.join(ENDINGS)}), or what it says: {{columns: …}}")
    except InputError as error:
        raise WrongValueError("; ".join(str(error).splitlines())) from None
    known = [name for name in context.columns or () if name != context.target]
    wrong = list(_unknown(made, known)) if known else []
    if wrong:
        raise WrongValueError(f"{'; '.join(wrong)} (its columns: {', '.join(known)})")
    return made


def _unknown(features: FeatureSet, known: list[str]) -> Iterator[str]:
    named = [plan.name for plan in features.columns]
    named += [name for each in features.derived for name in (each.left, each.right)]
    for name in dict.fromkeys(named):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            yield f"the data set has no feature {name}" + (f"; did you mean {near[0]}?" if near else "")


Features = Annotated[
    FeatureSet,
    PlainValidator(_features),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "object", "properties": {
                    "features": {"const": 1}, "name": {"type": "string"}, "columns": {"type": "object"},
                    "groups": {"type": "array"}, "derived": {"type": "object"},
                    "others": {"enum": ["usual", "drop", "refuse"]},
                }, "additionalProperties": False},
            ]
        }
    ),
]  # fmt: skip
