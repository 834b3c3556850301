"""Secrets come in variables and inside URIs, and are in nothing that harness writes."""

import functools
import json
import os
import re
from collections.abc import Collection, Mapping
from typing import Final

MASKED: Final = "***"
SHORTEST: Final = 6
"""A shorter value is not looked for in texts: it would be found in words that have nothing to do with it."""

_NAMED: Final = re.compile(r"TOKEN|PASSWORD|PASSWD|SECRET|CREDENTIAL|ACCESS_KEY|API_?KEY|PRIVATE_KEY", re.IGNORECASE)
_USERINFO: Final = re.compile(r"(:/{1,2})([^/?#\s\"'<>]+)@")  # one slash where a path has swallowed the other
_PARAMETER: Final = re.compile(
    r"([?&][^=&\s\"']*(?:token|password|passwd|secret|api_?key)[^=&\s\"']*=)[^&#\s\"'<>]+", re.IGNORECASE
)


def secret_name(name: str) -> bool:
    """Whether a variable of that name holds a secret.

    >>> secret_name("MLFLOW_TRACKING_PASSWORD"), secret_name("HARNESS_WORKERS")
    (True, False)
    """
    return _NAMED.search(name) is not None


def secrets_in(variables: Mapping[str, str]) -> tuple[str, ...]:
    """The values that must not be seen: of secret variables, and the passwords in URIs; the longest first."""
    found = {value.strip() for name, value in variables.items() if secret_name(name) and not value.startswith("/")}
    for value in variables.values():
        found |= {part.partition(":")[2] for _, part in _USERINFO.findall(value)}
    return tuple(sorted((value for value in found if len(value) >= SHORTEST), key=lambda value: (-len(value), value)))


@functools.lru_cache(maxsize=256)
def _forms(secret: str) -> tuple[str, ...]:
    """How a text may hold it: as it is, escaped to be printed in one line, and either of them in JSON."""
    escaped = secret.encode("unicode_escape").decode("ascii")
    forms = {secret, escaped}
    for plain in (secret, escaped):
        forms |= {json.dumps(plain)[1:-1], json.dumps(plain, ensure_ascii=False)[1:-1]}
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))


def mask(text: str, secrets: Collection[str] | None = None) -> str:
    """The text without the user and password of a URI, without its secret parameters, and without known secrets.

    Args:
        text: of a log line, an error or a setting.
        secrets: values to look for; None: those of this process's variables.

    >>> mask("cannot reach postgresql://me:pw@db/x?sslmode=on&password=a", ())
    'cannot reach postgresql://***@db/x?sslmode=on&password=***'
    """
    for secret in secrets_in(os.environ) if secrets is None else secrets:
        for form in _forms(secret):
            text = text.replace(form, MASKED)
    if ":/" in text:
        text = _PARAMETER.sub(rf"\1{MASKED}", _USERINFO.sub(rf"\1{MASKED}@", text))
    return text
