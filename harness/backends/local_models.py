"""What a local replica serves: a model file written once, and the command that serves it."""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness.domain.model import GivenPlan, Revision, Role, Source, TrainedModel
from harness.domain.real import LocalPlan
from harness.domain.scenario import Scenario
from harness.domain.service import Service
from harness.domain.units import SECOND
from harness.errors import ArtifactError, ServingError

DIGITS: Final = 16
"""Of a digest, in a file's name."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model as a replica is given it."""

    digest: str
    revision: Revision
    file: Path | None
    """None: nothing is known of the model, and a stand-in answers."""
    pickled: bool = False


def written(model: TrainedModel, revision: Revision, role: Role, folder: Path, scenario: Scenario) -> Loaded:
    """The model in a file, written unless it is there already; takes a moment.

    Args:
        model: what is to be served.
        revision: what it is called.
        role: names the file, with the digest.
        folder: for models.
        scenario: says whether pickles are trusted.

    Raises:
        ServingError: it cannot be served by a process of its own; the message says what to do instead.
    """
    if model.source is Source.RECORDED:
        raise ServingError(
            f"the {role}'s answers were recorded, and no server here has its model: serve it yourself with "
            "serving: http, or rehearse it with serving: simulated"
        )
    digest = model.artifact_digest
    if model.estimator is None:
        return Loaded(digest, revision, None)
    if there := kept(Revision(revision.name, revision.version, digest), folder):
        return Loaded(digest, revision, there.file, there.pickled)
    return _saved(model, revision, role, folder / f"{role}-{_word(digest)}.skops", scenario)


def kept(revision: Revision, folder: Path) -> Loaded | None:
    """The model in the file that it was written to before, by its digest; None: there is none."""
    if not (word := _word(revision.digest)):
        return None
    for there in sorted(folder.glob(f"*-{word}.*")):
        if there.suffix in {".skops", ".pkl"}:
            return Loaded(revision.digest, revision, there, there.suffix == ".pkl")
    return None


def _word(digest: str) -> str:
    return re.sub(r"[^0-9A-Za-z]", "", digest.rpartition(":")[2])[:DIGITS]


def _saved(model: TrainedModel, revision: Revision, role: Role, path: Path, scenario: Scenario) -> Loaded:
    from harness.training import artifact

    try:
        artifact.save(model.estimator, path)
        artifact.load(path)  # as the server will: what it would refuse is told now, and with a remedy
    except Exception as error:
        path.unlink(missing_ok=True)
        if isinstance(error, ArtifactError) and not _trusted(scenario, role):
            raise ServingError(f"the {role} cannot be served by a process of its own: {error}") from error
        return _pickled(model, revision, path.with_suffix(".pkl"))
    return Loaded(model.artifact_digest, revision, path)


def _trusted(scenario: Scenario, role: Role) -> bool:
    """Whether the user has vouched for the model: by --trust-pickle, or by handing it over in Python."""
    return scenario.model.trust_pickle or isinstance(scenario.model.of(role.model), GivenPlan)


def _pickled(model: TrainedModel, revision: Revision, path: Path) -> Loaded:
    """What skops has no safe form for, as a pickle: written here a moment ago, so nobody else's code is run."""
    import joblib

    beside = path.with_suffix(".new")
    try:
        joblib.dump(model.estimator, beside)
        beside.replace(path)
    except Exception as error:  # a user's estimator may raise anything
        beside.unlink(missing_ok=True)
        raise ServingError(
            f"{revision} cannot be written to a file for its server ({type(error).__name__}: {error}); build it of "
            "scikit-learn's own estimators, or rehearse it with serving: simulated"
        ) from error
    return Loaded(model.artifact_digest, revision, path, pickled=True)


def command(loaded: Loaded, plan: LocalPlan, service: Service, *, faults: bool) -> tuple[str, ...]:
    """What is run for a replica: `harness serve`, on any free port of loopback.

    It does not linger on SIGTERM: the router has let go of it by then.
    """
    words: list[str] = [sys.executable, "-m", "harness", "serve"]
    if loaded.file is None:
        words += ["--fake"]
    else:
        words += [str(loaded.file), "--threads", str(plan.threads), *["--trust-pickle"] * loaded.pickled]
    words += ["--name", loaded.revision.name, "--version", str(loaded.revision.version)]
    words += ["--host", "127.0.0.1", "--port", "0", "--queue", str(max(1, service.queue))]
    words += ["--linger", "0s", "--drain", f"{max(plan.drain_ns, SECOND) / SECOND:g}s", *["--faults"] * faults]
    return tuple(words)


def noted(words: Sequence[str], extra: Mapping[str, Any]) -> Loaded:
    """The model of a replica that runs, by its `command` and what its note says besides.

    >>> words = ("python", "-m", "harness", "serve", "models/stable-1a.skops", "--threads", "1")
    >>> found = noted(words, {"digest": "sha256:1a", "revision": "churn:3"})
    >>> str(found.revision), str(found.file), found.pickled
    ('churn:3', 'models/stable-1a.skops', False)
    """
    name, _, version = str(extra["revision"]).rpartition(":")
    after = words[words.index("serve") + 1]
    file = None if after == "--fake" else Path(after)
    digest = str(extra["digest"])
    return Loaded(digest, Revision(name, int(version), digest), file, "--trust-pickle" in words)


def remembered(
    revisions: Mapping[Role, Revision],
    started: Sequence[tuple[Role, Loaded]],
    folder: Path,
    made: Mapping[Role, Loaded],
) -> dict[Role, Loaded]:
    """Models that were not made again, by the files that their replicas were started with.

    Args:
        revisions: what is deployed; a digest tells which file is whose.
        started: the models of the replicas that are noted, and their arms, for what has no digest.
        folder: for models.
        made: those that are known.
    """
    by_digest = {each.digest: each for _, each in started}
    found: dict[Role, Loaded] = {}
    for role, revision in revisions.items():
        again = kept(revision, folder) or by_digest.get(revision.digest)
        if role not in made and again:
            found[role] = again
    for role, each in started:
        if role not in made:
            found.setdefault(role, each)
    return found


def match(found: str, arm: str, models: Iterable[tuple[Role, Loaded]]) -> Role | None:
    """The arm that a replica with this model's digest belongs to: its own by preference; None: to none any more."""
    fitting = [role for role, loaded in models if loaded.digest == found]
    return next((role for role in fitting if role.value == arm), next(iter(fitting), None))
