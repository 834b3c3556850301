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

_NAMED: Final = re.compile(
    r"(?:TOKEN|PASSWORD|PASSWD|PASSPHRASE|SECRET|CREDENTIAL|(?:ACCESS|API|PRIVATE)[_-]?KEY)S?(?![A-Z])"
    r"|[_-](?:KEYS?|PASS)$|^MYSQL_PWD$",
    re.IGNORECASE,
)
_NO_SECRET: Final = re.compile(
    r"[_-](?:FILE|FILENAME|PATH|DIR|DIRECTORY|FOLDER|HOME|SOCK|NAME|URL|URI|ENDPOINT|TTL|TYPE|LENGTH|LIMIT|COUNT)S?$"
    r"|(?:^|[_-])(?:MAX|MIN|NUM)[_-]"
    r"|(?:^|[_-])(?:PUBLIC|PUB|TRUSTED|PRIMARY|FOREIGN|PARTITION|SHARD|SORT|GROUP|JOIN|INDEX|CACHE|ROUTING|OBJECT|COMPOSE)[_-]KEYS?$"
    r"|^GOOGLE_APPLICATION_CREDENTIALS$|^CREDENTIALS_DIRECTORY$",
    re.IGNORECASE,
)
"""Where a secret is kept, what a limit is, and keys that open nothing."""
_WEBHOOK: Final = re.compile(r"WEBHOOKS?(?:[_-]UR[LI])?$", re.IGNORECASE)
"""Whoever has the URL of a webhook can post to it: there the URL itself is the secret."""
_USERINFO: Final = re.compile(
    r"(?P<before>://)(?P<who>[^/?#\s\"'<>]+)@"
    r"|(?P<swallowed>:/)(?P<pair>[^/?#\s\"'<>:]+:[^/?#\s\"'<>]+)@"
)
"""User info stands after two slashes. A URI that was taken for a path has one left: there it is known by its colon,
which ``models:/NAME@ALIAS`` has not (MLflow allows none in a name)."""
_PARAMETER: Final = re.compile(
    r"([?&#](?:[^=&#\s\"']*(?:token|password|passwd|passphrase|secret|signature|api[_-]?key)[^=&#\s\"']*|(?:amp;)?sig)=)"
    r"[^&#\s\"'<>]+",
    re.IGNORECASE,
)
"""Parameters that open what a URI names: passwords and tokens, and the signatures of presigned ones (S3's
``X-Amz-Signature``, Google's ``X-Goog-Signature``, Azure's ``sig``). OAuth hands tokens over behind ``#``."""


def secret_name(name: str) -> bool:
    """Whether a variable of that name holds a secret: not where a secret is kept, nor a key that opens nothing.

    >>> [secret_name(name) for name in ("MLFLOW_TRACKING_PASSWORD", "SIGNING_KEY", "SLACK_WEBHOOK_URL")]
    [True, True, True]
    >>> [secret_name(name) for name in ("HARNESS_WORKERS", "API_TOKEN_FILE", "PUBLIC_KEY", "KEYBOARD", "MAX_TOKENS")]
    [False, False, False, False, False]
    """
    if _WEBHOOK.search(name):
        return True
    return _NAMED.search(name) is not None and _NO_SECRET.search(name) is None


def secrets_in(variables: Mapping[str, str]) -> tuple[str, ...]:
    """The values that must not be seen: of secret variables, and the passwords in URIs; the longest first."""
    found = {value.strip() for name, value in variables.items() if secret_name(name)}
    for value in variables.values():
        found |= {_who(match).partition(":")[2] for match in _USERINFO.finditer(value)}
    return tuple(sorted((value for value in found if len(value) >= SHORTEST), key=lambda value: (-len(value), value)))


def _who(match: re.Match[str]) -> str:
    return match["who"] or match["pair"]


def _nobody(match: re.Match[str]) -> str:
    return f"{match['before'] or match['swallowed']}{MASKED}@"


@functools.lru_cache(maxsize=256)
def _forms(secret: str) -> tuple[str, ...]:
    """How a text may hold it: as it is, escaped to be printed in one line, and either of them in quotes, once or twice.

    Twice, for a log holds a scenario's lines as JSON, and in these the secret may have been in quotes already.
    """
    forms = {secret, secret.encode("unicode_escape").decode("ascii")}
    for _ in range(2):
        forms |= {json.dumps(form, ensure_ascii=ascii_only)[1:-1] for form in forms for ascii_only in (True, False)}
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))


def mask(text: str, secrets: Collection[str] | None = None) -> str:
    """The text without the user and password of a URI, without its secret parameters, and without known secrets.

    Args:
        text: of a log line, an error or a setting.
        secrets: values to look for; None: those of this process's variables.

    >>> mask("cannot reach postgresql://me:pw@db/x?sslmode=on&password=a", ())
    'cannot reach postgresql://***@db/x?sslmode=on&password=***'
    >>> mask("no model models:/churn@stable in runs:/0a1b/model", ())
    'no model models:/churn@stable in runs:/0a1b/model'
    """
    for secret in secrets_in(os.environ) if secrets is None else secrets:
        for form in _forms(secret):
            text = text.replace(form, MASKED)
    if ":/" in text:
        text = _PARAMETER.sub(rf"\1{MASKED}", _USERINFO.sub(_nobody, text))
    return text
