"""Flags that `harness load` and `harness capacity` share, and what they ask for as a plan's words."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import click

from harness.cli import options
from harness.errors import InputError

if TYPE_CHECKING:
    from harness.app.loadwanted import Wanted

F = TypeVar("F", bound=Callable[..., Any])

PROTOCOLS = ("json", "mlflow", "v2", "raw")

SECTIONS = {
    "Pace": (
        "rate", "users", "think", "arrivals", "stages", "duration", "warmup",
        "first-rate", "most-rate", "precision", "confidence", "trial", "within",
    ),
    "What is sent": (
        "payload", "in-turn", "rows", "drop", "protocol", "model", "method", "header", "token-env", "token-file",
        "request-ids",
    ),
    "What an answer must be": ("status", "content-type", "json-schema", "expect", "golden"),
    "Objectives": ("slo", "min-grade", "grades", "mlperf", "abort-when"),
    "Limits": ("timeout", "connect-timeout", "deadline", "max-connections", "max-in-flight", "max-body"),
    "Output": (
        "json", "junit", "markdown", "csv", "prometheus", "save-profile", "report", "live", "quiet", "verbose",
        "no-color", "help",
    ),
    "Targets": ("weights", "wait-ready", "yes", "allow-targets", "max-rate"),
    "Connections": ("client", "stream", "no-keep-alive", "ca", "insecure", "proxy", "cookies", "compressed"),
    "Generators": ("workers", "engine", "scheduler", "seed"),
}  # fmt: skip
"""The flags by what they are about, in the order in which a reader needs them."""


class Sectioned(click.Command):
    """A command whose help has its flags in sections."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections; a flag that is in none comes last."""
        rows = {}
        for parameter in self.get_params(ctx):
            if isinstance(parameter, click.Option) and (row := parameter.get_help_record(ctx)):
                rows[next(each for each in parameter.opts if each.startswith("--")).removeprefix("--")] = row
        for title, names in SECTIONS.items():
            if some := [rows.pop(name) for name in names if name in rows]:
                with formatter.section(title):
                    formatter.write_dl(some)
        if rows:
            with formatter.section("Other"):
                formatter.write_dl(list(rows.values()))


pace_flags = options.all_of(
    click.option("--rate", metavar="RATE", help="Open loop: so many requests are due, such as 500/s."),
    click.option("--users", type=click.IntRange(min=1), metavar="N", help="Closed loop: so many users."),
    click.option(
        "--think",
        default="0s",
        show_default=True,
        metavar="DURATION",
        help="Of a closed loop: from an answer to the same user's next request; exponential:2s draws it.",
    ),
    click.option(
        "--arrivals",
        default="poisson",
        show_default=True,
        metavar="WORD",
        help="Of an open loop: constant, poisson, gamma:CV or trace:FILE.",
    ),
    click.option("--stages", metavar="LIST", help="Open loop whose rate changes: 0s:10/s,30s:500/s."),
    click.option(
        "--duration", metavar="DURATION", help="Of what is measured (default: 30s, or the stages' or trace's)."
    ),
    click.option(
        "--warmup",
        default="0s",
        show_default=True,
        metavar="DURATION",
        help="Asked first, and left out of all figures.",
    ),
)

slo_flags = options.all_of(
    click.option("--slo", "slos", multiple=True, metavar="RULE", help="Such as 'p99 < 250ms'. Repeatable."),
    click.option("--min-grade", metavar="GRADE", help="The worst grade that will do: A+, A, B, C, or one of --grades."),
    click.option("--grades", metavar="FILE", help="A ladder of grades of one's own, YAML."),
)

common_flags = options.all_of(
    click.option(
        "--protocol", type=click.Choice(PROTOCOLS), default="json", show_default=True, help="How it is asked."
    ),
    click.option("--model", metavar="NAME", help="Of the v2 protocol: the model's name."),
    click.option("--method", default="POST", show_default=True, metavar="WORD", help="POST, GET, HEAD or another."),
    click.option(
        "--payload",
        metavar="FILE",
        help="What to send: JSON, JSON lines, CSV or Parquet (default: made from the endpoint's own description).",
    ),
    click.option("--in-turn", is_flag=True, help="Take the payload's rows in turn, instead of drawing them."),
    click.option("--rows", type=click.IntRange(min=1), default=1, show_default=True, help="Rows in each request."),
    click.option("--drop", multiple=True, metavar="COLUMN", help="Leave a column of the payload out. Repeatable."),
    click.option(
        "--header", "headers", multiple=True, metavar="'K: V'", help="A header; ${NAME} is a variable. Repeatable."
    ),
    click.option("--token-env", metavar="NAME", help="Send the token in this variable: Authorization: Bearer …"),
    click.option("--token-file", metavar="FILE", help="Send the token in this file."),
    click.option("--timeout", default="10s", show_default=True, metavar="DURATION", help="For one request."),
    click.option("--connect-timeout", default="5s", show_default=True, metavar="DURATION", help="For a connection."),
    click.option("--deadline", metavar="DURATION", help="For the whole test."),
    click.option("--max-connections", type=click.IntRange(min=1), default=512, show_default=True, help="At once."),
    click.option("--max-in-flight", type=click.IntRange(min=1), help="Requests at once (default: the connections)."),
    click.option(
        "--max-body", type=click.IntRange(min=1), default=64 << 20, show_default=True, help="Bytes of an answer."
    ),
    click.option("--status", "statuses", metavar="LIST", help="Statuses that are successes (default: 200-299)."),
    click.option("--content-type", metavar="TYPE", help="What an answer's content type must begin with."),
    click.option("--json-schema", "schema", metavar="FILE", help="JSON Schema that answers must keep."),
    click.option(
        "--expect", "conditions", multiple=True, metavar="CONDITION", help="On an answer's fields. Repeatable."
    ),
    click.option("--golden", metavar="FILE", help="Predictions that the payload's rows must get."),
    click.option(
        "--client", type=click.Choice(["fast", "aiohttp"]), default="fast", show_default=True, help="What asks."
    ),
    click.option("--stream", is_flag=True, help="Answers come in pieces: time the first byte, and the gaps."),
    click.option("--no-keep-alive", is_flag=True, help="A connection for each request."),
    click.option("--request-ids", is_flag=True, help="Send each request's number as X-Request-Id."),
    click.option("--ca", "ca_file", metavar="FILE", help="Certificates to trust, PEM."),
    click.option("--insecure", is_flag=True, help="Trust any certificate."),
    click.option("--proxy", metavar="URL", help="Ask through it, with --client aiohttp."),
    click.option("--cookies", is_flag=True, help="Keep cookies, with --client aiohttp."),
    click.option("--compressed", is_flag=True, help="Ask for compressed answers, with --client aiohttp."),
    click.option("--wait-ready", metavar="DURATION", help="Wait so long for the target to be ready first."),
    click.option("--yes", is_flag=True, help="Those who run a target that is not on loopback agree to this test."),
    click.option("--allow-targets", metavar="HOST,…", help="Targets that need no --yes; for a file of settings."),
    click.option("--max-rate", metavar="RATE", help="Ceiling for targets that are not on loopback (default: 100/s)."),
    click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Seed of everything random."),
)

worker_flags = options.all_of(
    click.option(
        "--workers",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help="Generators side by side, at most 4 per core.",
    ),
    click.option(
        "--engine",
        type=click.Choice(["local", "dask"]),
        default="local",
        show_default=True,
        help="Where generators run: processes here, or the workers of a Dask cluster.",
    ),
    click.option("--scheduler", metavar="ADDRESS", help="Of the Dask cluster (default: one of processes here)."),
)


def asked(urls: tuple[str, ...], *, weights: str | None = None, **flags: Any) -> "Wanted":
    """What the flags ask for."""
    from harness.app.loadwanted import Wanted
    from harness.domain.load import Order

    flags["order"] = Order.IN_TURN if flags.pop("in_turn") else Order.DRAWN
    flags["keep_alive"] = not flags.pop("no_keep_alive")
    allowed = flags.pop("allow_targets")
    flags["allow_targets"] = tuple(each.strip() for each in allowed.split(",")) if allowed else ()
    return Wanted(urls=urls, weights=_weights(weights), **flags)


def _weights(text: str | None) -> tuple[float, ...]:
    if not text:
        return ()
    try:
        return tuple(float(each) for each in text.split(","))
    except ValueError:
        raise InputError(f"--weights is {text!r}; it is a number for each URL, such as 3,1") from None


def load_name(url: str) -> str:
    """What the folder of a target's runs is called.

    >>> load_name("http://127.0.0.1:8080/predict"), load_name("https://models.example/v1")
    ('load-127.0.0.1-8080', 'load-models.example')
    """
    parts = urlsplit(url)
    host = (parts.hostname or "target").replace(":", "_")
    return f"load-{host}-{parts.port}" if parts.port else f"load-{host}"
