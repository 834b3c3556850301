"""The scenario file: its top level. Descriptions are what editors and the docs show."""

from collections.abc import Iterable
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from harness.backends.uri import FORGETFUL, split
from harness.scenario.attempts import ByStage
from harness.scenario.context import Context
from harness.scenario.environment import FaultInput, LabelsInput, ServiceInput, TrafficInput
from harness.scenario.httproute import unroutable
from harness.scenario.inputs import At, ContradictionError, Input, WrongValueError
from harness.scenario.lifecycle import ApprovalInput, MonitoringInput, StagingInput, SuccessorInput, rising
from harness.scenario.loadtest import LoadInput
from harness.scenario.models import ModelInput
from harness.scenario.quantities import HorizonDuration, Seed
from harness.scenario.real import RealInput, lacking
from harness.scenario.rollouts import RolloutInput, no_repeats
from harness.scenario.staged import staging_word, unstaged
from harness.scenario.words import Channel, Expectation, Slug, StageWord, Text, backend, backend_uri, one_word

VERSION: Final = 1


def _version(value: Any) -> int:
    if isinstance(value, bool) or value != VERSION:
        raise WrongValueError(f"this program reads version {VERSION}: harness: {VERSION}")
    return VERSION


Version = Annotated[int, PlainValidator(_version), WithJsonSchema({"const": VERSION})]


class BackendsInput(Input):
    """Which implementation stands behind each boundary."""

    registry: Annotated[str, *backend_uri("registry")] = Field(
        "memory", description="The model registry: a word, or a URI such as sqlite:///PATH."
    )
    tracker: Annotated[str, *backend_uri("tracker")] = Field(
        "memory", description="The experiment tracker: a word, or a URI such as mlflow+sqlite:///PATH."
    )
    serving: Annotated[str, *backend("serving")] = Field("simulated", description="The servers and their router.")
    metrics: Annotated[str, *backend("metrics")] = Field("inprocess", description="Where figures are asked for.")
    router: Annotated[str, *backend("router")] = Field(
        "builtin", description="The router before replicas that are real."
    )
    staging: Annotated[str | None, *backend("staging")] = Field(
        None, description="Where a candidate is tried first; default: on real time as `serving`, else simulated."
    )


class Document(Input):
    """A scenario: the rehearsal of one rollout."""

    harness: Version = Field(description="Version of this format.", examples=[1])
    name: Slug = Field(
        description="Name of the scenario; also of its folder of reports.", examples=["canary-regression"]
    )
    description: Text = Field("", description="What this scenario teaches.")
    seed: Seed = Field(0, description="Every random draw of a run comes from this.")
    clock: Annotated[str, *one_word(("virtual", "real"))] = Field("virtual", description="The time a run lives in.")
    horizon: HorizonDuration = Field("4h", validate_default=True, description="Where a virtual run ends at the latest.")
    model: ModelInput = Field(
        description="The two models, their data, and the gates.", examples=[{"name": "churn-prediction"}]
    )
    backends: BackendsInput = Field(
        BackendsInput(), description="The registry, the tracker, the servers and the metrics to use."
    )
    real: RealInput = Field(
        RealInput(),
        description="What there is to say of real processes, routers, Prometheus, Kubernetes and endpoints.",
        examples=[{"router": {"port": 8080}}],
    )
    service: ServiceInput = Field(ServiceInput(), description="The simulated servers; may be given for each arm.")
    traffic: TrafficInput = Field(description="How requests arrive.", examples=[{"poisson": "100/s"}])
    labels: LabelsInput | None = Field(None, description="When true answers become known; without it, never.")
    rollout: RolloutInput = Field(
        description="The policy of the rollout.", examples=[{"strategy": "canary", "steps": [{"weight": "10%"}]}]
    )
    staging: StagingInput | None = Field(
        None, description="What the candidate must stand in staging first; without it, it goes to production at once."
    )
    load: LoadInput | None = Field(
        None,
        description="A load test that the candidate must stand before the rollout; without it, none but staging's.",
        examples=[{"rate": "200/s", "slo": ["p99 < 250ms"]}],
    )
    approvals: Annotated[list[ApprovalInput], AfterValidator(rising)] = Field(
        [], description="What people say in this rehearsal.", examples=[[{"at": "20m", "decision": "approve"}]]
    )
    monitoring: MonitoringInput | None = Field(None, description="What happens after a promotion; without it, nothing.")
    successors: Annotated[list[SuccessorInput], AfterValidator(rising)] = Field(
        [], description="Newer candidates that come while this one is rolled out, or after."
    )
    stages: list[StageWord] = Field(
        [], description="Stages that other packages bring, run after the evaluation and before the gates."
    )
    notify: list[Channel] = Field(
        [], description="Where people are told: log, memory, or the URL of a webhook.", examples=[["log"]]
    )
    attempts: ByStage = Field(
        {},
        description="How often stages before deployment are tried where a backend fails, and how long they may take.",
        examples=[{"train": {"timeout": "30m", "retries": 2, "backoff": "10s"}}],
    )
    inject: list[FaultInput] = Field([], description="What goes wrong, and when, counted from the start of traffic.")
    expect: Annotated[list[Expectation], AfterValidator(no_repeats)] = Field(
        [], description="What must be true of the run for it to pass.", examples=[["outcome == rolled_back"]]
    )

    def contradictions(self, context: Context) -> Iterable[At]:
        """Backends know what they need; a registry that outlives the run keeps models; recorded answers are none."""
        yield from lacking(self.real, self.backends.serving, self.backends.router)
        yield from unroutable(self.rollout, self.backends.serving, self.backends.router)
        if self.staging is not None or (self.load is not None and self.load.url is None):
            words, cluster = self.backends, self.real.kubernetes
            word = staging_word(words.staging, words.serving, self.clock)
            deploys, named = self.staging is not None, words.staging is not None
            yield from unstaged(word, words.serving, self.clock, deploys=deploys, named=named, cluster=cluster)
        if split(self.backends.registry)[0] == FORGETFUL:
            return
        for arm, source in (("stable", self.model.stable), ("candidate", self.model.candidate)):
            if source.predictions is not None:
                yield At(
                    ("model", arm, "predictions"),
                    ContradictionError(
                        f"are no model that the registry {split(self.backends.registry)[0]} could keep and serve; "
                        "leave backends.registry (or --registry) out, so that the run registers in memory"
                    ),
                )
