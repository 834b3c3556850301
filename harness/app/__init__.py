"""Assembly: finds the backends that are installed, builds a scenario's parts, picks its time, and runs it.

Everything below knows only protocols; here they meet their implementations.

installed.py    backends by entry point; the words that a scenario may use
scenarios.py    a scenario file read, and its policy foreseen
building.py     a scenario made in Python
references.py   what a scenario refers to, held against it before anything runs
running.py      one run: parts, time, signals; notifiers.py: whom it tells
resuming.py     one that was cut off, taken up again; driving.py: who drives a rollout
registry.py     the model registry looked at and changed by hand
folders.py      runs on disk; kept.py: all of them, and those that may go

Heavy modules are imported before a run's first event, so that imports are no part of the time a run reports.
"""

from harness.app.building import analysis_policy, rehearsal
from harness.app.folders import LOG_NAME, PAGE_NAME, find_run, suite_folder
from harness.app.installed import catalog, lacking
from harness.app.kept import Kept, kept_runs, prunable, prune, retain
from harness.app.references import check_references
from harness.app.resuming import CutOff, cut_off, find_cut_off, resume
from harness.app.running import Options, Rehearsal, Stop, Watcher, attempt, parts, rehearse, run, run_sync
from harness.app.scenarios import load_scenario, timeline

__all__ = [
    "LOG_NAME",
    "PAGE_NAME",
    "CutOff",
    "Kept",
    "Options",
    "Rehearsal",
    "Stop",
    "Watcher",
    "analysis_policy",
    "attempt",
    "catalog",
    "check_references",
    "cut_off",
    "find_cut_off",
    "find_run",
    "kept_runs",
    "lacking",
    "load_scenario",
    "parts",
    "prunable",
    "prune",
    "rehearsal",
    "rehearse",
    "resume",
    "retain",
    "run",
    "run_sync",
    "suite_folder",
    "timeline",
]
