"""A model server put together: the model found by name or file, and the processes that serve it."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import InputError, NotRegistered

if TYPE_CHECKING:
    from harness.domain.model import TrainedModel
    from harness.serving.answering import Served
    from harness.serving.process import Going, Place, Running
    from harness.serving.server import Settings


@dataclass(frozen=True, slots=True)
class Options:
    """What a server is asked to be; plain values, so that worker processes can be told."""

    model: str
    """``NAME@ALIAS``, ``NAME:VERSION``, or a file."""
    registry: str | None = None
    trust_pickle: bool = False
    name: str | None = None
    version: str | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    timeout_ns: int = 10_000_000_000
    linger_ns: int = 5_000_000_000
    drain_ns: int = 10_000_000_000
    max_body: int = 4 << 20
    max_batch: int = 64
    batch_wait_ns: int = 0
    queue: int = 256
    threads: int = 1
    workers: int = 1
    prediction_log: str | None = None
    rotate_bytes: int = 256 << 20
    access_log: str | None = None
    service_log: str | None = None
    faults: bool = False
    """Answers may be made slow or wrong, for a rehearsal (`harness.serving.faults`)."""

    def settings(self) -> "Settings":
        """How a server behaves."""
        from harness.serving.batching import Limits
        from harness.serving.server import Settings

        limits = Limits(self.max_batch, self.batch_wait_ns, self.queue, self.timeout_ns, self.threads)
        return Settings(
            limits, self.max_body, self.prediction_log, self.rotate_bytes, self.access_log, self.service_log
        )

    def going(self) -> "Going":
        """How it goes down."""
        from harness.serving.process import Going

        return Going(self.linger_ns, self.drain_ns)


def is_file(model: str) -> bool:
    """Whether what a user names is a file, not a version in a registry.

    >>> is_file("churn@stable"), is_file("churn:3"), is_file("model.skops"), is_file("./churn")
    (False, False, True, True)
    """
    from harness.scenario.files import PICKLES

    return "/" in model or model.lower().endswith((".skops", *PICKLES)) or Path(model).is_file()


def find(options: Options) -> "Served":
    """The model that is to be served, and what it takes.

    Must be called where no event loop runs.

    Raises:
        InputError: the file or the name is wrong, or the model cannot be served.
        BackendError: the registry lacks it, or cannot be asked.
    """
    from harness.serving.probe import served

    if is_file(options.model):
        model = _of_file(options)
        return served(model, options.name or model.name, options.version or "1", options.model)
    if options.name or options.version:
        raise InputError("--name and --version are for files; a version in a registry has its own")
    model, version = _of_registry(options)
    return served(model, model.name, str(version), options.model)


def serve(options: Options) -> int:
    """Serve until a signal; the exit code.

    Raises:
        InputError: the model or an option is wrong.
        BackendError: the registry lacks the model, or a worker process died.
    """
    if options.workers > 1:
        if options.faults:
            raise InputError("--faults needs one process, which is told of them: leave out --workers")
        from harness.app.serving_workers import supervise

        return supervise(options)
    from harness.serving import process
    from harness.serving.faults import Faults
    from harness.serving.server import ModelServer

    one = find(options)
    place = process.Place(options.host, options.port)

    def make() -> "Running":
        server = ModelServer(one, options.settings())
        server.faults = Faults() if options.faults else None
        return server

    process.run(make, place, options.going(), say)
    return 0


def serve_fake(
    flags: Mapping[str, str], place: "Place", going: "Going", service_log: str | None, *, faults: bool = False
) -> int:
    """Serve the stand-in until a signal; the exit code.

    Raises:
        InputError: a flag is wrong.
    """
    from harness.serving import fake, process
    from harness.serving.fake.app import FakeServer
    from harness.serving.faults import Faults

    settings = fake.from_flags(flags)
    log = Path(service_log) if service_log else None

    def make() -> "Running":
        try:
            server = FakeServer(settings, log)
        except OSError as error:
            raise InputError(f"--service-log {service_log}: cannot be written: {error.strerror}") from error
        server.faults = Faults() if faults else None
        return server

    process.run(make, place, going, say)
    return 0


def say(line: str) -> None:
    """One line on standard output, at once: whoever started this waits for it."""
    print(line, flush=True)  # noqa: T201 - it is the program's own output


# --- models -----------------------------------------------------------------------------------------------------------


def _of_file(options: Options) -> "TrainedModel":
    from harness.app.own import loaded
    from harness.domain.model import Role
    from harness.training.brought import brought

    path = Path(options.model)
    name = options.name or path.name.partition(".")[0] or "model"
    notes: list[str] = []
    estimator = loaded(path, trust_pickle=options.trust_pickle, notes=notes)
    return replace(brought(estimator, name, Role.STABLE, options.model, binary=False), notes=tuple(notes))


def _of_registry(options: Options) -> tuple["TrainedModel", int]:
    from harness.app import registry as act
    from harness.clock import run_real
    from harness.domain.model import Revision
    from harness.protocols import ManyClassLoader, PickleLoader

    wanted = act.named(options.model)
    found = act.opened(options.registry)
    if options.trust_pickle and isinstance(found, PickleLoader):
        found.trust_pickles()
    if isinstance(found, ManyClassLoader):
        found.allow_many_classes()

    async def load() -> tuple["TrainedModel", int]:
        if wanted.alias:
            revision: Revision = await found.resolve(wanted.name, wanted.alias)
        else:
            revision = (await act.shown(found, wanted)).revision
        return await found.load(revision), revision.version

    try:
        model, version = run_real(load)
    except NotRegistered as error:  # what the command line names and nobody holds is wrong input
        raise InputError(str(error)) from None
    return replace(model, name=wanted.name), version


# --- worker processes -------------------------------------------------------------------------------------------------


def main() -> None:
    """A worker: its options are a line of JSON on standard input, which its parent then holds open."""
    from harness.domain.secrets import mask
    from harness.errors import HarnessError
    from harness.serving import process
    from harness.serving.server import ModelServer

    options = Options(**json.loads(sys.stdin.readline()))
    try:
        one = find(options)
        process.stop_with(sys.stdin)
        place = process.Place(options.host, options.port, shared=True)
        process.run(lambda: ModelServer(one, options.settings()), place, options.going(), say)
    except HarnessError as error:
        sys.stderr.write(f"{mask(str(error))}\n")
        sys.exit(2 if isinstance(error, InputError) else 3)


def told(options: Options) -> str:
    """The options as a worker reads them."""
    return json.dumps(asdict(options)) + "\n"


if __name__ == "__main__":
    main()
