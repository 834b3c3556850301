"""Bodies of requests: JSON in UTF-8, without NaN, infinities and depths that no model needs."""

import json
import math
from collections.abc import Collection
from typing import Any, Final, NoReturn

from harness.serving.checking import Refused

BAD_REQUEST: Final = 400
UNSUPPORTED: Final = 415
JSON: Final = "application/json"
CSV: Final = "text/csv"


def _no_constant(name: str) -> NoReturn:
    raise Refused(BAD_REQUEST, f"not JSON: {name} is no number of JSON; send null where a value is not known")


def _number(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise Refused(BAD_REQUEST, f"{text[:40]} is beyond the largest number of 64 bits")
    return value


_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant, parse_float=_number)


def loads(body: bytes) -> Any:
    """What a body says.

    Raises:
        Refused: it is not JSON in UTF-8 (400).
    """
    try:
        return _DECODER.decode(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Refused(BAD_REQUEST, f"the body is not UTF-8: byte {error.start} cannot be read") from None
    except json.JSONDecodeError as error:
        raise Refused(BAD_REQUEST, f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise Refused(BAD_REQUEST, "the body is nested too deeply; a row is flat") from None
    except ValueError:  # a whole number of more digits than Python reads
        raise Refused(BAD_REQUEST, "a number has too many digits") from None


def check_type(content_type: str | None, allowed: Collection[str]) -> str:
    """The media type of a body.

    Raises:
        Refused: it is none of those allowed, or the text is not UTF-8 (415).

    >>> check_type("application/json; charset=utf-8", {"application/json"})
    'application/json'
    """
    media, *parameters = [part.strip() for part in (content_type or "").split(";")]
    media = media.lower()
    if media not in allowed:
        got = ascii(media[:60]) if media else "none"
        raise Refused(UNSUPPORTED, f"the content type is {got}; send {' or '.join(sorted(allowed))}")
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip().lower() == "charset" and value.strip(' "').lower() not in {"utf-8", "utf8"}:
            raise Refused(UNSUPPORTED, f"the charset is {value[:40]!a}; send UTF-8")
    return media


def dumps(value: Any) -> bytes:
    """A body of JSON; ASCII, as every reader takes it."""
    return json.dumps(value).encode()
