"""What is exported to Kubernetes: valid by its schemas in two versions, and the same from a chart of Helm."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness import app
from harness.domain.model import Role
from harness.domain.rollout import HeaderRoute, Routing
from harness.domain.scenario import Scenario
from harness.errors import InputError
from harness.exporters import helm, kubernetes
from harness.exporters.text import yaml_text
from harness.manifests import naming, routes
from tests.exporters import http_route
from tests.requires import module
from tests.shipped import SCENARIOS

VERSIONS = ("1.37.0", "1.31.0")
REGISTRY = "backends.registry=postgresql://db/models"
CLAIMED = ("real.kubernetes.claim=models", "real.kubernetes.autoscale_max=8", "real.kubernetes.hostname=models.example")
SHAPES = {
    "registry": ("local_canary", (REGISTRY,)),
    "claim and autoscaler": ("local_canary", CLAIMED),
    "baseline": ("local_canary", (REGISTRY, "rollout.baseline=true", "real.kubernetes.namespace=models")),
    "blue-green": ("local_blue_green", (REGISTRY,)),
    "rolling": ("local_rolling", CLAIMED),
    "staging": ("staging_failure", (REGISTRY,)),
}


def scenario_of(shape: str) -> Scenario:
    name, changes = SHAPES[shape]
    return app.load_scenario(SCENARIOS / f"{name}.yaml", changes, quick=True)


def objects(files: Mapping[str, str]) -> dict[str, Any]:
    """The manifests, by what they are: kind, namespace and name."""
    found = [each for text in files.values() for each in yaml.safe_load_all(text) if each]
    made = [each for each in found if each["kind"] != "Kustomization"]
    named = {f"{each['kind']} {each['metadata'].get('namespace')}/{each['metadata']['name']}": each for each in made}
    assert len(named) == len(made)
    return named


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_manifest_is_valid_by_schema(shape: str, version: str) -> None:
    module("kubernetes_validate")
    import kubernetes_validate

    made = objects(kubernetes.manifests(scenario_of(shape), Path()).files)
    checked = 0
    for name, each in made.items():
        if each["kind"] == "HTTPRoute":  # no schema of Kubernetes' own; see the test below
            continue
        kubernetes_validate.validate(each, version, strict=True)
        checked += 1
        if shape == next(iter(SHAPES)):  # the schemas are the same for all
            with pytest.raises(kubernetes_validate.ValidationError):
                kubernetes_validate.validate({**each, "sepc": {}}, version, strict=True)
        assert name
    assert checked >= 14


@pytest.mark.parametrize("shape", SHAPES)
def test_a_route_shares_out_all_traffic(shape: str) -> None:
    """By what the Gateway API publishes of its version v1 (`http_route`), which is no schema of Kubernetes' own."""
    made = objects(kubernetes.manifests(scenario_of(shape), Path()).files)
    (route,) = [each for each in made.values() if each["kind"] == "HTTPRoute"]
    jsonschema.validate(route, http_route.SCHEMA)
    (rule,) = route["spec"]["rules"]
    weights = [ref["weight"] for ref in rule["backendRefs"]]
    assert sum(weights) == 10_000
    services = {name.rpartition("/")[2] for name in made if name.startswith("Service ")}
    assert {ref["name"] for ref in rule["backendRefs"]} <= services


def test_a_route_by_header_goes_to_the_candidate_whatever_the_shares() -> None:
    scenario, arms = scenario_of("registry"), {Role.STABLE: 9_000, Role.CANDIDATE: 1_000}
    asked = Routing(arms, (HeaderRoute("testers", "x-tester", "yes"),))
    route = routes.http_route(scenario, asked)
    jsonschema.validate(route, http_route.SCHEMA)
    assert route["spec"]["rules"][0] == {
        "matches": [{"headers": [{"type": "Exact", "name": "x-tester", "value": "yes"}]}],
        "backendRefs": [{"name": "churn-prediction-candidate", "port": 8080, "weight": 1}],
    }
    assert routes.weights_of(scenario, route) == arms
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**route, "spec": {**route["spec"], "rules": []}}, http_route.SCHEMA)


@given(st.text(min_size=1, max_size=120), st.sampled_from(("stable", "candidate", "v12-baseline")))
def test_every_model_has_a_name_that_kubernetes_takes(name: str, end: str) -> None:
    """RFC 1123 for names, beginning with a letter as a Service's must (RFC 1035); and values of labels."""
    made = naming.dns_name(name, end)
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", made)
    assert len(made) <= 63
    assert made.endswith(f"-{end}")
    assert re.fullmatch(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?", naming.label(name))
    assert len(naming.label(name)) <= 63


@given(st.lists(st.text(min_size=1, max_size=100), min_size=2, max_size=2, unique=True))
def test_two_models_never_share_a_name(names: list[str]) -> None:
    assert len({naming.dns_name(name) for name in names}) == 2


def test_the_harness_may_do_only_what_it_does() -> None:
    made = objects(kubernetes.manifests(scenario_of("registry"), Path()).files)
    roles = [each for each in made.values() if each["kind"] == "Role"]
    assert roles
    for rule in (rule for role in roles for rule in role["rules"]):
        assert "*" not in (*rule["verbs"], *rule["resources"], *rule["apiGroups"])
        assert "secrets" not in rule["resources"]
    assert not [each for each in made.values() if each["kind"].startswith("Cluster")]


@pytest.mark.parametrize("shape", SHAPES)
def test_no_pod_has_more_rights_than_it_needs(shape: str) -> None:
    made = objects(kubernetes.manifests(scenario_of(shape), Path()).files)
    for each in (each for each in made.values() if each["kind"] == "Deployment"):
        spec = each["spec"]["template"]["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["automountServiceAccountToken"] is False
        (container,) = spec["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container)
        assert {"requests", "limits"} <= set(container["resources"])


def test_a_registry_that_pods_cannot_reach_is_refused() -> None:
    scenario = app.load_scenario(SCENARIOS / "local_canary.yaml", quick=True)
    with pytest.raises(InputError, match=r"real\.kubernetes\.registry"):
        kubernetes.manifests(scenario, Path())


# --- Helm ---


def rendered(template: str, values: Mapping[str, Any]) -> str:
    """As Helm renders the few functions that the chart uses: quote, int64, max, toYaml, nindent, with, if ne."""

    def value(path: str) -> Any:
        found: Any = values
        for key in path.removeprefix(".Values.").split("."):
            found = found[key]
        return found

    def block(found: re.Match[str]) -> str:
        here = value(found[1])
        return found[2].replace("{{- toYaml . |", f"{{{{- toYaml {found[1]} |") if here else ""

    def expression(found: re.Match[str]) -> str:
        words = found[1].split()
        if words[0] == "max":
            return str(max(value(each) for each in words[1:]))
        if words[0] == '"{{"':
            return "{{"
        assert words[1:] in (["|", "quote"], ["|", "int64"])
        return json.dumps(value(words[0])) if words[2] == "quote" else str(int(value(words[0])))

    def inserted(found: re.Match[str]) -> str:
        indent = " " * int(found[2])
        return "\n" + "".join(f"{indent}{line}\n" for line in yaml_text(value(found[1])).splitlines()).rstrip("\n")

    def unequal(found: re.Match[str]) -> str:
        return found[3] if value(found[1]) != found[2] else ""

    template = re.sub(r'\{\{- if ne (\S+) "(\w+)" \}\}\n(.*?)\{\{- end \}\}\n', unequal, template, flags=re.DOTALL)
    text = re.sub(r" *\{\{- with (\S+) \}\}\n(.*?\n) *\{\{- end \}\}\n", block, template, flags=re.DOTALL)
    text = re.sub(r"\s*\{\{- toYaml (\S+) \| nindent (\d+) \}\}", inserted, text)
    return re.sub(r"\{\{ (.+?) \}\}", expression, text)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_chart_renders_to_the_manifests(shape: str) -> None:
    scenario = scenario_of(shape)
    chart = helm.chart(scenario, Path()).files
    values = yaml.safe_load(chart["values.yaml"])
    jsonschema.validate(values, json.loads(chart["values.schema.json"]))
    made = {name: rendered(text, values) for name, text in chart.items() if name.endswith(".yaml") and "/" in name}
    assert objects(made) == objects(kubernetes.manifests(scenario, Path()).files)


def test_other_values_render_to_other_manifests() -> None:
    chart = helm.chart(scenario_of("registry"), Path()).files
    values = yaml.safe_load(chart["values.yaml"])
    values["stable"]["replicas"], values["weights"] = 5, {"stable": 9000, "candidate": 1000}
    values["resources"]["requests"]["cpu"] = "2"
    made = objects(
        {name: rendered(text, values) for name, text in chart.items() if "/" in name and "NOTES" not in name}
    )
    assert made["Deployment default/churn-prediction-v1"]["spec"]["replicas"] == 5
    (route,) = [each for each in made.values() if each["kind"] == "HTTPRoute"]
    assert [ref["weight"] for ref in route["spec"]["rules"][0]["backendRefs"]] == [9000, 1000]
    pod = made["Deployment default/churn-prediction-v1"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["requests"]["cpu"] == "2"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**values, "replcias": 3}, json.loads(chart["values.schema.json"]))
