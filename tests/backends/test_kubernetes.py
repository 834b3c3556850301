"""Replicas as pods: lightkube over HTTP to the stand-in of an API server, whose pods are real servers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from fakes.kube_kinds import POD
from harness.contracts.fleets import FLEET_CHECKS, FleetBench, check_fleet
from tests.backends.kubernetes_bench import cluster, speaks


async def test_pods_keep_every_promise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with cluster(tmp_path, monkeypatch, rbac=True) as there:
        plan = replace(there.scenario.real.kubernetes, front=None)
        there.scenario = replace(there.scenario, real=replace(there.scenario.real, kubernetes=plan))

        async def kill(url: str) -> None:
            ip = url.removeprefix("http://").partition(":")[0]
            pods = there.api.store.all(POD, "ml")
            name = next(pod["metadata"]["name"] for pod in pods if pod["status"].get("podIP") == ip)
            there.api.crash("ml", name)

        @asynccontextmanager
        async def bench() -> AsyncIterator[FleetBench]:
            yield FleetBench(there.fleet(), kill, speaks, outlives=True, ready_within_s=60)

        ran = await check_fleet(bench)
    assert str(ran) == f"{len(FLEET_CHECKS)} of {len(FLEET_CHECKS)}"
