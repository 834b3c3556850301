"""Monitoring of what a run promoted, as files in the run's folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from harness.domain.model import Revision
from harness.domain.scenario import Scenario
from harness.errors import BackendError
from harness.protocols import MonitoringSetUp

FOLDER: Final = "monitoring"


class FolderMonitoring:
    """A `MonitoringSystem` that writes what a Prometheus is started with.

    Args:
        scenario: its rules and monitors.
        folder: of the run.
    """

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        self._scenario = scenario
        self._folder = folder

    async def set_up(self, revision: Revision, baselines: Mapping[str, float]) -> MonitoringSetUp:
        """Write both files.

        Raises:
            BackendError: they cannot be written.
        """
        from harness.exporters.monitoring import MonitoringSetup
        from harness.exporters.prometheus import TARGETS_FILE, Watched, policies

        care = self._scenario.aftercare
        every = policies(self._scenario.rollout.analysis, care.monitors if care else ())
        made = MonitoringSetup(every).configure(model=revision.name, watched=Watched(baselines=dict(baselines)))
        # Where it will answer is not known to a rehearsal: whoever starts Prometheus names the targets.
        files = {**made.files(), TARGETS_FILE: "[]\n"}
        try:
            (self._folder / FOLDER).mkdir(exist_ok=True)
            for name, text in files.items():
                (self._folder / FOLDER / name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise BackendError(f"the monitoring's files cannot be written: {error}") from error
        return MonitoringSetUp(tuple(f"{FOLDER}/{name}" for name in files), made.rules)
