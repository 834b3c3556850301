"""``harness serve``: a model server, and a tunable stand-in for one."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any, Final

import click

from harness.cli import options
from harness.errors import InputError

LINGER_NS: Final = 5_000_000_000
"""Longer than a cluster takes to tell its proxies that a pod goes, and with the drain half of the 30 s it allows."""
SIZES: Final = {"": 1, "B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}


def duration(value: str | int) -> int:
    """A duration, ``250ms`` or ``10s``, in nanoseconds."""
    if isinstance(value, int):  # a setting, which was read already
        return value
    from harness.domain.quantity import duration_ns

    try:
        return duration_ns(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r}: {error}") from None


def size(value: str | int) -> int:
    """A size, ``4MB`` or ``512KB``, in bytes."""
    if isinstance(value, int):
        return value
    import re

    found = re.fullmatch(r"(\d{1,12})\s*((?:[KMG]?B)?)", value.strip().upper(), re.ASCII)
    if not found:
        raise click.BadParameter(f"{value!r}: a size is a whole number and a unit (B, KB, MB, GB), such as 4MB")
    return int(found[1]) * SIZES[found[2]]


def fake_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """The stand-in's own flags; values are read where its settings are."""
    from harness.serving.fake.settings import FLAGS

    taken = {"model", "version", "workers", "queue"}  # they stand in the command's own list
    for flag in reversed(FLAGS):
        if flag.word not in taken:
            command = click.option(
                f"--{flag.word}", f"fake_{flag.word.replace('-', '_')}", metavar="VALUE",
                cls=options.OfOneCall, help=f"With --fake: {flag.help} ({flag.example}).",
            )(command)  # fmt: skip
    return command


@click.command(
    epilog="""\b
Examples:
  harness serve churn-prediction@stable --registry mlflow+sqlite:///registry.db --port 8080
  harness serve model.skops --name churn --version 3
  harness serve --fake --latency '{lognormal: {median: 30ms, p99: 120ms}}' --error-rate 1%"""
)
@click.argument("model", required=False, metavar="MODEL")
@click.option(
    "--registry", metavar="URI", help="Where NAME@ALIAS and NAME:VERSION are: sqlite:///PATH, mlflow+sqlite:///PATH, …"
)
@options.trust_pickle
@click.option("--name", cls=options.OfOneCall, help="What a file's model is called (default: the file's name).")
@click.option("--version", help="What a file's version is called (default: 1).")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="Port; 0 for any that is free."
)
@click.option(
    "--timeout",
    type=duration,
    metavar="DURATION",
    default="10s",
    show_default=True,
    help="From a request's arrival to its answer (504).",
)
@click.option(
    "--linger", type=duration, metavar="DURATION",
    help="On SIGTERM: how long it still listens and answers, not ready any more (default: 5s; with --fake 0s).",
)  # fmt: skip
@click.option(
    "--drain", type=duration, metavar="DURATION", default="10s", show_default=True,
    help="Then: how long what is in flight may take.",
)  # fmt: skip
@click.option(
    "--max-body", type=size, cls=options.OfOneCall, metavar="SIZE", default="4MB", show_default=True,
    help="Largest body of a request (413).",
)  # fmt: skip
@click.option(
    "--max-batch", type=click.IntRange(1), default=64, show_default=True, help="Rows that are asked together."
)
@click.option(
    "--batch-wait", type=duration, metavar="DURATION", default="0s", show_default=True,
    help="Under load, how long a batch that is not full waits for more.",
)  # fmt: skip
@click.option("--queue", metavar="N", help="Requests that may wait for the model; one more gets 503 (default: 256).")
@click.option(
    "--threads",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Threads that ask the model, side by side.",
)
@click.option(
    "--workers", type=click.IntRange(0), cls=options.OfOneCall, metavar="N",
    help="Processes on one port (default: 1); with --fake, requests worked on at a time.",
)  # fmt: skip
@click.option("--prediction-log", metavar="FILE", help="Each prediction as a line of JSON; labels by POST /labels.")
@click.option(
    "--rotate",
    type=size,
    metavar="SIZE",
    default="256MB",
    show_default=True,
    help="Put the prediction log aside at that size; 0: never.",
)
@click.option("--access-log", metavar="FILE", help="Each answer as a line of JSON; - is standard output.")
@click.option(
    "--service-log", metavar="FILE", help="For experiments: when each request arrived, was begun and was done, in ns."
)
@click.option(
    "--faults", is_flag=True, cls=options.OfOneCall,
    help="For rehearsals only: PUT /-/faults, from this machine, makes answers slow or wrong.",
)  # fmt: skip
@click.option(
    "--fake", is_flag=True, cls=options.OfOneCall, help="A stand-in without a model, with speed and faults to order."
)
@fake_flags
def serve(model: str | None, fake: bool, **given: Any) -> int:
    """Serve a model over HTTP: MODEL is NAME@ALIAS, NAME:VERSION, or a file (.skops).

    It speaks three protocols at once: POST /predict (json), POST /invocations (MLflow), POST /v2/models/NAME/infer
    (Open Inference Protocol). GET /openapi.json tells what the model takes. Once it serves, it prints one line:
    ready URL. On SIGTERM it is not ready, and answers for --linger more; then it ends when what is in flight is
    answered. Ctrl-C, or a second signal, ends it without lingering.
    """
    from harness.app import serving

    _check(given)
    flags = {name.removeprefix("fake_"): text for name, text in given.items() if name.startswith("fake_") and text}
    if fake:
        if model:
            raise InputError(f"--fake needs no model, and {model} is one; leave one of them out")
        return _fake(flags, given)
    if flags:
        raise InputError(f"--{next(iter(flags)).replace('_', '-')} is for --fake, which has no model")
    if not model:
        raise InputError("no model is named; say NAME@ALIAS, NAME:VERSION or a file, or --fake for a stand-in")
    if given["workers"] == 0:
        raise InputError("--workers is 0; a model is served by at least one process: give 1 or more, or leave it out")
    known = {field.name for field in fields(serving.Options)}
    chosen = {name: value for name, value in given.items() if name in known}
    chosen |= {f"{name}_ns": given[name] for name in ("timeout", "drain", "batch_wait")}
    chosen |= {
        "queue": _queue(given["queue"]),
        "workers": given["workers"] or 1,
        "linger_ns": LINGER_NS if given["linger"] is None else given["linger"],
        "rotate_bytes": given["rotate"],
        "registry": options.backends(given["registry"], None).registry if given["registry"] else None,
    }
    return serving.serve(serving.Options(model=model, **chosen))


def _check(given: dict[str, Any]) -> None:
    if given["timeout"] <= 0:
        raise InputError("--timeout is 0s; an answer takes some time: give more, such as 10s")
    if given["max_body"] <= 0:
        raise InputError("--max-body is 0; a request has a body: give its largest size, such as 4MB")


def _fake(flags: dict[str, str], given: dict[str, Any]) -> int:
    from harness.app import serving
    from harness.serving.process import Going, Place

    shared = {"workers": given["workers"], "queue": given["queue"], "model": given["name"], "version": given["version"]}
    flags |= {word: str(value) for word, value in shared.items() if value is not None}
    return serving.serve_fake(
        flags, Place(given["host"], given["port"]), Going(given["linger"] or 0, given["drain"]), given["service_log"],
        faults=given["faults"],
    )  # fmt: skip


def _queue(text: str | None) -> int:
    if text is None:
        return 256
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise InputError(f"--queue is {text!r}; a queue holds 1 to 1000000 requests")
    return int(text)
