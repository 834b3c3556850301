"""Models of a registry in a terminal and as JSON: versions, aliases, marks, figures, and the data they were made of."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.text import Text

from harness.protocols import Version
from harness.report import text as words
from harness.report.listing import plain_table
from harness.report.terminal import screen

STYLES: Final = {"verified": "green", "bad": "bold red", "archived": "dim"}
SHORT: Final = len("sha256:") + 12
UNKNOWN: Final = "–"


def show_models(models: Mapping[str, Sequence[Version]], *, color: bool = True) -> None:
    """Print a table with a line for each version."""
    console = screen(color=color)
    rows = plain_table("version", "aliases", "status", "data", "metrics")
    for versions in models.values():
        for each in versions:
            rows.add_row(
                Text(str(each.revision)),
                Text(", ".join(each.aliases), style="bold cyan"),
                _status(each),
                Text((each.data_digest or UNKNOWN)[:SHORT]),
                Text(words.figures(each.metrics)),
            )
    if models:
        console.print(rows)
    told = (words.plural(len(models), "model"), words.plural(sum(map(len, models.values())), "version"))
    console.print(Text(", ".join(told), style="bold"))


def show_version(version: Version, *, color: bool = True) -> None:
    """Print all that is known of one version."""
    console = screen(color=color)
    console.print(Text(str(version.revision), style="bold cyan"))
    lines = {
        "aliases": Text(", ".join(version.aliases) or "none"),
        "status": _status(version),
        "model": Text(version.revision.digest or "registered by others: known once it is loaded"),
        "data": Text(version.data_digest or "not recorded"),
        **{name: Text(words.figure(name, value)) for name, value in sorted(version.metrics.items())},
    }
    wide = max(map(len, lines))
    for name, value in lines.items():
        console.print(Text(f"{name:<{wide}}  ", style="dim").append_text(value), soft_wrap=True)


def _status(version: Version) -> Text:
    return Text(version.status or UNKNOWN, style=STYLES.get(version.status, ""))


def sentence(version: Version | None) -> str:
    """A version and the data it was made of, in a line.

    >>> from harness.domain.model import Revision
    >>> sentence(Version(Revision("churn", 1, "sha256:1"), (), data_digest="sha256:2"))
    'churn:1, of the data sha256:2'
    """
    if version is None:
        return "none"
    return f"{version.revision}, of the data {version.data_digest or '(not recorded)'}"


def as_json(version: Version | None) -> dict[str, Any] | None:
    """A version as a program reads it; what is not known is null."""
    if version is None:
        return None
    return {
        "name": version.revision.name,
        "version": version.revision.version,
        "aliases": list(version.aliases),
        "status": version.status or None,
        "artifact_digest": version.revision.digest or None,
        "data_digest": version.data_digest,
        "metrics": {name: value if math.isfinite(value) else None for name, value in sorted(version.metrics.items())},
    }
