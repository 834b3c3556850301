"""Names and labels that Kubernetes takes, of whatever a model is called."""

import re
from hashlib import sha256
from typing import Final

NAME_LIMIT: Final = 63
"""Characters of a DNS label (RFC 1123), and of a label's value."""
DIGEST: Final = 8
ENDS: Final = 20
"""Characters that are kept for ends such as ``-candidate``, so that all names of one model begin alike."""

_WRONG_IN_NAME: Final = re.compile(r"[^a-z0-9]+")
_WRONG_IN_LABEL: Final = re.compile(r"[^A-Za-z0-9_.-]+")


def dns_name(text: str, *ends: str) -> str:
    """A DNS label (RFC 1123) of a name, with ends that are kept whole.

    What had to be changed or cut is marked by a digest of the whole, so that two names never become one.

    >>> dns_name("churn-prediction", "stable"), dns_name("Churn v2")
    ('churn-prediction-stable', 'churn-v2-2c4d0374')
    """
    tail = "".join(f"-{end}" for end in ends)
    plain = _WRONG_IN_NAME.sub("-", text.lower()).strip("-")
    room = NAME_LIMIT - max(len(tail), ENDS)
    if plain == text and plain[:1].isalpha() and len(plain) <= room:
        return plain + tail
    if not plain[:1].isalpha():
        plain = f"m-{plain}".strip("-")  # a Service's name begins with a letter (RFC 1035)
    return f"{plain[: room - DIGEST - 1].strip('-')}-{_digest(text)}{tail}"


def label(text: str) -> str:
    """The value of a label: at most 63 characters, letters, digits, ``-``, ``_`` and ``.``, none of these at its ends.

    >>> label("churn-prediction"), label("2"), label("Kündigung?")
    ('churn-prediction', '2', 'K-ndigung-686bbeca')
    """
    plain = _WRONG_IN_LABEL.sub("-", text).strip("-_.")
    if plain == text and len(plain) <= NAME_LIMIT:
        return plain
    return f"{plain[: NAME_LIMIT - DIGEST - 1].strip('-_.')}-{_digest(text)}".lstrip("-")


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:DIGEST]
