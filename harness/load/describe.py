"""A payload made of what an endpoint says of itself: its OpenAPI document, or the v2 protocol's metadata of a model."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit, urlunsplit

import anyio

from harness.domain.load import Order, Payload, Speech
from harness.errors import BackendError, InputError
from harness.load import openapi
from harness.load import speech as speeches
from harness.load.consent import shown
from harness.load.payloads import JSON, ask_for_one
from harness.load.rows import shown as value_shown

if TYPE_CHECKING:
    import aiohttp

TIMEOUT_S: Final = 10.0
MOST_BYTES: Final = 8 * 1024 * 1024
"""Of a description."""
MOST_ELEMENTS: Final = 1_000_000
"""Of a tensor that is made."""

_VALUES: Final[dict[str, Any]] = {
    "BOOL": True,
    **dict.fromkeys(("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"), 1),
    **dict.fromkeys(("FP32", "FP64"), 0.5),
    **dict.fromkeys(("BYTES", "STRING"), "text"),
}
"""By v2 datatype; FP16 and BF16 have no form in JSON (Open Inference Protocol, tensor data)."""


async def describe(
    session: "aiohttp.ClientSession",
    base: str,
    speech: Speech,
    model: str | None = None,
    *,
    headers: Sequence[tuple[str, str]] = (),
    timeout_s: float = TIMEOUT_S,
) -> Payload:
    """The payload that an endpoint's own description gives.

    Args:
        session: what it is asked with.
        base: the endpoint's URL, as `harness.load.speech.predict_url` takes it.
        speech: the protocol.
        model: of v2.
        headers: of the request, such as a token.
        timeout_s: for the whole of each question.

    Raises:
        InputError: the endpoint does not say what it takes, or no body can be made of what it says; asks for a payload.
        BackendError: it gave no answer.
    """
    url = speeches.describe_url(base, speech, model)
    if url is None:
        raise InputError(f"raw says nothing of what it takes: {ask_for_one(speech)}")
    asked = _Asked(session, headers, timeout_s, speech)
    if speech is Speech.V2:
        request = _v2_request(asked, url, await asked.document(url))
        return Payload((speeches.encode(request),), JSON, Order.IN_TURN, f"made of {shown(url)}")
    found = await asked.first(list(dict.fromkeys((url, _at_root(url)))))
    place, document = found
    try:
        made, how = openapi.bodies(document, speeches.predict_url(base, speech, model))
        bodies = tuple(speeches.encode(body) for body in made)
    except openapi.Unmade as error:
        raise asked.refusal(place, str(error)) from None
    except (ValueError, RecursionError) as error:
        raise asked.refusal(place, f"its example cannot be sent: {error}") from None
    order = Order.DRAWN if len(bodies) > 1 else Order.IN_TURN
    return Payload(bodies, JSON, order, f"made of {how} in {shown(place)}")


def _at_root(url: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path="/openapi.json"))


class _Asked:
    """Asks for descriptions, within bounds."""

    def __init__(
        self, session: "aiohttp.ClientSession", headers: Sequence[tuple[str, str]], timeout_s: float, speech: Speech
    ) -> None:
        self._session = session
        self._headers = dict(headers)
        self._timeout_s = timeout_s
        self._speech = speech

    def refusal(self, url: str, found: str) -> InputError:
        """What was found, where, and what to do about it."""
        return InputError(f"{shown(url)}: {found}; {ask_for_one(self._speech)}")

    async def first(self, urls: Sequence[str]) -> tuple[str, Mapping[str, Any]]:
        """The first description there is, with its URL; what is said of none is said of the first."""
        refusals = []
        for url in urls:
            try:
                return url, await self.document(url)
            except InputError as error:
                refusals.append(error)
        raise refusals[0]

    async def document(self, url: str) -> Mapping[str, Any]:
        """The JSON object that a URL answers with."""
        status, content = await self._get(url)
        if status != 200:
            leads = " (redirects are not followed: give the URL they lead to)" if 300 <= status < 400 else ""
            raise self.refusal(url, f"no description of the endpoint, but status {status}{leads}")
        if len(content) > MOST_BYTES:
            raise self.refusal(url, f"a description of more than {MOST_BYTES // 2**20} MiB")
        try:
            document = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise self.refusal(url, f"a description that is not JSON ({error})") from None
        if not isinstance(document, dict):
            raise self.refusal(url, f"a description that is no object: {value_shown(document)}")
        return document

    async def _get(self, url: str) -> tuple[int, bytes]:
        import aiohttp

        try:
            with anyio.fail_after(self._timeout_s):
                # A redirect may lead to a host that nobody consented to.
                async with self._session.get(url, headers=self._headers, allow_redirects=False) as response:
                    content = bytearray()
                    async for piece in response.content.iter_chunked(65536):
                        content += piece
                        if len(content) > MOST_BYTES:
                            break
                    return response.status, bytes(content)
        except TimeoutError:
            raise BackendError(
                f"{shown(url)} gave no answer within {self._timeout_s:g} s; is the endpoint up?"
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
            raise BackendError(f"{shown(url)} gave no answer: {why}; is the endpoint up?") from None


def _v2_request(asked: _Asked, url: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    inputs = metadata.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise asked.refusal(url, "the model does not say which inputs it has")
    return {"inputs": [_tensor(asked, url, at, tensor) for at, tensor in enumerate(inputs)]}


def _tensor(asked: _Asked, url: str, at: int, given: Any) -> dict[str, Any]:
    """A tensor of the shape that is asked for; a dimension that may be anything (-1) is 1."""
    tensor = given if isinstance(given, dict) else {}
    name, datatype, shape = (tensor.get(key) for key in ("name", "datatype", "shape"))
    if not isinstance(name, str) or not isinstance(shape, list) or not all(_is_dimension(size) for size in shape):
        raise asked.refusal(
            url, f"inputs[{at}] is {value_shown(given)}, and should have a name, a datatype and a shape"
        )
    if datatype not in _VALUES:
        raise asked.refusal(url, f"input {name} is of datatype {datatype}, which JSON has no form for")
    fixed = [1 if size == -1 else size for size in shape]
    count = math.prod(fixed)
    if count > MOST_ELEMENTS:
        raise asked.refusal(url, f"input {name} has {count:,} elements, more than are made")
    made = {"name": name, "shape": fixed, "datatype": datatype, "data": [_VALUES[datatype]] * count}
    # Some servers decode by it: mlserver's `content_type`.
    return {**made, "parameters": tensor["parameters"]} if isinstance(tensor.get("parameters"), dict) else made


def _is_dimension(size: Any) -> bool:
    return isinstance(size, int) and not isinstance(size, bool) and size >= -1
