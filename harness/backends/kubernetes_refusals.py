"""What an API server's refusals say, and what to do about them."""

import re
from typing import TYPE_CHECKING, Any, Final

from harness.backends.webhook import retry_after_s
from harness.errors import BackendError
from harness.manifests.common import MANAGER

if TYPE_CHECKING:
    from harness.backends.kubernetes_api import Kind

NOT_FOUND: Final = 404
CONFLICT: Final = 409
GONE: Final = 410
_LACKS: Final = re.compile(r'cannot (\w+) resource "([^"]+)" in API group "([^"]*)"')


def refusal(
    error_of: type[BackendError], namespace: str, verb: str, kind: "Kind", name: str, error: Any
) -> BackendError:
    """The error of a call that will not succeed by being made again.

    Args:
        error_of: what is raised.
        namespace: in which it was asked.
        verb: as RBAC calls it.
        kind: of the object.
        name: of the object; empty: all of them.
        error: as the client raised it.
    """
    code, what = code_of(error), thing(kind, name)
    if code == 403:
        found = _LACKS.search(words_of(error))
        lacks, of, group = found.groups() if found else (verb, kind.plural, kind.group)
        return error_of(
            f"the API server does not let us {lacks} {what} in {namespace}: the Role {MANAGER} lacks the rule "
            f'{{apiGroups: ["{group}"], resources: ["{of}"], verbs: ["{lacks}"]}}; `harness export kubernetes` '
            f"writes the Role (production/harness-role.yaml)"
        )
    if code == 401:
        return error_of("the API server does not know us (401): the kubeconfig's credentials are not valid now")
    if code == NOT_FOUND:
        return error_of(
            f"the API server knows no {what} in {namespace}: is the namespace there, and the API "
            f"{kind.group or 'core'}/{kind.version}? `harness export kubernetes` writes the namespace"
        )
    return error_of(f"the API server refused to {verb} {what} (HTTP {code}): {words_of(error)}")


def thing(kind: "Kind", name: str) -> str:
    """What is asked for, for people."""
    return f"{kind.name} {name}" if name else kind.plural


def code_of(error: Any) -> int:
    """The status of HTTP."""
    return int(error.response.status_code if error.response is not None else error.status.code)


def words_of(error: Any) -> str:
    """The server's own, where it has any."""
    status = getattr(error, "status", None)
    return str((status and status.message) or error or type(error).__name__)


def after_s_of(error: Any) -> float:
    """What ``Retry-After`` says."""
    return retry_after_s(error.response.headers.get("Retry-After", "")) if error.response is not None else 0.0
