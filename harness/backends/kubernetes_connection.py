"""Where a cluster is, and as whom it is asked: the kubeconfig's context, or the pod's own service account."""

from typing import Any

from harness.clock import is_virtual
from harness.domain.real import KubernetesPlan
from harness.errors import BackendError
from harness.manifests.common import MANAGER


def clients(plan: KubernetesPlan, error_of: type[BackendError]) -> tuple[Any, Any]:
    """Lightkube's client, and the one beneath it, for watches; nothing is sent yet.

    In a pod its service account counts, else the kubeconfig that KUBECONFIG names, else ``~/.kube/config``.

    Raises:
        BackendError: lightkube is not installed, there is no kubeconfig, or time is virtual.
    """
    if is_virtual():
        raise error_of("a cluster is real, and is not asked on virtual time; run with `--clock real`")
    try:
        from lightkube import AsyncClient, KubeConfig
        from lightkube.config.client_adapter import ConnectionParams
        from lightkube.core.exceptions import ConfigError
        from lightkube.core.generic_client import GenericAsyncClient
    except ImportError:
        raise error_of(
            "Kubernetes needs lightkube, which is not installed: pip install 'rollout-harness[kubernetes]' "
            "(in a clone: pip install -e '.[kubernetes]')"
        ) from None
    try:
        config = KubeConfig.from_env().get(plan.context)
        client = AsyncClient(config, namespace=plan.namespace, field_manager=MANAGER)
        return client, GenericAsyncClient(ConnectionParams(), config, namespace=plan.namespace)
    except (ConfigError, OSError, ValueError) as error:
        raise error_of(
            f"no cluster can be reached: {error}; set KUBECONFIG, or real.kubernetes.context to one of its contexts"
        ) from error
