"""Runs on disk: a folder for each, `latest`, and how a run is found again."""

import contextlib
from pathlib import Path
from typing import Final

from harness import clock
from harness.domain.scenario import Scenario
from harness.errors import InputError

LOG_NAME: Final = "events.jsonl"
PAGE_NAME: Final = "report.html"
LATEST: Final = "latest"
LONGEST: Final = 60
"""Letters of a file's name that a folder takes over."""
SUITE: Final = "suite-"
"""What the names of folders begin with that hold a suite's page."""


def run_id_of(scenario: Scenario) -> str:
    """The name of a run that begins now: the time, and the seed."""
    return f"{clock.utc_now():%Y%m%dT%H%M%S}-{scenario.seed}"


def state_of(reports: Path) -> Path:
    """Where what several runs must agree on is kept: leases, orders, notes of processes. It need not be there yet."""
    return reports.resolve() / ".state"


def folder_for(below: Path, run_id: str) -> Path:
    """A new folder of that name; a number is added where one exists already."""
    for attempt in range(1, 1000):
        folder = below / (run_id if attempt == 1 else f"{run_id}-{attempt}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise InputError(f"--report: the folder {folder} cannot be made: {error}") from error
        return folder
    raise InputError(f"{below / run_id}: a thousand runs of this second exist already")


def suite_folder(reports: Path) -> Path:
    """A new folder for the page of a suite that ended now."""
    return folder_for(reports, f"{SUITE}{clock.utc_now():%Y%m%dT%H%M%S}")


def point_to(reports: Path, name: str, folder: Path) -> None:
    """Let ``latest`` name the newest run, of its scenario and of all."""
    for place in (reports / name, reports):
        link(place, folder)


def page_for(reports: Path, kind: str, file: str, suffix: str = "") -> Path:
    """The page of a look at a data file that ends now, in a new folder of its own.

    Args:
        reports: where such folders are.
        kind: what was done: ``data``, ``drift``.
        file: whose name the folder has, in plain letters.
        suffix: of the folder's name.
    """
    stem = Path(file).name.split(".")[0]
    name = "".join(each if each.isalnum() or each in "-_" else "-" for each in stem)[:LONGEST] or "data"
    below = reports / f"{kind}-{name}"
    folder = folder_for(below, f"{clock.utc_now():%Y%m%dT%H%M%S}{suffix}")
    link(below, folder)
    return folder / PAGE_NAME


def link(place: Path, folder: Path) -> None:
    """Let ``latest`` in a place name a run's folder."""
    import os

    new = place / f".latest-{os.getpid()}"
    try:
        new.unlink(missing_ok=True)
        new.symlink_to(os.path.relpath(folder, place), target_is_directory=True)
        new.replace(place / LATEST)
    except OSError:
        # A file system without links, or without room: `harness report FOLDER` finds the run all the same.
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)


def find_run(name: str, reports: Path) -> Path:
    """The folder of a run: given as a folder, an id, a scenario's name, or ``latest``.

    Raises:
        InputError: there is none; the message lists the newest.
    """
    direct = Path(name)
    candidates = [direct, reports / name, reports / name / "latest", *sorted(reports.glob(f"*/{name}"))]
    for folder in candidates:
        if (folder / LOG_NAME).is_file():
            return _by_its_own_name(folder, reports)
    if direct.is_file() and direct.name == LOG_NAME:
        return direct.parent
    runs = [log.parent for log in reports.glob(f"*/*/{LOG_NAME}") if not log.parent.is_symlink()]
    newest = sorted((run for run in runs if not run.parent.is_symlink()), key=lambda run: run.name)[-5:]
    known = ", ".join(folder.name for folder in reversed(newest)) or "none yet"
    raise InputError(f"no run {name!r} below {reports}: give a run's folder, its id or `latest`; newest: {known}")


def _by_its_own_name(folder: Path, reports: Path) -> Path:
    """The folder behind a link such as ``latest``, below the folder of reports as it was named."""
    real, below = folder.resolve(), reports.resolve()
    return reports / real.relative_to(below) if real.is_relative_to(below) else folder
