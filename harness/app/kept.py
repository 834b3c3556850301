"""The runs that are kept on disk: all of them, at a glance, and those that may go."""

import contextlib
import re
import shutil
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from harness import clock, log
from harness.app.folders import LATEST, LOG_NAME, PAGE_NAME, SUITE, link
from harness.errors import InputError, LogError

RUN_ID: Final = re.compile(r"\d{8}T\d{6}-\d+(-\d+)?")
LINK: Final = re.compile(r'<a href="([^"]*)"')
QUIET: Final = timedelta(days=1)
"""A log without an end that was written to within this time may be a run that is under way."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One run on disk."""

    folder: Path
    result: Any = None
    """Its figures (`harness.report.glance`); None where the log cannot be read."""
    problem: str = ""
    """Why it cannot."""

    @property
    def id(self) -> str:
        """The name of its folder."""
        return self.folder.name

    @property
    def scenario(self) -> str:
        """The name of its scenario: that of the folder above."""
        return self.folder.parent.name

    @property
    def began(self) -> datetime:
        """When it began, in the real world; where its log does not say, what its name says."""
        try:
            began = datetime.fromisoformat(self.result.started)
        except (AttributeError, ValueError):
            began = datetime.strptime(self.id[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
        return began if began.tzinfo else began.replace(tzinfo=UTC)


def kept_runs(reports: Path, scenario: str | None = None) -> list[Kept]:
    """Every run below a folder of reports, the newest first; links such as ``latest`` are none.

    Args:
        reports: the folder.
        scenario: only runs of the scenario of that name.
    """
    from harness.report import glance

    found = []
    for folder in run_folders(reports):
        if scenario is not None and folder.parent.name != scenario:
            continue
        try:
            found.append(Kept(folder, glance(log.read_gist(folder / LOG_NAME))))
        except LogError as error:
            found.append(Kept(folder, problem=str(error)))
    return sorted(found, key=lambda run: (run.began, run.id, run.scenario), reverse=True)


def run_folders(reports: Path) -> list[Path]:
    """Folders that hold a run of ours: by their place, their name and their log, and none behind a link."""
    return [
        path.parent
        for path in sorted(reports.glob(f"*/*/{LOG_NAME}"))
        if _is_date(path.parent.name)
        and path.is_file()
        and not any(part.is_symlink() for part in (path, path.parent, path.parent.parent))
    ]


def _is_date(name: str) -> bool:
    if not RUN_ID.fullmatch(name):
        return False
    try:
        datetime.strptime(name[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return False
    return True


# --- retention --------------------------------------------------------------------------------------------------------


def prunable(runs: Sequence[Kept], *, keep: int | None, older_than: timedelta | None) -> list[Kept]:
    """The runs that retention lets go, the newest first; where both limits are given, those that are beyond both.

    A run whose log has no end is under way, if it was written to within the last day, and is never among them; neither
    is one whose log cannot be read, for nobody knows what that is.

    Args:
        runs: all that are kept, the newest first.
        keep: how many of each scenario stay, the newest.
        older_than: how long ago a run must have begun.
    """
    now = clock.utc_now()
    seen: dict[Path, int] = defaultdict(int)
    gone = []
    for run in runs:
        seen[run.folder.parent] += 1
        beyond = keep is None or seen[run.folder.parent] > keep
        old = older_than is None or now - run.began > older_than
        if beyond and old and run.result is not None and not _under_way(run, now):
            gone.append(run)
    return gone


def _under_way(run: Kept, now: datetime) -> bool:
    return run.result.outcome is None and _written_to(run, now)


def _written_to(run: Kept, now: datetime) -> bool:
    """Whether the log was written to within the last day; one that somebody else has deleted is left to them."""
    try:
        written = datetime.fromtimestamp((run.folder / LOG_NAME).stat().st_mtime, UTC)
    except FileNotFoundError:
        return True
    return now - written < QUIET


def retain(reports: Path, *, keep: int | None, older_than: timedelta | None, made: Collection[Path] = ()) -> list[Kept]:
    """Delete the runs that retention lets go, and answer with them.

    Beside what `prunable` spares, runs just made stay, however old or many they are, and so do those of the last day
    that have no page yet, for another process may be writing it.

    Args:
        reports: the folder of reports.
        keep: how many of each scenario stay, the newest.
        older_than: how long ago a run must have begun.
        made: folders of the runs just made.

    Raises:
        InputError: a folder cannot be deleted.
    """
    now, just = clock.utc_now(), {folder.resolve() for folder in made}
    gone = [
        run
        for run in prunable(kept_runs(reports), keep=keep, older_than=older_than)
        if run.folder.resolve() not in just and ((run.folder / PAGE_NAME).is_file() or not _written_to(run, now))
    ]
    prune(gone, reports)
    return gone


def prune(gone: Sequence[Kept], reports: Path) -> None:
    """Delete runs, pages of suites that have none left, and let ``latest`` name what is newest now.

    Raises:
        InputError: a folder cannot be deleted, or is not one of a run below the folder of reports.
    """
    below = reports.resolve()
    for run in gone:
        if run.folder.is_symlink() or run.folder.resolve().parent.parent != below:
            raise InputError(f"{run.folder}: not a run's folder below {reports}; nothing outside is deleted")
        _delete(run.folder)
    for page in sorted(reports.glob(f"{SUITE}*/index.html")):
        folder = page.parent
        if not folder.is_symlink() and RUN_ID.fullmatch(f"{folder.name.removeprefix(SUITE)}-0") and _is_empty(page):
            _delete(folder)
    for place in {run.folder.parent for run in gone}:
        _mend(place, [folder for folder in run_folders(reports) if folder.parent == place])
        with contextlib.suppress(OSError):  # not empty: runs are left, or one has just begun
            place.rmdir()
    if gone:
        _mend(reports, run_folders(reports))


def _delete(folder: Path) -> None:
    try:
        with contextlib.suppress(FileNotFoundError):  # another process deletes it, too
            shutil.rmtree(folder)  # which follows no link that stands inside
    except OSError as error:
        raise InputError(f"{folder}: cannot be deleted: {error.strerror}") from error


def _is_empty(page: Path) -> bool:
    """Whether a suite's page leads to runs, and none of them is there any more."""
    from urllib.parse import unquote

    links = LINK.findall(page.read_text(encoding="utf-8", errors="replace"))
    return bool(links) and not any((page.parent / unquote(each)).exists() for each in links)


def _mend(place: Path, left: Sequence[Path]) -> None:
    """Let ``latest`` of a place name the newest run that is left, where the one it named is gone."""
    latest = place / LATEST
    if not latest.is_symlink() or latest.exists():
        return
    if left:
        link(place, max(left, key=lambda folder: (folder.name[:15], folder.stat().st_mtime_ns)))
    else:
        latest.unlink()
