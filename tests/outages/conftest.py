"""A run of the program, and the servers that it is to lose."""

from collections.abc import Iterator

import pytest

from tests.outages.runs import begin
from tests.outages.stage import Stage

__all__ = ["begin"]


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Where servers stand that can be taken away."""
    with Stage().open() as made:
        yield made
