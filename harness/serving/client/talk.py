"""What a client can ask of a model server: health, readiness, predictions, metadata; each as steps for a door."""

import json
import os
import zlib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from harness import seeds
from harness.clock import wall_ns
from harness.domain.secrets import SHORTEST, mask
from harness.domain.units import SECOND
from harness.errors import EndpointError, HarnessError, InputError
from harness.serving.client.asking import Prediction, Request, Row, Spoken, spoken
from harness.serving.client.calling import LARGEST, Answer, Attempt, Calls, Outcome, Patience, Wait
from harness.serving.client.target import Target, target

SHOWN: Final = 200
"""Letters of a refusal that are shown, where it is not JSON."""
LONGEST_S: Final = 24 * 3600.0
MOST_RETRIES: Final = 100
REMEDIES: Final = {
    401: "give a token (token_env or token_file)",
    403: "the token has no right to this",
    404: "are the endpoint, the protocol and the model's name right?",
    405: "are the endpoint and the protocol right?",
    413: "send fewer rows at a time",
    429: "ask more slowly",
}

Json = Any


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a server is well."""

    status: str
    """``healthy`` or ``unhealthy``."""
    reason: str = ""
    """Why it is not."""
    http_status: int | None = None
    """None where there was no answer."""
    latency_s: float = 0.0
    """From asking to the answer, or to giving up."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What the server said of itself; empty where that was no JSON."""

    @property
    def healthy(self) -> bool:
        """Whether it is."""
        return self.status == "healthy"


class Talk:
    """All that a client asks, in steps that a door carries out.

    Args:
        place: the endpoint.
        speaks: its protocol.
        calls: calls to it.
    """

    def __init__(self, place: Target, speaks: Spoken, calls: Calls) -> None:
        self.target = place
        self._spoken = speaks
        self._calls = calls

    def health(self) -> Generator[Attempt | Wait, Outcome | None, Health]:
        """Whether the server is well; a look is one attempt, and nothing is raised."""
        begun_ns = wall_ns()
        http_status: int | None = None
        details: dict[str, Any] = {}
        try:
            answer = yield from self._call(self._spoken.alive, retries=0)
            http_status = answer.status
            found = _json(self._hidden(_text(answer)))
            details = found if isinstance(found, dict) else {}
            self._accept(answer)
            reason = "" if details.get("status", "healthy") != "unhealthy" else "it says so itself"
        except (HarnessError, OSError) as error:
            reason = str(error)
        latency_s = (wall_ns() - begun_ns) / SECOND
        return Health("unhealthy" if reason else "healthy", reason, http_status, latency_s, details)

    def ready(self) -> Generator[Attempt | Wait, Outcome | None, bool]:
        """Whether it may get traffic; not, where it cannot be reached."""
        try:
            answer = yield from self._call(self._spoken.ready, retries=0)
        except (HarnessError, OSError):
            return False
        return 200 <= answer.status < 300

    def predict(self, rows: Sequence[Row]) -> Generator[Attempt | Wait, Outcome | None, list[Prediction]]:
        """Predictions of rows, in their order."""
        found: list[Prediction] = []
        requests = self._spoken.asks(rows)
        for request in requests:
            answer = yield from self._call(request)
            said = self._said(answer)
            found += self._spoken.answers(said, len(rows) if len(requests) == 1 else 1)
        return found

    def asked(self, body: Any) -> Generator[Attempt | Wait, Outcome | None, tuple[int, Json]]:
        """What is said to one body as it stands, refusals too: the status, and what the answer holds."""
        [model] = self._spoken.asks([{}])
        answer = yield from self._call(Request(model.method, model.path, json.dumps(body).encode()))
        text = _text(answer)
        found = _json(text)
        return answer.status, self._masked(text) if found is None else found

    def metadata(self) -> Generator[Attempt | Wait, Outcome | None, dict[str, Any]]:
        """What the server says of its model: ``model`` and ``version`` (None where it does not say), and the rest."""
        answer = yield from self._call(self._spoken.about)
        self._accept(answer)
        text = _text(answer)
        found = _json(text)
        return self._spoken.described(text if found is None else found)

    # --- one call -----------------------------------------------------------------------------------------------------

    def _call(self, request: Request, retries: int | None = None) -> Generator[Attempt | Wait, Outcome | None, Answer]:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        headers |= self.target.headers
        token = self.target.token()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        answer = yield from self._calls.call(request, headers, retries)
        return answer

    def _said(self, answer: Answer) -> Json:
        self._accept(answer)
        text = _text(answer)
        found = _json(text)
        if found is None:
            kind = answer.headers.get("content-type", "without a content type")
            shown = f"what is no JSON ({kind}): {self._masked(text)!r}" if text.strip() else "an empty body"
            raise EndpointError(
                f"{self.target.origin} answered {answer.status} with {shown}; is a model server there, or what stands "
                "before it?", answer.status
            )  # fmt: skip
        return found

    def _accept(self, answer: Answer) -> None:
        """Raises EndpointError: it was refused."""
        if 200 <= answer.status < 300:
            return
        if 300 <= answer.status < 400:
            where = self._masked(answer.headers.get("location", "nowhere"))
            raise EndpointError(
                f"{self.target.origin} redirects to {where} ({answer.status}), which is not followed: a token would go "
                "there; give that as the endpoint", answer.status
            )  # fmt: skip
        said = self._masked(_told(_text(answer)))
        remedy = REMEDIES.get(answer.status, "")
        raise EndpointError(
            f"{self.target.origin} answered {answer.status}: {said or 'and no more'}"
            + (f"; {remedy}" if remedy else ""),
            answer.status,
        )

    def _masked(self, text: str) -> str:
        """One line of it, without the token where a server sends it back."""
        return " ".join(self._hidden(text).split())[: SHOWN * 5]

    def _hidden(self, text: str) -> str:
        token = self.target.token()
        if token and len(token) < SHORTEST:
            return "(not shown: the token is too short to be told from other words)"
        return mask(text, (token,) if token else None)


class Door:
    """What the doors have in common: how a client is made, with the arguments of `ModelServingClient`."""

    def __init__(
        self,
        endpoint: str,
        timeout: float = 30,
        protocol: str = "json",
        model: str | None = None,
        retries: int = 2,
        *,
        headers: Mapping[str, str] | None = None,
        token_env: str | None = None,
        token_file: str | Path | None = None,
        ca_file: str | Path | None = None,
        seed: int | None = None,
    ) -> None:
        if isinstance(timeout, bool) or not 0 < timeout <= LONGEST_S:
            raise InputError(f"timeout is {timeout!r}; it is a number of seconds above 0, at most {LONGEST_S:g}")
        if isinstance(retries, bool) or not 0 <= retries <= MOST_RETRIES:
            raise InputError(f"retries is {retries!r}; it is a whole number from 0 to {MOST_RETRIES}")
        place = target(endpoint, headers=headers, token_env=token_env, token_file=token_file, ca_file=ca_file)
        entropy = int.from_bytes(os.urandom(8), "big") if seed is None else seed
        patience = Patience(round(timeout * SECOND), retries)
        calls = Calls(place.origin, patience, seeds.stream(entropy, "serving/client"))
        self._tls = place.tls()
        self._talk = Talk(place, spoken(protocol, model), calls)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._talk.target.url('')!r})"


def _text(answer: Answer) -> str:
    """The body as text, unpacked where it was packed unasked."""
    body = answer.body
    packing = answer.headers.get("content-encoding", "identity").lower()
    if packing in {"gzip", "x-gzip", "deflate"}:
        unpack = zlib.decompressobj(zlib.MAX_WBITS | 32)
        try:
            body = unpack.decompress(body, LARGEST)
        except zlib.error as error:
            raise EndpointError(f"the answer says it is {packing}, and is not: {error}", answer.status) from None
        if unpack.unconsumed_tail:
            raise EndpointError(f"the answer is above {LARGEST >> 20} MiB when unpacked", answer.status)
    elif packing != "identity":
        raise EndpointError(f"the answer is packed as {packing}, which was not asked for", answer.status)
    if len(body) > LARGEST:
        raise EndpointError(f"the answer is above {LARGEST >> 20} MiB; ask for fewer rows at a time", answer.status)
    return body.decode("utf-8", "replace")


def _json(text: str) -> Json:
    """What a text says; None where it is no JSON (null is as good as none)."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _told(text: str) -> str:
    """A server's own words for what is wrong."""
    said = _json(text)
    if isinstance(said, dict):
        for key in ("error", "message", "detail"):
            if isinstance(said.get(key), str) and said[key]:
                return str(said[key])
    return text[:SHOWN]
