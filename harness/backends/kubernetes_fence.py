"""Writes of one harness at a time: each object of ours says which run wrote it last, and with what fencing token.

Compare, then swap: what stands there is read, a token higher than ours ends the attempt, and what is written carries
the version that was read, so that a write in between is a conflict and all of it begins anew.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import anyio

from harness.backends.kubernetes_api import Api, Conflict, Kind
from harness.manifests.common import Manifest
from harness.realtime import Place

RUN: Final = "rollout-harness/run"
TOKEN: Final = "rollout-harness/token"  # noqa: S105 - of a lease, and no secret
TRIES: Final = 12
BACK_OFF_S: Final = (0.02, 1.0)
"""After the first conflict, and at most; doubled from one to the next."""

Make = Callable[[Manifest | None], Manifest | None]
"""What an object is to be, of what it is (None: it is not there); None: leave it."""


async def put(api: Api, where: Place, kind: Kind, name: str, make: Make) -> Manifest | None:
    """Bring an object about; answers with what stands there now.

    Raises:
        BackendError: another harness drives the rollout, the API server refuses, or conflicts do not end.
        LeaseLost: the lease is another's.
    """
    wait_s = BACK_OFF_S[0]
    for _ in range(TRIES):
        with where.ours():
            pass  # not around the calls, which may take long: others wait for what is held here
        held = await api.get(kind, name)
        refuse_lower(api, where, kind, held)
        body = make(held)
        if body is None:
            return held
        try:
            made = stamped(body, where, held)
            # An apply would write over what another harness makes meanwhile: there is no version to compare with yet.
            return await (api.apply(kind, made) if held else api.create(kind, made))
        except Conflict:
            await anyio.sleep(wait_s)
            wait_s = min(2 * wait_s, BACK_OFF_S[1])
    raise api.error(
        f"{kind.name} {name} was changed by somebody else each of the {TRIES} times that it was to be written: "
        "look who manages it (kubectl get --show-managed-fields)"
    )


def refuse_lower(api: Api, where: Place, kind: Kind, held: Manifest | None) -> None:
    """Refuse to write over what a harness with a higher token wrote."""
    token, run = token_of(held), annotations(held).get(RUN, "?")
    if token > where.token:
        name = held["metadata"]["name"] if held else ""
        raise api.error(
            f"{kind.name} {name} was written by run {run} with the fencing token {token}, and ours is {where.token}: "
            f"another harness drives this rollout, and nothing was changed. Where that run is over and its state was "
            f"kept elsewhere: kubectl annotate {kind.plural} -n {api.namespace} {name} {TOKEN}-"
        )


def stamped(body: Manifest, where: Place, held: Manifest | None) -> Manifest:
    """The object as it is to be written: by whom, and over what.

    >>> from pathlib import Path
    >>> held = {"metadata": {"name": "a", "resourceVersion": "7"}}
    >>> stamped({"metadata": {"name": "a"}}, Place(Path(), Path(), "r", 3), held)["metadata"]["resourceVersion"]
    '7'
    """
    meta = body["metadata"]
    notes = {**meta.get("annotations", {}), RUN: where.run, TOKEN: str(where.token)}
    version = {"resourceVersion": held["metadata"]["resourceVersion"]} if held else {}
    return {**body, "metadata": {**meta, "annotations": notes, **version}}


def annotations(held: Manifest | None) -> Mapping[str, str]:
    """Of an object, that may not be there."""
    found = (held or {}).get("metadata", {}).get("annotations")
    return found if isinstance(found, dict) else {}


def token_of(held: Manifest | None) -> int:
    """The fencing token that it was written with; 0 where none stands there.

    >>> token_of({"metadata": {"annotations": {TOKEN: "12"}}}), token_of(None)
    (12, 0)
    """
    text = annotations(held).get(TOKEN, "")
    return int(text) if text.isdecimal() else 0


def noted(held: Manifest | None, key: str) -> Any:
    """What an annotation says as JSON; None where it says nothing."""
    try:
        return json.loads(annotations(held).get(key, "null"))
    except ValueError:
        return None
