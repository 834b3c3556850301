"""Windows over buckets: what is kept is found, what is not is told."""

import pytest

from harness.domain.model import ARMS, Role
from harness.domain.units import SECOND
from harness.sim.ledger import Ledger


def test_a_window_may_begin_before_traffic_did_but_not_before_what_is_kept() -> None:
    """On real time a look is due a microsecond before the traffic that it looks at began."""
    ledger = Ledger(ARMS, keep_ns=10 * SECOND)
    ledger.close(5 * SECOND, {})
    assert ledger.window(-1042, 5 * SECOND)[Role.STABLE][0].requests == 0
    ledger.close(30 * SECOND, {})
    with pytest.raises(ValueError, match="is not kept"):
        ledger.window(-1042, 30 * SECOND)
