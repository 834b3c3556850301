"""How busy a generator and its machine are: what tells whether a slow answer was the target's, or our own."""

import contextlib
import sys
from pathlib import Path
from typing import Final

from harness import clock
from harness.load.record import Load

_STAT: Final = Path("/proc/stat")


class Gauge:
    """Reads, from one reading to the next, how busy this process and the whole machine were."""

    def __init__(self) -> None:
        self._wall_ns, self._cpu_ns = clock.monotonic_ns(), clock.cpu_ns()
        self._machine = _machine()

    def read(self) -> Load:
        """Since the last reading: this process's share of one core, and the machine's busy share of all of them."""
        wall_ns, cpu_ns, machine = clock.monotonic_ns(), clock.cpu_ns(), _machine()
        passed = max(wall_ns - self._wall_ns, 1)
        busy = min((cpu_ns - self._cpu_ns) / passed, 1.0)
        share = None
        if machine and self._machine:
            total = machine[1] - self._machine[1]
            share = 1 - (machine[0] - self._machine[0]) / total if total > 0 else None
        self._wall_ns, self._cpu_ns, self._machine = wall_ns, cpu_ns, machine
        return Load(busy, share)


def _machine() -> tuple[int, int] | None:
    """Idle and all jiffies of all cores, where the system tells (Linux)."""
    with contextlib.suppress(OSError, ValueError):
        fields = [int(word) for word in _STAT.read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
        return fields[3] + fields[4], sum(fields)
    return None


def peak_memory() -> int:
    """The most memory that this process had, in bytes; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
