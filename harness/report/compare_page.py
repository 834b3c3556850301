"""Two runs side by side as one HTML page that needs nothing else."""

from pathlib import Path

from markupsafe import Markup

from harness.report.compare import Comparison, frames
from harness.report.html import asset, environment, policy
from harness.report.suite_page import link


def render(compared: Comparison, page: Path) -> str:
    """The page as text; the same runs at the same place give the same page.

    Args:
        compared: the two runs.
        page: where the page is to be; links to the runs' own pages are relative to it.
    """
    styles, scripts = [asset("report.css"), asset("pages.css")], [asset("theme.js")]
    return (
        environment()
        .get_template("compare.html.j2")
        .render(
            compared=compared,
            sides=[
                (side, result, sentence, link(result, page))
                for side, result, sentence in zip("ab", (compared.a, compared.b), compared.sentences, strict=True)
            ],
            frames=frames(compared),
            diff=[(_kind(line, index), line) for index, line in enumerate(compared.diff)],
            styles=[Markup(style) for style in styles],  # noqa: S704 - our own files
            scripts=[Markup(script) for script in scripts],  # noqa: S704 - our own files
            policy=policy(scripts, styles),
        )
    )


def _kind(line: str, index: int) -> str:
    if index < 2 or line.startswith("@@"):
        return "at"
    return {"+": "add", "-": "del"}.get(line[:1], "same")
