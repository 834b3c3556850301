"""What a scenario says of the real things it drives: processes, a router, Prometheus, Kubernetes, endpoints."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.domain.model import Role
from harness.domain.units import SECOND


@dataclass(frozen=True, slots=True)
class LocalPlan:
    """Replicas as processes of `harness serve` on this machine."""

    threads: int = 1
    """That ask the model, in each replica."""
    ready_after_ns: int = 0
    """A replica gets traffic only when it has been ready for so long."""
    drain_ns: int = 10 * SECOND
    """How long a replica that is taken down may take for what it is answering."""
    probe_every_ns: int = SECOND
    """From one look at each replica's readiness to the next."""
    restarts: int = 5
    """A replica that has died more often than this in a row, without being ready in between, is left down."""


@dataclass(frozen=True, slots=True)
class RouterPlan:
    """The router before the replicas."""

    host: str = "127.0.0.1"
    port: int = 0
    """Where users ask; 0: any that is free."""
    user_header: str = "x-user-id"
    """What tells users apart, for stickiness."""
    retries: int = 2
    """A request that no replica has begun to answer is tried again at another one, so often."""
    timeout_ns: int = 10 * SECOND
    """A replica that has not begun to answer by then is given up (504)."""
    max_body: int = 4 * 1024 * 1024
    """Bytes; a longer request is refused (413)."""
    webhook: str | None = None
    """With ``router: webhook``: where the weights that are wanted are sent, as JSON."""
    command: tuple[str, ...] = ()
    """With ``router: command``: what is run with the weights that are wanted as JSON on its standard input."""


@dataclass(frozen=True, slots=True)
class PrometheusPlan:
    """Where ``metrics: prometheus`` asks."""

    url: str | None = None
    """None: one is started beside local replicas, from the program `prometheus`."""
    scrape_ns: int = SECOND
    """How often the one that is started scrapes; what another one does is its own matter."""
    lag_ns: int = 0
    """A window is asked for only when it has been over for so long; at least one scrape of ours where it is ours."""
    timeout_ns: int = 5 * SECOND
    """Of one query."""
    retries: int = 2
    """A query that fails for want of an answer (time-out, 5xx, refused) is asked again so often."""
    token_env: str | None = None
    """The variable that holds a bearer token."""
    queries: Mapping[str, str] = field(default_factory=dict)
    """Queries of one's own, by what they answer: requests, failed, latency_buckets, or any metric's name. In each
    ``$window`` stands for the window and ``$arm`` for stable, candidate …"""
    labels: Mapping[Role, Mapping[str, str]] = field(default_factory=dict)
    """Which labels an arm's series carry; none: ``arm="stable"`` and so on."""


@dataclass(frozen=True, slots=True)
class EndpointsPlan:
    """Endpoints that are there already (``serving: http``)."""

    urls: Mapping[Role, tuple[str, ...]] = field(default_factory=dict)
    """Base URLs of each arm's replicas."""
    front: str | None = None
    """Where users ask, with a router of one's own; None: the built-in one stands before them."""
    ready_path: str = "/ready"
    """Answered 200 by a replica that may get traffic."""
    arm_header: str = "x-harness-arm"
    """The header of an answer that says which arm gave it, for a router of one's own; where it is missing, the version
    in the answer's body does."""


@dataclass(frozen=True, slots=True)
class KubernetesPlan:
    """Where and how `serving: kubernetes` runs the replicas."""

    namespace: str = "default"
    staging_namespace: str = "staging"
    context: str | None = None
    """Of the kubeconfig; None: its current one, or the pod's own service account."""
    image: str = "rollout-harness:latest"
    port: int = 8080
    cpu: str = "500m"
    cpu_limit: str | None = None
    memory: str = "512Mi"
    memory_limit: str | None = None
    """None: as requested."""
    claim: str | None = None
    """The volume claim that models are read from, mounted at /models; None: the registry is asked."""
    claim_size: str = "1Gi"
    registry: str | None = None
    """The registry's URI as the pods see it."""
    service_account: str = "model-server"
    gateway: str = "models"
    """The Gateway that the HTTPRoute hangs on."""
    hostname: str | None = None
    """Of the HTTPRoute; None: any."""
    front: str | None = None
    """Where users ask, as this machine reaches it."""
    autoscale_max: int | None = None
    """With it, a HorizontalPodAutoscaler from the arm's size up to this."""
    autoscale_cpu: int = 70
    """At which use of the CPU, in percent."""
    staging_front: str | None = None
    """Where a candidate is asked in staging, as this machine reaches it."""


@dataclass(frozen=True, slots=True)
class RealPlan:
    """All of it; each part matters to a run only where a backend of its kind is used."""

    local: LocalPlan = field(default_factory=LocalPlan)
    router: RouterPlan = field(default_factory=RouterPlan)
    prometheus: PrometheusPlan = field(default_factory=PrometheusPlan)
    http: EndpointsPlan = field(default_factory=EndpointsPlan)
    kubernetes: KubernetesPlan = field(default_factory=KubernetesPlan)
