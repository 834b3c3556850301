"""Where a backend is, as users write it: a word (``memory``) or a URI (``mlflow+sqlite:///registry.db``).

The part before the plus is the backend's word, and what follows is the vendor's own URI, handed to it as it stands.
Secrets have no place in a URI: it stands in scenario files, logs and reports. They are given in the vendor's variables.
"""

import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

FORGETFUL: Final = "memory"
"""The registry that holds nothing when a run begins, and keeps nothing when it is over."""
SQLITE: Final = "sqlite:///"
MLFLOW_FORMS: Final = "mlflow+sqlite:///PATH, mlflow+http://HOST[:PORT] or mlflow+https://HOST[:PORT]"
PATTERN: Final = r"^([a-z0-9_]+\+[a-z]+://\S+|[a-z0-9_]+:)$"
SECRETS: Final = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
"""Variables whose values are never shown."""


class BackendUriError(ValueError):
    """Not the place of a backend; the message says what is, and shows no secret."""


def normal(value: str, folder: Path | str) -> str:
    """A backend as a scenario holds it: its word alone, or its URI with an absolute path.

    Args:
        value: as a user wrote it.
        folder: what relative paths of SQLite files are relative to.

    Raises:
        BackendUriError: the URI has a secret in it, or is none of the forms that MLflow has.

    >>> normal("memory:", "/srv")
    'memory'
    >>> normal("mlflow+sqlite:///runs/registry.db", "/srv")
    'mlflow+sqlite:////srv/runs/registry.db'
    >>> normal("mlflow+http://localhost:5000/", "/srv")
    'mlflow+http://localhost:5000'
    """
    word, place = split(value)
    if not place:
        if word == "mlflow":
            raise BackendUriError(f"MLflow is found by its URI: {MLFLOW_FORMS}")
        return word
    if place.startswith(SQLITE):
        path = place.removeprefix(SQLITE)
        if not path or path.endswith("/"):
            raise BackendUriError(f"it names no file; write {word}+sqlite:///PATH")
        if set(path) & set("?#%"):
            raise BackendUriError("the path of an SQLite file has none of ? # %")
        return f"{word}+{SQLITE}{Path(folder, path).resolve()}"
    return f"{word}+{_checked(word, place)}"


def _checked(word: str, place: str) -> str:
    if "@" in place:
        raise BackendUriError(
            "a URI holds no user name and password, for it is shown in logs; set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        )
    try:
        parts = urlsplit(place)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # a port that is no number, a bracket that is not closed
        known = False
    if word == "mlflow" and (not known or parts.query or parts.fragment):
        raise BackendUriError(f"MLflow is found at {MLFLOW_FORMS}")
    return place.rstrip("/")


def split(value: str) -> tuple[str, str]:
    """A backend's word, and the URI it is made with (empty: it is made with nothing).

    >>> split("mlflow+https://mlflow.example.org")
    ('mlflow', 'https://mlflow.example.org')
    >>> split("memory")
    ('memory', '')
    """
    word, _, place = value.partition("+")
    return (word, place) if place else (value.removesuffix(":"), "")


def masked(text: str) -> str:
    """A text without the secrets that a URI or a variable may have brought into it.

    >>> masked("no answer from https://ann:secret@mlflow.example.org/api")
    'no answer from https://***@mlflow.example.org/api'
    """
    text = re.sub(r"://[^\s'\"]*@", "://***@", text)
    for name in SECRETS:
        if secret := os.environ.get(name):
            text = text.replace(secret, "***")
    return text
