"""Headers of requests: as given, with values from variables; a token from a variable or a file. No value is shown."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from harness.analysis.vocabulary import nearest
from harness.errors import InputError

Headers = tuple[tuple[str, str], ...]

REFUSED: Final = {
    "connection": "the client says itself how long a connection lives",
    "content-length": "the client counts the body itself",
    "expect": "a body that waits for 100 Continue would have another latency",
    "host": "it is the host of the URL",
    "keep-alive": "the client says itself how long a connection lives",
    "proxy-connection": "the client says itself how long a connection lives",
    "te": "it speaks of one connection, which the client minds",
    "trailer": "bodies are sent whole",
    "transfer-encoding": "bodies are sent whole, with their length",
    "upgrade": "the connection must stay HTTP",
}
"""Headers of one hop, or that the client makes itself (RFC 9110, 7.6.1), and why."""
MOST_TOKEN: Final = 64 * 1024

_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""A token of RFC 9110, 5.6.2."""
_VALUE: Final = re.compile(r"[\t\x20-\x7e]*")
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")
_VARIABLE: Final = re.compile(r"\$(?P<escaped>\$\{)|\$\{(?P<name>[^}]*)(?P<end>\}?)")
_VARIABLE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def headers_of(
    given: Sequence[str],
    token_env: str | None = None,
    token_file: str | None = None,
    variables: Mapping[str, str] | None = None,
) -> Headers:
    """The headers that requests carry.

    Args:
        given: each ``NAME: VALUE``; ``${VARIABLE}`` in a value is taken from the environment, ``$${`` is ``${``.
        token_env: the variable that holds a token, sent as ``Authorization: Bearer``.
        token_file: the file that holds it.
        variables: the environment; None: this process's.

    Raises:
        InputError: a header cannot be sent, or a variable or file has nothing to send.

    >>> headers_of(["X-Team: churn", "X-Key: ${KEY}"], token_env="TOKEN", variables={"KEY": "k", "TOKEN": "t"})
    (('X-Team', 'churn'), ('X-Key', 'k'), ('Authorization', 'Bearer t'))
    """
    environment = os.environ if variables is None else variables
    headers = [_header(text, environment) for text in given]
    if token_env is not None and token_file is not None:
        raise InputError("a token comes from --token-env or from --token-file; give one of them")
    if token_env is not None:
        token = _token(_variable(token_env, environment, "--token-env"), f"the variable {token_env}")
        headers.append(("Authorization", f"Bearer {token}"))
    if token_file is not None:
        headers.append(("Authorization", f"Bearer {_token(_content(token_file), token_file)}"))
    seen: set[str] = set()
    for name, _ in headers:
        if name.lower() in seen:
            remedy = " (a token makes one)" if name == "Authorization" else ""
            raise InputError(f"the header {name} is given twice{remedy}; give it once, values joined by commas")
        seen.add(name.lower())
    return tuple(headers)


def _header(text: str, variables: Mapping[str, str]) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise InputError("a header is 'NAME: VALUE', with a colon; one that was given has none (it is not shown here)")
    if name != name.rstrip():
        raise InputError(f"the header {name.strip()!r} has a space before its colon; write {name.strip()}: VALUE")
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} cannot be a header's name: it has letters, digits and !#$%&'*+-.^_`|~ only")
    why = REFUSED.get(name.lower())
    if why:
        raise InputError(f"the header {name} cannot be set: {why}; leave it out")
    filled = _filled(name, value, variables).strip(" \t")
    if not _VALUE.fullmatch(filled):
        raise InputError(
            f"the value of the header {name} holds a line break, a control character or a letter beyond ASCII"
            " (it is not shown here); encode it"
        )
    return name, filled


def _filled(header: str, value: str, variables: Mapping[str, str]) -> str:
    """The value with its variables; what these hold is not looked into again."""

    def of(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "${"
        if not match["end"]:
            raise InputError(f"the header {header} has a ${{ that is never closed; write ${{NAME}}, or $${{ for itself")
        return _variable(match["name"], variables, f"the header {header}")

    return _VARIABLE.sub(of, value)


def _variable(name: str, variables: Mapping[str, str], asked_by: str) -> str:
    if not _VARIABLE_NAME.fullmatch(name):
        raise InputError(
            f"{asked_by} takes the name of a variable: letters, digits and _; what was given is none"
            " (it is not shown here: it may be the secret itself)"
        )
    value = variables.get(name)
    if value is None:
        close = nearest(name, variables)
        meant = f"; did you mean {close}?" if close else ""
        raise InputError(f"{asked_by} asks for the variable {name}, which is not set{meant}: export {name}=…")
    if not value.strip():
        raise InputError(f"{asked_by} asks for the variable {name}, which is empty: export {name}=…")
    return value


def _content(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(MOST_TOKEN + 1)
    except OSError as error:
        raise InputError(f"{path}: the token cannot be read: {error.strerror or error}") from None
    if len(content) > MOST_TOKEN:
        raise InputError(f"{path}: a token is one short line; the file has more than {MOST_TOKEN // 1024} KiB")
    if not content.strip():
        raise InputError(f"{path}: the file is empty; it must hold the token")
    return content.decode("utf-8", "replace")


def _token(text: str, place: str) -> str:
    token = text.strip()
    if not _TOKEN.fullmatch(token):
        raise InputError(
            f"{place} holds no token: a token is one line of visible ASCII characters, without spaces and without"
            " `Bearer` (it is not shown here)"
        )
    return token
