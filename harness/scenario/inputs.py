"""The base of all input models: mappings with known keys, told apart by exactly one of some, and checked as a whole.

Validators raise WrongValueError (told after the value: "weight is 120%; ...") or ContradictionError (told after the
path: "steps takes 3h ..."). A mapping tells all that is wrong with it at once, whatever is wrong inside of its values.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, ValidationInfo, model_validator
from pydantic_core import ErrorDetails, InitErrorDetails

from harness.scenario.context import Context

T = TypeVar("T")
Loc = tuple[str | int, ...]


class WrongValueError(ValueError):
    """What is allowed in place of a value that is not; the value's place and text are told before it."""

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.offset = offset
        """Columns into the value's text, counted from 0."""


class ContradictionError(ValueError):
    """What does not fit together; told after the path of where it shows."""


@dataclass(frozen=True, slots=True)
class At:
    """Something wrong at a path below what is being checked."""

    loc: Loc
    error: WrongValueError | ContradictionError


class Input(BaseModel):
    """A mapping of the scenario file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ONE_OF: ClassVar[tuple[str, ...]] = ()
    """Exactly one of these keys must be given."""

    def contradictions(self, context: Context) -> Iterable[At]:
        """What does not fit together, once every value by itself is right."""
        return ()

    @model_validator(mode="wrap")
    @classmethod
    def _whole(cls, value: Any, handler: ModelWrapValidatorHandler["Input"], info: ValidationInfo) -> "Input":
        details: list[InitErrorDetails] = []
        try:
            made = handler(value)
        except ValidationError as error:
            details += [_again(detail) for detail in error.errors(include_url=False)]
            made = None
        if isinstance(value, dict):
            told = {detail["loc"][:1] for detail in details}
            found = [
                At((key,), WrongValueError("give it a value, or leave the key out"))
                for key, each in value.items()
                if each is None
            ]
            details += [_detail(each) for each in found if each.loc not in told and each.loc[0] in cls.written_keys()]
            details += [_detail(each) for each in cls.structure(value)]
        if made is not None and not details:
            details += [_detail(each) for each in made.contradictions(info.context or Context())]
        if details or made is None:
            raise ValidationError.from_exception_data(cls.__name__, details)
        return made

    @classmethod
    def written_keys(cls) -> tuple[str, ...]:
        """The keys as they are written in a file."""
        return tuple(field.alias or name for name, field in cls.model_fields.items())

    @classmethod
    def structure(cls, value: Mapping[str, Any]) -> Iterable[At]:
        """What is wrong with the keys that are given, whatever their values."""
        given = [key for key in value if key in cls.ONE_OF]
        if len(given) > 1:
            told = f"stands beside {given[0]}; exactly one of {', '.join(cls.ONE_OF)}"
            yield At((given[1],), ContradictionError(told))
        elif cls.ONE_OF and not given and set(value) <= set(cls.written_keys()):
            yield At((), ContradictionError(f"lacks one of {', '.join(cls.ONE_OF)}"))


def refuse(found: Iterable[At]) -> None:
    """Raise everything found at once; nothing where there is nothing."""
    details = [_detail(each) for each in found]
    if details:
        raise ValidationError.from_exception_data("", details)


def _detail(at: At) -> InitErrorDetails:
    return InitErrorDetails(type="value_error", loc=at.loc, input=None, ctx={"error": at.error})


def _again(detail: ErrorDetails) -> InitErrorDetails:
    return InitErrorDetails(type=detail["type"], loc=detail["loc"], input=detail["input"], ctx=detail.get("ctx", {}))


def given(value: T | None) -> T:
    """The value of a key that must be there: where one of several is required, the others are not."""
    assert value is not None
    return value
