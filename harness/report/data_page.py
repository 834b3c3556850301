"""What came of holding data against a schema, as one HTML page that needs nothing else."""

from pathlib import Path

from markupsafe import Markup

from harness.domain.quality import THE_TABLE, Failure, Validation
from harness.errors import InputError
from harness.report.data_told import chapters, held_against, in_short
from harness.report.html import asset, environment, policy


def write(found: Validation, path: Path) -> None:
    """Write the page.

    Raises:
        InputError: it cannot be written there.
    """
    try:
        path.write_text(render(found), encoding="utf-8", newline="\n")
    except OSError as error:
        raise InputError(f"{path}: the report cannot be written: {error.strerror}") from error


def render(found: Validation) -> str:
    """The page as text; the same validation gives the same page."""
    styles = [asset("report.css"), asset("load.css")]
    scripts = [asset("theme.js")]
    page: str = (
        environment()
        .get_template("data.html.j2")
        .render(
            found=found,
            name=Path(found.file).name,
            sentence=in_short(found),
            held=held_against(found),
            chapters=list(chapters(found)),
            rows=[(_subject(each), each, _first(each)) for each in (*found.critical, *found.warnings) if each.rows],
            styles=[Markup(style) for style in styles],  # noqa: S704 - our own files
            scripts=[Markup(script) for script in scripts],  # noqa: S704 - our own files
            policy=policy(scripts, styles),
        )
    )
    return page


def _subject(failure: Failure) -> str:
    return failure.column or THE_TABLE


def _first(failure: Failure) -> list[tuple[int, str]]:
    values = failure.values or ("",) * len(failure.rows)
    return list(zip(failure.rows, values, strict=True))
