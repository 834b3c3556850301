"""Workflow commands of GitHub Actions: what was not met, shown beside its line in the scenario file.

The format is GitHub's (docs: "Workflow commands for GitHub Actions"): ``::error file=F,line=L,col=C,title=T::MESSAGE``.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from harness.errors import Problem


def command(problem: Problem, title: str, environ: Mapping[str, str] | None = None) -> str:
    """One problem as an error annotation, in one line.

    Args:
        problem: what is wrong, and where; without a line it stands beside the file, without a file by itself.
        title: its heading.
        environ: the environment; ``GITHUB_WORKSPACE`` is the folder that GitHub counts paths from.

    >>> command(Problem("a,b.yaml", 3, 5, "100% wrong"), "canary: expected", {})
    '::error file=a%2Cb.yaml,line=3,col=5,title=canary%3A expected::100%25 wrong'
    """
    properties = {"file": _path(problem.file, os.environ if environ is None else environ)} if problem.file else {}
    if problem.line:
        properties |= {"line": str(problem.line), "col": str(problem.column)}
    properties["title"] = title
    told = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::error {told}::{_data(problem.message)}"


def wanted(environ: Mapping[str, str] | None = None) -> bool:
    """Whether this is a job of GitHub Actions, which reads such lines."""
    return (os.environ if environ is None else environ).get("GITHUB_ACTIONS") == "true"


def _data(text: str) -> str:
    # The percent sign first, or what stands for the others would be escaped as well.
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _path(file: str, environ: Mapping[str, str]) -> str:
    """The file as GitHub knows it: counted from the checkout's folder, wherever the job's step stands."""
    workspace = environ.get("GITHUB_WORKSPACE")
    if not workspace:
        return file
    here, root = Path(file).resolve(), Path(workspace).resolve()
    return here.relative_to(root).as_posix() if here.is_relative_to(root) else file
