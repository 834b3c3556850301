"""What `harness run` and `resume` import in the course of a run, for the server that programs are forked from."""

import aiohttp  # noqa: F401
import sklearn.linear_model
import sklearn.pipeline  # noqa: F401
import skops.io  # noqa: F401
import sqlalchemy.orm  # noqa: F401

import harness.backends.builtin
import harness.backends.local
import harness.backends.processes
import harness.backends.sql
import harness.cli.ci
import harness.cli.resume
import harness.cli.run
import harness.data.stage
import harness.engine.resume
import harness.live.view
import harness.report.html
import harness.scenario
import harness.training.stage
import harness.training.stored
import harness.users  # noqa: F401
from harness import app  # noqa: F401
