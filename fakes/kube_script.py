"""What becomes of pods, by order: ready after a while or never, crashing, with no image, with no node."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, overload

Object = dict[str, Any]
"""An object of Kubernetes, as JSON holds it."""


@overload
def copied(value: Object) -> Object: ...
@overload
def copied(value: Any) -> Any: ...
def copied(value: Any) -> Any:
    """A copy of JSON, all the way down; `copy.deepcopy` would take three times as long."""
    if isinstance(value, dict):
        return {name: copied(each) for name, each in value.items()}
    return [copied(each) for each in value] if isinstance(value, list) else value


class Ill(StrEnum):
    """What keeps a pod from getting ready."""

    CRASH = "crash"
    """Its container ends at once, again and again (waiting: CrashLoopBackOff)."""
    IMAGE = "image"
    """There is no such image (waiting: ImagePullBackOff)."""
    UNSCHEDULABLE = "unschedulable"
    """No node takes it (phase Pending, PodScheduled False: Unschedulable)."""


@dataclass(frozen=True, slots=True)
class PodScript:
    """The life of a pod."""

    ready_after_s: float | None = 0.03
    """From its start to its readiness; None: it runs and never gets ready."""
    ill: Ill | None = None
    stops_after_s: float = 0.1
    """From its deletion to its end, in which it still answers; never longer than its grace period."""


class Kubelet(Protocol):
    """Makes a pod something that runs, for as long as it is no mere state."""

    async def start(self, pod: Object) -> str:
        """Run it, and answer with its URL (``http://127.0.0.1:PORT``); a pod whose start raises crashes."""
        ...

    async def stop(self, pod: Object) -> None:
        """End it; what it is answering may be finished within its grace period. One that never ran is no error."""
        ...


@dataclass(slots=True)
class Scripts:
    """Which pod lives how; the last rule that fits decides, when the pod is made."""

    usual: PodScript = PodScript()
    rules: list[tuple[str, Mapping[str, str], PodScript]] = field(default_factory=list)

    def say(self, script: PodScript, *, prefix: str = "", labels: Mapping[str, str] | None = None) -> None:
        """From now on, pods whose name begins so and who have these labels live so."""
        self.rules.append((prefix, dict(labels or {}), script))

    def of(self, pod: Object) -> PodScript:
        """The life of this pod."""
        meta = pod["metadata"]
        labels = meta.get("labels", {})
        for prefix, wanted, script in reversed(self.rules):
            if meta["name"].startswith(prefix) and wanted.items() <= labels.items():
                return script
        return self.usual
