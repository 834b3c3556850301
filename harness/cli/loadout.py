"""What a load test or a capacity search leaves: the view while it runs, the files asked for, the exit code."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from harness.cli import ci, read_or_not
from harness.errors import InputError
from harness.report import output
from harness.stats.grade import GRADES, LOWEST, Rung


class NothingMadeError(InputError):
    """A file that was asked for cannot be made of what was measured."""


KEYS = ("grade", "success_rate", "mean", "p95", "p99")


@dataclass(frozen=True, slots=True)
class Files:
    """The files that a command line asks for; ``-`` is standard output, and then nothing else is printed there."""

    json: str | None = None
    junit: str | None = None
    markdown: str | None = None
    csv: str | None = None
    prometheus: str | None = None
    profile: str | None = None

    def named(self) -> dict[str, str]:
        """Each that was asked for, by its flag."""
        found = {
            "--json": self.json,
            "--junit": self.junit,
            "--markdown": self.markdown,
            "--csv": self.csv,
            "--prometheus": self.prometheus,
            "--save-profile": self.profile,
        }
        return {flag: file for flag, file in found.items() if file}

    def check(self) -> None:
        """Whether each can be written.

        Raises:
            InputError: one cannot, or two want standard output for themselves.
        """
        named = self.named()
        alone = [flag for flag, file in named.items() if file == "-"]
        if len(alone) > 1:
            raise InputError(f"{' and '.join(alone)} cannot both be standard output; name a file for one of them")
        for flag, file in named.items():
            output.check(flag, file)
        ci.check_summary()

    @property
    def takes_stdout(self) -> bool:
        """Whether one of them is standard output."""
        return "-" in self.named().values()

    def write(self, result: Any) -> None:
        """Write those that were asked for, as many as can be.

        Raises:
            NothingMadeError: of what was measured one cannot be made; told when all others are written.
            InputError: one cannot be written; told then, too.
        """
        from harness.report import load_ci, load_csv, load_json, load_profile, load_prometheus

        forms = {
            "--json": load_json.render,
            "--junit": load_ci.junit,
            "--markdown": load_ci.markdown,
            "--csv": load_csv.render,
            "--prometheus": load_prometheus.render,
            "--save-profile": load_profile.profile_of,
        }
        unmade, unwritten = [], []
        for flag, file in self.named().items():
            make: Any = forms[flag]
            try:
                text = make(result)
            except InputError as error:
                unmade.append(str(error))
                continue
            try:
                output.write(flag, file, text)
            except InputError as error:
                unwritten.append(str(error))
        if unwritten:
            raise InputError("\n".join(unwritten + unmade))
        if unmade:
            raise NothingMadeError("\n".join(unmade))


def ladder(file: str | None) -> Sequence[Rung]:
    """The ladder of grades: the usual one, or that of a file.

    Raises:
        InputError: the file holds none; the message says how one is written.
    """
    if file is None:
        return GRADES
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        told = YAML(typ="safe", pure=True).load(Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise InputError(f"--grades {file}: cannot be read: {error}") from None
    rows = told.get("grades") if isinstance(told, dict) else None
    if not isinstance(rows, list) or not rows:
        raise InputError(
            f"--grades {file}: it is a list, best first, such as\n"
            "grades:\n  - {grade: gold, success_rate: 99.9%, mean: 20ms, p95: 50ms, p99: 100ms}"
        )
    found = [_rung(f"--grades {file}: grades[{at}]", row) for at, row in enumerate(rows)]
    names = [rung.grade for rung in found]
    if len(set(names)) < len(names) or LOWEST in names:
        raise InputError(f"--grades {file}: each grade stands once, and {LOWEST} is what stands on no rung")
    return found


def _rung(where: str, row: Any) -> Rung:
    from harness.domain.quantity import duration_ns, share

    if not isinstance(row, dict) or set(row) != set(KEYS):
        told = ", ".join(map(str, row)) if isinstance(row, dict) else repr(row)
        raise InputError(f"{where} has {told}; it has {', '.join(KEYS)}, each once")
    try:
        spans = [duration_ns(str(row[key])) / 1e9 for key in ("mean", "p95", "p99")]
        return Rung(str(row["grade"]), share(row["success_rate"]), *spans)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None


def check_grade(grade: str | None, rungs: Sequence[Rung]) -> None:
    """Whether there is such a grade.

    Raises:
        InputError: there is none.
    """
    names = [rung.grade for rung in rungs]
    if grade is not None and grade not in names:
        raise InputError(f"--min-grade is {grade!r}; there are {', '.join(names)}")


@contextmanager
def shown(*, live: bool | None, verbose: bool, color: bool) -> Iterator[tuple[Any, ...]]:
    """What watches the log while the test runs; nothing where there is nothing to be shown."""
    from harness.live.load_view import watching

    with watching(live=live, verbose=verbose, color=color) as watcher:
        yield (watcher,) if watcher else ()


def tell(done: Any, files: Files, *, quiet: bool, color: bool, verbose: bool) -> int:
    """Write the page and the files, print the result, and answer with the exit code."""
    from harness.app.folders import PAGE_NAME
    from harness.report import fold_any, load_ci, load_page, load_terminal

    page = done.folder / PAGE_NAME
    result: Any = fold_any(done.log.events, log_path=done.path, report_path=page)
    load_page.write(result, page)
    code = 0 if result.passed else 1
    try:
        files.write(result)  # before anything is printed: its reader may go before the end
    except NothingMadeError as error:
        click.echo(str(error), err=True)
        code = 1
    ci.annotate(load_ci.problems(result))
    with read_or_not():
        if not files.takes_stdout and not quiet:
            load_terminal.show(result, color=color, verbose=verbose)
        elif quiet and not files.takes_stdout:
            click.echo(load_ci.sentence(result))
    if done.interrupted:
        return 130
    if done.error:
        click.echo(str(done.error), err=True)
        return 2 if isinstance(done.error, InputError) else 3
    return code
