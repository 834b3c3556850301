"""The client of a model server, in any of the three protocols: blocking, and async.

asking.py     pure: what is sent for a prediction, and what an answer means, in each protocol
target.py     where the endpoint is, and the token for it
calling.py    pure: one call with its retries, as a generator that asks for attempts and waits
talk.py       what a client can ask: health, readiness, predictions; generators over the three above
blocking.py   the door that blocks: the standard library's HTTP, each wait with its end
awaiting.py   the door that is awaited: aiohttp

Nothing is said twice: a door only carries out attempts and waits.
"""

from harness.serving.client.awaiting import AsyncModelServingClient
from harness.serving.client.blocking import ModelServingClient
from harness.serving.client.talk import Health

__all__ = ["AsyncModelServingClient", "Health", "ModelServingClient"]
