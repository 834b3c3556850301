"""`harness run` of two rivals, on a platform that could outlive them, with a short lease."""

import sys
from pathlib import Path


def drive(reports: str, pause: str) -> None:
    """Run a canary with one pause; what came of it is printed."""
    from harness import app
    from harness.errors import HarnessError
    from tests import surviving
    from tests.surviving import Surviving, World

    surviving.STARTUP_S = 0.1
    scenario = app.load_scenario("scenarios/local_canary.yaml", [
        "inject=[]", "expect=[duration < 1h]", "backends.serving=simulated",
        "rollout.analysis.rules=[error_rate <= 5%]", f"rollout.steps=[{{weight: 50%}}, {{pause: {pause}}}]",
        "rollout.analysis.every=1s",
    ], clock="real")  # fmt: skip
    options = app.Options(reports=Path(reports), platform=lambda _: Surviving(World()), lease_s=1.5)
    try:
        made = app.attempt(scenario, options)
    except HarnessError as refused:
        sys.stdout.write(f"{refused}\n")
        sys.exit(3)
    sys.stdout.write(f"{made.error or made.outcome.value}\n")
    sys.exit(3 if made.error else 0)
