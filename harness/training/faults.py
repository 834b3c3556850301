"""Faults of training: rows that are out of date, labels that are wrong."""

from collections.abc import Iterable

import numpy as np

from harness.data.split import Rows
from harness.domain.fault import CorruptTraining, Fault, StaleTraining
from harness.domain.model import Role
from harness.errors import InputError
from harness.seeds import Stream, stream

MIN_ROWS = 10


def training_rows(rows: Rows, faults: Iterable[Fault], role: Role, seed: int) -> Rows:
    """The rows as the model of that role is to see them.

    Raises:
        InputError: a fault leaves too few rows, or rows of one class only.
    """
    for fault in faults:
        if role not in fault.on:
            continue
        match fault.effect:
            case StaleTraining(share):
                rows = rows.take(np.arange(len(rows.rows) - round(share * len(rows.rows))))
            case CorruptTraining(share):
                rows = _corrupt(rows, share, stream(seed, f"training/{role}/corrupt"))
            case _:
                continue
        if len(rows.rows) < MIN_ROWS or (rows.classes and len(np.unique(rows.target)) < 2):
            raise InputError(f"inject `{fault.text}`: what is left does not suffice to train {role} on")
    return rows


def _corrupt(rows: Rows, share: float, draws: Stream) -> Rows:
    """Some labels are another row's; a row once hit stays hit, by the same other row, as the share grows."""
    count = len(rows.rows)
    ranks = draws.generator(0).permutation(count)
    other = (np.arange(count) + draws.generator(1).integers(1, count, size=count)) % count
    target = np.where(ranks < round(share * count), rows.target[other], rows.target)
    return Rows(rows.rows, target, rows.classes)
