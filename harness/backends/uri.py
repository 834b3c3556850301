"""Where a backend is, as users write it: a word (``memory``) or a URI (``mlflow+sqlite:///registry.db``).

The part before the plus is the backend's word, and what follows is the vendor's own URI, handed to it as it stands.
``sqlite:///PATH`` and ``postgresql://…`` alone are databases of our own: they mean the word ``sql``.
Secrets have no place in a URI: it stands in scenario files, logs and reports. They are given in the vendor's variables.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

FORGETFUL: Final = "memory"
"""The registry that holds nothing when a run begins, and keeps nothing when it is over."""
SQLITE: Final = "sqlite:///"
MLFLOW_FORMS: Final = "mlflow+sqlite:///PATH, mlflow+http://HOST[:PORT] or mlflow+https://HOST[:PORT]"
SQL: Final = "sql"
"""The word of registries in a database of our own."""
POSTGRESQL: Final = "postgresql://"
SQL_FORMS: Final = "sqlite:///PATH or postgresql://HOST[:PORT]/DATABASE"
REGISTRY_FORMS: Final = f"{SQL_FORMS}, {MLFLOW_FORMS}"
PATTERN: Final = r"^([a-z0-9_]+\+[a-z]+://\S+|(sqlite|postgresql)://\S+|[a-z0-9_]+:)$"
SECRETS: Final = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "PGPASSWORD")
"""Variables whose values are never shown."""


FOUND_AT: Final = {"mlflow": MLFLOW_FORMS, SQL: SQL_FORMS}
"""Backends that nothing but their URI finds."""
MODEL_FORMS: Final = "models:/NAME@ALIAS, models:/NAME/VERSION or runs:/RUN_ID/PATH"
NO_STORE: Final = (
    "it is read from MLflow, or from a registry in a database, and neither the registry nor the tracker is one; "
    "say --registry sqlite:///PATH, mlflow+sqlite:///PATH, or mlflow+http://HOST[:PORT]"
)
_MODEL: Final = re.compile(
    r"models:/(?P<name>[^/@:]+)(?:@(?P<alias>[\w.-]+)|/(?P<version>[1-9]\d*))|runs:/(?P<run>\w[\w-]*)/(?P<path>[^?#%]+)",
    re.ASCII,
)
_DATABASE: Final = re.compile(r"(?:sqlite|postgres(?:ql)?(?:\+\w+)?)://?")
_PASSWORD: Final = re.compile(r"(?:^|&)[^=&]*pass(?:word|wd|phrase)?=", re.IGNORECASE)
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/|(?:models|runs):", re.ASCII)


class ModelUriError(ValueError):
    """Not the URI of a model; the message says which there are."""


@dataclass(frozen=True, slots=True)
class ModelUri:
    """A model in MLflow: a registered version, by its number or by an alias; or a folder of a run's artifacts."""

    name: str = ""
    alias: str = ""
    version: int = 0
    run: str = ""
    path: str = ""


def is_uri(value: object) -> bool:
    """Whether a user means a URI, not a file: it begins with a scheme (a drive's letter is none).

    >>> is_uri("models:/churn@stable"), is_uri("s3://bucket/model"), is_uri("models/churn.skops"), is_uri("C:/m.skops")
    (True, True, False, False)
    """
    return isinstance(value, str) and _SCHEME.match(value) is not None


def model_uri(value: str) -> ModelUri:
    """What a model's URI names.

    Raises:
        ModelUriError: it has none of the shapes that there are.

    >>> model_uri("models:/churn@stable").alias, model_uri("models:/churn/3").version
    ('stable', 3)
    >>> model_uri("runs:/0a1b2c/model").path
    'model'
    """
    found = _MODEL.fullmatch(value)
    if not found or not set((found["path"] or "").split("/")).isdisjoint({".", ".."}):
        raise ModelUriError(f"a model in MLflow is {MODEL_FORMS}")
    parts = {name: part for name, part in found.groupdict().items() if part}
    return ModelUri(**{**parts, "version": int(parts.get("version", 0))})  # type: ignore[arg-type]


class BackendUriError(ValueError):
    """Not the place of a backend; the message says what is, and shows no secret."""


def normal(value: str, folder: Path | str) -> str:
    """A backend as a scenario holds it: its word alone, or its URI with an absolute path.

    Args:
        value: as a user wrote it.
        folder: what relative paths of SQLite files are relative to.

    Raises:
        BackendUriError: the URI has a secret in it, or is none of the forms that its backend has.

    >>> normal("memory:", "/srv")
    'memory'
    >>> normal("mlflow+sqlite:///runs/registry.db", "/srv")
    'mlflow+sqlite:////srv/runs/registry.db'
    >>> normal("mlflow+http://localhost:5000/", "/srv")
    'mlflow+http://localhost:5000'
    >>> normal("sqlite:///r.db", "/srv"), normal("postgresql://ann@db/models", "/srv")
    ('sqlite:////srv/r.db', 'postgresql://ann@db/models')
    """
    word, place = split(value)
    if not place:
        if word in FOUND_AT:
            raise BackendUriError(f"{word} is found by its URI: {FOUND_AT[word]}")
        return word
    if place.startswith(SQLITE):
        path = place.removeprefix(SQLITE)
        if not path or path.endswith("/"):
            raise BackendUriError(f"it names no file; write {whole(word, SQLITE)}PATH")
        if set(path) & set("?#%"):
            raise BackendUriError("the path of an SQLite file has none of ? # %")
        return whole(word, f"{SQLITE}{Path(folder, path).resolve()}")
    return whole(word, _database(place) if word == SQL else _checked(word, place))


def _database(place: str) -> str:
    """The URI of a PostgreSQL database, if there is no secret in it."""
    if not place.startswith(POSTGRESQL):
        raise BackendUriError(f"a registry in a database is found at {SQL_FORMS}")
    try:
        parts = urlsplit(place)
        known = (parts.port or 1) > 0 and not parts.fragment
    except ValueError:
        raise BackendUriError(f"a registry in a database is found at {SQL_FORMS}") from None
    # More than one @: a password that was not escaped may stand anywhere before the last.
    if parts.password is not None or place.count("@") > 1 or _PASSWORD.search(parts.query):
        raise BackendUriError(
            "a URI holds no password, for it is shown in logs; set PGPASSWORD, or PGPASSFILE to a file of PostgreSQL's "
            "(~/.pgpass is read anyway)"
        )
    if not known:
        raise BackendUriError(f"a registry in a database is found at {SQL_FORMS}")
    return place


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
    >>> split("sqlite:////srv/a+b.db")
    ('sql', 'sqlite:////srv/a+b.db')
    """
    if _DATABASE.match(value):
        return SQL, value
    word, _, place = value.partition("+")
    return (word, place) if place else (value.removesuffix(":"), "")


def whole(word: str, place: str) -> str:
    """A URI of a backend's word and the URI that the backend is made with, as users write it.

    >>> whole("mlflow", "sqlite:///r.db"), whole("sql", "sqlite:///r.db")
    ('mlflow+sqlite:///r.db', 'sqlite:///r.db')
    """
    return place if word == SQL else f"{word}+{place}"


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
