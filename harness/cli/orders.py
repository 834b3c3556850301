"""``harness approve``, ``reject``, ``promote`` and ``abort``: decide on a run that is under way in another terminal."""

import getpass
from pathlib import Path
from typing import Final

import click

from harness.cli import complete, options
from harness.cli.serve import duration
from harness.errors import InputError

LONGEST_NAME: Final = 100
LONGEST_REASON: Final = 500
ORDERS: Final = {
    "approve": """Let a run go on that waits for a person: at an approval, a pause without an end, or where its analysis
    could not judge.""",
    "reject": """Refuse the candidate of a run: stable gets all traffic back, and the run ends rolled_back.""",
    "promote": """Leave out the steps that are left: the candidate gets all traffic as soon as it is ready.""",
    "abort": """End a run, whatever it is doing: stable keeps all traffic, or gets it back. What was promoted and is
    still watched goes back to the version before.""",
}


def _shown(text: str, flag: str, longest: int) -> str:
    """One line that a log and a terminal can show."""
    text = text.strip()
    if not text.isprintable() or len(text) > longest:
        raise InputError(f"{flag} is one line of at most {longest} characters that can be printed")
    return text


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in some containers
        return "somebody"


def _given(word: str, run: str, reports: Path, by: str | None, reason: str, wait_ns: int) -> None:
    from harness.app import orders
    from harness.domain.rollout import Order

    who = _shown(_user() if by is None else by, "--by", LONGEST_NAME)
    if not who:
        raise InputError("--by names nobody; say who decides, such as --by ann")
    why = _shown(reason, "--reason", LONGEST_REASON)
    addressed = orders.addressed(orders.find(run, reports))
    answer = orders.give(addressed, Order(word), who, why, wait_ns)
    if answer.accepted is None:
        click.echo(f"{addressed.name}: the order is in its inbox")
        return
    if not answer.accepted:
        raise InputError(f"{addressed.name}: {answer.text}")
    click.echo(f"{addressed.name}: {answer.text} ({word} by {who})")


def _command(word: str, what: str) -> click.Command:
    @click.command(
        name=word,
        help=f"""{what}

    RUN is a run's folder, its id, or `latest` for the one that is under way on real time. The answer is printed when
    the run has taken the order. Exit code 2: the run takes no orders, or this one changes nothing now.""",
        epilog=f"""\b
Examples:
  harness {word} latest
  harness {word} 20260101T120000-7 --by ann --reason 'looks right to me'""",
    )
    @click.argument("run", metavar="RUN", shell_complete=complete.runs)
    @options.report_dir
    @click.option("--by", cls=options.OfOneCall, metavar="NAME", help="Who decides (default: your user name).")
    @click.option(
        "--reason", cls=options.OfOneCall, metavar="TEXT", default="", help="Why; it is in the log, beside who."
    )
    @click.option(
        "--wait", "wait_ns", type=duration, metavar="DURATION", default="30s", show_default=True,
        help="How long the run may take to answer; then the order is withdrawn. 0s: leave it there.",
    )  # fmt: skip
    def order(run: str, reports: Path, by: str | None, reason: str, wait_ns: int) -> None:
        _given(word, run, reports, by, reason, wait_ns)

    return order


approve, reject, promote, abort = (_command(word, what) for word, what in ORDERS.items())
