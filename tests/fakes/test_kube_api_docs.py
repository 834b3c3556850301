"""docs/kube_api.md: its example as it stands there, and the stand-in as a process."""

import asyncio
import json
import signal
import sys
from pathlib import Path
from subprocess import PIPE

import pytest
from lightkube import AsyncClient, KubeConfig
from lightkube.resources.core_v1 import Namespace

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "kube_api.md").read_text(encoding="utf-8")


def test_the_example_prints_what_the_page_says(capsys: pytest.CaptureFixture[str]):
    code = PAGE.partition("```python\n")[2].partition("```")[0]
    exec(compile(code, "docs/kube_api.md", "exec"), {"__name__": "example"})
    assert f"prints `{capsys.readouterr().out.strip()}`" in PAGE


async def test_as_a_process_it_writes_a_kubeconfig_and_ends_when_it_is_told(tmp_path: Path):
    file = tmp_path / "kubeconfig.json"
    command = [sys.executable, "-m", "fakes.kube_serve", str(file), "-n", "ml"]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, cwd=ROOT)
    try:
        assert process.stdout is not None
        said = (await process.stdout.readline()).decode()
        assert said.split()[-1] == json.loads(file.read_text())["clusters"][0]["cluster"]["server"]
        async with AsyncClient(KubeConfig.from_file(file), trust_env=False) as client:
            assert client.namespace == "ml"
            assert [each.metadata.name async for each in client.list(Namespace)] == ["default", "ml"]
    finally:
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
