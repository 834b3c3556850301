"""Tests that need something of the machine: they skip with the reason, or fail where nothing may be missing."""

import importlib.util
import os
import shutil
from typing import NoReturn

import pytest

ALL = os.environ.get("HARNESS_REQUIRE_ALL") == "1"
"""Set where every test must run (continuous integration): then what is missing is a failure."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def missing(what: str) -> NoReturn:
    """Skip this test, or fail it where all are required."""
    if ALL:
        pytest.fail(f"{what} (HARNESS_REQUIRE_ALL=1: no test may skip)", pytrace=False)
    pytest.skip(what)


def module(name: str) -> None:
    """This test needs a Python package."""
    if importlib.util.find_spec(name) is None:
        missing(f"the package {name} is not installed")


def program(*names: str) -> str:
    """This test needs one of these programs; answers with its path."""
    for name in names:
        path = shutil.which(name)
        if path:
            return path
    missing(f"none of these programs is installed: {', '.join(names)}")


def browser() -> str:
    """This test needs a browser that playwright can drive; answers with its path."""
    module("playwright")
    return program(*BROWSERS)
