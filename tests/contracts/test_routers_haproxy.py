"""HAProxy keeps what any gateway must; what it cannot do it refuses in words."""

import pytest

from harness.backends.haproxy import HaproxyRouter
from harness.contracts.routers import GATEWAY_CHECKS, check_gateway
from tests.build import scenario
from tests.requires import program

REFUSED = {"copies_are_invisible": "HAProxy copies no requests (mirror); the built-in router does: `router: builtin`"}


@pytest.mark.parametrize("name", GATEWAY_CHECKS)
async def test_haproxy(name: str) -> None:
    program("haproxy")
    (ran,) = await check_gateway(lambda: HaproxyRouter(scenario()), requests=400, only=[name])
    assert ran.refused == REFUSED.get(name, "")
