"""Lineage in MLflow: the tags of a version, its run, and a tag for each deployment."""

import hashlib
import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from harness.backends.mlflow_listing import DATA, FEATURES
from harness.domain.lineage import Deployment, Lineage, Origin, deployment_of, with_replaced
from harness.domain.model import Revision

if TYPE_CHECKING:
    from harness.backends.mlflow_connection import Connection

DEPLOYMENT: Final = "harness.deployment."
LONGEST: Final = 1000
"""Characters of a reason that are kept: a tag has no room for more than a few thousand."""


def record(mlflow: "Connection", version: Any, deployment: Deployment) -> None:
    """Keep a deployment in a tag named after it; the same one again is left as it was told first."""
    tag = DEPLOYMENT + hashlib.sha256(json.dumps(deployment.key).encode()).hexdigest()[:16]
    if tag in version.tags:
        return
    place = sum(each.startswith(DEPLOYMENT) for each in version.tags)
    told = asdict(replace(deployment, reason=deployment.reason[:LONGEST]))
    mlflow.client.set_model_version_tag(
        version.name, str(version.version), tag, json.dumps({"place": place, **told}, ensure_ascii=False)
    )


def deployments(version: Any) -> tuple[Deployment, ...]:
    """What became of a version, in the order in which it was recorded."""
    told = [json.loads(text) for tag, text in version.tags.items() if tag.startswith(DEPLOYMENT)]
    told.sort(key=lambda each: (each.pop("place"), each["at"]))
    return tuple(deployment_of(each) for each in told)


def trace(mlflow: "Connection", revision: Revision, version: Any) -> Lineage:
    """Where a version comes from, and what became of it; of one whose run is gone, as much as its tags tell."""
    tags, run = version.tags, mlflow.run(version.run_id)
    deployed = deployments(version)
    source = next((each.data for each in reversed(deployed) if each.data), "")
    made = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC)
    return Lineage(
        revision=revision,
        data=Origin(tags[DATA], source) if DATA in tags else None,
        features=Origin(tags[FEATURES]) if FEATURES in tags else None,
        run=version.run_id or "",
        algorithm=tags.get("harness.algorithm", ""),
        params=dict(run.data.params) if run else {},
        metrics=dict(run.data.metrics) if run else {},
        parents=with_replaced((), deployed),
        deployments=deployed,
        created_at=made.isoformat(timespec="seconds"),
        created_by=version.user_id or "",
    )
