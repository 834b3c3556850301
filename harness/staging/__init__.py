"""Staging: what a registered candidate must stand before any of it reaches production."""

from harness.staging.stage import Staging

__all__ = ["Staging"]
