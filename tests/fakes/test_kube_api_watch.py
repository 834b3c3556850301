"""Watches: from a resource version on nothing is missed and nothing told twice; what is forgotten is 410."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lightkube import ApiError, AsyncClient
from lightkube.core.exceptions import ApiError as Raised
from lightkube.resources.core_v1 import ConfigMap
from lightkube.types import OnErrorAction, OnErrorResult, PatchType

from fakes.kube_admission import Write
from fakes.kube_api import Fault, KubeApi, Wrong
from fakes.kube_kinds import CONFIG_MAP, NAMESPACE
from fakes.kube_reads import Watched, listed
from fakes.kube_store import Store
from fakes.kube_writes import Writer
from tests.kube import WITHIN_S, cluster, code_of, eventually
from tests.kube import settings as config_map


async def test_a_watch_tells_what_is_there_and_then_what_changes():
    async with cluster() as (_, client):
        await client.create(config_map("one", x="1"))
        told = aiter(client.watch(ConfigMap, server_timeout=20))
        assert await _next(told) == ("ADDED", "one", {"x": "1"})
        await client.create(config_map("two"))
        await client.patch(ConfigMap, "one", {"data": {"x": "2"}}, patch_type=PatchType.MERGE)
        await client.delete(ConfigMap, "two")
        assert [await _next(told) for _ in range(3)] == [
            ("ADDED", "two", {}),
            ("MODIFIED", "one", {"x": "2"}),
            ("DELETED", "two", {}),
        ]
        await told.aclose()


async def test_a_watch_with_a_selector_tells_what_comes_into_it_and_leaves_it():
    async with cluster() as (_, client):
        since = await _version(client)
        told = aiter(client.watch(ConfigMap, labels={"tier": "a"}, resource_version=since, server_timeout=20))
        await client.create(config_map("other", {"tier": "b"}))
        await client.create(config_map("one", {"tier": "b"}))
        for tier in ("a", "b"):
            await client.patch(ConfigMap, "one", {"metadata": {"labels": {"tier": tier}}}, patch_type=PatchType.MERGE)
        assert (await _next(told))[:2] == ("ADDED", "one")
        event, obj = await anext(told)
        assert (event, obj.metadata.labels) == ("DELETED", {"tier": "a"})
        await told.aclose()


async def test_a_client_that_lost_its_watch_goes_on_where_it_was():
    async with cluster() as (api, client):
        api.faults.order(Fault(Wrong.CUT, verb="watch", after=2, times=3))
        listed_at = await _version(client)
        told = aiter(client.watch(ConfigMap, resource_version=listed_at, server_timeout=20))
        for i in range(7):
            await client.create(config_map(f"m{i}"))
        assert [(await _next(told))[1] for _ in range(7)] == [f"m{i}" for i in range(7)]
        assert api.faults.met() == 3
        assert api.audit.count("watch", "configmaps") == 4
        await told.aclose()


async def test_a_watch_from_what_is_forgotten_is_told_so_in_its_stream():
    async with cluster(history=5) as (api, client):
        for i in range(9):
            await client.create(config_map(f"m{i}"))
        told = aiter(client.watch(ConfigMap, resource_version="2", server_timeout=20))
        with pytest.raises(ApiError, match=r"too old resource version: 2 \(\d+\)") as gone:
            await anext(told)
        assert code_of(gone.value) == (410, "Expired")
        newest = str(api.store.version - 2)
        kept = aiter(client.watch(ConfigMap, resource_version=newest, server_timeout=20))
        assert [(await _next(kept))[1] for _ in range(2)] == ["m7", "m8"]
        await kept.aclose()


async def test_or_by_http():
    async with cluster(gone_by_http=True) as (api, client):
        api.compact()
        with pytest.raises(httpx2.HTTPStatusError) as gone:
            await anext(aiter(client.watch(ConfigMap, resource_version="2")))
        assert gone.value.response.status_code == 410


async def test_a_client_that_was_told_410_begins_anew():
    async with cluster() as (api, client):
        api.faults.order(Fault(Wrong.GONE, verb="watch"))
        await client.create(config_map("one"))
        seen: list[int] = []

        def on_error(error: Any, _: int) -> OnErrorResult:
            assert isinstance(error, Raised)
            seen.append(error.status.code)
            return OnErrorResult(OnErrorAction.RETRY)

        told = aiter(client.watch(ConfigMap, resource_version="1", server_timeout=20, on_error=on_error))
        assert await _next(told) == ("ADDED", "one", {})
        assert seen == [410]
        await told.aclose()


async def test_bookmarks_say_how_far_it_is_to_who_asks_for_them():
    async with cluster(bookmark_s=0.05) as (api, client):
        await client.create(config_map("one"))
        lines = _lines(client, watch="true", allowWatchBookmarks="true", resourceVersion=str(api.store.version))
        await client.create(config_map("elsewhere"), namespace="default")
        async with asyncio.timeout(WITHIN_S):
            async for event in lines:
                assert event["type"] == "BOOKMARK"
                assert event["object"]["kind"] == "ConfigMap"
                if event["object"]["metadata"]["resourceVersion"] == str(api.store.version):
                    break
        await lines.aclose()


async def test_a_watch_ends_when_its_time_is_over():
    async with cluster() as (api, client):
        lines = [line async for line in _lines(client, watch="1", allowWatchBookmarks="1", timeoutSeconds="1")]
        assert [line["type"] for line in lines] == ["BOOKMARK"]
        assert lines[0]["object"]["metadata"]["resourceVersion"] == str(api.store.version)


async def test_a_list_may_be_streamed():
    async with cluster() as (_, client):
        await client.create(config_map("one"))
        query = {"watch": "true", "sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        lines = _lines(client, **query, allowWatchBookmarks="true")
        first, mark = [await anext(lines) for _ in range(2)]
        assert (first["type"], mark["type"]) == ("ADDED", "BOOKMARK")
        assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        await lines.aclose()


async def test_a_watch_that_is_silent_stays_open_and_ends_with_its_client():
    async with cluster() as (api, client):
        api.faults.order(Fault(Wrong.SILENT, verb="watch", after=1))
        told = aiter(client.watch(ConfigMap, server_timeout=20))
        waiting = asyncio.create_task(_next(told))
        await eventually(lambda: api.audit.count("watch") == 1)
        await client.create(config_map("one"))
        assert (await waiting)[1] == "one"
        await client.create(config_map("two"))
        silent = asyncio.create_task(_next(told))
        done, _ = await asyncio.wait([silent], timeout=0.1)
        assert not done
        silent.cancel()
        await asyncio.wait([silent])


async def test_a_resource_version_that_is_yet_to_come_or_is_none():
    async with cluster() as (api, client):
        http, path = client._client._client, "api/v1/namespaces/ml/configmaps"
        late = await http.get(f"{path}?resourceVersion=999999")
        assert (late.status_code, late.json()["details"]["causes"][0]["reason"]) == (504, "ResourceVersionTooLarge")
        assert late.headers["Retry-After"] == "1"
        assert (await http.get(f"{path}?resourceVersion=soon")).status_code == 400
        assert (await http.get(f"{path}?continue=what")).status_code == 400
        assert (await http.get(f"{path}?fieldSelector=spec.x%3D1")).json()["reason"] == "BadRequest"
        await client.create(config_map("one"))
        version = str(api.store.version)
        await client.create(config_map("two"))
        then = await http.get(f"{path}?resourceVersion={version}&resourceVersionMatch=Exact")
        assert [item["metadata"]["name"] for item in then.json()["items"]] == ["one"]


async def _next(told: AsyncIterator[Any]) -> tuple[str, str, Any]:
    async with asyncio.timeout(WITHIN_S):
        event, obj = await anext(told)
    return event, obj.metadata.name, obj.data or {}


async def _version(client: AsyncClient) -> str:
    found = client.list(ConfigMap)
    async for _ in found:
        raise AssertionError("none was made yet")
    return found.resourceVersion


async def _lines(client: AsyncClient, **query: str) -> AsyncIterator[dict[str, Any]]:
    """A watch as it is sent, for what the client does not ask for or reads over."""
    path = "api/v1/namespaces/ml/configmaps"
    async with client._client._client.stream("GET", path, params=query, timeout=WITHIN_S) as answer:
        assert answer.headers["Content-Type"] == "application/json"
        async for line in answer.aiter_lines():
            yield json.loads(line)


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["create", "update", "delete"]),
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["ml", "default"]),
        st.sampled_from(["stable", "candidate"]),
    ),
    max_size=12,
)
State = dict[tuple[str, str], str]


@given(
    operations=OPERATIONS,
    limit=st.integers(1, 3),
    namespace=st.sampled_from(["", "ml"]),
    selector=st.sampled_from(["", "arm=stable"]),
)
def test_a_list_and_a_watch_from_then_on_are_the_store(
    operations: list[tuple[str, str, str, str]], limit: int, namespace: str, selector: str
):
    """Whatever was done, and whenever the list was read, in pages or at once, with a selector or without."""
    writer, states = _done(operations)
    query = {"labelSelector": selector}

    def chosen(state: State) -> State:
        return {key: arm for key, arm in state.items() if namespace in {"", key[0]} and selector in {"", f"arm={arm}"}}

    for version, state in states.items():
        exact = {**query, "resourceVersion": str(version), "resourceVersionMatch": "Exact", "limit": str(limit)}
        found = _pages(writer.store, namespace, exact)
        assert found == chosen(state)
        events = asyncio.run(_events(writer.store, namespace, {**query, "resourceVersion": str(version)}))
        assert _folded(found, events) == chosen(states[writer.store.version])


def _done(operations: list[tuple[str, str, str, str]]) -> tuple[Writer, dict[int, State]]:
    """What was done by the store, and by a plain dict after each step."""
    writer, state = Writer(Store()), {}
    for name in ("ml", "default"):
        writer.create(NAMESPACE, "", {"metadata": {"name": name}}, Write())
    states = {writer.store.version: dict(state)}
    for verb, name, namespace, arm in operations:
        key = (namespace, name)
        body = {"metadata": {"name": name, "labels": {"arm": arm}}}
        if verb == "create" and key not in state:
            writer.create(CONFIG_MAP, namespace, body, Write())
            state[key] = arm
        elif verb == "update" and key in state:
            writer.update(CONFIG_MAP, namespace, name, body, Write())
            state[key] = arm
        elif verb == "delete" and key in state:
            writer.delete(CONFIG_MAP, namespace, name, {})
            del state[key]
        states[writer.store.version] = dict(state)
    return writer, states


def _pages(store: Store, namespace: str, query: dict[str, str]) -> State:
    found: State = {}
    while True:
        page = listed(store, CONFIG_MAP, namespace, query)
        found |= {_key(item): item["metadata"]["labels"]["arm"] for item in page["items"]}
        if "continue" not in page["metadata"]:
            return found
        query = {**query, "continue": page["metadata"]["continue"]}


async def _events(store: Store, namespace: str, query: dict[str, str]) -> list[tuple[str, Any]]:
    events: list[tuple[str, Any]] = []
    over = False

    async def send(type_of_event: str, obj: Any) -> None:
        events.append((type_of_event, obj))

    watch = Watched(store, CONFIG_MAP, namespace, query, 60.0, None, lambda: over)
    telling = asyncio.create_task(watch.tell(send))
    for _ in range(5):
        await asyncio.sleep(0)
    over = True
    store.wake()
    await telling
    return events


def _folded(state: State, events: list[tuple[str, Any]]) -> State:
    folded, versions = dict(state), [0]
    for type_of_event, obj in events:
        versions.append(int(obj["metadata"]["resourceVersion"]))
        assert (type_of_event == "ADDED") == (_key(obj) not in folded)
        if type_of_event == "DELETED":
            del folded[_key(obj)]
        else:
            folded[_key(obj)] = obj["metadata"]["labels"]["arm"]
    assert versions == sorted(set(versions))
    return folded


def _key(obj: Any) -> tuple[str, str]:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


@settings(max_examples=5)
@given(OPERATIONS, st.integers(0, 100))
def test_and_so_they_are_over_http(operations: list[tuple[str, str, str, str]], place: int):
    asyncio.run(_over_http(operations, place))


async def _over_http(operations: list[tuple[str, str, str, str]], place: int) -> None:
    async with cluster() as (api, client):
        states = [(str(api.store.version), dict[tuple[str, str], str]())]
        for verb, name, namespace, arm in operations:
            state, key = dict(states[-1][1]), (namespace, name)
            if verb == "create" and key not in state:
                await client.create(config_map(name, {"arm": arm}), namespace=namespace)
            elif verb == "update" and key in state:
                await client.apply(config_map(name, {"arm": arm}), namespace=namespace, force=True)
            elif verb == "delete" and key in state:
                await client.delete(ConfigMap, name, namespace=namespace)
            if (verb == "create") != (key in state):
                state |= {key: arm}
                if verb == "delete":
                    del state[key]
            states.append((str(api.store.version), state))
        version, state = states[place % len(states)]
        events = [event async for event in _all(api, client, version)]
        assert _folded(state, events) == states[-1][1]


async def _all(api: KubeApi, client: AsyncClient, version: str) -> AsyncIterator[tuple[str, Any]]:
    last = max((c.version for c in api.store.changes if c.kind is CONFIG_MAP), default=0)
    told = aiter(client.watch(ConfigMap, namespace="*", resource_version=version, server_timeout=20))
    while int(version) < last:
        async with asyncio.timeout(WITHIN_S):
            event, obj = await anext(told)
        version = obj.metadata.resourceVersion
        yield event, obj.to_dict()
    await told.aclose()
