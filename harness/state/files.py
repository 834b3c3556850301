"""Files that must outlive a power cut, and those that a kill has torn."""

import os
from collections.abc import Callable
from pathlib import Path

from harness.errors import LogError


def cut_torn(path: Path, is_whole: Callable[[bytes], bool] = lambda _: True) -> int:
    """Cut off what a killed process left of a line that it did not write to its end; how many bytes that was.

    Args:
        path: of a file of lines.
        is_whole: whether a last line that has an end is one; if not, it is cut off too.

    Raises:
        LogError: the file cannot be read or written.
    """
    try:
        with path.open("r+b") as file:
            data = file.read()
            whole = data.rfind(b"\n") + 1
            last = data.rfind(b"\n", 0, max(whole - 1, 0)) + 1
            if whole and not is_whole(data[last : whole - 1]):
                whole = last
            if whole < len(data):
                file.truncate(whole)
                os.fsync(file.fileno())
    except OSError as error:
        raise LogError(f"{path}: cannot be read and written: {error}") from error
    return len(data) - whole


def sync_folder(folder: Path) -> None:
    """Have the names of its files written to disk: a file that is synced may still lose its name."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
