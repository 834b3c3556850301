"""The API server of a cluster, as lightkube speaks to it: every call has an end, and a refusal says what to do.

What fails for a while is tried again, with exponential back-off and jitter, and never earlier than ``Retry-After``
says: no answer, a connection that is reset, 429, 5xx. A conflict (409) is the caller's, who has to read again.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import anyio

from harness import seeds
from harness.backends.webhook import Patience, retry_after_s
from harness.clock import is_virtual, now_ns
from harness.domain.real import KubernetesPlan
from harness.domain.units import SECOND
from harness.errors import BackendError
from harness.manifests.common import MANAGER, Manifest

PATIENCE: Final = Patience(attempts=8, attempt_s=10.0, within_s=30.0, base_s=0.1, most_s=5.0)
"""Of one call, all its tries together."""
NOT_FOUND: Final = 404
CONFLICT: Final = 409
BUSY: Final = (429, 500, 502, 503, 504)
_LACKS: Final = re.compile(r'cannot (\w+) resource "([^"]+)" in API group "([^"]*)"')


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object."""

    group: str
    version: str
    name: str
    plural: str


DEPLOYMENT: Final = Kind("apps", "v1", "Deployment", "deployments")
SERVICE: Final = Kind("", "v1", "Service", "services")
POD: Final = Kind("", "v1", "Pod", "pods")
CLAIM: Final = Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
AUTOSCALER: Final = Kind("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
ROUTE: Final = Kind("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes")


class Conflict(Exception):
    """Somebody has changed the object since it was read."""


class Gone(Exception):
    """The history that a watch was to begin with is forgotten: list again."""


class Api:
    """A client of one namespace.

    Args:
        plan: where the cluster is.
        error: what is raised, a branch of BackendError.
        seed: of the jitter.
        patience: of each call.
    """

    def __init__(
        self, plan: KubernetesPlan, error: type[BackendError], seed: int = 0, patience: Patience = PATIENCE
    ) -> None:
        self.namespace, self.error = plan.namespace, error
        self._plan, self._patience = plan, patience
        self._jitter, self._draws = seeds.stream(seed, f"kubernetes/{error.__name__}"), 0
        self._client: Any = None

    @property
    def is_open(self) -> bool:
        """Whether it can be asked."""
        return self._client is not None

    def open(self) -> None:
        """Read the kubeconfig, or the pod's own service account; nothing is sent yet.

        Raises:
            BackendError: lightkube is not installed, there is no kubeconfig, or time is virtual.
        """
        if is_virtual():
            raise self.error("a cluster is real, and is not asked on virtual time; run with `--clock real`")
        try:
            from lightkube import AsyncClient, KubeConfig
            from lightkube.core.exceptions import ConfigError
        except ImportError:
            raise self.error(
                "Kubernetes needs lightkube, which is not installed: pip install 'rollout-harness[kubernetes]' "
                "(in a clone: pip install -e '.[kubernetes]')"
            ) from None
        try:
            config = KubeConfig.from_env().get(self._plan.context)
            self._client = AsyncClient(config, namespace=self.namespace, field_manager=MANAGER)
        except (ConfigError, OSError, ValueError) as error:
            raise self.error(
                f"no cluster can be reached: {error}; set KUBECONFIG, or real.kubernetes.context to one of its contexts"
            ) from error

    async def close(self) -> None:
        """Close its connections; closing again changes nothing."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    # --- calls --------------------------------------------------------------------------------------------------------

    async def get(self, kind: Kind, name: str) -> Manifest | None:
        """An object; None where there is none of that name."""
        return await self._called("get", kind, name, lambda it: it.get(resource(kind), name), missing=True)

    async def apply(self, kind: Kind, body: Manifest) -> Manifest:
        """Server-side apply as `MANAGER`, taking over what others have set.

        Raises:
            Conflict: the object is another one than ``metadata.resourceVersion`` says.
            BackendError: it was refused, or not answered in time.
        """
        from lightkube.types import PatchType

        name = body["metadata"]["name"]

        def patched(client: Any) -> Awaitable[Any]:
            made: Awaitable[Any] = client.patch(
                resource(kind), name, body, patch_type=PatchType.APPLY, field_manager=MANAGER, force=True
            )
            return made

        found = await self._called("patch", kind, name, patched)
        assert found is not None  # only `get` may find nothing
        return found

    async def list(self, kind: Kind, labels: Mapping[str, str]) -> tuple[dict[str, Manifest], str]:
        """The objects with these labels by name, and the version to watch from."""

        async def listed(client: Any) -> Any:
            found = client.list(resource(kind), labels=dict(labels))
            objects = {each["metadata"]["name"]: each async for each in found}
            return objects, found.resourceVersion

        return await self._called("list", kind, "", listed)  # type: ignore[return-value]

    async def watch(
        self, kind: Kind, labels: Mapping[str, str], version: str, server_s: int
    ) -> AsyncIterator[tuple[str, Manifest]]:
        """Changes since a version, as (ADDED, MODIFIED or DELETED, object).

        Args:
            kind: of the objects.
            labels: that they have.
            version: to begin after.
            server_s: the server ends the watch after so long, and it is begun again where it ended.

        Raises:
            Gone: that is too long ago.
            BackendError: the watch is refused or broken.
        """
        import httpx2

        made = self._open().watch(
            resource(kind), labels=dict(labels), resource_version=version, server_timeout=server_s
        )  # fmt: skip
        try:
            async for what, found in made:
                yield what, found
        except httpx2.HTTPStatusError as error:
            if _code(error) == 410:
                raise Gone from None
            raise self._refused("watch", kind, "", error) from error
        except (httpx2.HTTPError, OSError) as error:
            raise self.error(f"the watch of {kind.plural} broke off: {_words(error)}") from error
        finally:
            await made.aclose()

    # --- tries --------------------------------------------------------------------------------------------------------

    def _open(self) -> Any:
        if self._client is None:
            raise self.error("the cluster is not asked: `start` or `attach` first")
        return self._client

    async def _called(
        self, verb: str, kind: Kind, name: str, make: Callable[[Any], Awaitable[Any]], *, missing: bool = False
    ) -> Any:
        import httpx2

        client, patience = self._open(), self._patience
        last_ns = now_ns() + round(patience.within_s * SECOND)
        for attempt in range(1, patience.attempts + 1):
            after_s = 0.0
            try:
                with anyio.fail_after(patience.attempt_s):
                    return await make(client)
            except TimeoutError:
                said = f"no answer within {patience.attempt_s:g} s"
            except httpx2.HTTPStatusError as error:
                code = _code(error)
                if code == CONFLICT:
                    raise Conflict from error
                if code == NOT_FOUND and missing:
                    return None
                if code not in BUSY:
                    raise self._refused(verb, kind, name, error) from error
                said, after_s = f"HTTP {code}, {_words(error)}", _after_s(error)
            except (httpx2.HTTPError, OSError) as error:
                said = _words(error)
            wait_s = max(after_s, patience.wait_s(attempt, self._drawn()))
            if attempt == patience.attempts or now_ns() + wait_s * SECOND > last_ns:
                break
            await anyio.sleep(wait_s)
        raise self.error(f"the API server did not {verb} {_thing(kind, name)} in {attempt} tries: {said}")

    def _drawn(self) -> float:
        self._draws += 1
        return float(self._jitter.generator(self._draws).random())

    def _refused(self, verb: str, kind: Kind, name: str, error: Any) -> BackendError:
        """What to do about it, by what the server says."""
        code, what = _code(error), _thing(kind, name)
        if code == 403:
            found = _LACKS.search(_words(error))
            lacks, of, group = found.groups() if found else (verb, kind.plural, kind.group)
            return self.error(
                f"the API server does not let us {lacks} {what} in {self.namespace}: the Role {MANAGER} lacks the rule "
                f'{{apiGroups: ["{group}"], resources: ["{of}"], verbs: ["{lacks}"]}}; `harness export kubernetes` '
                f"writes the Role (production/harness-role.yaml)"
            )
        if code == 401:
            return self.error("the API server does not know us (401): the kubeconfig's credentials are not valid now")
        if code == NOT_FOUND:
            return self.error(
                f"the API server knows no {what} in {self.namespace}: is the namespace there, and the API "
                f"{kind.group or 'core'}/{kind.version}? `harness export kubernetes` writes the namespace"
            )
        return self.error(f"the API server refused to {verb} {what} (HTTP {code}): {_words(error)}")


@cache
@cache
def resource(kind: Kind) -> Any:
    """A class of lightkube's for a kind, whose objects are plain dicts.

    It is in no registry of lightkube's: there a second class for a kind is an error, and the program that imports us
    may use the typed one.
    """
    from lightkube.generic_resource import GenericNamespacedResource, create_api_info

    info = create_api_info(kind.group, kind.version, kind.name, kind.plural)
    return type(kind.name, (GenericNamespacedResource,), {"_api_info": info})


def _thing(kind: Kind, name: str) -> str:
    return f"{kind.name} {name}" if name else kind.plural


def _code(error: Any) -> int:
    """In a watch's stream it stands in the Status alone."""
    status = getattr(error, "status", None)
    return int(error.response.status_code if error.response is not None else status.code)


def _words(error: Any) -> str:
    status = getattr(error, "status", None)
    return str((status and status.message) or error or type(error).__name__)


def _after_s(error: Any) -> float:
    return retry_after_s(error.response.headers.get("Retry-After", "")) if error.response is not None else 0.0
