"""Recorded traffic: when each request of a log or a table came.

`read` takes a file to its stamps. What becomes of them (cut, sped up, spread, repeated, fitted to a rate) is the affair
of `harness.arrivals`. Adding a format is adding a function and a word to `formats.READERS`.
"""

from harness.traces.formats import FORMATS, UNITS
from harness.traces.records import Records, read

__all__ = ["FORMATS", "UNITS", "Records", "read"]
