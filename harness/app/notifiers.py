"""The channels that a scenario's ``notify`` names."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from harness import seeds
from harness.app.installed import backend, made
from harness.domain.scenario import Scenario

WEBHOOK: Final = "webhook"
_URL: Final = re.compile(r"https?://", re.IGNORECASE)


def channels(notify: Sequence[str], seed: int, given: Mapping[str, Any]) -> dict[str, Any]:
    """Notifiers by the name that the event log knows them by: their word, and for webhooks never the URL.

    Args:
        notify: words of notifiers, and URLs of webhooks; one that is named twice is one.
        seed: of the run; webhooks draw their waits from it.
        given: notifiers of the caller's own, by word.

    Raises:
        BackendError: one is not installed, or cannot be made.
    """
    found: dict[str, Any] = {}
    for named in dict.fromkeys(notify):
        if named in given:
            found[named] = given[named]
        elif named == WEBHOOK or _URL.match(named):
            name = _free(WEBHOOK, found)
            jitter = seeds.stream(seed, f"notifier/{name}")
            found[name] = backend("notifier", WEBHOOK)(None if named == WEBHOOK else named, jitter)
        else:
            found[_free(named.partition("+")[0], found)] = made("notifier", named)
    return found


def _free(name: str, taken: Mapping[str, Any]) -> str:
    """A name that is not taken yet.

    >>> _free("webhook", {"webhook": 1, "log": 2})
    'webhook-2'
    """
    if name not in taken:
        return name
    return next(each for number in range(2, len(taken) + 3) if (each := f"{name}-{number}") not in taken)


def secrets(scenario: Scenario) -> tuple[str, ...]:
    """What the event log must not show, for a scenario's text stands in it: who has a webhook's URL can post to it."""
    hook = scenario.real.router.webhook
    return tuple(named for named in (*scenario.notify, *((hook,) if hook else ())) if _URL.match(named))
