"""Makes the golden logs and the example reports anew: ``python -m tests.golden.make`` from the top of the project.

To be called when the vocabulary of events or a shipped scenario changes; read the difference before committing it.
"""

import json
import platform
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from harness import app
from harness.report import fold, html
from harness.report import json as report_json

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "reports" / "examples"
NAMES = ("canary_healthy", "canary_regression", "gate_rejected")
EXAMPLE = "canary_regression"
LIBRARIES = ("numpy", "scipy", "pandas", "scikit-learn", "numba", "simpy")


def environment() -> dict[str, str]:
    """What must be equal for a run to give the same bytes: operating system, processor family, locked versions."""
    import scipy.linalg  # noqa: F401 - loads the linear algebra that is asked below
    import threadpoolctl

    kernels = sorted({str(pool["architecture"]) for pool in threadpoolctl.threadpool_info() if "architecture" in pool})
    return {
        "python": ".".join(map(str, sys.version_info[:2])),
        "system": platform.system(),
        "machine": platform.machine(),
        "kernels": ", ".join(kernels),
        **{name: version(name) for name in LIBRARIES},
    }


def main() -> None:
    """Run each scenario, keep its log and its result, and render the example page."""
    digests = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            scenario = app.load_scenario(f"scenarios/{name}.yaml")
            made = app.rehearse(scenario, app.Options(reports=Path(folder), cache=False))
            log = HERE / f"{name}.jsonl"
            shutil.copyfile(made.path, log)
            result = fold(made.log.events, log_path=Path(log.name))
            (HERE / f"{name}.json").write_text(report_json.dumps(report_json.plain(result)), encoding="utf-8")
            digests[name] = made.log.digest
            if name == EXAMPLE:
                EXAMPLES.mkdir(exist_ok=True)
                html.write(result, EXAMPLES / f"{name}.html")
    known = {"environment": environment(), "digests": digests}
    (HERE / "known.json").write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
