"""Who asked what, and who may: identities by token, Roles and their bindings as stored, and the audit log."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from fakes.kube_errors import forbidden
from fakes.kube_kinds import BINDING, CLUSTER_BINDING, CLUSTER_ROLE, NAMESPACE, ROLE, Kind
from fakes.kube_script import Object
from fakes.kube_store import Store

ADMIN: Final = "admin"
"""Who may do anything (group system:masters)."""
ANONYMOUS: Final = "system:anonymous"
ACCOUNT: Final = "system:serviceaccount:"
TOKEN: Final = "token-of-"  # noqa: S105 - what a made-up token begins with


def token_of(user: str) -> str:
    """The token that a user shows; a stand-in's, and no secret."""
    return TOKEN + user


def user_of(header: str) -> str | None:
    """Who shows this Authorization header; None where the token is nobody's."""
    if not header:
        return ANONYMOUS
    scheme, _, token = header.partition(" ")
    if scheme != "Bearer" or not token.startswith(TOKEN):
        return None
    return token.removeprefix(TOKEN)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request is about."""

    verb: str
    """get, list, watch, create, update, patch, delete, deletecollection."""
    kind: Kind
    namespace: str
    """Empty: all of them, or the cluster's own."""
    name: str = ""
    subresource: str = ""

    @property
    def resource(self) -> str:
        """As RBAC names it: ``deployments`` or ``deployments/scale``."""
        return f"{self.kind.plural}/{self.subresource}" if self.subresource else self.kind.plural


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the audit log."""

    user: str
    asked: Asked
    code: int
    """As answered; 0: not at all."""


@dataclass(slots=True)
class Audit:
    """Every request that was understood, in order."""

    entries: list[Entry] = field(default_factory=list)

    def asked(self, user: str = "") -> set[tuple[str, str, str]]:
        """What was let through: (verb, API group, resource), as the rules of a Role name it; of a user, or of anybody.

        An apply that made its object needed ``create`` beside ``patch``.
        """
        told: set[tuple[str, str, str]] = set()
        for entry in self.entries:
            if user in {"", entry.user} and entry.code not in {401, 403}:
                told.add((entry.asked.verb, entry.asked.kind.group, entry.asked.resource))
                if entry.asked.verb == "patch" and entry.code == 201:
                    told.add(("create", entry.asked.kind.group, entry.asked.resource))
        return told

    def count(self, verb: str = "", resource: str = "", code: int | None = None) -> int:
        """How many requests were such."""
        return sum(
            verb in {"", entry.asked.verb} and resource in {"", entry.asked.resource} and code in {None, entry.code}
            for entry in self.entries
        )


def authorize(store: Store, user: str, asked: Asked) -> None:
    """Let it pass, or refuse it.

    Raises:
        Refused: 403, in the words of Kubernetes.
    """
    namespace = asked.name if asked.kind is NAMESPACE else asked.namespace  # a namespace's own Roles may speak of it
    if user == ADMIN or any(_allows(rule, asked) for rule in _rules(store, user, namespace)):
        return
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    what = f'resource "{asked.resource}" in API group "{asked.kind.group}"'
    raise forbidden(asked.kind, asked.name, f'User "{user}" cannot {asked.verb} {what} {where}')


def _rules(store: Store, user: str, namespace: str) -> Iterator[Object]:
    for binding in store.all(CLUSTER_BINDING):
        if _binds(binding, user, ""):
            yield from _role(store, binding["roleRef"], "")
    for binding in store.all(BINDING, namespace) if namespace else ():
        if _binds(binding, user, namespace):
            yield from _role(store, binding["roleRef"], namespace)


def _role(store: Store, ref: Object, namespace: str) -> Iterable[Object]:
    kind = ROLE if ref["kind"] == "Role" else CLUSTER_ROLE
    role = store.find(kind, namespace, ref["name"])
    return (role.get("rules") or []) if role else []


def _binds(binding: Object, user: str, namespace: str) -> bool:
    return any(_is(subject, user, namespace) for subject in binding.get("subjects") or [])


def _is(subject: dict[str, Any], user: str, namespace: str) -> bool:
    if subject["kind"] == "ServiceAccount":
        return user == f"{ACCOUNT}{subject.get('namespace') or namespace}:{subject['name']}"
    if subject["kind"] == "Group":
        return subject["name"] in _groups(user)
    return bool(subject["name"] == user)


def _groups(user: str) -> set[str]:
    if user == ANONYMOUS:
        return {"system:unauthenticated"}
    if not user.startswith(ACCOUNT):
        return {"system:authenticated"}
    namespace = user.removeprefix(ACCOUNT).partition(":")[0]
    return {"system:authenticated", "system:serviceaccounts", f"system:serviceaccounts:{namespace}"}


def _allows(rule: Object, asked: Asked) -> bool:
    def has(field_name: str, *wanted: str) -> bool:
        return not {*wanted, "*"}.isdisjoint(rule.get(field_name) or ())

    resources = [asked.resource, f"*/{asked.subresource}"] if asked.subresource else [asked.resource]
    named = not rule.get("resourceNames") or asked.name in rule["resourceNames"]
    return has("verbs", asked.verb) and has("apiGroups", asked.kind.group) and has("resources", *resources) and named
