"""The words of a scenario file: names, columns, rules and files; each reads, or says what may be written instead."""

import math
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, PlainValidator, ValidationInfo, WithJsonSchema

from harness.analysis.grammar import RuleError, parse
from harness.analysis.vocabulary import Scope, Standing, suggestion
from harness.backends.uri import NO_STORE, BackendUriError, ModelUriError, is_uri, model_uri, normal, split
from harness.domain.analysis import Rule
from harness.domain.model import Task
from harness.domain.service import Profile
from harness.scenario.files import PICKLES, TABLES, header, resolved
from harness.scenario.inputs import WrongValueError
from harness.scenario.profiles import read_profile
from harness.scenario.quantities import Validator, context_in, written

_SLUG: Final = "^[A-Za-z0-9][A-Za-z0-9_-]{0,79}$"
_NAME: Final = "^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$"


def _matching(pattern: str, told: str) -> Validator:
    def read(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise WrongValueError(told)
        return value

    return read


Slug = Annotated[
    str,
    PlainValidator(
        _matching(_SLUG, "a name has letters, digits, - and _, at most 80, and begins with none of - and _")
    ),
    WithJsonSchema({"type": "string", "pattern": _SLUG}),
]
Name = Annotated[
    str,
    PlainValidator(
        _matching(_NAME, "a name has letters, digits, -, _ and dots, at most 80, and begins with a letter or digit")
    ),
    WithJsonSchema({"type": "string", "pattern": _NAME}),
]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise WrongValueError("this is a text; put quotes around it")
    if not all(character.isprintable() or character in "\n\t" for character in value):
        raise WrongValueError("a text has no control characters")
    return value


def _label(value: Any) -> str:
    """A word of the data set, which may look like a whole number."""
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise WrongValueError("this is a word of the data set; put quotes around it, exactly as it stands there")
    return str(value)


def _labels(value: Any) -> tuple[str, ...]:
    """One word of the data set, or several."""
    return tuple(_label(each) for each in (value if isinstance(value, list) and value else [value]))


Labels = Annotated[
    tuple[str, ...],
    PlainValidator(_labels),
    WithJsonSchema(
        {"anyOf": [{"type": ["string", "integer"]}, {"type": "array", "items": {"type": ["string", "integer"]}}]}
    ),
]
Text = Annotated[str, PlainValidator(_text), WithJsonSchema({"type": "string"})]
Label = Annotated[str, PlainValidator(_label), WithJsonSchema({"type": ["string", "integer"]})]


def one_word(words: Collection[str]) -> tuple[PlainValidator, WithJsonSchema]:
    """A validator and a schema for one of some fixed words."""

    def read(value: Any) -> str:
        return _chosen(value, words, "allowed")

    return PlainValidator(read), WithJsonSchema({"enum": list(words)})


def _chosen(value: Any, words: Collection[str], what: str) -> str:
    if not isinstance(value, str) or value not in words:
        raise WrongValueError(suggestion(written(value), words, what))
    return value


def _column(value: Any, info: ValidationInfo) -> str:
    name, columns = _label(value), context_in(info).columns
    if columns is not None and name not in columns:
        raise WrongValueError(f"the data set has no such column; {suggestion(name, columns, 'its columns')}")
    return name


def _feature(value: Any, info: ValidationInfo) -> str:
    name = _column(value, info)
    if name == context_in(info).target:
        raise WrongValueError("it is the target; drift moves a feature, label_drift the true answers")
    return name


Column = Annotated[str, PlainValidator(_column), WithJsonSchema({"type": ["string", "integer"]})]
Feature = Annotated[str, PlainValidator(_feature), WithJsonSchema({"type": ["string", "integer"]})]


def _algorithm(value: Any, info: ValidationInfo) -> str:
    context = context_in(info)
    word = _chosen(value, tuple(context.catalog.algorithms), "allowed")
    if context.task is None:
        raise WrongValueError("a model is trained on a data set; add model.data")
    task = context.catalog.tasks.get(word, context.task)
    if task is not context.task:
        what = "leave model.data.positive out" if task is Task.REGRESSION else "add model.data.positive"
        tasks = context.catalog.tasks
        fitting = tuple(other for other in context.catalog.algorithms if tasks.get(other) is context.task)
        told = suggestion(word, fitting) if fitting else "choose another"
        raise WrongValueError(f"it is for {task}, and this data set is for {context.task}; {what}, or: {told}")
    return word


def _strategy(value: Any, info: ValidationInfo) -> str:
    return _chosen(value, tuple(context_in(info).catalog.strategies), "allowed")


Algorithm = Annotated[str, PlainValidator(_algorithm), WithJsonSchema({"type": "string"})]
Strategy = Annotated[str, PlainValidator(_strategy), WithJsonSchema({"type": "string"})]


def backend(kind: str) -> tuple[PlainValidator, WithJsonSchema]:
    """A validator and a schema for the word of an installed backend."""

    def read(value: Any, info: ValidationInfo) -> str:
        return _chosen(value, context_in(info).catalog.backend_words(kind), "installed")

    return PlainValidator(read), WithJsonSchema({"type": "string"})


def backend_uri(kind: str) -> tuple[PlainValidator, WithJsonSchema]:
    """A validator and a schema for the word of an installed backend, or the URI that says where it is."""

    def read(value: Any, info: ValidationInfo) -> str:
        context = context_in(info)
        words = context.catalog.backend_words(kind)
        if not isinstance(value, str) or split(value)[0] not in words:
            return _chosen(value, words, "installed")
        try:
            return normal(value, context.folder)
        except BackendUriError as error:
            raise WrongValueError(str(error)) from None

    return PlainValidator(read), WithJsonSchema({"type": "string"})


# --- rules ------------------------------------------------------------------------------------------------------------


def _rule(standing: Standing, *, labelled: bool = False) -> tuple[PlainValidator, WithJsonSchema]:
    examples = {
        Standing.GATES: ["f1 >= 0.55", "accuracy >= stable - 1%"],
        Standing.ANALYSIS: ["error_rate <= stable + 2%", "p95 <= stable * 1.5"],
        Standing.EXPECT: ["outcome == rolled_back", "detected_after < 45m"],
        Standing.LOAD: ["p99 < 250ms", "error_rate < 0.1%"],
    }[standing]

    def read(value: Any, info: ValidationInfo) -> Rule:
        if not isinstance(value, str):
            raise WrongValueError(f"a rule is a text, METRIC OP BOUND, such as {examples[0]}")
        context = context_in(info)
        try:
            labels = labelled or context.labels
            return parse(value, Scope(standing, context.task, labels, context.mirrored, context.staged))
        except RuleError as error:
            raise WrongValueError(error.message, error.offset) from None

    return PlainValidator(read), WithJsonSchema({"type": "string", "minLength": 1, "examples": examples})


Gate = Annotated[Rule, *_rule(Standing.GATES)]
read_gate: Final[Any] = _rule(Standing.GATES)[0].func
"""What reads the rule of a gate, for a place where gates of other kinds may stand too."""
AnalysisRule = Annotated[Rule, *_rule(Standing.ANALYSIS)]
Expectation = Annotated[Rule, *_rule(Standing.EXPECT)]
Objective = Annotated[Rule, *_rule(Standing.LOAD)]
Criterion = Annotated[Rule, *_rule(Standing.ANALYSIS, labelled=True)]
"""What an approval asks: quality as a gate would, the rest as a look would."""


def _channel(value: Any, info: ValidationInfo) -> str:
    """Where people are told: the word of a notifier, or the URL of a webhook."""
    words = context_in(info).catalog.backend_words("notifier")
    if isinstance(value, str) and re.match(r"https?://[^\s/]", value) and "webhook" in words:
        return value
    plain = tuple(word for word in words if word != "webhook")
    return _chosen(value, plain, "the URL of a webhook, or")


def _stage(value: Any, info: ValidationInfo) -> str:
    return _chosen(value, tuple(context_in(info).catalog.stages), "installed")


StageWord = Annotated[str, PlainValidator(_stage), WithJsonSchema({"type": "string"})]
Channel = Annotated[str, PlainValidator(_channel), WithJsonSchema({"type": "string"})]


# --- files and parameters ---------------------------------------------------------------------------------------------


def _file(*endings: str) -> Callable[[Any, ValidationInfo], str]:
    def read(value: Any, info: ValidationInfo) -> str:
        if not isinstance(value, str) or not value.strip():
            raise WrongValueError(f"this is the path of a file ({', '.join(endings)})")
        path = resolved(value, context_in(info).folder)
        if not value.lower().endswith(endings):
            raise WrongValueError(f"this file ends in {' or '.join(endings)}")
        if not is_file(path):
            raise WrongValueError("no such file; paths are relative to the scenario file")
        return path

    return read


_profile_file: Final = _file(".yaml", ".yml", ".json")


def _trace_file(value: Any, info: ValidationInfo) -> str:
    """A recording may have any name: logs do."""
    if not isinstance(value, str) or not value.strip():
        raise WrongValueError("this is the path of a recording: a CSV, a web log, JSON lines")
    path = resolved(value, context_in(info).folder)
    if not is_file(path):
        raise WrongValueError("no such file; paths are relative to the scenario file")
    return path


def _profile(value: Any, info: ValidationInfo) -> Profile:
    """A file of service times, read at once: it is small, and what is wrong in it is wrong in the scenario."""
    path = _profile_file(value, info)
    try:
        return read_profile(path)
    except ValueError as error:
        raise WrongValueError(str(error)) from None


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise WrongValueError("true or false")
    return value


def is_file(path: str) -> bool:
    """Whether there is a file of that name."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # a name that is too long, or has a null in it
        return False


def _data_file(path: str) -> str:
    try:
        header(path)
    except (OSError, ValueError) as error:
        raise WrongValueError(
            error.strerror or "it cannot be read" if isinstance(error, OSError) else str(error)
        ) from None
    return path


_PATH_SCHEMA: Final = WithJsonSchema({"type": "string", "minLength": 1})
DataFile = Annotated[str, PlainValidator(_file(*TABLES)), AfterValidator(_data_file), _PATH_SCHEMA]
SchemaFile = Annotated[str, PlainValidator(_file(".yaml", ".yml", ".json")), _PATH_SCHEMA]
TraceFile = Annotated[str, PlainValidator(_trace_file), _PATH_SCHEMA]
ProfileFile = Annotated[Profile, PlainValidator(_profile), _PATH_SCHEMA]
Flag = Annotated[bool, PlainValidator(_flag), WithJsonSchema({"type": "boolean"})]


_model_file: Final = _file(".skops", *PICKLES)


def _brought(value: Any, info: ValidationInfo) -> str:
    """The path of a model file, or the URI of a model in MLflow."""
    context = context_in(info)
    if is_uri(value):
        try:
            model_uri(value)
        except ModelUriError as error:
            raise WrongValueError(f"{error}; or the path of a file ({', '.join(('.skops', *PICKLES))})") from None
        if not any(context.catalog.keeps_models(kind, word) for kind, word in context.keepers.items()):
            raise WrongValueError(NO_STORE)
        return str(value)
    if isinstance(value, str) and value.lower().endswith(PICKLES) and not context.catalog.trust_pickle:
        # Refused by its name, before anything looks into it.
        raise WrongValueError(
            "loading a pickle runs whatever it holds; save the model with skops.io.dump instead, "
            "or say --trust-pickle where the file is your own"
        )
    return _model_file(value, info)


Brought = Annotated[str, PlainValidator(_brought), _PATH_SCHEMA]


def _parameter(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise WrongValueError("a parameter is a finite number")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _parameter(inner)
    return value


Parameter = Annotated[Any, PlainValidator(_parameter), WithJsonSchema({})]
