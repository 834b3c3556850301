"""What a shell offers while a command line is typed; it is asked at every key, so nothing heavy is imported."""

from pathlib import Path

import click
from click.shell_completion import CompletionItem

ENDINGS = (".yaml", ".yml")
MOST_READ = 64_000


def scenarios(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Scenario files, and folders that may hold some, that begin like the word."""
    del ctx, parameter
    typed = Path(incomplete)
    folder = typed if incomplete.endswith("/") else typed.parent
    begun = "" if incomplete.endswith("/") else typed.name
    prefix = incomplete[: len(incomplete) - len(begun)]
    try:
        entries = sorted(entry for entry in folder.iterdir() if entry.name.startswith(begun))
    except OSError:
        return []
    found = []
    for entry in entries:
        if entry.name.startswith(".") and not begun.startswith("."):
            continue
        if entry.is_dir():
            found.append(CompletionItem(f"{prefix}{entry.name}/"))
        elif entry.suffix in ENDINGS and _is_scenario(entry):
            found.append(CompletionItem(f"{prefix}{entry.name}"))
    return found


def _is_scenario(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return "harness" in file.read(MOST_READ)
    except OSError:
        return False


def runs(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """`latest`, and the ids of runs, newest first, that begin like the word."""
    del parameter
    reports = Path(ctx.params.get("reports") or "reports")
    logs = (log.parent for log in reports.glob("*/*/events.jsonl"))
    names = {run.name for run in logs if not run.is_symlink() and not run.parent.is_symlink()}
    words = ["latest", *sorted(names, reverse=True)]
    return [CompletionItem(word) for word in words if word.startswith(incomplete)]
