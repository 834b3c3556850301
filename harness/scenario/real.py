"""The scenario file: what there is to say of the real things that it drives (``real:``)."""

import re
from collections.abc import Iterable
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import Field, PlainValidator, WithJsonSchema

from harness.domain.model import Role
from harness.domain.real import (
    EndpointsPlan,
    KubernetesPlan,
    LocalPlan,
    PrometheusPlan,
    RealPlan,
    RouterPlan,
)
from harness.scenario.context import Context
from harness.scenario.inputs import At, ContradictionError, Input, WrongValueError
from harness.scenario.quantities import Count, Duration, LongDuration, PositiveCount, Servers
from harness.scenario.words import Text

_VARIABLE: Final = "^[A-Za-z_][A-Za-z0-9_]*$"
_DNS: Final = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
_QUANTITY: Final = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"
_HEADER: Final = "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"
QUERIES: Final = ("requests", "failed", "latency_buckets")
"""What may be asked in a query of one's own, besides any metric that a rule may name."""


def _url(value: Any) -> str:
    if isinstance(value, str):
        parts = urlsplit(value)
        if parts.scheme in {"http", "https"} and parts.hostname and not parts.query and not parts.fragment:
            return value.rstrip("/")
    raise WrongValueError("this is the base URL of a server, such as http://127.0.0.1:8080")


def _urls(value: Any) -> tuple[str, ...]:
    given = value if isinstance(value, list) and value else [value]
    found = tuple(_url(each) for each in given)
    if len(set(found)) < len(found):
        raise WrongValueError("each replica stands here once")
    return found


def _port(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 65535:
        raise WrongValueError("a port is a whole number from 1 to 65535, or 0 for any that is free")
    return value


def _matching(pattern: str, told: str) -> tuple[PlainValidator, WithJsonSchema]:
    def read(value: Any) -> str:
        if not isinstance(value, str) or not re.match(pattern, value, re.ASCII) or "\n" in value:
            raise WrongValueError(told)
        return value

    return PlainValidator(read), WithJsonSchema({"type": "string", "pattern": pattern})


def _command(value: Any) -> tuple[str, ...]:
    if isinstance(value, list) and value and all(isinstance(each, str) and each for each in value):
        return tuple(value)
    raise WrongValueError("a command is a list: the program, and each of its arguments")


_TEXT_SCHEMA: Final = {"type": "string"}
Url = Annotated[str, PlainValidator(_url), WithJsonSchema({**_TEXT_SCHEMA, "format": "uri"})]
Urls = Annotated[
    tuple[str, ...],
    PlainValidator(_urls),
    WithJsonSchema({"anyOf": [_TEXT_SCHEMA, {"type": "array", "items": _TEXT_SCHEMA, "minItems": 1}]}),
]
Port = Annotated[int, PlainValidator(_port), WithJsonSchema({"type": "integer", "minimum": 0, "maximum": 65535})]
Variable = Annotated[str, *_matching(_VARIABLE, "this is the name of an environment variable")]
DnsName = Annotated[str, *_matching(_DNS, "a name here has small letters, digits and -, at most 63")]
ResourceQuantity = Annotated[str, *_matching(_QUANTITY, "this is an amount as Kubernetes writes it: 500m, 512Mi, 2")]
HeaderName = Annotated[str, *_matching(_HEADER, "this is the name of an HTTP header")]
Command = Annotated[
    tuple[str, ...],
    PlainValidator(_command),
    WithJsonSchema({"type": "array", "items": _TEXT_SCHEMA, "minItems": 1}),
]


class LocalInput(Input):
    """Replicas as processes on this machine."""

    threads: PositiveCount = Field(1, description="Threads that ask the model, in each replica.")
    ready_after: Duration = Field(
        "0s", validate_default=True, description="A replica gets traffic when it has been ready for so long."
    )
    drain: Duration = Field(
        "10s", validate_default=True, description="How long one that is taken down may take for what it answers."
    )
    probe_every: LongDuration = Field(
        "1s", validate_default=True, description="How often each is asked if it is ready."
    )
    restarts: Count = Field(5, description="After so many deaths in a row a replica is left down.")


class RouterInput(Input):
    """The router before the replicas."""

    host: Text = Field("127.0.0.1", description="The address that users ask.")
    port: Port = Field(0, description="The port that users ask; 0: any that is free.")
    user_header: HeaderName = Field("x-user-id", description="The header that tells users apart.")
    retries: Count = Field(2, description="How often a request that nobody has begun to answer is tried elsewhere.")
    timeout: LongDuration = Field("10s", validate_default=True, description="When a replica is given up (504).")
    webhook: Url | None = Field(None, description="With `router: webhook`: where the wanted weights are sent.")
    command: Command | None = Field(
        None, description="With `router: command`: what is run with the wanted weights.", examples=[["./set-weights"]]
    )


class PrometheusInput(Input):
    """Where `metrics: prometheus` asks."""

    url: Url | None = Field(None, description="A Prometheus that is there; without it, one is started.")
    scrape: LongDuration = Field("1s", validate_default=True, description="How often the one that is started scrapes.")
    lag: Duration = Field("0s", validate_default=True, description="How long a window must be over to be asked for.")
    timeout: LongDuration = Field("5s", validate_default=True, description="How long one query may take.")
    retries: Count = Field(2, description="How often a query without an answer is asked again.")
    token_env: Variable | None = Field(None, description="The variable that holds a bearer token.")
    queries: dict[str, Text] = Field(
        {},
        description="PromQL of your own: requests, failed, latency_buckets; $window and $arm are filled in.",
        examples=[{"requests": 'sum(increase(http_requests_total{arm="$arm"}[$window]))'}],
    )
    labels: dict[str, dict[str, Text]] = Field({}, description="The labels that each arm's series carry.")

    def contradictions(self, context: Context) -> Iterable[At]:
        """Arms and queries are those that there are."""
        roles = tuple(Role)
        for name in self.labels:
            if name not in roles:
                yield At(("labels", name), WrongValueError(f"an arm is one of {', '.join(roles)}"))
        for name in self.queries:
            if not re.fullmatch("[a-z][a-z0-9_]*", name):
                told = f"a query answers one of {', '.join(QUERIES)}, or a metric by its name"
                yield At(("queries", name), WrongValueError(told))


class EndpointsInput(Input):
    """Endpoints that exist already."""

    stable: Urls = Field(description="Base URLs of stable's replicas.", examples=["http://127.0.0.1:8081"])
    candidate: Urls = Field(description="Base URLs of the candidate's replicas.", examples=["http://127.0.0.1:8082"])
    front: Url | None = Field(None, description="Where users ask, with a router of your own.")
    ready_path: Text = Field("/ready", description="Answered 200 by a replica that may get traffic.")
    arm_header: HeaderName = Field("x-harness-arm", description="The header of an answer that names its arm.")

    def contradictions(self, context: Context) -> Iterable[At]:
        """No replica belongs to both."""
        if both := sorted(set(self.stable) & set(self.candidate)):
            yield At(("candidate",), ContradictionError(f"has a replica that stable has too: {both[0]}"))


class KubernetesInput(Input):
    """Where and how `serving: kubernetes` runs the replicas."""

    namespace: DnsName = Field("default", description="The namespace of production.")
    staging_namespace: DnsName = Field("staging", description="The namespace of staging.")
    context: Text | None = Field(None, description="The context of the kubeconfig; default: the current one.")
    image: Text = Field("rollout-harness:latest", description="The image of the model server.")
    port: Port = Field(8080, description="The port of the model server.")
    cpu: ResourceQuantity = Field("500m", description="CPU that each replica requests.")
    cpu_limit: ResourceQuantity | None = Field(None, description="CPU that each may use; default: no limit.")
    memory: ResourceQuantity = Field("512Mi", description="Memory that each replica requests.")
    memory_limit: ResourceQuantity | None = Field(None, description="Memory that each may use; default: as requested.")
    claim: DnsName | None = Field(None, description="The volume claim with models, mounted at /models.")
    claim_size: ResourceQuantity = Field("1Gi", description="Its size.")
    registry: Text | None = Field(None, description="The registry's URI as the pods see it.")
    service_account: DnsName = Field("model-server", description="The pods' service account.")
    gateway: DnsName = Field("models", description="The Gateway of the HTTPRoute.")
    hostname: Text | None = Field(None, description="The host name of the HTTPRoute; default: any.")
    front: Url | None = Field(None, description="Where users ask, as this machine reaches it.")
    autoscale_max: Servers | None = Field(None, description="With it, an autoscaler up to so many replicas.")
    autoscale_cpu: PositiveCount = Field(70, description="At which use of the CPU, in percent.")
    staging_front: Url | None = Field(None, description="Where users of staging ask, as this machine reaches it.")


class RealInput(Input):
    """Real processes, routers, Prometheus, Kubernetes and endpoints."""

    local: LocalInput = Field(LocalInput(), description="With `serving: local`.")
    router: RouterInput = Field(RouterInput(), description="The router before real replicas.")
    prometheus: PrometheusInput = Field(PrometheusInput(), description="With `metrics: prometheus`.")
    http: EndpointsInput | None = Field(None, description="With `serving: http`.")
    kubernetes: KubernetesInput = Field(KubernetesInput(), description="With `serving: kubernetes`.")


def lacking(real: RealInput, serving: str, router: str) -> Iterable[At]:
    """What the backends that a scenario names need to be told, and are not."""
    if serving == "http" and real.http is None:
        yield At(("real",), ContradictionError("lacks http: `serving: http` needs the URLs of both arms"))
    if router == "webhook" and real.router.webhook is None:
        yield At(("real", "router"), ContradictionError("lacks webhook: where `router: webhook` sends the weights"))
    if router == "command" and real.router.command is None:
        yield At(("real", "router"), ContradictionError("lacks command: what `router: command` runs"))
    if router in {"webhook", "command"} and (real.http is None or real.http.front is None):
        yield At(("real",), ContradictionError(f"lacks http.front: where users ask, with `router: {router}`"))
    if router == "httproute" and real.kubernetes.front is None:
        yield At(("real",), ContradictionError("lacks kubernetes.front: where users ask, with `router: httproute`"))


def real_of(given: RealInput) -> RealPlan:
    """What a section says."""
    local, router, http = given.local, given.router, given.http
    return RealPlan(
        local=LocalPlan(local.threads, local.ready_after, local.drain, local.probe_every, local.restarts),
        router=RouterPlan(
            host=router.host,
            port=router.port,
            user_header=router.user_header,
            retries=router.retries,
            timeout_ns=router.timeout,
            webhook=router.webhook,
            command=router.command or (),
        ),
        prometheus=_prometheus(given.prometheus),
        http=EndpointsPlan(
            {Role.STABLE: http.stable, Role.CANDIDATE: http.candidate}, http.front, http.ready_path, http.arm_header
        )
        if http
        else EndpointsPlan(),
        kubernetes=KubernetesPlan(**given.kubernetes.model_dump()),
    )


def _prometheus(given: PrometheusInput) -> PrometheusPlan:
    return PrometheusPlan(
        url=given.url,
        scrape_ns=given.scrape,
        lag_ns=given.lag,
        timeout_ns=given.timeout,
        retries=given.retries,
        token_env=given.token_env,
        queries=dict(given.queries),
        labels={Role(name): dict(labels) for name, labels in given.labels.items()},
    )
