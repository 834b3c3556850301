"""Says at the end of a long run what it has been through."""

import pytest

from tests.properties.profile import LONG, TALLY


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each count."""
    if LONG and TALLY:
        terminalreporter.section("property suite")
        for name, count in sorted(TALLY.items()):
            terminalreporter.write_line(f"{name}: {count}")
