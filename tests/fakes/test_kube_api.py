"""The verbs of the stand-in, by the real client over HTTP: what is stored, what is refused, and in which words."""

from typing import Any

import pytest
from kubernetes_validate import validate
from lightkube import ApiError
from lightkube.models.autoscaling_v1 import ScaleSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment, ReplicaSet
from lightkube.resources.coordination_v1 import Lease
from lightkube.resources.core_v1 import ConfigMap, Namespace, PersistentVolumeClaim, Pod, Service
from lightkube.types import CascadeType, PatchType

from fakes.kube_api import PodScript
from fakes.kube_kinds import DEPLOYMENT, KINDS
from tests.kube import Route, cluster, code_of, deployment, eventually, route, service, settings, vanished, watched


async def test_what_is_created_is_read_listed_replaced_and_deleted():
    async with cluster() as (_, client):
        made = await client.create(settings("one", {"tier": "a"}, x="1"))
        assert made.metadata.uid
        assert made.metadata.creationTimestamp
        read = await client.get(ConfigMap, "one")
        assert read == made
        read.data["x"] = "2"
        replaced = await client.replace(read)
        assert int(replaced.metadata.resourceVersion) > int(made.metadata.resourceVersion)
        assert (await client.replace(replaced)).metadata.resourceVersion == replaced.metadata.resourceVersion
        await client.create(settings("two"), namespace="default")
        assert [each.metadata.name async for each in client.list(ConfigMap)] == ["one"]
        everywhere = [each.metadata.name async for each in client.list(ConfigMap, namespace="*")]
        assert everywhere == ["two", "one"]
        await client.delete(ConfigMap, "one")
        with pytest.raises(ApiError, match='configmaps "one" not found') as gone:
            await client.get(ConfigMap, "one")
        assert code_of(gone.value) == (404, "NotFound")


async def test_selectors_and_pages():
    async with cluster() as (_, client):
        for i in range(5):
            await client.create(settings(f"m{i}", {"tier": "ab"[i % 2], "n": str(i)}))
        chosen = {
            "equal": {"tier": "a"},
            "in": {"n": ["1", "2"]},
        }
        assert [m.metadata.name async for m in client.list(ConfigMap, labels=chosen["equal"])] == ["m0", "m2", "m4"]
        assert [m.metadata.name async for m in client.list(ConfigMap, labels=chosen["in"])] == ["m1", "m2"]
        assert [m.metadata.name async for m in client.list(ConfigMap, fields={"metadata.name": "m3"})] == ["m3"]
        pages = client.list(ConfigMap, chunk_size=2)
        seen = []
        async for each in pages:
            seen.append(each.metadata.name)
            if len(seen) == 2:  # a list that was begun shows what was there then
                await client.delete(ConfigMap, "m3")
                await client.create(settings("m9"))
        assert seen == [f"m{i}" for i in range(5)]


async def test_a_page_that_was_forgotten_is_gone():
    async with cluster() as (api, client):
        for i in range(4):
            await client.create(settings(f"m{i}"))
        pages = aiter(client.list(ConfigMap, chunk_size=2))
        assert [(await anext(pages)).metadata.name for _ in range(2)] == ["m0", "m1"]
        await client.create(settings("m9"))
        api.compact()
        with pytest.raises(ApiError, match="continue parameter is too old") as gone:
            await anext(pages)
        assert code_of(gone.value) == (410, "Expired")


REFUSED = [
    (settings("Bad_Name"), 422, "Invalid", 'ConfigMap "Bad_Name" is invalid: metadata.name'),
    (settings("ok", {"label": "not/a value"}), 422, "Invalid", "metadata.labels"),
    (deployment("d", replicas=-1), 422, "Invalid", "spec.replicas: Invalid value: -1"),
    (deployment("d", image=""), 422, "Invalid", r"containers\[0\].image: Required value"),
    (deployment("d", selector={"matchLabels": {"app": "x"}}), 422, "Invalid", "`selector` does not match template"),
    (deployment("d", progressDeadlineSeconds=5, minReadySeconds=5), 422, "Invalid", "must be greater than minReady"),
    (service("1st"), 422, "Invalid", "DNS-1035"),
    (route({"a": 1_000_001}), 422, "Invalid", r"backendRefs\[0\].weight"),
    (route({f"s{i}": 1 for i in range(17)}), 422, "Invalid", "Too many: 17"),
]


@pytest.mark.parametrize(("obj", "code", "reason", "said"), REFUSED)
async def test_what_cannot_stand_is_refused(obj: Any, code: int, reason: str, said: str):
    async with cluster() as (_, client):
        with pytest.raises(ApiError, match=said) as refused:
            await client.create(obj)
        assert code_of(refused.value) == (code, reason)
        assert refused.value.status.details.causes


async def test_names_are_taken_once_and_generated_ones_differ():
    async with cluster() as (_, client):
        await client.create(settings("one"))
        with pytest.raises(ApiError, match='configmaps "one" already exists') as taken:
            await client.create(settings("one"))
        assert code_of(taken.value) == (409, "AlreadyExists")
        made = [await client.create(ConfigMap(metadata=ObjectMeta(generateName="run-"))) for _ in range(5)]
        names = {each.metadata.name for each in made}
        assert len(names) == 5
        assert all(name.startswith("run-") and len(name) == 9 for name in names)


async def test_a_stale_write_conflicts():
    async with cluster() as (_, client):
        first = await client.create(settings("one", x="1"))
        await client.patch(ConfigMap, "one", {"data": {"x": "2"}}, patch_type=PatchType.MERGE)
        first.data["x"] = "3"
        with pytest.raises(ApiError, match="the object has been modified; please apply your changes") as stale:
            await client.replace(first)
        assert code_of(stale.value) == (409, "Conflict")
        assert stale.value.status.details.name == "one"
        stale_patch = {"metadata": {"resourceVersion": first.metadata.resourceVersion}, "data": {"x": "4"}}
        with pytest.raises(ApiError, match="the object has been modified"):
            await client.patch(ConfigMap, "one", stale_patch, patch_type=PatchType.MERGE)
        assert (await client.get(ConfigMap, "one")).data == {"x": "2"}


async def test_namespaces_bound_what_is_in_them():
    async with cluster() as (api, client):
        with pytest.raises(ApiError, match='namespaces "nowhere" not found') as none:
            await client.create(settings("one"), namespace="nowhere")
        assert code_of(none.value) == (404, "NotFound")
        await client.create(Namespace(metadata=ObjectMeta(name="staging")))
        held = settings("held")
        held.metadata.finalizers = ["tests/held"]
        await client.create(held, namespace="staging")
        await client.create(deployment("d"), namespace="staging")
        await eventually(lambda: len(api.pods("staging")) == 2)
        await client.delete(Namespace, "staging")
        assert (await client.get(Namespace, "staging")).status.phase == "Terminating"
        with pytest.raises(ApiError, match="unable to create new content in namespace staging") as going:
            await client.create(settings("late"), namespace="staging")
        assert code_of(going.value) == (403, "Forbidden")
        assert going.value.status.details.causes[0].reason == "NamespaceTerminating"
        nothing = {"metadata": {"finalizers": None}}
        await client.patch(ConfigMap, "held", nothing, namespace="staging", patch_type=PatchType.MERGE)
        await eventually(lambda: not api.pods("staging"))
        await vanished(client, Namespace, "staging")


async def test_generation_counts_specs_alone_and_what_the_server_fills_in_changes_nothing():
    async with cluster() as (_, client):
        made = await client.create(deployment("d", replicas=1))
        assert made.spec.strategy.rollingUpdate.maxSurge == "25%"
        assert made.spec.progressDeadlineSeconds == 600
        assert made.metadata.generation == 1
        validate(made.to_dict(), "1.33", strict=False)
        labelled = await client.patch(Deployment, "d", {"metadata": {"labels": {"arm": "stable"}}})
        assert labelled.metadata.generation == 1
        again = await client.patch(Deployment, "d", deployment("d", replicas=1))
        assert again.metadata.generation == 1
        scaled = await client.patch(Deployment, "d", {"spec": {"replicas": 3}})
        assert scaled.metadata.generation == 2
        status = await client.patch(Deployment.Status, "d", {"status": {"collisionCount": 1}})
        assert status.metadata.generation == 2


@pytest.mark.parametrize(
    ("res", "obj", "patch", "said"),
    [
        (Deployment, deployment("d"), {"spec": {"selector": {"matchLabels": {"app": "e"}}}}, "field is immutable"),
        (Service, service("d"), {"spec": {"clusterIP": "10.0.0.9"}}, "field is immutable"),
        (
            PersistentVolumeClaim,
            PersistentVolumeClaim.from_dict(
                {
                    "metadata": {"name": "d"},
                    "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
                }
            ),
            {"spec": {"accessModes": ["ReadWriteOnce"]}},
            "spec is immutable after creation",
        ),
    ],
)
async def test_some_fields_never_change(res: Any, obj: Any, patch: Any, said: str):
    async with cluster() as (_, client):
        await client.create(obj)
        with pytest.raises(ApiError, match=said) as fixed:
            await client.patch(res, "d", patch, patch_type=PatchType.MERGE)
        assert code_of(fixed.value) == (422, "Invalid")


async def test_scale_is_a_door_of_its_own():
    async with cluster(lag_s=600) as (_, client):  # no controller writes between reading and writing
        await client.create(deployment("d", replicas=1))
        scale = await client.get(Deployment.Scale, "d")
        assert (scale.spec.replicas, scale.status.selector) == (1, "app=d")
        scale.spec = ScaleSpec(replicas=3)
        assert (await client.replace(scale, "d")).spec.replicas == 3
        patched = await client.patch(Deployment.Scale, "d", {"spec": {"replicas": 2}}, patch_type=PatchType.MERGE)
        assert patched.spec.replicas == 2
        found = await client.get(Deployment, "d")
        assert (found.spec.replicas, found.metadata.generation) == (2, 3)
        with pytest.raises(ApiError, match="greater than or equal to 0"):
            await client.patch(Deployment.Scale, "d", {"spec": {"replicas": -1}}, patch_type=PatchType.MERGE)


async def test_a_strategic_patch_knows_containers_by_name_and_custom_kinds_know_no_such_patch():
    async with cluster() as (_, client):
        await client.create(deployment("d"))
        patch = {"spec": {"template": {"spec": {"containers": [{"name": "serve", "image": "model:2"}]}}}}
        (container,) = (await client.patch(Deployment, "d", patch)).spec.template.spec.containers
        assert (container.image, container.ports[0].containerPort) == ("model:2", 8080)
        sidecar = {"spec": {"template": {"spec": {"containers": [{"name": "log", "image": "log:1"}]}}}}
        both = (await client.patch(Deployment, "d", sidecar)).spec.template.spec.containers
        assert [each.name for each in both] == ["serve", "log"]
        drop = {"spec": {"template": {"spec": {"containers": [{"$patch": "delete", "name": "log"}]}}}}
        assert len((await client.patch(Deployment, "d", drop)).spec.template.spec.containers) == 1
        merge = {"spec": {"template": {"spec": {"containers": [{"name": "serve"}]}}}}
        with pytest.raises(ApiError, match=r"containers\[0\].image: Required"):  # a merge patch replaces lists
            await client.patch(Deployment, "d", merge, patch_type=PatchType.MERGE)
        json_patch = [{"op": "replace", "path": "/spec/replicas", "value": 5}]
        assert (await client.patch(Deployment, "d", json_patch, patch_type=PatchType.JSON)).spec.replicas == 5
        await client.create(route({"a": 1}))
        with pytest.raises(ApiError, match="unknown format") as custom:
            await client.patch(Route, "models", {"spec": {}}, patch_type=PatchType.STRATEGIC)
        assert code_of(custom.value) == (415, "UnsupportedMediaType")


async def test_a_custom_kind_is_replaced_only_by_who_read_it():
    async with cluster() as (_, client):
        made = await client.create(route({"a": 1}))
        made["metadata"].pop("resourceVersion")
        with pytest.raises(ApiError, match=r"resourceVersion.*must be specified for an update"):
            await client.replace(Route(made))


async def test_a_dry_run_changes_nothing():
    async with cluster() as (api, client):
        before = api.store.version
        made = await client.create(settings("one"), dry_run=True)
        assert made.metadata.uid
        await client.apply(settings("two"), dry_run=True)
        assert api.store.version == before
        await client.create(settings("one"))
        await client.delete(ConfigMap, "one", dry_run=True)
        assert await client.get(ConfigMap, "one")


@pytest.mark.parametrize("cascade", [*CascadeType])
async def test_dependents_go_with_their_owner_before_it_or_stay(cascade: CascadeType):
    async with cluster() as (api, client):
        await client.create(deployment("d"))
        await eventually(lambda: len(api.pods("ml")) == 2)
        await client.delete(Deployment, "d", cascade=cascade)
        if cascade is CascadeType.ORPHAN:
            assert [each.metadata.ownerReferences async for each in client.list(ReplicaSet)] == [None]
            assert len(api.pods("ml")) == 2
            return
        await eventually(lambda: not api.pods("ml"))
        assert [each async for each in client.list(ReplicaSet)] == []
        waited = [each for each in api.store.changes if each.kind is DEPLOYMENT and _waits(each.now)]
        assert bool(waited) == (cascade is CascadeType.FOREGROUND)
        gone = {change.kind.kind: change.version for change in api.store.changes if change.type == "DELETED"}
        assert (gone["Deployment"] > gone["Pod"]) == (cascade is CascadeType.FOREGROUND)


def _waits(obj: Any) -> bool:
    """Marked as going, and held until its dependents are gone."""
    return "deletionTimestamp" in obj["metadata"] and obj["metadata"].get("finalizers") == ["foregroundDeletion"]


async def test_deletions_may_name_what_they_mean():
    async with cluster() as (api, client):
        made = await client.create(settings("one"))
        http = client._client._client
        path = "api/v1/namespaces/ml/configmaps/one"
        wrong = await http.request("DELETE", path, json={"preconditions": {"uid": "another"}})
        assert (wrong.status_code, wrong.json()["reason"]) == (409, "Conflict")
        assert "does not match the UID in record" in wrong.json()["message"]
        right = await http.request("DELETE", path, json={"preconditions": {"uid": made.metadata.uid}})
        assert right.json()["status"] == "Success"
        assert right.json()["details"]["uid"] == made.metadata.uid
        for name in ("a", "b"):
            await client.create(settings(name))
        await client.deletecollection(ConfigMap)
        assert [each async for each in client.list(ConfigMap)] == []
        assert api.audit.count("deletecollection", "configmaps", 200) == 1


async def test_a_pod_goes_gracefully_and_at_once_where_it_must():
    async with cluster() as (api, client):
        api.scripts.say(PodScript(stops_after_s=30))
        await client.create(deployment("d", replicas=1))
        await watched(client, Deployment, "d", lambda d: d.status and d.status.readyReplicas == 1)
        (name,) = api.pods("ml")
        await client.delete(Pod, name)
        going = await client.get(Pod, name)
        assert (going.metadata.deletionGracePeriodSeconds, bool(going.metadata.deletionTimestamp)) == (30, True)
        await client.delete(Pod, name, grace_period=0)
        with pytest.raises(ApiError, match=f'pods "{name}" not found'):
            await client.get(Pod, name)


async def test_every_kind_has_its_path():
    async with cluster() as (_, client):
        http = client._client._client
        for kind in KINDS:
            head = f"apis/{kind.group}" if kind.group else "api"
            answer = await http.get(f"{head}/{kind.version}/{kind.plural}")
            assert (answer.status_code, answer.json()["kind"]) == (200, f"{kind.kind}List")
        for wrong in ("apis/apps/v2/deployments", "api/v1/nothing", "api/v1/namespaces/ml/pods/x/exec", "elsewhere"):
            answer = await http.get(wrong)
            assert (answer.status_code, answer.json()["reason"]) == (404, "NotFound")
        assert (await http.post("api/v1/pods", json={})).status_code == 404
        assert (await http.post("api/v1/namespaces/ml/pods/x", json={})).status_code == 405
        assert (await http.post("api/v1/namespaces/ml/pods", content="{")).status_code == 400
        protobuf = {"Content-Type": "application/vnd.kubernetes.protobuf"}
        assert (await http.post("api/v1/namespaces/ml/pods", content="{", headers=protobuf)).status_code == 415
        assert (await http.get("version")).json()["major"] == "1"
        groups = {each["name"] for each in (await http.get("apis")).json()["groups"]}
        assert groups == {kind.group for kind in KINDS} - {""}
        named = {each["name"] for each in (await http.get("apis/apps/v1")).json()["resources"]}
        assert named >= {"deployments", "deployments/scale", "deployments/status", "replicasets"}
        await client.create(Lease(metadata=ObjectMeta(name="l")))
