"""Whether there is a cluster at all: seen before a run begins, so that nothing is trained for one that cannot be."""

import socket
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from harness.domain.real import KubernetesPlan
from harness.errors import BackendError

WITHIN_S: Final = 5.0
REMEDY: Final = (
    "`kubectl cluster-info` shows whether it is there; KUBECONFIG, or real.kubernetes.context, names another one; "
    "`--clock virtual` rehearses the same file without any"
)
PORTS: Final = {"http": 80, "https": 443}


def reach(plan: KubernetesPlan, within_s: float = WITHIN_S) -> None:
    """Read the kubeconfig, or the pod's own service account, and connect to the API server once; ask it nothing.

    Behind a proxy only the kubeconfig is read.

    Raises:
        BackendError: there is no cluster to be driven; what was looked for, and what to do.
    """
    _connect(server(plan), within_s)


def server(plan: KubernetesPlan) -> str:
    """The API server's URL, which tells a cluster from every other, whatever a context is called.

    Raises:
        BackendError: no cluster is known; what was looked for, and what to do.
    """
    try:
        from lightkube import KubeConfig
        from lightkube.core.exceptions import ConfigError
    except ImportError:
        raise BackendError(
            "Kubernetes needs lightkube, which is not installed: pip install 'rollout-harness[kubernetes]' "
            "(in a clone: pip install -e '.[kubernetes]')"
        ) from None
    try:
        config = KubeConfig.from_env().get(plan.context)
    except (ConfigError, OSError, ValueError, KeyError) as error:
        raise BackendError(f"no cluster is known: {error}; {REMEDY}") from error
    if config is None:
        raise BackendError(f"no cluster is known: the kubeconfig has no current context; {REMEDY}")
    return str(config.cluster.server)


def _connect(url: str, within_s: float) -> None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme in getproxies() and not proxy_bypass(host):
        return
    try:
        socket.create_connection((host, parts.port or PORTS.get(parts.scheme, 443)), timeout=within_s).close()
    except OSError as error:
        said = error.strerror or str(error) or type(error).__name__
        raise BackendError(f"no cluster answers at {url}: {said}; {REMEDY}") from error
