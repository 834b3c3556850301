"""A scenario's model and rollout as a chart of Helm: the manifests of `exporters.kubernetes`, with values.

The templates are made from the same objects: where a value stands in them, a mark is put in its place, and each mark
becomes an expression. So the chart with its own values renders to what `harness export kubernetes` writes.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from harness.domain.model import Role
from harness.domain.scenario import Scenario
from harness.exporters import kubernetes
from harness.exporters.kubernetes import PRODUCTION, STAGING, Sizes, Versions
from harness.exporters.text import Export, quoted, yaml_text
from harness.manifests.common import Manifest, model_name, registry_uri

MARK: Final = "harness-value-"
"""What the marks of texts begin with."""
MARKS: Final = 7_000_000
"""Marks of numbers begin here; no count, port or share is so high."""
CHART_VERSION: Final = "0.1.0"
RESOURCES: Final = re.compile(r"^( *)resources: harness-value-resources$", re.MULTILINE)
HOSTS: Final = re.compile(r"^( *)hostnames: harness-value-hostnames$", re.MULTILINE)


def chart(scenario: Scenario, folder: Path, versions: Versions = kubernetes.FIRST) -> Export:
    """The files of a chart, by their path below a folder.

    Raises:
        InputError: pods could not find the models.
    """
    del folder
    values = values_of(scenario, versions)
    marks = _Marks(scenario, values)
    head = f"# Written by `harness export helm` from {Path(scenario.path).name}.\n"
    made = kubernetes.objects(marks.scenario, marks.versions, marks.sizes)
    templates = {f"templates/{path.replace('/', '-')}.yaml": marks.template(path, each) for path, each in made.items()}
    notes = kubernetes.notes_of(scenario, versions)
    about = {
        "apiVersion": "v2",
        "name": model_name(scenario),
        "description": f"The model {scenario.model.name}, and the arms of its rollout.",
        "type": "application",
        "version": CHART_VERSION,
        "appVersion": str(versions.candidate),
    }
    files = {
        "Chart.yaml": head + yaml_text(quoted(about)),
        "values.yaml": head + yaml_text(quoted(values)),
        "values.schema.json": json.dumps(schema_of(values), indent=2) + "\n",
        **templates,
        "templates/NOTES.txt": _notes_txt(notes),
    }
    told = tuple(
        each.replace("--stable-version and --candidate-version say", "the chart's values say") for each in notes
    )
    return Export(files, told)


def values_of(scenario: Scenario, versions: Versions) -> dict[str, Any]:
    """What a user of the chart may change, as the scenario has it."""
    plan, sizes = scenario.real.kubernetes, kubernetes.sizes_of(scenario)
    limits = {"memory": plan.memory_limit or plan.memory, **({"cpu": plan.cpu_limit} if plan.cpu_limit else {})}
    values: dict[str, Any] = {
        "image": plan.image,
        "namespaces": {PRODUCTION: plan.namespace, STAGING: plan.staging_namespace},
        **{role.value: {"replicas": count} for role, count in sizes.replicas.items()},
        "staging": {"replicas": sizes.staging},
        "weights": {role.value: weight for role, weight in sizes.weights.items()},
        "gateway": plan.gateway,
        "hostnames": [plan.hostname] if plan.hostname else [],
        "resources": {"requests": {"cpu": plan.cpu, "memory": plan.memory}, "limits": limits},
    }
    for role in (Role.STABLE, Role.CANDIDATE):
        values[role.value] = {"version": getattr(versions, role.value), **values[role.value]}
    values |= {"claim": {"size": plan.claim_size}} if plan.claim else {"registry": registry_uri(scenario)}
    if plan.autoscale_max is not None:
        values["autoscaling"] = {"maxReplicas": plan.autoscale_max, "cpu": plan.autoscale_cpu}
    return values


def schema_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON Schema (draft 7, which Helm reads) that takes these values, and others of their kind."""
    schema = _schema("", values)
    schema["properties"]["global"] = {"type": "object"}  # what Helm hands to every chart
    return {"$schema": "http://json-schema.org/draft-07/schema#", **schema}


def _schema(name: str, value: Any) -> dict[str, Any]:
    if name == "resources":
        return {"type": "object"}  # Kubernetes' own, and it checks it
    if isinstance(value, Mapping):
        inside = {key: _schema(f"{name}.{key}".lstrip("."), each) for key, each in value.items()}
        return {"type": "object", "properties": inside, "required": list(value), "additionalProperties": False}
    if isinstance(value, list):
        return {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 16}
    if isinstance(value, int):
        bounds = {"minimum": 0, "maximum": 1_000_000} if name.startswith("weights.") else {"minimum": 1}
        return {"type": "integer", **bounds}
    return {"type": "string", "minLength": 1}


class _Marks:
    """The scenario with a mark where each value stands, and what each mark becomes."""

    def __init__(self, scenario: Scenario, values: Mapping[str, Any]) -> None:
        self.texts = {f"harness-value-{'-'.join(path)}": _expression(path, "quote") for path in _leaves(values, str)}
        numbers = {path: MARKS + place for place, path in enumerate(_leaves(values, int))}
        self.numbers = {str(mark): _expression(path, "int64") for path, mark in numbers.items()}
        self.versions = Versions(numbers["stable", "version"], numbers["candidate", "version"])
        plan, arms = scenario.real.kubernetes, kubernetes.arms_of(scenario)
        self.sizes = Sizes(
            {role: numbers[role.value, "replicas"] for role in arms},
            numbers["staging", "replicas"],
            {role: numbers["weights", role.value] for role in arms},
        )
        marked = replace(
            plan,
            image="harness-value-image",
            namespace=f"harness-value-namespaces-{PRODUCTION}",
            staging_namespace=f"harness-value-namespaces-{STAGING}",
            gateway="harness-value-gateway",
            hostname="harness-value-hostnames",
        )
        if plan.claim:
            marked = replace(marked, claim_size="harness-value-claim-size")
        self.registry = None if plan.claim else registry_uri(scenario)
        if plan.autoscale_max is not None:
            marked = replace(marked, autoscale_max=MARKS * 2, autoscale_cpu=numbers["autoscaling", "cpu"])
        self.scenario = replace(scenario, real=replace(scenario.real, kubernetes=marked))

    def template(self, path: str, manifest: Manifest) -> str:
        """A template of an object: its marks are replaced, and what a text has of Helm's own signs is kept a text."""
        text = yaml_text(quoted(self._walked(manifest))).replace("{{", '{{ "{{" }}')
        role = next((role.value for role in Role if path.endswith(f"-{role}")), "")
        most = f"max .Values.{role}.replicas .Values.autoscaling.maxReplicas"
        for mark, becomes in {**self.texts, **self.numbers, str(MARKS * 2): f"{{{{ {most} }}}}"}.items():
            text = text.replace(mark, becomes)
        text = HOSTS.sub(_hostnames, RESOURCES.sub(_resources, text))
        place, _, what = path.partition("/")
        return _unless_default(place, text) if what == "namespace" else text

    def _walked(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            marked = {key: self._walked(each) for key, each in value.items()}
            if "resources" in value and "image" in value:  # a container's, not a claim's
                marked["resources"] = "harness-value-resources"
            if "hostnames" in value:
                marked["hostnames"] = "harness-value-hostnames"
            return marked
        if isinstance(value, list):
            return [self._walked(each) for each in value]
        return "harness-value-registry" if value is not None and value == self.registry else value


def _leaves(values: Any, kind: type, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all values of a kind, but for those that stand in the chart as a whole."""
    for key, value in values.items():
        if key in {"resources", "hostnames"}:
            continue
        if isinstance(value, Mapping):
            yield from _leaves(value, kind, (*path, key))
        elif isinstance(value, kind):
            yield (*path, key)


def _expression(path: tuple[str, ...], function: str) -> str:
    return f"{{{{ .Values.{'.'.join(path)} | {function} }}}}"


def _resources(found: re.Match[str]) -> str:
    indent = found[1]
    return f"{indent}resources:\n{indent}  {{{{- toYaml .Values.resources | nindent {len(indent) + 2} }}}}"


def _unless_default(place: str, text: str) -> str:
    """That namespace is there always."""
    return f'{{{{- if ne .Values.namespaces.{place} "default" }}}}\n{text}{{{{- end }}}}\n'


def _hostnames(found: re.Match[str]) -> str:
    """None are no hosts at all, not a list without any."""
    indent = found[1]
    listed = f"{indent}hostnames:\n{indent}  {{{{- toYaml . | nindent {len(indent) + 2} }}}}"
    return f"{indent}{{{{- with .Values.hostnames }}}}\n{listed}\n{indent}{{{{- end }}}}"


def _notes_txt(notes: tuple[str, ...]) -> str:
    lines = "".join(f"- {note}\n".replace("{{", '{{ "{{" }}') for note in notes)
    where = "{{ .Values.weights.stable | int64 }} of 10000 parts of the traffic go to stable"
    return f"Version {{{{ .Values.stable.version | int64 }}}} is stable; {where}.\n\n{lines}"
