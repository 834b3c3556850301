"""Refusals of an API server, in the shape and the words of Kubernetes: a ``Status`` with reason, code and details."""

from collections.abc import Iterable, Mapping
from typing import Any

from fakes.kube_kinds import Kind

REASONS = {
    400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 405: "MethodNotAllowed",
    409: "Conflict", 410: "Expired", 415: "UnsupportedMediaType", 422: "Invalid", 429: "TooManyRequests",
    500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout",
}  # fmt: skip


class Refused(Exception):
    """A request that is answered with a ``Status`` of failure."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        reason: str = "",
        kind: Kind | None = None,
        name: str = "",
        causes: Iterable[Mapping[str, str]] = (),
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason or REASONS[code]
        self.retry_after_s = retry_after_s
        self.details = _details(kind, name, causes, retry_after_s, whole=self.reason == "Invalid")

    def status(self) -> dict[str, Any]:
        """As it is sent."""
        details = {"details": self.details} if self.details else {}
        return {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, **details, "code": self.code,
        }  # fmt: skip


def _details(
    kind: Kind | None, name: str, causes: Iterable[Mapping[str, str]], retry_after_s: int | None, *, whole: bool
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if name:
        found["name"] = name
    if kind is not None:
        found |= {"group": kind.group} if kind.group else {}
        found["kind"] = kind.kind if whole else kind.plural  # Kubernetes names the resource, but the kind where Invalid
    told = [dict(cause) for cause in causes]
    if told:
        found["causes"] = told
    if retry_after_s is not None:
        found["retryAfterSeconds"] = retry_after_s
    return found


def not_found(kind: Kind, name: str) -> Refused:
    """404: there is no such object."""
    return Refused(404, f'{kind.resource} "{name}" not found', kind=kind, name=name)


def no_path() -> Refused:
    """404: there is no such resource."""
    return Refused(404, "the server could not find the requested resource")


def already_exists(kind: Kind, name: str) -> Refused:
    """409: the name is taken."""
    return Refused(409, f'{kind.resource} "{name}" already exists', reason="AlreadyExists", kind=kind, name=name)


def conflict(kind: Kind, name: str, why: str = "") -> Refused:
    """409: written by somebody else since it was read, or a precondition that does not hold."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    return Refused(409, f'Operation cannot be fulfilled on {kind.resource} "{name}": {why}', kind=kind, name=name)


def invalid(kind: Kind, name: str, *wrong: tuple[str, str, str]) -> Refused:
    """422: fields that cannot stand so; each as (field, cause, what is wrong)."""
    told = [f"{field}: {said}" for field, _, said in wrong]
    said = told[0] if len(told) == 1 else f"[{', '.join(told)}]"
    causes = [{"reason": cause, "message": what, "field": field} for field, cause, what in wrong]
    shown = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    return Refused(422, f'{shown} "{name}" is invalid: {said}', kind=kind, name=name, causes=causes)


def forbidden(kind: Kind, name: str, why: str, causes: Iterable[Mapping[str, str]] = ()) -> Refused:
    """403: may not be done."""
    what = f'{kind.resource} "{name}"' if name else kind.resource
    return Refused(403, f"{what} is forbidden: {why}", kind=kind, name=name, causes=causes)


def too_old(asked: int, oldest: int) -> Refused:
    """410: what happened since then is forgotten."""
    return Refused(410, f"too old resource version: {asked} ({oldest})")


def continue_too_old() -> Refused:
    """410: a list cannot be continued as it was begun."""
    return Refused(
        410,
        "The provided continue parameter is too old to display a consistent list result. You can start a new list "
        "without the continue parameter, or use the continue token in this response to retrieve the remainder of the "
        "results. Continuing with the provided token results in an inconsistent list - objects that were created, "
        "modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    )


def too_large(asked: int, current: int) -> Refused:
    """504: a resource version that is yet to come."""
    return Refused(
        504,
        f"Too large resource version: {asked}, current: {current}",
        causes=[{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        retry_after_s=1,
    )


def bad_request(message: str) -> Refused:
    """400."""
    return Refused(400, message)
