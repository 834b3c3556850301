"""Under HARNESS_REQUIRE_ALL=1 a test that skips has failed: somewhere every test must run."""

import os
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import settings

from tests.hooks import hook
from tests.mlflow_server import mlflow_process, mlflow_server, mlflow_template, their_mlflow
from tests.postgres import postgresql, postgresql_database
from tests.requires import ALL

__all__ = [
    "hook", "mlflow_process", "mlflow_server", "mlflow_template", "postgresql", "postgresql_database", "their_mlflow",
]  # fmt: skip

settings.register_profile("harness", deadline=None)  # how long an example takes says nothing of what is tested
settings.load_profile("harness")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are processors: many tests wait for processes that they have started, not for a processor."""
    del config
    return len(os.sched_getaffinity(0)) + 1


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """Turn a skip into a failure where all are required."""
    report = yield
    if ALL and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"HARNESS_REQUIRE_ALL=1, but this test was skipped: {report.longrepr[-1]}"
    return report
