"""Registrations by several processes at once, and ones that are killed; `benchmarks/registry.py` has the whole.

Run as a program it imports what it needs once and forks: ``python -m tests.registering many URI PROCESSES EACH`` and
``python -m tests.registering killed URI SEED MOMENTS`` print a line of JSON for each URI.
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from itertools import count
from typing import Any

from harness.backends.sql import SqlRegistry
from harness.clock import run_real, wall_ns
from harness.contracts import sample_model
from harness.seeds import stream

NAME = "checked-model"


def many(uri: str, processes: int, each: int) -> dict[str, Any]:
    """So many processes, each registering so many models of one name; what the registry holds then."""
    began = wall_ns()
    children = [forked(lambda number=number: register(uri, number, each)) for number in range(processes)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    seconds = (wall_ns() - began) / 1e9
    registry = SqlRegistry(uri)
    versions = run_real(registry.versions, NAME)
    rows = [registry.store.row(NAME, version.revision.version) for version in versions]
    return {
        "codes": codes,
        "numbers": [version.revision.version for version in versions],
        "intents": [row.intent for row in rows],
        "problems": [problem for version in versions for problem in run_real(registry.verify, version.revision)],
        "seconds": seconds,
    }


def register(uri: str, number: int, each: int) -> None:
    registry = SqlRegistry(uri)
    for place in range(each):
        run_real(registry.register, sample_model(1 + (number * each + place) % 8), f"process-{number}/{place}")


def killed(uri: str, seed: int, moments: int) -> dict[str, Any]:
    """Registrations killed (SIGKILL) at moments drawn from a seed, each tried again afterwards with the same intent.

    A moment is a number of Python's and C's calls since the store was asked to keep the archive, so that any place
    between the first line and the last can be hit, and the same one each time.
    """
    registry = SqlRegistry(uri)
    run_real(registry.register, sample_model(1), "before/0")
    read, write = os.pipe()
    whole = forked(lambda: os.write(write, json.dumps(_calls(uri, "whole/0")).encode()))
    os.waitpid(whole, 0)
    calls = json.loads(os.read(read, 100))
    draws = stream(seed, "registry/kills").generator()
    told = []
    for place in range(moments):
        moment, intent = int(draws.integers(1, calls)), f"killed/{place}"
        child = forked(lambda moment=moment, intent=intent: _calls(uri, intent, die_at=moment))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        reopened = SqlRegistry(uri)
        after_kill = run_real(reopened.versions, NAME)
        wrong = [problem for version in after_kill for problem in run_real(reopened.verify, version.revision)]
        again = run_real(reopened.register, sample_model(2), intent)
        intents = [reopened.store.row(NAME, each.revision.version).intent for each in run_real(reopened.versions, NAME)]
        told.append({
            "moment": moment / calls, "code": code, "done": len(after_kill) == place + 3, "wrong": wrong,
            "of_intent": intents.count(intent), "numbers": [each.revision.version for each in after_kill],
            "answers": run_real(reopened.load, again).artifact_digest == again.digest,
        })  # fmt: skip
    last = run_real(registry.versions, NAME)
    swept = run_real(lambda: registry.sweep(0))
    left = [problem for version in last for problem in run_real(registry.verify, version.revision)]
    return {"kills": told, "versions": len(last), "swept": swept.removed, "left": left, "calls": calls}


def _calls(uri: str, intent: str, die_at: int | None = None) -> int:
    registry, model = SqlRegistry(uri), sample_model(2)
    calls = count(1)

    def seen(frame: Any, event: str, argument: Any) -> None:
        del frame, argument
        if event in ("call", "c_call") and next(calls) == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    keep = registry.store.register

    def watched(*given: Any) -> Any:
        sys.setprofile(seen)
        try:
            return keep(*given)
        finally:
            sys.setprofile(None)

    vars(registry.store)["register"] = watched
    registry._register(model, intent)
    return next(calls) - 1


def forked(work: Callable[[], Any]) -> int:
    """A child that does some work and ends at once; its id."""
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    except BaseException:  # noqa: BLE001 - a child says what went wrong, and never goes on as its parent
        traceback.print_exc()
        os._exit(1)


if __name__ == "__main__":
    what, first, second, *uris = sys.argv[1:]
    for each in range(1, 9 if what == "many" else 3):
        sample_model(each)  # fitted once, for every child
    for where in uris:
        print(json.dumps({"many": many, "killed": killed}[what](where, int(first), int(second))), flush=True)  # noqa: T201
