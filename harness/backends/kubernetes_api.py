"""The API server of a cluster, as lightkube speaks to it: every call has an end, and a refusal says what to do.

What fails for a while is tried again, with exponential back-off and jitter, and never earlier than ``Retry-After``
says: no answer, a connection that is reset, 429, 5xx. A conflict (409) is the caller's, who has to read again.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import anyio

from harness import seeds
from harness.backends.kubernetes_connection import clients
from harness.backends.kubernetes_refusals import (
    CONFLICT,
    GONE,
    NOT_FOUND,
    after_s_of,
    code_of,
    refusal,
    thing,
    words_of,
)
from harness.backends.webhook import Patience
from harness.clock import now_ns
from harness.domain.real import KubernetesPlan
from harness.domain.units import SECOND
from harness.errors import BackendError
from harness.manifests.common import MANAGER, Manifest

PATIENCE: Final = Patience(attempts=8, attempt_s=10.0, within_s=30.0, base_s=0.1, most_s=5.0)
"""Of one call, all its tries together."""
BUSY: Final = (429, 500, 502, 503, 504)


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
        self._watcher: Any = None

    @property
    def is_open(self) -> bool:
        """Whether it can be asked."""
        return self._client is not None

    def open(self) -> None:
        """Read the kubeconfig, or the pod's own service account; nothing is sent yet.

        Raises:
            BackendError: lightkube is not installed, there is no kubeconfig, or time is virtual.
        """
        self._client, self._watcher = clients(self._plan, self.error)

    async def close(self) -> None:
        """Close its connections; closing again changes nothing."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()
            await self._watcher.close()

    # --- calls --------------------------------------------------------------------------------------------------------

    async def get(self, kind: Kind, name: str) -> Manifest | None:
        """An object; None where there is none of that name."""
        held: Manifest | None = await self._called(
            "get", kind, name, lambda it: it.get(resource(kind), name), missing=True
        )
        return held

    async def create(self, kind: Kind, body: Manifest) -> Manifest:
        """A new object, as `MANAGER`.

        Raises:
            Conflict: there is one of that name.
            BackendError: it was refused, or not answered in time.
        """
        made = resource(kind)(body)
        found: Manifest = await self._called("create", kind, body["metadata"]["name"], lambda it: it.create(made))
        return found

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

        found: Manifest = await self._called("patch", kind, name, patched)
        return found

    async def list(self, kind: Kind, labels: Mapping[str, str]) -> tuple[dict[str, Manifest], str]:
        """The objects with these labels by name, and the version to watch from."""

        async def listed(client: Any) -> Any:
            found = client.list(resource(kind), labels=dict(labels))
            objects = {each["metadata"]["name"]: each async for each in found}
            return objects, found.resourceVersion

        there: tuple[dict[str, Manifest], str] = await self._called("list", kind, "", listed)
        return there

    async def watch(
        self, kind: Kind, labels: Mapping[str, str], version: str, server_s: int
    ) -> AsyncIterator[tuple[str, Manifest]]:
        """Changes since a version, as (ADDED, MODIFIED, DELETED or BOOKMARK, object), until the server ends the watch.

        A bookmark's object is but the version that the watch has come to. lightkube's own watch asks for none, and asks
        anew at once whenever a server ends it.

        Args:
            kind: of the objects.
            labels: that they have.
            version: to begin after.
            server_s: the server ends the watch after so long.

        Raises:
            Gone: that is too long ago.
            BackendError: the watch is refused or broken.
        """
        import httpx2
        from lightkube.core.exceptions import ConfigError

        self._open()
        asked = self._watcher.prepare_request("list", res=resource(kind), watch=True, params={
            "resourceVersion": version, "timeoutSeconds": server_s, "allowWatchBookmarks": "true",
            "labelSelector": ",".join(f"{name}={value}" for name, value in labels.items()),
        })  # fmt: skip
        asked.timeout = httpx2.Timeout(self._patience.attempt_s, read=None)
        try:
            answer = await self._watcher.send(self._watcher.build_adapter_request(asked), stream=True)
            try:
                if answer.is_error:
                    await answer.aread()
                self._watcher.raise_for_status(answer)
                async for line in answer.aiter_lines():
                    told = json.loads(line)
                    if told["type"] == "ERROR":
                        raise self._ended(kind, told["object"])
                    yield told["type"], told["object"]
            finally:
                await answer.aclose()
        except httpx2.HTTPStatusError as error:
            if code_of(error) == GONE:
                raise Gone from None
            raise refusal(self.error, self.namespace, "watch", kind, "", error) from error
        except ConfigError as error:
            raise self._unknown(error) from error
        except (httpx2.HTTPError, OSError, ValueError) as error:
            raise self.error(f"the watch of {kind.plural} broke off: {words_of(error)}") from error

    def _ended(self, kind: Kind, status: Manifest) -> Exception:
        """What a Status in a watch's stream comes to."""
        if status.get("code") == GONE:
            return Gone()
        return self.error(f"the watch of {kind.plural} was ended: {status.get('message', status.get('code'))}")

    # --- tries --------------------------------------------------------------------------------------------------------

    def _open(self) -> Any:
        if self._client is None:
            raise self.error("the cluster is not asked: `start` or `attach` first")
        return self._client

    async def _called(
        self, verb: str, kind: Kind, name: str, make: Callable[[Any], Awaitable[Any]], *, missing: bool = False
    ) -> Any:
        import httpx2
        from lightkube.core.exceptions import ConfigError

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
                code = code_of(error)
                if code == CONFLICT:
                    raise Conflict from error
                if code == NOT_FOUND and missing:
                    return None
                if code not in BUSY:
                    raise refusal(self.error, self.namespace, verb, kind, name, error) from error
                said, after_s = f"HTTP {code}, {words_of(error)}", after_s_of(error)
            except (httpx2.HTTPError, OSError) as error:
                said = words_of(error)
            except ConfigError as error:
                raise self._unknown(error) from error
            wait_s = max(after_s, patience.wait_s(attempt, self._drawn()))
            if attempt == patience.attempts or now_ns() + wait_s * SECOND > last_ns:
                break
            await anyio.sleep(wait_s)
        raise self.error(f"the API server did not {verb} {thing(kind, name)} in {attempt} tries: {said}")

    def _unknown(self, error: Exception) -> BackendError:
        return self.error(f"the kubeconfig's credentials cannot be had: {error}; see whether kubectl gets them")

    def _drawn(self) -> float:
        self._draws += 1
        return float(self._jitter.generator(self._draws).random())


@cache
def resource(kind: Kind) -> Any:
    """A class of lightkube's for a kind, whose objects are plain dicts.

    It is in no registry of lightkube's: there a second class for a kind is an error, and the program that imports us
    may use the typed one.
    """
    from lightkube.generic_resource import GenericNamespacedResource, create_api_info

    info = create_api_info(kind.group, kind.version, kind.name, kind.plural)
    return type(kind.name, (GenericNamespacedResource,), {"_api_info": info})
