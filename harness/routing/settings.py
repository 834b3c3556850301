"""What a router's process is told, as a file holds it."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from harness.domain.real import RouterPlan
from harness.domain.units import SECOND
from harness.errors import InputError


@dataclass(frozen=True, slots=True)
class Settings:
    """One router."""

    folder: str
    """Where it keeps its socket and the routing in force."""
    plan: RouterPlan
    drain_ns: int = 10 * SECOND
    """How long a replica that it lets go of may take for what it is answering."""
    metrics_port: int = 0
    """Where Prometheus reads, on the same host; 0: any that is free."""

    def write(self, file: Path) -> None:
        """Write them down."""
        file.write_text(json.dumps(asdict(self)))


def read(file: Path) -> Settings:
    """The settings in a file; InputError where they cannot be read."""
    try:
        said: dict[str, Any] = json.loads(file.read_text())
        plan = said.pop("plan")
        plan["command"] = tuple(plan["command"])
        known = {each.name for each in fields(RouterPlan)}
        return Settings(plan=RouterPlan(**{name: plan[name] for name in known}), **said)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} holds no settings of a router: {error!r}") from error
