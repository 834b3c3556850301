"""Server-side apply and patches, against the examples of the documentation and of the RFCs."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lightkube import ApiError, AsyncClient
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap
from lightkube.types import PatchType

from fakes.kube_errors import Refused
from fakes.kube_fields import fields_of, merged, value_at, without
from fakes.kube_kinds import CONFIG_MAP, DEPLOYMENT
from fakes.kube_patch import json_patch, merge, strategic
from tests.kube import cluster, code_of, deployment, route, service, settings


async def test_who_applies_what_another_owns_is_refused_unless_it_is_forced():
    """The example of the page "Server-Side Apply" (conflicts), with its words."""
    async with cluster() as (_, client):
        await client.apply(settings("c", key="some value"), field_manager="kubectl")
        theirs = settings("c", key="new value")
        with pytest.raises(ApiError) as refused:
            await client.apply(theirs, field_manager="controller")
        assert code_of(refused.value) == (409, "Conflict")
        said = 'Apply failed with 1 conflict: conflict with "kubectl": .data.key'
        assert refused.value.status.message == said
        (cause,) = refused.value.status.details.causes
        assert (cause.reason, cause.field) == ("FieldManagerConflict", ".data.key")
        done = await client.apply(theirs, field_manager="controller", force=True)
        assert done.data == {"key": "new value"}
        assert [entry.manager for entry in done.metadata.managedFields] == ["controller"]


async def test_equal_values_are_shared_and_stay_until_the_last_owner_leaves_them_out():
    async with cluster() as (_, client):
        await client.apply(settings("c", a="1", b="1"), field_manager="one")
        await client.apply(settings("c", a="1"), field_manager="two")
        assert (await client.apply(settings("c"), field_manager="one")).data == {"a": "1"}
        assert (await client.apply(settings("c"), field_manager="two")).data == {}


async def test_a_deployments_size_is_handed_over_to_an_autoscaler():
    """The example "Transferring ownership": who leaves a field out that another has written too, keeps its value."""
    async with cluster() as (_, client):
        await client.apply(deployment("d", replicas=3), field_manager="user")
        await client.patch(Deployment.Scale, "d", {"spec": {"replicas": 3}}, patch_type=PatchType.MERGE)
        shared = await _applied(client, {"replicas": 3}, "hpa")
        assert {entry.manager for entry in shared.metadata.managedFields} >= {"user", "hpa"}
        mine = deployment("d")
        mine.spec.replicas = None
        assert (await client.apply(mine, field_manager="user")).spec.replicas == 3
        await client.patch(Deployment.Scale, "d", {"spec": {"replicas": 5}}, patch_type=PatchType.MERGE)
        assert (await client.apply(mine, field_manager="user")).spec.replicas == 5
        with pytest.raises(ApiError, match=r'with subresource "scale" using apps/v1: .spec.replicas'):
            await client.apply(deployment("d", replicas=3), field_manager="user")


async def test_who_leaves_out_a_size_that_nobody_else_owns_gets_the_default():
    async with cluster() as (_, client):
        await client.apply(deployment("d", replicas=3), field_manager="user")
        mine = deployment("d")
        mine.spec.replicas = None
        assert (await client.apply(mine, field_manager="user")).spec.replicas == 1


async def test_one_name_in_two_ways_is_two_managers():
    """kubernetes/kubernetes#107417: what was posted and is then applied by the same name conflicts with itself."""
    async with cluster() as (_, client):
        await client.create(settings("c", key="1"), field_manager="me")
        with pytest.raises(ApiError, match=r'1 conflict: conflict with "me" using v1: .data.key'):
            await client.apply(settings("c", key="2"), field_manager="me")


async def test_conflicts_are_grouped_by_who_owns_what():
    async with cluster() as (_, client):
        await client.apply(settings("c", a="1", b="1"), field_manager="one")
        await client.apply(settings("c", d="1"), field_manager="two")
        with pytest.raises(ApiError) as refused:
            await client.apply(settings("c", a="2", b="2", d="2"), field_manager="three")
        assert refused.value.status.message == (
            "Apply failed with 3 conflicts: "
            'conflicts with "one":\n- .data.a\n- .data.b\nconflicts with "two":\n- .data.d'
        )


async def test_items_with_an_identity_belong_to_who_added_them():
    async with cluster() as (_, client):
        await client.apply(deployment("d"), field_manager="one")
        container = {"name": "serve", "image": "model:1", "env": [{"name": "LEVEL", "value": "debug"}]}
        spec = {"template": {"spec": {"containers": [container]}}}
        (both,) = (await _applied(client, spec, "two")).spec.template.spec.containers
        assert (both.env[0].value, both.ports[0].containerPort) == ("debug", 8080)
        container["image"] = "model:9"
        with pytest.raises(ApiError, match=r'\.spec\.template\.spec\.containers\[name="serve"\]\.image'):
            await _applied(client, spec, "two")
        container.pop("image")
        container["env"] = []
        (left,) = (await _applied(client, spec, "two")).spec.template.spec.containers
        assert (left.env or [], left.image) == ([], "model:1")


async def _applied(client: AsyncClient, spec: dict[str, Any], manager: str) -> Deployment:
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}
    return await client.patch(Deployment, "d", body, patch_type=PatchType.APPLY, field_manager=manager)


async def test_lists_without_identities_are_one_field():
    async with cluster() as (_, client):
        await client.apply(route({"a": 9, "b": 1}), field_manager="one")
        with pytest.raises(ApiError, match=r'2 conflicts: conflicts with "one":\n- .spec.parentRefs\n- .spec.rules$'):
            await client.apply(route({"a": 8, "b": 2}), field_manager="two")  # parentRefs have got their defaults
        done = await client.apply(route({"b": 1}), field_manager="one")
        assert [ref["name"] for ref in done["spec"]["rules"][0]["backendRefs"]] == ["b"]
        assert done["metadata"]["generation"] == 2


async def test_applying_the_same_again_writes_nothing():
    async with cluster(lag_s=600) as (api, client):  # no controller writes a status between
        for obj in (deployment("d"), service("d"), route({"d": 1})):
            first = await client.apply(obj)
            version = first.metadata.resourceVersion
            assert (await client.apply(obj)).metadata.resourceVersion == version
        assert api.audit.asked() >= {("patch", "apps", "deployments"), ("create", "apps", "deployments")}


async def test_an_apply_may_say_what_it_was_made_from():
    async with cluster() as (_, client):
        first = await client.apply(settings("c", a="1"))
        await client.apply(settings("c", a="2"))
        stale = settings("c", a="3")
        stale.metadata.resourceVersion = first.metadata.resourceVersion
        with pytest.raises(ApiError, match="the object has been modified") as refused:
            await client.apply(stale)
        assert code_of(refused.value) == (409, "Conflict")


async def test_an_apply_is_told_when_it_cannot_be_read():
    async with cluster() as (_, client):
        http, path = client._client._client, "api/v1/namespaces/ml/configmaps/c"
        head = {"Content-Type": "application/apply-patch+yaml"}
        text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: '1'}\n"
        assert (await http.patch(path, content=text, headers=head)).status_code == 400  # no manager
        made = await http.patch(f"{path}?fieldManager=me", content=text, headers=head)
        assert (made.status_code, made.json()["data"]) == (201, {"a": "1"})
        wrong = await http.patch(f"{path}?fieldManager=me", content="kind: Pod", headers=head)
        assert wrong.status_code == 400
        unread = await http.patch(f"{path}?fieldManager=me", content="{a: [", headers=head)
        assert unread.json()["reason"] == "BadRequest"
        with pytest.raises(ApiError, match="managedFields must be nil"):
            await client.apply(await client.get(ConfigMap, "c"))
        with pytest.raises(ApiError, match='configmaps "nothing" not found'):
            await client.patch(ConfigMap, "nothing", {"data": {}}, patch_type=PatchType.MERGE)


RFC_7386: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("live", "patch", "result"), RFC_7386)
def test_merge_patches_are_those_of_rfc_7386(live: Any, patch: Any, result: Any):
    assert merge(live, patch) == result


RFC_6902: list[tuple[Any, list[dict[str, Any]], Any]] = [
    ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"baz": "qux", "foo": "bar"}),
    ({"foo": ["bar", "baz"]}, [{"op": "add", "path": "/foo/1", "value": "qux"}], {"foo": ["bar", "qux", "baz"]}),
    ({"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}),
    ({"foo": ["bar", "qux", "baz"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["bar", "baz"]}),
    ({"baz": "qux"}, [{"op": "replace", "path": "/baz", "value": "boo"}], {"baz": "boo"}),
    (
        {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
        [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
        {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
    ),
    (
        {"foo": ["all", "grass", "cows", "eat"]},
        [{"op": "move", "from": "/foo/1", "path": "/foo/3"}],
        {"foo": ["all", "cows", "eat", "grass"]},
    ),
    ({"baz": "qux"}, [{"op": "test", "path": "/baz", "value": "qux"}], {"baz": "qux"}),
    ({"foo": "bar"}, [{"op": "add", "path": "/child", "value": {"g": {}}}], {"foo": "bar", "child": {"g": {}}}),
    ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}),
    ({"foo": ["bar"]}, [{"op": "add", "path": "/foo/-", "value": ["abc"]}], {"foo": ["bar", ["abc"]]}),
]


@pytest.mark.parametrize(("live", "patch", "result"), RFC_6902)
def test_json_patches_are_those_of_rfc_6902(live: Any, patch: list[dict[str, Any]], result: Any):
    assert json_patch(live, patch) == result


@pytest.mark.parametrize(
    "patch",
    [
        {"op": "test", "path": "/baz", "value": "bar"},
        {"op": "add", "path": "/a/b", "value": "c"},
        {"op": "remove", "path": "/nothing"},
        {"op": "replace", "path": "/nothing", "value": 1},
        {"op": "add", "path": "/list/9", "value": 1},
        {"op": "melt", "path": "/baz"},
        {"path": "/baz"},
    ],
)
def test_a_json_patch_that_does_not_fit_is_refused_whole(patch: dict[str, Any]):
    live = {"baz": "qux", "list": [1]}
    with pytest.raises(Refused) as refused:
        json_patch(live, [{"op": "replace", "path": "/baz", "value": "qux"}, patch])
    assert refused.value.code == 422
    assert live == {"baz": "qux", "list": [1]}


NAMES = st.sampled_from("abcd")
ENV = st.dictionaries(NAMES, st.sampled_from("xyz"), max_size=4)


def _obj(data: dict[str, str], env: dict[str, str]) -> dict[str, Any]:
    listed = [{"name": name, "value": value} for name, value in env.items()]
    return {"metadata": {"labels": dict(data)}, "spec": {"containers": [{"name": "c", "env": listed}]}}


@given(ENV, ENV, ENV, ENV)
def test_what_is_applied_is_there_and_all_else_stays(data: Any, env: Any, more: Any, more_env: Any):
    """Fields are what `merged` lays down: all of the configuration's, and of the live object what it does not name."""
    live, config = _obj(data, env), _obj(more, more_env)
    done = merged(live, config, DEPLOYMENT)
    for path in fields_of(config, DEPLOYMENT):
        if value_at(config, path) not in ({}, []):
            assert value_at(done, path) == value_at(config, path) or path[-1].startswith("k:")
    for path in fields_of(live, DEPLOYMENT) - fields_of(config, DEPLOYMENT):
        assert value_at(live, path) in ({}, [], value_at(done, path))
    assert strategic(live, config, DEPLOYMENT) == done  # where nothing is null, they say the same
    assert merged(done, config, DEPLOYMENT) == done


@given(ENV, ENV)
def test_without_takes_away_just_these_fields(data: Any, env: Any):
    obj = _obj(data, env)
    fields = sorted(fields_of(obj, DEPLOYMENT))
    taken, left = fields[::2], fields[1::2]
    done = without(obj, [path for path in taken if path[-1].startswith("f:")])
    for path in left:
        if not any(path[: len(each)] == each for each in taken):
            assert value_at(done, path) == value_at(obj, path) or path[-1].startswith("k:")


def test_fields_nobody_owns():
    meta = ObjectMeta(name="c", namespace="ml", uid="1", resourceVersion="2", labels={"a": "b"})
    obj = ConfigMap(metadata=meta, data={"x": "1"}).to_dict()
    assert fields_of(obj, CONFIG_MAP) == {("f:data", "f:x"), ("f:metadata", "f:labels", "f:a")}
