"""``--help`` of every command: no library that takes its time is loaded for it."""

import subprocess
import sys

import pytest

from harness.cli import COMMANDS

HEAVY = (
    "aiohttp",
    "distributed",
    "mlflow",
    "numba",
    "numpy",
    "pandas",
    "prometheus_client",
    "scipy",
    "sklearn",
    "uvloop",
)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_loads_nothing_that_takes_its_time(command):
    code = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print('heavy:', [name for name in {HEAVY!r} if name in sys.modules]))\n"
        f"sys.argv = ['harness', {command!r}, '--help']\n"
        "from harness.cli import main\n"
        "main()\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage:" in ran.stdout
    assert ran.stdout.rstrip().endswith("heavy: []"), ran.stdout[-300:]
