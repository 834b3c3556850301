"""Who may do what: tokens, Roles and bindings as they are stored, and the audit log that a Role is held against."""

import httpx2
import pytest
from lightkube import ApiError
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.rbac_v1 import PolicyRule, RoleRef, Subject
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Namespace, Pod
from lightkube.resources.rbac_authorization_v1 import ClusterRole, ClusterRoleBinding, Role, RoleBinding

from tests.kube import client_of, cluster, code_of, deployment, settings

USER = "system:serviceaccount:ml:harness"


def _role(*rules: PolicyRule) -> Role:
    return Role(metadata=ObjectMeta(name="harness"), rules=[*rules])


def _binding(subject: Subject, kind: str = "Role") -> RoleBinding:
    ref = RoleRef(apiGroup="rbac.authorization.k8s.io", kind=kind, name="harness")
    return RoleBinding(metadata=ObjectMeta(name="harness"), roleRef=ref, subjects=[subject])


ACCOUNT = Subject(kind="ServiceAccount", name="harness", namespace="ml")
DEPLOYS = PolicyRule(apiGroups=["apps"], resources=["deployments"], verbs=["get", "list", "patch"])


async def test_what_no_role_allows_is_forbidden_in_the_words_of_kubernetes():
    async with cluster(rbac=True) as (api, admin), client_of(api, user=USER) as client:
        with pytest.raises(ApiError) as refused:
            await client.get(Deployment, "d")
        assert code_of(refused.value) == (403, "Forbidden")
        assert refused.value.status.message == (
            f'deployments.apps "d" is forbidden: User "{USER}" cannot get resource "deployments" in API group "apps" '
            'in the namespace "ml"'
        )
        with pytest.raises(ApiError, match=r'cannot list resource "pods" in API group "" at the cluster scope'):
            [each async for each in client.list(Pod, namespace="*")]
        await admin.create(settings("anything"))
        assert api.audit.asked(USER) == set()


async def test_a_role_allows_what_it_names_in_its_namespace():
    async with cluster(rbac=True) as (api, admin), client_of(api, user=USER) as client:
        await admin.create(_role(DEPLOYS))
        await admin.create(_binding(ACCOUNT))
        with pytest.raises(ApiError, match='cannot create resource "deployments"'):  # an apply that makes it creates
            await client.apply(deployment("d"))
        await admin.create(deployment("d"))
        await client.patch(Deployment, "d", {"spec": {"replicas": 3}})
        with pytest.raises(ApiError, match='cannot patch resource "deployments/scale" in API group "apps"'):
            await client.patch(Deployment.Scale, "d", {"spec": {"replicas": 3}})
        with pytest.raises(ApiError, match='in the namespace "default"'):
            await client.get(Deployment, "d", namespace="default")
        with pytest.raises(httpx2.HTTPStatusError) as refused:  # of a watch, the client tells what HTTP says
            await anext(aiter(client.watch(Deployment)))
        assert refused.value.response.status_code == 403
        assert api.audit.asked(USER) == {("patch", "apps", "deployments")}
        assert api.audit.count(code=403) == 4


@pytest.mark.parametrize(
    "subject",
    [
        ACCOUNT,
        Subject(kind="User", name=USER, apiGroup="rbac.authorization.k8s.io"),
        Subject(kind="Group", name="system:serviceaccounts:ml", apiGroup="rbac.authorization.k8s.io"),
        Subject(kind="Group", name="system:authenticated", apiGroup="rbac.authorization.k8s.io"),
    ],
)
async def test_whom_a_binding_means(subject: Subject):
    async with cluster(rbac=True) as (api, admin), client_of(api, user=USER) as client:
        await admin.create(ClusterRole(metadata=ObjectMeta(name="harness"), rules=[DEPLOYS]))
        await admin.create(_binding(subject, "ClusterRole"))
        assert [each async for each in client.list(Deployment)] == []
        async with client_of(api, user="system:anonymous") as nobody:
            with pytest.raises(ApiError, match="is forbidden"):
                await nobody.get(Deployment, "d")


async def test_cluster_wide_rules_wildcards_and_names():
    rules = [
        PolicyRule(apiGroups=[""], resources=["namespaces"], verbs=["*"], resourceNames=["ml"]),
        PolicyRule(apiGroups=["*"], resources=["*"], verbs=["list"]),
        PolicyRule(apiGroups=["apps"], resources=["*/scale"], verbs=["get"]),
    ]
    ref = RoleRef(apiGroup="rbac.authorization.k8s.io", kind="ClusterRole", name="wide")
    async with cluster(rbac=True) as (api, admin), client_of(api, user=USER) as client:
        await admin.create(ClusterRole(metadata=ObjectMeta(name="wide"), rules=rules))
        await admin.create(ClusterRoleBinding(metadata=ObjectMeta(name="wide"), roleRef=ref, subjects=[ACCOUNT]))
        assert [each.metadata.name async for each in client.list(Namespace)] == ["default", "ml"]
        assert (await client.get(Namespace, "ml")).metadata.name == "ml"
        with pytest.raises(ApiError, match='namespaces "default" is forbidden'):
            await client.get(Namespace, "default")
        await admin.create(deployment("d"))
        assert (await client.get(Deployment.Scale, "d")).spec.replicas == 2


async def test_a_token_of_nobody_is_unauthorized():
    async with cluster(rbac=True) as (api, client):
        http = client._client._client
        answer = await http.get("api/v1/namespaces", headers={"Authorization": "Bearer x"}, auth=None)
        assert (answer.status_code, answer.json()["reason"]) == (401, "Unauthorized")
        assert api.audit.count(code=401) == 1


async def test_without_rbac_anybody_may():
    async with cluster() as (api, _), client_of(api, user=USER) as client:
        await client.create(settings("one"))
        assert api.audit.asked(USER) == {("create", "", "configmaps")}
        assert api.audit.entries[-1].asked.kind.kind == ConfigMap.__name__
