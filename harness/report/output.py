"""Files that a command line asks for: whether they can be written is found out before a run, not after it."""

import errno
import os
import sys
from pathlib import Path
from typing import Final

from harness.errors import BackendError, InputError

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""How a disk says that it takes no more: nothing that was asked for is wrong."""


def check(flag: str, file: str | None) -> None:
    """Whether `write` will be able to; None and ``-`` always are.

    Args:
        flag: the option that names the file, for the message.
        file: a path, ``-`` for standard output, or None.

    Raises:
        InputError: its folder does not exist, or it may not be written there.
    """
    if file is None or file == "-":
        return
    path = Path(file)
    if path.is_dir():
        raise InputError(f"{flag} {file}: this is a folder; name a file")
    if not path.parent.is_dir():
        raise InputError(f"{flag} {file}: there is no folder {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(f"{flag} {file}: cannot be written: permission denied")


def write(flag: str, file: str, text: str, *, append: bool = False) -> None:
    """Write a text to a file; ``-`` is standard output.

    Raises:
        InputError: the file cannot be written.
        BackendError: the disk is full, or broken.
    """
    if file == "-":
        sys.stdout.write(text)
        return
    try:
        with Path(file).open("a" if append else "w", encoding="utf-8", newline="\n") as out:
            out.write(text)
    except OSError as error:
        if error.errno in FULL:
            told = (
                f"{flag} {file}: cannot be written: {error.strerror}; make room there, and make it again from the log"
            )
            raise BackendError(f"{told} (`harness report RUN`)") from error
        raise InputError(f"{flag} {file}: cannot be written: {error.strerror}") from error
