"""Data and pipelines under DVC, from Python."""

import os
from pathlib import Path
from typing import Any, Final

from harness.backends.dvc import DataVersion, Dvc
from harness.clock import run_real

REMOTE: Final = "storage"
S3_URL: Final = "DVC_REMOTE_URL"
"""The variable that names the S3 store: ``s3://my-ml-data-bucket/dvc-storage``."""
FOLDER: Final = "dvc-storage"


class DVCIntegration:
    """DVC in one repository; each method waits for the real programs.

    Args:
        dvc_repo_path: a folder that git knows.
        limit_s: the time limit of each command.
    """

    def __init__(self, dvc_repo_path: str | Path, *, limit_s: float = 600.0) -> None:
        self.repo_path = dvc_repo_path
        self.dvc = Dvc(dvc_repo_path, limit_s=limit_s)

    def setup_dvc_pipeline(self, remote: str | None = None) -> str:
        """Put the folder under DVC and name its store; the store's URL.

        Args:
            remote: a folder, or ``s3://bucket/path``; None: what the variable ``DVC_REMOTE_URL`` says, else the folder
                ``dvc-storage`` beside the repository. Credentials of S3 come from ``AWS_ACCESS_KEY_ID``,
                ``AWS_SECRET_ACCESS_KEY`` and ``AWS_SESSION_TOKEN``; they are committed nowhere.

        Raises:
            InputError: there is no such folder, git does not know it, or the URL holds a password.
            BackendError: DVC or git is not installed, or refuses.
        """
        url = remote or os.environ.get(S3_URL) or str(Path(self.repo_path).resolve().parent / FOLDER)
        run_real(self._set_up, url)
        return url

    async def _set_up(self, url: str) -> None:
        await self.dvc.init()
        await self.dvc.remote_add(REMOTE, url)

    def version_data(self, data_file: str | Path, version_message: str) -> DataVersion:
        """Keep a data file as it is now and commit it as ``Version data: …``; the commit and the file's md5.

        Raises:
            InputError: the file is not there, or not in the repository.
            BackendError: git or DVC refuses.
        """
        return run_real(self.dvc.version, data_file, f"Version data: {version_message}")

    def reproduce_pipeline(self, *, transfer: bool = True) -> tuple[str, ...]:
        """Bring the newest data, bring the pipeline up to date, and send what it made; the stages that ran.

        Args:
            transfer: pull before and push after; else only what is here is used.

        Raises:
            BackendError: a stage fails, or the store cannot be reached.
        """
        return run_real(self._reproduce, transfer)

    async def _reproduce(self, transfer: bool) -> tuple[str, ...]:
        if transfer and self._any_stored():
            await self.dvc.pull()
        ran = await self.dvc.repro()
        if transfer:
            await self.dvc.push()
        return ran

    def _any_stored(self) -> bool:
        """Whether anything was ever kept: DVC fails to pull what no pipeline has made yet."""
        root = Path(self.repo_path)
        return (root / "dvc.lock").exists() or any(root.rglob("*.dvc"))

    def push(self) -> str:
        """Send what DVC keeps to the store."""
        return run_real(self.dvc.push)

    def pull(self) -> str:
        """Bring what the store has."""
        return run_real(self.dvc.pull)

    def status(self) -> Any:
        """What has changed since the last reproduction; empty where nothing has."""
        return run_real(self.dvc.status)
