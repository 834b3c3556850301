"""A stand-in of Prometheus that speaks its query API over what a `Service` has counted, and can be told to fail."""

import asyncio
import json
import re
from typing import Any

from aiohttp import web

from tests.outages.stage import Service

QUERIES = {
    "requests": 'sum(increase(requests{arm="$arm"}[$window]))',
    "failed": 'sum(increase(failed{arm="$arm"}[$window]))',
}
"""What the scenario asks; no bare selectors, so that Prometheus evaluates them."""
LATE_S = 0.4
"""How late a late answer is; the scenario waits for less."""
_ASKED = re.compile(r'(requests|failed)\{arm="(\w+)"\}\[(\d+)(ms|s)\]')


class Prometheus:
    """Answers queries about a service.

    Args:
        service: whose requests are counted.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self.mode = "well"
        """well, nan, 500 or late."""
        self.answers: dict[str, int] = {}
        """How often it answered in each mode."""

    def app(self) -> web.Application:
        """The query API."""
        app = web.Application()
        app.router.add_post("/api/v1/query", self._query)
        return app

    async def _query(self, request: web.Request) -> web.Response:
        form = await request.post()
        mode = self.mode
        self.answers[mode] = self.answers.get(mode, 0) + 1
        if mode == "500":
            return web.json_response({"status": "error", "error": "out of memory"}, status=500)
        if mode == "late":
            await asyncio.sleep(LATE_S)
        value = "NaN" if mode == "nan" else str(self._value(str(form["query"])))
        return _vector(float(str(form["time"])), value)

    def _value(self, query: str) -> int:
        found = _ASKED.search(query)
        assert found, query
        name, arm, length, unit = found.groups()
        return self._service.count(arm, int(length) / (1000 if unit == "ms" else 1)) if name == "requests" else 0


def _vector(at_s: float, value: str) -> web.Response:
    told: dict[str, Any] = {"resultType": "vector", "result": [{"metric": {}, "value": [at_s, value]}]}
    return web.Response(text=json.dumps({"status": "success", "data": told}), content_type="application/json")
